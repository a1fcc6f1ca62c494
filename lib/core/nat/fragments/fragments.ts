/**
 * Fragments on their way through the NAT, in one direction: later ones have no ports, so they follow what was decided
 * for the first. Out of order they are kept as copies until the first comes (RFC 4787 REQ-14).
 *
 * Packets whose first fragment has come, of which there is a mapping and so a client, are shared out among clients: in
 * a full table the client with the most loses its oldest, whether it sends them or is sent them. Fragments that wait
 * have a table of their own, so that they do not push out the former; so have the two directions, so that strangers do
 * not push out clients.
 */
import { FairShares, type Place } from "../../limits/fair_shares.ts";
import { DropReason } from "../../wire/drop_reason.ts";
import type { Memory } from "../../wire/memory.ts";
import { FRAGMENT_TIMEOUT, MAX_DECIDED_TRAINS } from "../constants.ts";
import type { Forwarder } from "../forwarder.ts";
import { DESTINATION, type Headers, SOURCE } from "../headers/headers.ts";
import { hash } from "../../wire/hash.ts";
import type { NatLink } from "../link.ts";
import { Origin } from "../slices/hand_over.ts";
import { type Train, WaitingFragments, type WaitingTrain } from "./waiting_fragments.ts";

/** What becomes of the fragments of one packet. An address may be `AS_IT_IS`. */
export interface FragmentFate {
  /** The link to leave by; null for none: the packet is another worker's, or not the NAT's concern. */
  readonly link: NatLink | null;
  readonly source: number;
  readonly destination: number;
  readonly identification: number;
  /** The worker that they are handed over to; left out for none. */
  readonly worker?: number;
}

interface DecidedTrain {
  readonly train: Train;
  readonly key: number;
  readonly fate: FragmentFate;
  /** ms */
  readonly expiresAt: number;
  place: Place<unknown, DecidedTrain> | null;
}

export interface FragmentsOptions {
  readonly headers: Headers;
  readonly forwarder: Forwarder;
  /** Random and secret, or senders could make their trains take others' places. */
  readonly seed: number;
  /** Whose an inner address is. */
  readonly clientOf: (address: number) => unknown;
  /** Whether clients send them; else they are sent them. */
  readonly isOutbound: boolean;
}

