/**
 * Tests with random and mutated bytes for every parser by itself. What is parsed ends where its memory ends, so that a
 * read beyond it throws. `fuzz_test.ts` does the same for the core as a whole.
 */
import { createBuiltinAead } from "../../../lib/core/noise/aead_builtin.ts";
import { CookieChecker, CookieGenerator } from "../../../lib/core/noise/cookie.ts";
import { Initiator, Responder } from "../../../lib/core/noise/handshake.ts";
import type { KeyPair } from "../../../lib/core/noise/key_pair.ts";
import { keyPair } from "../../../lib/core/noise/x25519.ts";
import { Coalescer } from "../../../lib/core/offload/coalescer.ts";
import {
  completeChecksum,
  Splitter,
  SPLITTER_SCRATCH_SIZE,
} from "../../../lib/core/offload/splitter.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import * as icmp from "../../../lib/core/wire/icmp.ts";
import * as ipv4 from "../../../lib/core/wire/ipv4.ts";
import { formatCidr, formatIpv4, parseCidr, parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { createMemory, type Memory } from "../../../lib/core/wire/memory.ts";
import { PacketQueue } from "../../../lib/core/wire/packet_queue.ts";
import * as tcp from "../../../lib/core/wire/tcp.ts";
import * as udp from "../../../lib/core/wire/udp.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { fuzz } from "../../support/fuzz.ts";
import {
  buildIcmp,
  buildIpv4,
  buildTcp,
  buildUdp,
  type Bytes,
  repairHeaderChecksum,
} from "../../support/packets/packet_builder.ts";
import { Random } from "../../support/random.ts";

/** Bytes behind a packet that the splitter asks for. */
const PADDING = 15;

const PACKETS: readonly Bytes[] = [
  buildIpv4({ options: [7, 4, 1, 2], payload: new Uint8Array(8) }),
  buildTcp({ payload: new Uint8Array(40), tcpOptions: [1, 1, 1, 1] }),
  buildTcp({ fragmentOffset: 1, payload: new Uint8Array(8) }),
  buildUdp({ payload: new Uint8Array(9) }),
  buildUdp({ moreFragments: true, payload: new Uint8Array(16) }),
  buildIcmp({ payload: new Uint8Array(20) }),
];

/** A packet that is random, or a real one with changes and, mostly, a right header checksum. */
function hostilePacket(random: Random): Bytes {
  if (random.chance(0.2)) return random.bytes(random.below(120));
  const packet = random.mutate(random.pick(PACKETS));
  if (random.chance(0.8)) repairHeaderChecksum(packet);
  return packet;
}

/** A packet at the very end of a memory, but for `behind` bytes. */
function atTheEnd(packet: Bytes, before: number, behind = 0): Memory {
  const memory = createMemory(before + packet.length + behind);
  memory.bytes.set(packet, before);
  return memory;
}

Deno.test("checkIpv4() reads within the packet, and so do all accessors where it finds no fault", () => {
  let good = 0;
  fuzz((random) => {
    const packet = hostilePacket(random);
    const before = random.below(8);
    const memory = atTheEnd(packet, before);
    const copy = memory.bytes.slice();
    const reason = ipv4.checkIpv4(memory, before, packet.length);
    assertSame(memory.bytes, copy);
    if (reason !== DropReason.none) return;
    good++;
    const { view } = memory;
    const header = ipv4.headerSize(view, before);
    const total = ipv4.totalLength(view, before);
    assert(header >= 20 && header <= total && total <= packet.length, `${header} ${total}`);
    if (ipv4.fragmentOffset(view, before) !== 0) return;
    const [at, left] = [before + header, total - header];
    const protocol = ipv4.protocol(view, before);
    if (protocol === ipv4.PROTOCOL_TCP) assert(tcp.headerSize(view, at) <= left);
    if (protocol === ipv4.PROTOCOL_UDP) assert(udp.checksum(view, at) >= 0 && left >= 8);
    if (protocol === ipv4.PROTOCOL_ICMP) assert(icmp.sequenceNumber(view, at) >= 0);
  });
  assert(good > 0, "no packet was good");
});

Deno.test("completeChecksum() and the splitter stay within a super-packet and what is theirs behind it", () => {
  let [split, parts] = [0, 0];
  fuzz((random) => {
    const packet = hostilePacket(random);
    const header = random.chance(0.5)
      ? random.bytes(10)
      : Uint8Array.of(1, random.pick([1, 5, 0x81]), 40, 0, random.between(1, 60), 0, 20, 0, 16, 0);
    const start = SPLITTER_SCRATCH_SIZE + 10;
    const memory = atTheEnd(packet, start, PADDING + 1);
    memory.bytes.set(header, SPLITTER_SCRATCH_SIZE);
    const { view } = memory;
    completeChecksum(view, SPLITTER_SCRATCH_SIZE, start, packet.length);
    if (ipv4.checkIpv4(memory, start, packet.length) !== DropReason.none) return;
    if (!Splitter.isSuperPacket(view, SPLITTER_SCRATCH_SIZE)) return;
    const splitter = new Splitter(memory, 0);
    const total = ipv4.totalLength(view, start);
    if (splitter.begin(SPLITTER_SCRATCH_SIZE, start, total) !== DropReason.none) return;
    split++;
    while (splitter.next()) {
      parts++;
      const { offset, length } = splitter;
      assert(offset >= start && offset + length <= start + total, `${offset} ${length}`);
      assertEquals(ipv4.totalLength(view, offset), length);
      assertEquals(ipv4.checkIpv4(memory, offset, length), DropReason.none);
    }
  });
  assert(split > 0 && parts > split, `${split} super-packets, ${parts} parts`);
});

Deno.test("the coalescer puts each packet that checkIpv4() passed into one group", () => {
  const memory = createMemory(4096);
  const queue = new PacketQueue(16);
  const coalescer = new Coalescer(memory, queue.capacity);
  fuzz((random) => {
    queue.clear();
    let at = 64;
    for (let i = random.below(queue.capacity); i > 0; i--) {
      const packet = hostilePacket(random);
      memory.bytes.set(packet, at);
      if (ipv4.checkIpv4(memory, at, packet.length) !== DropReason.none) continue;
      queue.push(at, ipv4.totalLength(memory.view, at));
      at += packet.length;
    }
    coalescer.group(queue, true);
    let packets = 0;
    for (let group = 0; group < coalescer.count; group++) {
      if (coalescer.isMerged(group)) coalescer.prepare(group, 0);
      for (let i = coalescer.firstPacket(group); i >= 0; i = coalescer.nextPacket(i)) packets++;
    }
    assertEquals(packets, queue.length);
  });
});

Deno.test("the handshake takes no message that is not its own, of whatever length", () => {
  const aead = createBuiltinAead(createMemory(0));
  const random = new Random(1);
  const [initiatorKey, responderKey] = [keyPair(random.bytes(32)), keyPair(random.bytes(32))];
  const prologue = new Uint8Array(8);
  const presharedKey = new Uint8Array(32);
  const start = (ephemeral: KeyPair) =>
    new Initiator({
      aead,
      prologue,
      localStatic: initiatorKey,
      remoteStatic: responderKey.public,
      ephemeral,
    });
  const respond = () => new Responder({ aead, prologue, localStatic: responderKey });
  const message1 = start(keyPair(random.bytes(32))).writeMessage1(new Uint8Array(12))!;
  const pending = start(keyPair(random.bytes(32)));
  const answering = respond();
  answering.readStatic(pending.writeMessage1(new Uint8Array(12))!);
  answering.readPayload();
  const message2 = answering.writeMessage2({
    ephemeral: keyPair(random.bytes(32)),
    presharedKey,
    payload: new Uint8Array(0),
  })!;
  fuzz((random, number) => {
    // A Diffie-Hellman costs 50 us, so only every eighth message is looked into this deep.
    if (number % 8 !== 0) return;
    const changed1 = random.mutate(message1 as Bytes);
    if (changed1.toHex() !== message1.toHex()) {
      const responder = respond();
      assert(responder.readStatic(changed1) === null || responder.readPayload() === null);
    }
    const changed2 = random.mutate(message2 as Bytes);
    if (changed2.toHex() === message2.toHex()) return;
    assertEquals(pending.readMessage2(changed2, presharedKey), null);
  });
  assert(pending.readMessage2(message2, presharedKey) !== null, "the true answer is refused");
});

Deno.test("the cookie checker and the cookie generator take nothing that is not theirs", () => {
  const random = new Random(1);
  const { public: publicKey } = keyPair(random.bytes(32));
  const checker = new CookieChecker(publicKey, createBuiltinAead(createMemory(64)));
  const generator = new CookieGenerator(publicKey);
  const message = random.bytes(148);
  const source = new DataView(random.bytes(6).buffer);
  generator.addMacs(message, 0);
  const reply = checker.createReply(message, {
    source,
    receiverIndex: 1,
    now: 0,
    random: (length) => random.bytes(length),
  });
  fuzz((random) => {
    const changed = random.mutate(message);
    if (changed.length === 148 && changed.toHex() !== message.toHex()) {
      const view = new DataView(changed.buffer, changed.byteOffset, changed.length);
      // The second MAC is not among what the first covers.
      const isCovered = changed.subarray(0, 132).toHex() !== message.subarray(0, 132).toHex();
      assertEquals(checker.checkMac1(view, 0, 148), !isCovered);
      assertEquals(checker.checkMac2(view, 0, 148, source, 0), false);
    }
    const changedReply = random.mutate(reply as Bytes);
    // Type and index are for the device to compare; the rest is sealed.
    if (changedReply.subarray(8).toHex() === reply.subarray(8).toHex()) return;
    assertEquals(generator.consumeReply(changedReply, 0), false);
  });
  assertEquals(generator.consumeReply(reply, 0), true);
});

Deno.test("addresses in text are read as they are written, or not at all", () => {
  fuzz((random) => {
    const length = random.below(20);
    const text = Array.from({ length }, () => random.pick([..."0123456789.../ -xe"])).join("");
    const address = parseIpv4(text);
    if (address !== null) assertEquals(formatIpv4(address), text);
    const prefix = parseCidr(text);
    if (prefix !== null) assert(formatCidr(prefix).startsWith(text.split("/")[0]!));
  });
});

function assertSame(bytes: Uint8Array, expected: Uint8Array): void {
  for (let i = 0; i < bytes.length; i++) assert(bytes[i] === expected[i], `byte ${i} has changed`);
}
