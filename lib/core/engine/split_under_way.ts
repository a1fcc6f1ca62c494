/** Split under way: a super-packet that leaves as packets, as many at a time as the send queue has room for. */
import type { Nat } from "../nat/nat.ts";
import { Splitter } from "../offload/splitter.ts";
import type { SendQueue } from "../transport/send_queue.ts";
import type { DropReason } from "../wire/drop_reason.ts";
import type { Memory } from "../wire/memory.ts";
import type { PacketPeer } from "../wireguard/packet_peer.ts";
import { type Divider, mostFragments } from "./divider.ts";
import type { Shaping } from "./shaping.ts";

export interface SplitUnderWayOptions {
  readonly memory: Memory;
  /** Offset of `SPLITTER_SCRATCH_SIZE` bytes. */
  readonly scratch: number;
  readonly shaping: Shaping;
  readonly divider: Divider;
  readonly sendQueue: SendQueue;
}

export class SplitUnderWay {
  readonly #splitter: Splitter;
  readonly #shaping: Shaping;
  readonly #divider: Divider;
  readonly #sendQueue: SendQueue;
  #peer: PacketPeer | null = null;

  constructor({ memory, scratch, shaping, divider, sendQueue }: SplitUnderWayOptions) {
    this.#splitter = new Splitter(memory, scratch);
    this.#shaping = shaping;
    this.#divider = divider;
    this.#sendQueue = sendQueue;
  }

  /** Whether packets are left. */
  get hasMore(): boolean {
    return this.#splitter.hasMore;
  }

  /** Bytes of each packet but the last, headers included. */
  get segmentLength(): number {
    return this.#splitter.segmentLength;
  }

  /** Begins a super-packet, see `Splitter.begin()`. */
  begin(header: number, packet: number, length: number): DropReason {
    return this.#splitter.begin(header, packet, length);
  }

  /** Gives up the packets that are left. */
  abandon(): void {
    this.#splitter.abandon();
  }

  /** Sends packets to `peer`; `resume()` sends the rest. */
  send(peer: PacketPeer, now: number): void {
    this.#peer = peer;
    this.resume(now);
  }

  /** Has the NAT send all packets outside. */
  sendBy(nat: Pick<Nat, "sendCopy">): void {
    const splitter = this.#splitter;
    while (splitter.next()) nat.sendCopy(splitter.offset, splitter.length);
  }

  /** Sends packets, as many as there is room for. */
  resume(now: number): void {
    const peer = this.#peer;
    if (peer === null) return;
    const splitter = this.#splitter;
    if (splitter.segmentLength > peer.mtu) {
      this.#resumeDivided(peer, now);
      return;
    }
    while (this.#sendQueue.free > 0 && splitter.next()) {
      this.#shaping.send(peer, splitter.offset, splitter.length, now);
    }
  }

  #resumeDivided(peer: PacketPeer, now: number): void {
    const splitter = this.#splitter;
    const queue = this.#sendQueue;
    const needed = Math.min(mostFragments(splitter.segmentLength, peer.mtu), queue.capacity);
    while (queue.free >= needed && splitter.next()) {
      this.#divider.send(peer, splitter.offset, splitter.length, now);
    }
  }
}
