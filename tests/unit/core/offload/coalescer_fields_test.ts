/**
 * Tests of `lib/core/offload/coalescer.ts`: which field of a packet, different from the one before it, keeps the two
 * apart.
 */
import { assertEquals } from "../../../support/assert.ts";
import { buildTcp, type TcpFields } from "../../../support/packets/packet_builder.ts";
import * as reference from "../../../support/offload/reference.ts";
import {
  coalesce,
  grouped,
  splitAgain,
  train,
  trainWith,
} from "../../../support/offload/trains.ts";

const { FIN, PSH, ACK, CWR } = reference;
const SYN = 0x02;
const RST = 0x04;
const URG = 0x20;
const ECE = 0x40;

/** The change of one packet that the kernel would not merge with those before it, by what differs. */
const DIFFERENT: Readonly<Record<string, TcpFields>> = {
  "acknowledgment number": { acknowledgmentNumber: 1 },
  "window": { window: 1 },
  "urgent pointer": { urgentPointer: 1 },
  "header length": { tcpOptions: [1, 1, 1, 1] },
  "time to live": { timeToLive: 63 },
  "type of service": { typeOfService: 1 },
  "DF bit": { dontFragment: true },
  "reserved IP flag": { fragmentOffset: 0x8000 },
  "sequence number, one too far": { sequenceNumber: 1201 },
  "sequence number, one too near": { sequenceNumber: 1199 },
  "IP id, one skipped": { identification: 10 },
  "IP id, one again": { identification: 8 },
};

for (const [what, change] of Object.entries(DIFFERENT)) {
  Deno.test(`group() begins a new group when a packet has another ${what}`, () => {
    assertEquals(grouped(trainWith(change)), [[0, 1], [2], [3]]);
  });
}

Deno.test("group() leaves packets alone when all have the reserved IP flag", () => {
  assertEquals(grouped(train({ fields: { fragmentOffset: 0x8000 } })), [[0], [1], [2], [3]]);
});

Deno.test("group() begins a new group when a packet has other TCP options of the same length", () => {
  const options = { fields: { tcpOptions: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2] } };
  assertEquals(grouped(train(options)), [[0, 1, 2, 3]]);
  const change = { tcpOptions: [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 3] };
  assertEquals(grouped(trainWith(change, options)), [[0, 1], [2], [3]]);
});

Deno.test("group() begins a new group when a packet has other reserved bits beside its header length", () => {
  const packets = train();
  packets[2]![32]! |= 1;
  packets[2] = reference.withRightChecksums(packets[2]!);
  assertEquals(grouped(packets), [[0, 1], [2], [3]]);
});

for (const [name, flag] of Object.entries({ FIN, SYN, RST, URG, ECE, CWR })) {
  Deno.test(`group() leaves a packet alone when it has ${name}`, () => {
    assertEquals(grouped(trainWith({ flags: ACK | flag })), [[0, 1], [2], [3]]);
    assertEquals(grouped(train({ fields: { flags: ACK | flag } })), [[0], [1], [2], [3]]);
  });
}

Deno.test("group() leaves a packet alone when it has no ACK", () => {
  assertEquals(grouped(trainWith({ flags: 0 })), [[0, 1], [2], [3]]);
});

Deno.test("group() ends a group with a packet when it has PSH, and the super-packet has PSH then", () => {
  const packets = trainWith({ flags: ACK | PSH });
  assertEquals(grouped(packets), [[0, 1, 2], [3]]);
  const [merged] = coalesce(packets);
  assertEquals(merged!.packet[33], ACK | PSH);
  assertEquals(splitAgain(merged!), packets.slice(0, 3));
});

Deno.test("group() leaves the first packet alone when it has PSH", () => {
  const packets = train({ change: (index) => index === 0 ? { flags: ACK | PSH } : {} });
  assertEquals(grouped(packets), [[0], [1, 2, 3]]);
});

Deno.test("group() ends a group with a packet when it is shorter", () => {
  const shorter = trainWith({ payload: new Uint8Array(99) });
  assertEquals(grouped(shorter), [[0, 1, 2], [3]]);
  // Not even its true continuation may follow.
  const { length } = shorter;
  const next = buildTcp({ sequenceNumber: 1299, identification: 10, payload: new Uint8Array(99) });
  assertEquals(grouped([...shorter.slice(0, length - 1), next]), [[0, 1, 2], [3]]);
});

Deno.test("group() begins a new group when a packet is longer", () => {
  assertEquals(grouped(trainWith({ payload: new Uint8Array(101) })), [[0, 1], [2], [3]]);
});

Deno.test("group() leaves a packet alone when it has no payload", () => {
  const packets = trainWith({ payload: new Uint8Array(0) });
  assertEquals(grouped(packets), [[0, 1], [2], [3]]);
  assertEquals(grouped(train({ size: 0 })), [[0], [1], [2], [3]]);
});

Deno.test("group() merges packets when all have one IP id and DF, which it never has to count", () => {
  const fixed = train({ fields: { dontFragment: true }, change: () => ({ identification: 0 }) });
  assertEquals(grouped(fixed), [[0, 1, 2, 3]]);
  const fragmentable = train({ change: () => ({ identification: 0 }) });
  assertEquals(grouped(fragmentable), [[0], [1], [2], [3]]);
});

Deno.test("group() begins a new group when a fixed IP id begins to count, or a counting one stands still", () => {
  const withIds = (...ids: number[]) =>
    train({
      fields: { dontFragment: true },
      change: (index) => ({ identification: ids[index]! }),
    });
  assertEquals(grouped(withIds(5, 5, 7, 7)), [[0, 1], [2, 3]]);
  assertEquals(grouped(withIds(5, 6, 5, 5)), [[0, 1], [2, 3]]);
});

Deno.test("group() leaves packets alone when they have IP options", () => {
  assertEquals(grouped(train({ fields: { options: [1, 1, 1, 1] } })), [[0], [1], [2], [3]]);
});
