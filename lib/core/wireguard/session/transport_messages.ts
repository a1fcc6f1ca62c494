/**
 * Transport messages: what arrives is opened where it lies, what leaves is sealed where it is sent from. A keypair and
 * the memory is all that this takes: what follows from either, for the peer and its timers, is for `MessageReceiver`
 * and `MessageSender`.
 */
import { DropReason } from "../../wire/drop_reason.ts";
import { ecnOf } from "../../wire/ecn.ts";
import type { Memory } from "../../wire/memory.ts";
import {
  MESSAGE_TRANSPORT,
  MESSAGE_TYPE_OFFSET,
  TRANSPORT_COUNTER_OFFSET,
  TRANSPORT_OVERHEAD,
  TRANSPORT_PACKET_OFFSET,
  TRANSPORT_RECEIVER_OFFSET,
} from "../../wire/messages.ts";
import { POINTER_ALIGN, receivedOffset } from "../received.ts";
import type { Keypair } from "./keypair.ts";
import type { SendQueue } from "../../transport/send_queue.ts";

export interface TransportMessagesOptions {
  readonly memory: Memory;
  readonly sendQueue: SendQueue;
}

export class TransportMessages {
  readonly #memory: Memory;
  readonly #sendQueue: SendQueue;

  constructor({ memory, sendQueue }: TransportMessagesOptions) {
    this.#memory = memory;
    this.#sendQueue = sendQueue;
  }

  /**
   * Opens a message of a session that may still receive, at least `TRANSPORT_MIN_SIZE` bytes long. Its packet begins
   * at `receivedOffset(offset)` then: up to three bytes before the message may be overwritten.
   *
   * @param length bytes of the message
   * @returns bytes of the packet, padding included, or minus the drop reason, which the caller counts
   */
  open(keypair: Keypair, offset: number, length: number): number {
    const view = this.#memory.view;
    const low = view.getUint32(offset + TRANSPORT_COUNTER_OFFSET, true);
    const high = view.getUint32(offset + TRANSPORT_COUNTER_OFFSET + 4, true);
    if (!keypair.replay.check(low, high)) return -DropReason.replayed;
    const packet = receivedOffset(offset);
    // Datagrams that the kernel merged stand at any offset when their size is odd. What is overwritten is the message's
    // own header, or a tag before it that has been checked.
    const sealed = offset + TRANSPORT_PACKET_OFFSET;
    if (packet !== sealed) this.#memory.bytes.copyWithin(packet, sealed, offset + length);
    const packetLength = length - TRANSPORT_OVERHEAD;
    if (!keypair.receiving.open(packet, packet, packetLength, low, high)) return -DropReason.badTag;
    // Only now is the counter known to be the peer's own: a forged one must not move the window.
    keypair.replay.commit(low, high);
    return packetLength;
  }

  /**
   * Seals a packet into the next slot of the send queue.
   *
   * @param source offset of the packet, padding included
   * @returns bytes of the message, or minus the drop reason, which the caller counts
   */
  seal(keypair: Keypair, source: number, length: number, path: number): number {
    const slot = this.#sendQueue.reserve();
    if (slot < 0) return -DropReason.sendQueueFull;
    if (!keypair.hasCounter()) return -DropReason.expiredKey;
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
      return -DropReason.sealError;
    }
    const messageLength = length + TRANSPORT_OVERHEAD;
    this.#sendQueue.commit(messageLength, path);
    return messageLength;
  }

  /**
   * The same with a packet of `length` bytes, which is padded with zeros to `padded`, and whose ECN bits the datagram
   * has.
   */
  sealPacket(
    keypair: Keypair,
    offset: number,
    length: number,
    padded: number,
    path: number,
  ): number {
    const { bytes, view } = this.#memory;
    for (let i = offset + length; i < offset + padded; i++) bytes[i] = 0;
    const ecn = ecnOf(view, offset);
    const sealed = this.seal(keypair, offset, padded, path);
    if (sealed >= 0) this.#sendQueue.setEcn(ecn);
    return sealed;
  }

  /**
   * Puts what only looks like a message into the next slot of the send queue: zeros in place of what is sealed.
   * WireGuard drops it, as nobody can have made it; routers on the path do not see that.
   *
   * @param length bytes of the packet that it would hold
   * @returns false where the queue is full
   */
  putBlind(remoteIndex: number, length: number, path: number): boolean {
    const slot = this.#sendQueue.reserve();
    if (slot < 0) return false;
    const messageLength = length + TRANSPORT_OVERHEAD;
    const { bytes, view } = this.#memory;
    bytes.fill(0, slot, slot + messageLength);
    view.setUint32(slot + MESSAGE_TYPE_OFFSET, MESSAGE_TRANSPORT, true);
    view.setUint32(slot + TRANSPORT_RECEIVER_OFFSET, remoteIndex, true);
    this.#sendQueue.commit(messageLength, path);
    return true;
  }
}
