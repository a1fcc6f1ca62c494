/** Tests of lib/core/fleet/mesh/misdirected.ts. */
import { MeshKind, meshKind } from "../../../../../lib/core/fleet/mesh/mesh_messages.ts";
import {
  MISDIRECTED_HEADER_SIZE,
  misdirectedPath,
  misdirectedSize,
  writeMisdirected,
} from "../../../../../lib/core/fleet/mesh/misdirected.ts";
import { NO_PATH, Paths } from "../../../../../lib/core/transport/paths.ts";
import { Transport } from "../../../../../lib/core/transport/transport.ts";
import { assertEquals } from "../../../../support/assert.ts";
import { ipv4 } from "../../../../support/packets/simulated_device.ts";

const newPaths = () => new Paths({ holders: 4, unheld: 4 });
const WORDS = Int32Array.of(0x20010db8, 0, 0, 7, 0x20010db8, -1, 0, 1);

function written(make: (paths: Paths) => number): DataView<ArrayBuffer> {
  const paths = newPaths();
  const view = new DataView(new ArrayBuffer(8 + MISDIRECTED_HEADER_SIZE + 100));
  writeMisdirected(view, 8, paths, make(paths), 100);
  return view;
}

Deno.test("the header of a misdirected datagram has the bytes that its description says", () => {
  const view = written((paths) =>
    paths.intern(ipv4("198.51.100.7"), 40_000, ipv4("203.0.113.5"), Transport.udp)
  );
  assertEquals(
    new Uint8Array(view.buffer, 8, MISDIRECTED_HEADER_SIZE).toHex(),
    "01110088" + "04009c40" + "c6336407" + "00".repeat(12) + "cb007105" + "00".repeat(12),
  );
  assertEquals([meshKind(view, 8, 140), misdirectedSize(view, 8)], [MeshKind.datagram, 100]);
});

Deno.test("the gateway that gets it has the path by which the client's datagram came, of either family", () => {
  const makers: ((paths: Paths) => number)[] = [
    (paths) => paths.intern(ipv4("198.51.100.7"), 1, ipv4("203.0.113.5"), Transport.udp),
    (paths) => paths.intern(ipv4("198.51.100.7"), 65_535, 0, Transport.udp),
    (paths) => paths.internWords6(WORDS, 51_820, true, Transport.udp),
    (paths) => paths.internWords6(WORDS, 51_820, false, Transport.udp),
  ];
  for (const make of makers) {
    const paths = newPaths();
    assertEquals(misdirectedPath(written(make), 8, paths), make(paths));
    assertEquals(paths.size, 1);
  }
});

Deno.test("a header without a port, or of another family, has no path, and one without a datagram no size", () => {
  for (const [at, value] of [[4, 5], [4, 0]] as const) {
    const view = written((paths) => paths.intern(1, 2, 3, Transport.udp));
    view.setUint8(8 + at, value);
    assertEquals(misdirectedPath(view, 8, newPaths()), NO_PATH);
  }
  const view = written((paths) => paths.intern(1, 2, 3, Transport.udp));
  view.setUint16(8 + 6, 0);
  assertEquals(misdirectedPath(view, 8, newPaths()), NO_PATH);
  view.setUint16(8 + 2, 20);
  assertEquals(misdirectedSize(view, 8), -16);
});
