/** Tests of ARP: which requests are known, and the frames that answer them. */
import * as arp from "../../../../lib/core/wire/arp.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import { arpFilter, arpReplyFilter } from "../../../../lib/dataplane/filters/arp_filter.ts";
import { assertEquals } from "../../../support/assert.ts";
import { runBpf } from "../../../support/packets/bpf.ts";

const OWN = Uint8Array.of(2, 0, 0, 0, 0, 1);
/** Who has 192.0.2.80? 192.0.2.9 at 02:00:00:00:00:09 asks. */
const REQUEST = Uint8Array.of(
  ...[0, 1, 8, 0, 6, 4, 0, 1],
  ...[2, 0, 0, 0, 0, 9, 192, 0, 2, 9],
  ...[0, 0, 0, 0, 0, 0, 192, 0, 2, 80],
);
const FRAME_AT = 64;

function changed(at: number, value: number): Uint8Array<ArrayBuffer> {
  const bytes = REQUEST.slice();
  bytes[at] = value;
  return bytes;
}

Deno.test("isRequest() knows a whole request for an IPv4 address on Ethernet, and nothing else", () => {
  const is = (bytes: Uint8Array<ArrayBuffer>, length = bytes.length) =>
    arp.isRequest(new DataView(bytes.buffer), 0, length);
  assertEquals(is(REQUEST), true);
  assertEquals(is(REQUEST, 27), false);
  for (const at of [0, 1, 2, 3, 4, 5, 6]) assertEquals(is(changed(at, 9)), false, `${at}`);
  assertEquals(is(changed(7, 2)), false);
});

Deno.test("writeReply() tells who asked that the address is here", () => {
  const memory = createMemory(256);
  memory.bytes.set(REQUEST);
  arp.writeReply(memory, FRAME_AT, 0, OWN);
  assertEquals([...memory.bytes.subarray(FRAME_AT, FRAME_AT + arp.FRAME_SIZE)], [
    ...[2, 0, 0, 0, 0, 9, ...OWN, 8, 6],
    ...[0, 1, 8, 0, 6, 4, 0, 2],
    ...[...OWN, 192, 0, 2, 80],
    ...[2, 0, 0, 0, 0, 9, 192, 0, 2, 9],
  ]);
});

Deno.test("writeAnnouncement() tells all that the address is here (RFC 5227 section 2.3)", () => {
  const memory = createMemory(256);
  memory.bytes.fill(0xa5);
  arp.writeAnnouncement(memory, FRAME_AT, 0xc0000250 | 0, OWN);
  assertEquals([...memory.bytes.subarray(FRAME_AT, FRAME_AT + arp.FRAME_SIZE)], [
    ...[255, 255, 255, 255, 255, 255, ...OWN, 8, 6],
    ...[0, 1, 8, 0, 6, 4, 0, 1],
    ...[...OWN, 192, 0, 2, 80],
    ...[0, 0, 0, 0, 0, 0, 192, 0, 2, 80],
  ]);
});

Deno.test("arpFilter() lets requests for its addresses through", () => {
  const program = arpFilter([0xcb007150, 0xc0000250], 0);
  const accepts = (bytes: Uint8Array<ArrayBuffer>, etherType = arp.ETHER_TYPE) =>
    runBpf(program, bytes, { etherType }) !== 0;
  assertEquals(accepts(REQUEST), true);
  assertEquals(accepts(REQUEST, 0x0800), false);
  assertEquals(accepts(changed(7, 2)), false);
  assertEquals(accepts(changed(27, 81)), false);
});

Deno.test("writeProbe() asks who has the address, and tells nothing of this host's (RFC 5227 section 2.1.1)", () => {
  const memory = createMemory(256);
  memory.bytes.fill(0xa5);
  arp.writeProbe(memory, FRAME_AT, 0xc0000250 | 0, OWN);
  assertEquals([...memory.bytes.subarray(FRAME_AT, FRAME_AT + arp.FRAME_SIZE)], [
    ...[255, 255, 255, 255, 255, 255, ...OWN, 8, 6],
    ...[0, 1, 8, 0, 6, 4, 0, 1],
    ...[...OWN, 0, 0, 0, 0],
    ...[0, 0, 0, 0, 0, 0, 192, 0, 2, 80],
  ]);
});

Deno.test("replySender() and arpReplyFilter() know an answer by who has the address, and nothing else", () => {
  const reply = Uint8Array.of(
    ...[0, 1, 8, 0, 6, 4, 0, 2],
    ...[2, 0, 0, 0, 0, 7, 192, 0, 2, 80],
    ...[2, 0, 0, 0, 0, 1, 0, 0, 0, 0],
  );
  const memory = createMemory(256);
  memory.bytes.set(reply);
  assertEquals(arp.replySender(memory, 0, reply.length), Uint8Array.of(2, 0, 0, 0, 0, 7));
  assertEquals(arp.replySender(memory, 0, 27), null);
  memory.bytes.set(REQUEST);
  assertEquals(arp.replySender(memory, 0, REQUEST.length), null);
  const program = arpReplyFilter(0xc0000250, 0);
  const accepts = (bytes: Uint8Array<ArrayBuffer>) =>
    runBpf(program, bytes, { etherType: arp.ETHER_TYPE }) !== 0;
  assertEquals([accepts(reply), accepts(REQUEST)], [true, false]);
  reply[17] = 81;
  assertEquals(accepts(reply), false);
});
