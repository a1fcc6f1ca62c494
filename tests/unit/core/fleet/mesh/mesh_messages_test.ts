/** Tests of lib/core/fleet/mesh/mesh_messages.ts. */
import {
  meshBodySize,
  meshKind,
  writeFrame,
} from "../../../../../lib/core/fleet/mesh/mesh_messages.ts";
import { assertEquals } from "../../../../support/assert.ts";

Deno.test("a frame is a byte of 1, the kind, and the length of the body, which padding may follow", () => {
  const bytes = new Uint8Array(32);
  const view = new DataView(bytes.buffer);
  writeFrame(view, 3, 18, 20);
  assertEquals(bytes.slice(3, 7), Uint8Array.of(1, 18, 0, 20));
  assertEquals([meshKind(view, 3, 24), meshBodySize(view, 3)], [18, 20]);
  assertEquals(meshKind(view, 3, 29), 18);
});

Deno.test("meshKind() is 0 for what is cut short, for a packet, and for a control message", () => {
  const view = new DataView(new ArrayBuffer(32));
  writeFrame(view, 0, 16, 20);
  assertEquals([0, 3, 4, 23].map((length) => meshKind(view, 0, length)), [0, 0, 0, 0]);
  for (const first of [0x45, 0x60, 0]) {
    view.setUint8(0, first);
    assertEquals(meshKind(view, 0, 24), 0);
  }
});
