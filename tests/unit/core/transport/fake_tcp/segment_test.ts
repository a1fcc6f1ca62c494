/** Tests of which captured packets are segments, bit by bit. */
import {
  checkSegment,
  readSynOptions,
} from "../../../../../lib/core/transport/fake_tcp/segment.ts";
import { DROP_REASON_NAMES, DropReason } from "../../../../../lib/core/wire/drop_reason.ts";
import { assertEquals } from "../../../../support/assert.ts";
import {
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
} from "../../../../support/packets/packet_builder.ts";
import { segment6 } from "../../../../support/fake_tcp/segments.ts";
import { Random } from "../../../../support/random.ts";

const SOURCE = { source: "192.0.2.1", destination: "198.51.100.9" };
const PAYLOAD = new TextEncoder().encode("a datagram");

function check(packet: Bytes, isVerified = false): string {
  const reason = checkSegment(new DataView(packet.buffer), 0, packet.length, isVerified);
  return DROP_REASON_NAMES[reason]!;
}

Deno.test("checkSegment() takes a segment, with options of IP and TCP or without, and padding behind it", () => {
  for (const options of [[], [1, 1, 1, 0]]) {
    for (const tcpOptions of [[], [1, 1, 1, 0, 0, 0, 0, 0]]) {
      const packet = buildTcp({ ...SOURCE, options, tcpOptions, payload: PAYLOAD });
      assertEquals(check(packet), "none");
      const padded = new Uint8Array(packet.length + 6);
      padded.set(packet);
      assertEquals(check(padded), "none");
    }
  }
});

Deno.test("checkSegment() refuses what is no segment", () => {
  const tcp = buildTcp({ ...SOURCE, payload: PAYLOAD });
  const wrong: Record<string, Bytes> = {
    empty: new Uint8Array(),
    short: tcp.slice(0, 39),
    "cut off": tcp.slice(0, -1),
    "IPv6": buildTcp({ ...SOURCE, version: 6 }),
    "IHL of 4": buildTcp({ ...SOURCE, ihl: 4 }),
    "IHL beyond the end": buildTcp({ ...SOURCE, ihl: 15 }),
    "IP checksum": buildTcp({ ...SOURCE, headerChecksum: 1 }),
    "TCP checksum": buildTcp({ ...SOURCE, checksum: 1 }),
    "data offset of 4": buildTcp({ ...SOURCE, dataOffset: 4 }),
    "data offset beyond the end": buildTcp({ ...SOURCE, dataOffset: 6 }),
    UDP: buildUdp({ ...SOURCE, payload: new Uint8Array(40) }),
    "first fragment": fragment(buildTcp({ ...SOURCE, payload: new Uint8Array(100) }), 68)[0]!,
    "later fragment": fragment(buildTcp({ ...SOURCE, payload: new Uint8Array(100) }), 68)[1]!,
  };
  for (const [name, packet] of Object.entries(wrong)) {
    assertEquals(check(packet), "fake_tcp_bad_segment", name);
  }
});

Deno.test("checkSegment() refuses of IPv6 what is no segment, and no source", () => {
  const whole = () => segment6({ payload: PAYLOAD });
  assertEquals(check(whole()), "none");
  const changed = (at: number, value: number) => whole().with(at, value);
  const wrong: Record<string, Uint8Array<ArrayBuffer>> = {
    short: whole().slice(0, 59),
    "cut off": whole().slice(0, -1),
    "an extension header": changed(6, 60),
    "a fragment": changed(6, 44),
    "TCP checksum": changed(60, 1),
    "data offset of 4": changed(52, 0x40),
    "data offset beyond the end": changed(52, 0xf0),
  };
  for (const [name, packet] of Object.entries(wrong)) {
    assertEquals(check(packet), "fake_tcp_bad_segment", name);
  }
  for (const source of ["ff02::1", "::", "::c000:201", "::ffff:c000:201", "fe80::2", "febf::2"]) {
    assertEquals(check(segment6({ source, payload: PAYLOAD })), "bad_source", source);
  }
  for (const source of ["::1", "fec0::2", "fd00::2", "0:0:0:1::"]) {
    assertEquals(check(segment6({ source, payload: PAYLOAD })), "none", source);
  }
});

Deno.test("checkSegment() does not verify a checksum that is known to be right, or not complete", () => {
  assertEquals(check(buildTcp({ ...SOURCE, checksum: 1 }), true), "none");
});

Deno.test("checkSegment() and readSynOptions() take any bytes without fail", () => {
  const random = new Random(11);
  const good = buildTcp({ ...SOURCE, flags: 2, tcpOptions: [2, 4, 5, 180, 1, 3, 3, 14] });
  for (let i = 0; i < 20_000; i++) {
    const packet = random.mutate(good, 8);
    const view = new DataView(packet.buffer);
    if (checkSegment(view, 0, packet.length, true) !== DropReason.none) continue;
    const { windowShift } = readSynOptions(view, (packet[0]! & 15) * 4);
    if (windowShift !== null && windowShift > 14) throw new Error(`a shift of ${windowShift}`);
  }
});
