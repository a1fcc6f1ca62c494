/**
 * Elsewhere: where this is one of several gateways that answer under one key, what is another's: its indices name it,
 * and a message under one of them is handed over to it. So is a packet for a peer that has its session there.
 *
 * Packet workers get such messages as well, and give them to the device's thread. Which gateways there is a way to,
 * they read in shared memory: what strangers make up names any of 256, and so is dropped where it comes.
 */
import type { Memory } from "../wire/memory.ts";
import {
  COOKIE_REPLY_RECEIVER_OFFSET,
  MESSAGE_RESPONSE,
  MESSAGE_TRANSPORT,
  RESPONSE_RECEIVER_OFFSET,
  TRANSPORT_RECEIVER_OFFSET,
} from "../wire/messages.ts";
import { gatewayOf, type IndexLayout, LAYOUT_TABLES_LENGTH } from "./handshake/index_layout.ts";
import type { Peer } from "./peer.ts";

/** The other gateways, and what there is a way for to them. */
export interface OtherGateways {
  /** Hands the message that begins at `offset` to the gateway with this number; false where there is no way to it. */
  readonly handMessage: (gateway: number, offset: number, length: number, path: number) => boolean;
  /** Whether a peer is at another gateway, as far as is known. */
  readonly hasPeer: (peer: Peer) => boolean;
  /** Hands a packet for such a peer to its gateway, or drops and counts it. */
  readonly handPacket: (peer: Peer, offset: number, length: number, now: number) => void;
  /** Takes note of a packet for a peer here that such a gateway's host, or somebody outside by it, has sent. */
  readonly noteHanded: (peer: Peer, packet: number, gateway: number, now: number) => void;
  /** Takes a peer's answer to that back to the gateway; false where it is none. */
  readonly handAnswer: (peer: Peer, offset: number, length: number, now: number) => boolean;
}

/** Words with a bit for each gateway that there may be. */
const WORDS = 256 / 32;
/** Bytes of shared memory: those, then the tables of the layout. */
export const ELSEWHERE_SIZE: number = 4 * WORDS + 2 * LAYOUT_TABLES_LENGTH;

export class Elsewhere {
  readonly #view: DataView;
  readonly #others: OtherGateways;
  readonly #shared: SharedArrayBuffer | null;
  #layout: IndexLayout | null = null;

  /** @param shared `ELSEWHERE_SIZE` bytes, all zero, where there are packet workers */
  constructor(
    memory: Memory,
    others: OtherGateways,
    shared: SharedArrayBuffer | null = null,
  ) {
    this.#view = memory.view;
    this.#others = others;
    this.#shared = shared;
  }

  /** Null until this gateway has its number: what it makes up before names any gateway. */
  set layout(layout: IndexLayout | null) {
    this.#layout = layout;
    if (layout === null || this.#shared === null) return;
    new Uint16Array(this.#shared, 4 * WORDS).set(layout.tables);
  }

  /** Has packet workers know which gateways there is a way to, by their numbers. */
  setReachable(gateways: Iterable<number>): void {
    if (this.#shared === null) return;
    const bits = new Int32Array(WORDS);
    for (const gateway of gateways) bits[gateway >>> 5]! |= 1 << (gateway & 31);
    const words = new Int32Array(this.#shared, 0, WORDS);
    bits.forEach((word, i) => Atomics.store(words, i, word));
  }

  /** An index for this gateway, of 32 random bits; the lowest four, the worker's, are kept. */
  index(random: number): number {
    return this.#layout === null ? random : this.#layout.index(random);
  }

  /**
   * Takes a message, of another type than 1, whose receiver index names nothing here.
   *
   * @returns false where it is nobody's
   */
  take(type: number, offset: number, length: number, path: number): boolean {
    const layout = this.#layout;
    if (layout === null) return false;
    const at = type === MESSAGE_TRANSPORT
      ? TRANSPORT_RECEIVER_OFFSET
      : type === MESSAGE_RESPONSE
      ? RESPONSE_RECEIVER_OFFSET
      : COOKIE_REPLY_RECEIVER_OFFSET;
    const gateway = layout.gatewayOf(this.#view.getInt32(offset + at, true));
    return gateway !== layout.gateway && this.#others.handMessage(gateway, offset, length, path);
  }

  /** See `OtherGateways`. */
  noteHanded(peer: Peer, packet: number, gateway: number, now: number): void {
    this.#others.noteHanded(peer, packet, gateway, now);
  }

  /** See `OtherGateways`. */
  handAnswer(peer: Peer, offset: number, length: number, now: number): boolean {
    return this.#others.handAnswer(peer, offset, length, now);
  }

  /** Whether a peer that has no session here is at another gateway; not while it is taken over from there. */
  hasPeer(peer: Peer): boolean {
    return peer.handshake === null && this.#others.hasPeer(peer);
  }

  /**
   * Takes a packet for a peer that has no session here.
   *
   * @returns false where it is at no other gateway either
   */
  takePacket(peer: Peer, offset: number, length: number, now: number): boolean {
    if (!this.hasPeer(peer)) return false;
    this.#others.handPacket(peer, offset, length, now);
    return true;
  }
}

/** What a packet worker knows of that. */
export class ElsewhereOfWorker {
  readonly #words: Int32Array;
  readonly #tables: Uint16Array;

  constructor(shared: SharedArrayBuffer) {
    this.#words = new Int32Array(shared, 0, WORDS);
    this.#tables = new Uint16Array(shared, 4 * WORDS);
  }

  /** Whether an index that names nothing here names a gateway that there is a way to. */
  has(index: number): boolean {
    const gateway = gatewayOf(this.#tables, index);
    return (Atomics.load(this.#words, gateway >>> 5) >>> (gateway & 31) & 1) !== 0;
  }
}
