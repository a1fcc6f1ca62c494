/** Tests of lib/core/wireguard/session/transport_messages.ts: keypairs open and seal without a device or a peer. */
import { createBuiltinAead } from "../../../../../lib/core/noise/aead_builtin.ts";
import { NO_PATH } from "../../../../../lib/core/transport/paths.ts";
import { SendQueue } from "../../../../../lib/core/transport/send_queue.ts";
import { DropReason } from "../../../../../lib/core/wire/drop_reason.ts";
import { createMemory } from "../../../../../lib/core/wire/memory.ts";
import { receivedOffset } from "../../../../../lib/core/wireguard/received.ts";
import { Keypair } from "../../../../../lib/core/wireguard/session/keypair.ts";
import { TransportMessages } from "../../../../../lib/core/wireguard/session/transport_messages.ts";
import { assertEquals } from "../../../../support/assert.ts";
import { Random } from "../../../../support/random.ts";

const PACKET = 4096;
const MESSAGE = 8192;

/** Both ends of a session over one memory; the messages of the first end leave by a queue of two. */
class Site {
  readonly memory = createMemory(16_384);
  readonly queue = new SendQueue({ offset: 0, slots: 2, slotSize: SendQueue.slotSize(512) });
  readonly messages = new TransportMessages({ memory: this.memory, sendQueue: this.queue });
  readonly near: Keypair;
  readonly far: Keypair;

  constructor() {
    const random = new Random(5);
    const aead = createBuiltinAead(this.memory);
    const [one, other] = [random.bytes(32), random.bytes(32)];
    const make = (sending: Uint8Array<ArrayBuffer>, receiving: Uint8Array<ArrayBuffer>) =>
      new Keypair({
        peerIndex: 1,
        sending: aead.key(sending),
        receiving: aead.key(receiving),
        isInitiator: true,
        localIndex: 0x0a0b_0c0d,
        remoteIndex: 0x0102_0304,
        createdAt: 0,
      });
    this.near = make(one, other);
    this.far = make(other, one);
  }

  /** Seals a packet of 32 bytes and puts the message where the other end receives it. */
  seal(at = MESSAGE): number {
    this.memory.bytes.fill(7, PACKET, PACKET + 32);
    const length = this.messages.seal(this.near, PACKET, 32, NO_PATH);
    if (length < 0) return length;
    const from = this.queue.offsets[this.queue.tail - 1]!;
    this.memory.bytes.copyWithin(at, from, from + length);
    this.queue.sentUpTo(this.queue.tail);
    return length;
  }

  open(length: number, at = MESSAGE): number {
    return this.messages.open(this.far, at, length);
  }
}

Deno.test("a message has the other end's index and the counter, and is 32 bytes longer than its packet", () => {
  const site = new Site();
  assertEquals([site.seal(), site.seal()], [64, 64]);
  const { view } = site.memory;
  assertEquals(
    [0, 4, 8, 12].map((offset) => view.getUint32(MESSAGE + offset, true)),
    [4, 0x0102_0304, 1, 0],
  );
});

Deno.test("open() returns the bytes of the packet, which stands at receivedOffset(), wherever the message begins", () => {
  const site = new Site();
  for (const at of [MESSAGE, MESSAGE + 1, MESSAGE + 2, MESSAGE + 3]) {
    const length = site.seal(at);
    assertEquals(site.open(length, at), 32);
    const packet = receivedOffset(at);
    assertEquals(site.memory.bytes.slice(packet, packet + 32), new Uint8Array(32).fill(7));
  }
});

Deno.test("what does not open returns minus its drop reason, and costs the true message nothing", () => {
  const site = new Site();
  const length = site.seal();
  const message = site.memory.bytes.slice(MESSAGE, MESSAGE + length);
  site.memory.bytes[MESSAGE + length - 1]! ^= 1;
  assertEquals(site.open(length), -DropReason.badTag);
  site.memory.bytes.set(message, MESSAGE);
  assertEquals(site.open(length), 32);
  site.memory.bytes.set(message, MESSAGE);
  assertEquals(site.open(length), -DropReason.replayed);
});

Deno.test("seal() returns minus its drop reason: a full queue spends no counter", () => {
  const site = new Site();
  while (site.queue.free > 0) site.queue.commit(0, NO_PATH);
  assertEquals(site.seal(), -DropReason.sendQueueFull);
  assertEquals(site.near.counterLow, 0);
  site.queue.sentUpTo(site.queue.tail);
  site.near.destroy();
  assertEquals(site.seal(), -DropReason.sealError);
});