export class Fragments {
  /** By a hash of what names them, the oldest first. Two with one hash: the newer takes the place. */
  readonly #decided = new Map<number, DecidedTrain>();
  readonly #shares = new FairShares<unknown, DecidedTrain>({
    capacity: MAX_DECIDED_TRAINS,
    evict: (decided) => this.#delete(decided),
  });
  readonly #waiting = new WaitingFragments((waiting) => this.#forgotten(waiting));
  readonly #headers: Headers;
  readonly #forwarder: Forwarder;
  readonly #memory: Memory;
  readonly #view: DataView;
  readonly #seed: number;
  readonly #clientOf: (address: number) => unknown;
  readonly #isOutbound: boolean;

  constructor(memory: Memory, options: FragmentsOptions) {
    this.#memory = memory;
    this.#view = memory.view;
    this.#headers = options.headers;
    this.#forwarder = options.forwarder;
    this.#seed = options.seed;
    this.#clientOf = options.clientOf;
    this.#isOutbound = options.isOutbound;
  }

  /** Trains that are kept. */
  get size(): number {
    return this.#decided.size + this.#waiting.size;
  }

  /**
   * Decides a packet's fate when its first fragment has come. To be called while the headers are still as they came.
   *
   * @returns fragments that waited: `follow()` is to have them once the first has gone
   */
  decide(packet: number, fate: FragmentFate, now: number): readonly Uint8Array[] {
    const key = this.#key(packet);
    const waiting = this.#findWaiting(key, packet, now);
    if (waiting !== null) this.#waiting.remove(waiting);
    const other = this.#decided.get(key);
    if (other !== undefined) this.#forget(other);
    const train = this.#train(packet);
    // From outside, whom another worker's are for that one knows: here, each worker is one client.
    const client = this.#isOutbound
      ? this.#clientOf(this.#headers.source(packet))
      : fate.worker ?? this.#clientOf(fate.destination);
    const expiresAt = now + FRAGMENT_TIMEOUT;
    const decided: DecidedTrain = { train, key, fate, expiresAt, place: null };
    // Not before this: it may evict.
    decided.place = this.#shares.add(client, decided);
    this.#decided.set(key, decided);
    this.#headers.holds.retain(fate.source);
    this.#headers.holds.retain(fate.destination);
    return waiting === null ? [] : waiting.fragments;
  }

  /** Sends on fragments that waited. */
  follow(fragments: readonly Uint8Array[], fate: FragmentFate): void {
    for (const fragment of fragments) {
      const packet = this.#forwarder.restore(fragment);
      if (packet >= 0) this.#forward(packet, fate);
    }
  }

  /** Takes a fragment that is not the first. */
  later(packet: number, now: number): void {
    const key = this.#key(packet);
    const decided = this.#findDecided(key, packet, now);
    if (decided === null) this.#wait(key, packet, now);
    else this.#forward(packet, decided.fate);
  }

  /** Whether a later fragment is known to be of a packet that is not the NAT's concern. */
  isForeign(packet: number, now: number): boolean {
    const fate = this.#findDecided(this.#key(packet), packet, now)?.fate;
    return fate !== undefined && fate.link === null && fate.worker === undefined;
  }

  /** Forgets trains whose time is over. */
  sweep(now: number): void {
    for (const decided of this.#decided.values()) {
      if (now < decided.expiresAt) break;
      this.#forget(decided);
    }
    this.#waiting.sweep(now);
  }

  clear(): void {
    for (const decided of this.#decided.values()) this.#forget(decided);
    this.#waiting.clear();
  }

  #forward(packet: number, fate: FragmentFate): void {
    const headers = this.#headers;
    const { link, source, destination, identification, worker } = fate;
    if (worker !== undefined) {
      headers.rewriteAddress(packet, SOURCE, source);
      headers.rewriteIdentification(packet, identification);
      const origin = this.#isOutbound ? Origin.hairpin : Origin.captured;
      this.#forwarder.handOver(worker, origin, packet);
    } else if (link === null) {
      this.#forwarder.drop(DropReason.natFragment, packet);
    } else if (headers.hopLimit(packet) <= 1) {
      this.#forwarder.drop(DropReason.ttlExceeded, packet);
    } else {
      headers.rewriteAddress(packet, SOURCE, source);
      headers.rewriteAddress(packet, DESTINATION, destination);
      headers.rewriteIdentification(packet, identification);
      headers.decrementHopLimit(packet);
      this.#forwarder.forward(link, packet);
    }
  }

  #wait(key: number, packet: number, now: number): void {
    const length = this.#headers.totalLength(packet);
    if (length > this.#forwarder.maxCopySize) {
      this.#forwarder.drop(DropReason.natFragment, packet);
      return;
    }
    const waiting = this.#findWaiting(key, packet, now) ?? this.#addWaiting(key, packet, now);
    const copy = this.#memory.bytes.slice(packet, packet + length);
    const lost = this.#waiting.push(waiting, copy);
    for (let i = 0; i < lost; i++) this.#forwarder.drop(DropReason.natFragment, packet);
  }

  #addWaiting(key: number, packet: number, now: number): WaitingTrain {
    const train = this.#train(packet);
    // From outside, it is not known yet whom it is for.
    const owner = this.#isOutbound
      ? this.#clientOf(this.#headers.source(packet))
      : this.#headers.senderKey(packet);
    return this.#waiting.add(key, train, owner, now);
  }

  /**
   * Counts what a client began and did not complete; what comes from outside may be the host's own, and reaches it.
   * What has the external address at either end is a client's, by another worker.
   */
  #forgotten({ bytes, train: { addresses } }: WaitingTrain): void {
    const { length } = addresses;
    const isOfClient = this.#isOutbound ||
      addresses.every((word, i) => word === addresses[(i + length / 2) % length]);
    if (isOfClient) this.#forwarder.dropCopy(DropReason.natFragment, bytes);
  }

  #train(packet: number): Train {
    const headers = this.#headers;
    const addresses = new Int32Array(headers.addressesSize >> 2);
    for (let i = 0; i < addresses.length; i++) addresses[i] = this.#word(packet, i);
    return {
      addresses,
      protocol: headers.protocol(packet),
      identification: headers.identification(packet),
    };
  }

  #findDecided(key: number, packet: number, now: number): DecidedTrain | null {
    const decided = this.#decided.get(key);
    if (decided === undefined || now >= decided.expiresAt) return null;
    return this.#isOf(packet, decided.train) ? decided : null;
  }

  #findWaiting(key: number, packet: number, now: number): WaitingTrain | null {
    const waiting = this.#waiting.get(key);
    if (waiting === undefined || now >= waiting.expiresAt) return null;
    return this.#isOf(packet, waiting.train) ? waiting : null;
  }

  #isOf(packet: number, train: Train): boolean {
    const headers = this.#headers;
    if (
      train.identification !== headers.identification(packet) ||
      train.protocol !== headers.protocol(packet)
    ) return false;
    const { addresses } = train;
    for (let i = 0; i < addresses.length; i++) {
      if (addresses[i] !== this.#word(packet, i)) return false;
    }
    return true;
  }

  /** One of the words of both addresses. */
  #word(packet: number, index: number): number {
    return this.#view.getInt32(packet + this.#headers.addressesOffset + 4 * index);
  }

  #forget(decided: DecidedTrain): void {
    this.#delete(decided);
    if (decided.place !== null) this.#shares.remove(decided.place);
  }

  /** Not for one that is gone already, as it was evicted. */
  #delete({ key, fate }: DecidedTrain): void {
    this.#decided.delete(key);
    this.#headers.holds.release(fate.source);
    this.#headers.holds.release(fate.destination);
  }

  #key(packet: number): number {
    const headers = this.#headers;
    const words = headers.addressesSize >> 2;
    let key = this.#seed;
    for (let i = 0; i < words; i += 2) {
      key = hash(this.#word(packet, i), this.#word(packet, i + 1), key);
    }
    return hash(
      hash(key, headers.identification(packet), this.#seed),
      headers.protocol(packet),
      key,
    );
  }
}
