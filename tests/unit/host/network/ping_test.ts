/** Shows which packets answer a ping, on packets of the kernel's and on damaged ones. */
import { echoRequest, isReply } from "../../../../lib/host/network/ping.ts";
import { assertEquals } from "../../../support/assert.ts";
import { hex } from "../../../support/packets/packet_builder.ts";

const REQUEST = { identifier: 0x1234, sequenceNumber: 1, payload: Uint8Array.of(0xaa, 0xbb, 0xcc) };

/** Type 0, checksum by hand: ~(1234 + 0001 + aabb + cc00) folded = 770e. */
const REPLY = hex(`
  4500 001f 0000 4000 4001 269c 7f00 0001 7f00 0001
  0000 770e 1234 0001 aabb cc`);

Deno.test("echoRequest() makes type 8 with its checksum", () => {
  assertEquals(echoRequest(REQUEST), hex("0800 6f0e 1234 0001 aabb cc"));
});

Deno.test("isReply() is true for the answer, also behind IP options", () => {
  const request = echoRequest(REQUEST);
  assertEquals(isReply(REPLY, request), true);
  const withOptions = Uint8Array.of(
    0x46,
    ...REPLY.subarray(1, 20),
    1,
    1,
    1,
    1,
    ...REPLY.subarray(20),
  );
  assertEquals(isReply(withOptions, request), true);
});

Deno.test("isReply() is false for the request, for damaged packets and for answers to others", () => {
  const request = echoRequest(REQUEST);
  assertEquals(isReply(Uint8Array.of(...REPLY.subarray(0, 20), ...request), request), false);
  for (let length = 0; length < REPLY.length; length++) {
    assertEquals(isReply(REPLY.subarray(0, length), request), false, `cut to ${length} bytes`);
  }
  for (let at = 20; at < REPLY.length; at++) {
    assertEquals(isReply(REPLY.with(at, REPLY[at]! ^ 1), request), false, `byte ${at} changed`);
  }
  for (const change of [{ identifier: 0x1235 }, { sequenceNumber: 2 }]) {
    assertEquals(isReply(REPLY, echoRequest({ ...REQUEST, ...change })), false);
  }
});
