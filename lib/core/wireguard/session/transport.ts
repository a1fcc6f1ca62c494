/**
 * Owns transport messages: what arrives is opened where it lies, what leaves is sealed where it is sent from. What follows from
 * either, for the peer and its timers, is the device's.
 */
import { type DropCounters, DropReason } from "../../wire/drop_reason.ts";
import type { Memory } from "../../wire/memory.ts";
import {
  MESSAGE_TRANSPORT,
  MESSAGE_TYPE_OFFSET,
  TRANSPORT_COUNTER_OFFSET,
  TRANSPORT_MIN_SIZE,
  TRANSPORT_OVERHEAD,
  TRANSPORT_PACKET_OFFSET,
  TRANSPORT_RECEIVER_OFFSET,
} from "../../wire/messages.ts";
import type { Endpoint } from "../../transport/endpoint.ts";
import type { IndexTable } from "../handshake/index_table.ts";
import type { Keypair } from "./keypair.ts";
import type { SendQueue } from "../../transport/send_queue.ts";

/** Packets that the cipher reads or writes begin on a multiple of this, so that nothing is allocated for a pointer. */
const POINTER_ALIGN = 4;

export interface TransportOptions {
  readonly memory: Memory;
  readonly sendQueue: SendQueue;
  readonly drops: DropCounters;
  readonly indices: IndexTable;
}

export class Transport {
  /** Of the last message that `open()` took: its session, where its packet begins, and the high half of its counter. */
  keypair: Keypair | null = null;
  counterHigh = 0;
  packet = 0;
  readonly #memory: Memory;
  readonly #sendQueue: SendQueue;
  readonly #drops: DropCounters;
  readonly #indices: IndexTable;

  constructor({ memory, sendQueue, drops, indices }: TransportOptions) {
    this.#memory = memory;
    this.#sendQueue = sendQueue;
    this.#drops = drops;
    this.#indices = indices;
  }

  /**
   * Opens a message. Up to three bytes before it may be overwritten.
   *
   * @param length bytes of the message
   * @returns bytes of the packet at `packet`, padding included, of session `keypair`; -1 for a message that was dropped
   */
  open(offset: number, length: number, now: number): number {
    if (length < TRANSPORT_MIN_SIZE) return this.#refuse(DropReason.badMessageLength, length);
    const view = this.#memory.view;
    const keypair = this.#indices.keypair(view.getInt32(offset + TRANSPORT_RECEIVER_OFFSET, true));
    if (keypair === null) return this.#refuse(DropReason.unknownIndex, length);
    if (!keypair.canReceive(now)) return this.#refuse(DropReason.expiredKey, length);
    const low = view.getUint32(offset + TRANSPORT_COUNTER_OFFSET, true);
    const high = view.getUint32(offset + TRANSPORT_COUNTER_OFFSET + 4, true);
    if (!keypair.replay.check(low, high)) return this.#refuse(DropReason.replayed, length);
    const packet = this.#align(offset + TRANSPORT_PACKET_OFFSET, length - TRANSPORT_PACKET_OFFSET);
    const packetLength = length - TRANSPORT_OVERHEAD;
    if (!keypair.receiving.open(packet, packet, packetLength, low, high)) {
      return this.#refuse(DropReason.badTag, length);
    }
    // Only now is the counter known to be the peer's own: a forged one must not move the window.
    keypair.replay.commit(low, high);
    keypair.peer.receivedBytes += length;
    this.keypair = keypair;
    this.packet = packet;
    this.counterHigh = high;
    return packetLength;
  }

  /**
   * Moves a sealed packet down to a multiple of 4, where the cipher finds a pointer without making one. Datagrams that the
   * kernel merged stand at any offset when their size is odd; what is overwritten is the message's own header, or a
   * tag before it that has been checked.
   */
  #align(packet: number, length: number): number {
    const aligned = packet & ~(POINTER_ALIGN - 1);
    if (aligned !== packet) this.#memory.bytes.copyWithin(aligned, packet, packet + length);
    return aligned;
  }

  #refuse(reason: DropReason, length: number): number {
    this.#drops.add(reason, length);
    return -1;
  }

  /**
   * Seals a packet into the next slot of the send queue.
   *
   * @param source offset of the packet, padding included
   * @returns false when that cannot be, which is counted
   */
  seal(keypair: Keypair, source: number, length: number, to: Endpoint): boolean {
    const slot = this.#sendQueue.reserve();
    if (slot < 0) {
      this.#drops.add(DropReason.sendQueueFull, length);
      return false;
    }
    const { counterLow, counterHigh } = keypair;
    keypair.advance();
    const view = this.#memory.view;
    view.setUint32(slot + MESSAGE_TYPE_OFFSET, MESSAGE_TRANSPORT, true);
    view.setUint32(slot + TRANSPORT_RECEIVER_OFFSET, keypair.remoteIndex, true);
    view.setUint32(slot + TRANSPORT_COUNTER_OFFSET, counterLow, true);
    view.setUint32(slot + TRANSPORT_COUNTER_OFFSET + 4, counterHigh, true);
    const packet = slot + TRANSPORT_PACKET_OFFSET;
    let from = source;
    if ((source & (POINTER_ALIGN - 1)) !== 0) {
      this.#memory.bytes.copyWithin(packet, source, source + length);
      from = packet;
    }
    if (!keypair.sending.seal(packet, from, length, counterLow, counterHigh)) {
      this.#drops.add(DropReason.sealError, length);
      return false;
    }
    const messageLength = length + TRANSPORT_OVERHEAD;
    // As int32, which are no objects on the heap where an address of 128.0.0.0 and above would be.
    this.#sendQueue.commit(messageLength, to.address | 0, to.port, to.source | 0, to.carrier);
    keypair.peer.sentBytes += messageLength;
    return true;
  }

  /**
   * Puts what only looks like a message into the next slot of the send queue: zeros in place of what is sealed. WireGuard drops it,
   * as nobody can have made it; routers on the path do not see that.
   *
   * @param length bytes of the packet that it would hold
   * @returns false where the queue is full
   */
  putBlind(remoteIndex: number, length: number, to: Endpoint): boolean {
    const slot = this.#sendQueue.reserve();
    if (slot < 0) return false;
    const messageLength = length + TRANSPORT_OVERHEAD;
    const { bytes, view } = this.#memory;
    bytes.fill(0, slot, slot + messageLength);
    view.setUint32(slot + MESSAGE_TYPE_OFFSET, MESSAGE_TRANSPORT, true);
    view.setUint32(slot + TRANSPORT_RECEIVER_OFFSET, remoteIndex, true);
    this.#sendQueue.commit(messageLength, to.address | 0, to.port, to.source | 0, to.carrier);
    return true;
  }
}
