/** Tests of `ffi/sockets/control_messages.ts`: bytes as the kernel of a 64-bit machine lays them out. */
import {
  CONTROL_SIZE,
  readControl,
  writeEcn,
  writeEcn6,
  writeSegmentSize,
  writeSource,
  writeSource6,
} from "../../../../ffi/sockets/control_messages.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { fromHex } from "../../../support/noise/vectors.ts";

/** `struct in_pktinfo`: interface 3, local address 192.0.2.1, header address 192.0.2.255. */
const PACKET_INFO = "1c000000 00000000 00000000 08000000 03000000 c0000201 c00002ff 00000000";
/** IP_TOS on receive is one byte: DSCP 46 and ECN 3. */
const TYPE_OF_SERVICE = "11000000 00000000 00000000 01000000 bb000000 00000000";
/** UDP_GRO: 1,452 bytes. */
const SEGMENT_SIZE = "14000000 00000000 11000000 68000000 ac050000 00000000";
/** SOL_SOCKET, SO_TIMESTAMP: nothing that was asked for. */
const OTHER = "20000000 00000000 01000000 1d000000 00000000 00000000 00000000 00000000";

/** What is decoded of the messages: segment size, source address, ECN. Every place held something else before. */
function decoded(messages: string, end?: number): [number, number, number] {
  const bytes = fromHex(messages.replaceAll(" ", ""));
  const into = {
    receivedSegmentSizes: new Int32Array(3).fill(7),
    receivedSources: new Int32Array(3).fill(7),
    receivedSources6: new Int32Array(3).fill(7),
    receivedEcns: new Uint8Array(3).fill(7),
  };
  readControl(new DataView(bytes.buffer), 0, end ?? bytes.length, into, 1);
  for (const place of [0, 2]) {
    assertEquals(into.receivedSegmentSizes[place], 7);
    assertEquals(into.receivedSources[place], 7);
    assertEquals(into.receivedEcns[place], 7);
  }
  return [into.receivedSegmentSizes[1]!, into.receivedSources[1]! >>> 0, into.receivedEcns[1]!];
}

Deno.test("readControl() finds segment size, local address and ECN in any order", () => {
  const all = [PACKET_INFO, TYPE_OF_SERVICE, SEGMENT_SIZE];
  assertEquals(decoded(all.join(" ")), [1452, 0xc000_0201, 3]);
  assertEquals(decoded(all.reverse().join(" ")), [1452, 0xc000_0201, 3]);
});

Deno.test("readControl() gives 0 for what is not there, and skips what was not asked for", () => {
  assertEquals(decoded(""), [0, 0, 0]);
  assertEquals(decoded(`${OTHER} ${SEGMENT_SIZE}`), [1452, 0, 0]);
});

Deno.test("readControl() ends at a message that is shorter than its header, and at the end of the list", () => {
  const endless = "00000000 00000000 00000000 08000000 03000000 c0000201";
  assertEquals(decoded(`${endless} ${SEGMENT_SIZE}`), [0, 0, 0]);
  assertEquals(decoded(`${TYPE_OF_SERVICE} ${SEGMENT_SIZE}`, 24 + 15), [0, 0, 3]);
});

Deno.test("the writers lay out struct cmsghdr with its padding, whatever stood there before", () => {
  for (const before of [0x00, 0xff]) {
    const bytes = new Uint8Array(CONTROL_SIZE).fill(before);
    const view = new DataView(bytes.buffer);
    let at = writeSource(view, 0, 0xc000_0201);
    at += writeEcn(view, at, 2);
    at += writeSegmentSize(view, at, 1452);
    assert(at <= CONTROL_SIZE);
    const padding = before === 0 ? "00" : "ff";
    const expected = [
      "1c000000 00000000 00000000 08000000 00000000 c0000201 00000000 PPPPPPPP",
      "14000000 00000000 00000000 01000000 02000000 PPPPPPPP",
      "12000000 00000000 11000000 67000000 ac05PPPP PPPPPPPP",
    ].join("").replaceAll(" ", "").replaceAll("PP", padding);
    assertEquals(bytes.subarray(0, at), fromHex(expected));
  }
});

Deno.test("the writers of IPv6 do the same with its address and traffic class", () => {
  for (const before of [0x00, 0xff]) {
    const bytes = new Uint8Array(CONTROL_SIZE).fill(before);
    const view = new DataView(bytes.buffer);
    const address = new DataView(
      fromHex("00000000 20010db8000000000000000000000007".replace(" ", "")).buffer,
    );
    let at = writeSource6(view, 0, address, 4);
    at += writeEcn6(view, at, 2);
    const padding = before === 0 ? "00" : "ff";
    const expected = [
      "24000000 00000000 29000000 32000000 20010db8000000000000000000000007 00000000 PPPPPPPP",
      "14000000 00000000 29000000 43000000 02000000 PPPPPPPP",
    ].join("").replaceAll(" ", "").replaceAll("PP", padding);
    assertEquals(bytes.subarray(0, at), fromHex(expected));
  }
});

Deno.test("readControl() tells where an IPv6 address stands, and the ECN bits of a traffic class", () => {
  const packetInfo =
    "24000000 00000000 29000000 32000000 20010db8000000000000000000000007 03000000 00000000";
  const trafficClass = "14000000 00000000 29000000 43000000 bb000000 00000000";
  const bytes = fromHex(`${trafficClass}${packetInfo}`.replaceAll(" ", ""));
  const into = {
    receivedSegmentSizes: new Int32Array(1),
    receivedSources: new Int32Array(1),
    receivedSources6: new Int32Array(1),
    receivedEcns: new Uint8Array(1),
  };
  readControl(new DataView(bytes.buffer), 0, bytes.length, into, 0);
  assertEquals([into.receivedSources6[0], into.receivedEcns[0], into.receivedSources[0]], [
    40,
    3,
    0,
  ]);
  readControl(new DataView(bytes.buffer), 0, 24, into, 0);
  assertEquals(into.receivedSources6[0], -1);
});
