/**
 * Owns fragments on their way through the NAT, in one direction: later ones have no ports, so they follow what was decided
 * for the first. Out of order they are kept as copies until the first comes (RFC 4787 REQ-14).
 *
 * Anybody can send fragments whose first never comes, so memory and time are bounded, and the oldest give way to new ones
 * (REQ-14a): under a flood, fragments that come in order and close together, as they do, still pass. Trains that
 * are decided and those that wait have tables of their own, so that the latter do not push out the former; so have the
 * two directions, so that strangers do not push out clients.
 */
import { DropReason } from "../wire/drop_reason.ts";
import * as ipv4 from "../wire/ipv4.ts";
import type { Memory } from "../wire/memory.ts";
import { destinationAddress, sourceAddress } from "./addresses.ts";
import {
  FRAGMENT_TIMEOUT,
  MAX_DECIDED_TRAINS,
  MAX_WAITING_BYTES,
  MAX_WAITING_FRAGMENTS,
  MAX_WAITING_TRAINS,
} from "./constants.ts";
import type { Forwarder } from "./forwarder.ts";
import { hash } from "./hash.ts";
import type { Link } from "./link.ts";
import {
  decrementTimeToLive,
  DESTINATION,
  rewriteAddress,
  rewriteIdentification,
  SOURCE,
} from "./rewrite.ts";

/** What becomes of the fragments of one packet. Addresses are signed. */
export interface FragmentFate {
  /** The link to leave by; null when the packet is not the NAT's concern. */
  readonly link: Link | null;
  readonly source: number;
  readonly destination: number;
  readonly identification: number;
}

/** The fragments of one packet. */
interface Train {
  readonly source: number;
  readonly destination: number;
  readonly protocol: number;
  readonly identification: number;
  /** ms */
  readonly expiresAt: number;
  /** Null until the first fragment has come. */
  fate: FragmentFate | null;
  /** Copies of later fragments that wait for the first. */
  waiting: Uint8Array[];
}

/** Trains by a hash of what names them, the oldest first. Two with one hash: the newer takes the place. */
type Trains = Map<number, Train>;

export class Fragments {
  readonly #decided: Trains = new Map();
  readonly #waiting: Trains = new Map();
  #waitingBytes = 0;
  readonly #forwarder: Forwarder;
  readonly #memory: Memory;
  readonly #view: DataView;
  readonly #seed: number;

  /** @param seed random and secret, or senders could make their trains take others' places */
  constructor(memory: Memory, options: { forwarder: Forwarder; seed: number }) {
    this.#memory = memory;
    this.#view = memory.view;
    this.#forwarder = options.forwarder;
    this.#seed = options.seed;
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
  decide(packet: number, fate: FragmentFate, now: number): Uint8Array[] {
    const key = this.#key(packet);
    const waiting = this.#find(this.#waiting, key, packet, now);
    if (waiting !== null) this.#forget(key, waiting);
    this.#decided.delete(key);
    if (this.#decided.size >= MAX_DECIDED_TRAINS) this.#decided.delete(oldest(this.#decided));
    const train = this.#train(packet, now);
    train.fate = fate;
    this.#decided.set(key, train);
    return waiting === null ? [] : waiting.waiting;
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
    const train = this.#find(this.#decided, key, packet, now);
    if (train === null) this.#wait(key, packet, now);
    else this.#forward(packet, train.fate!);
  }

  /** Whether a later fragment is known to be of a packet that is not the NAT's concern. */
  isForeign(packet: number, now: number): boolean {
    return this.#find(this.#decided, this.#key(packet), packet, now)?.fate?.link === null;
  }

  /** Forgets trains whose time is over. */
  sweep(now: number): void {
    for (const [key, train] of this.#decided) {
      if (now >= train.expiresAt) this.#decided.delete(key);
    }
    for (const [key, train] of this.#waiting) {
      if (now >= train.expiresAt) this.#forget(key, train);
    }
  }

  clear(): void {
    this.#decided.clear();
    this.#waiting.clear();
    this.#waitingBytes = 0;
  }

  #forward(packet: number, { link, source, destination, identification }: FragmentFate): void {
    const view = this.#view;
    if (link === null) {
      this.#forwarder.drop(DropReason.natFragment, packet);
    } else if (ipv4.timeToLive(view, packet) <= 1) {
      this.#forwarder.drop(DropReason.ttlExceeded, packet);
    } else {
      rewriteAddress(view, packet, SOURCE, source);
      rewriteAddress(view, packet, DESTINATION, destination);
      rewriteIdentification(view, packet, identification);
      decrementTimeToLive(view, packet);
      this.#forwarder.forward(link, packet);
    }
  }

  #wait(key: number, packet: number, now: number): void {
    const length = ipv4.totalLength(this.#view, packet);
    if (length > this.#forwarder.maxCopySize) {
      this.#forwarder.drop(DropReason.natFragment, packet);
      return;
    }
    let train = this.#find(this.#waiting, key, packet, now);
    if (train === null) {
      const other = this.#waiting.get(key);
      if (other !== undefined) this.#forget(key, other);
      train = this.#train(packet, now);
      this.#waiting.set(key, train);
    }
    if (train.waiting.length >= MAX_WAITING_FRAGMENTS) {
      this.#forwarder.drop(DropReason.natFragment, packet);
      return;
    }
    train.waiting.push(this.#memory.bytes.slice(packet, packet + length));
    this.#waitingBytes += length;
    while (this.#waiting.size > MAX_WAITING_TRAINS || this.#waitingBytes > MAX_WAITING_BYTES) {
      const first = oldest(this.#waiting);
      this.#forget(first, this.#waiting.get(first)!);
      this.#forwarder.drop(DropReason.natFragment, packet);
    }
  }

  #train(packet: number, now: number): Train {
    const view = this.#view;
    return {
      source: sourceAddress(view, packet),
      destination: destinationAddress(view, packet),
      protocol: ipv4.protocol(view, packet),
      identification: ipv4.identification(view, packet),
      expiresAt: now + FRAGMENT_TIMEOUT,
      fate: null,
      waiting: [],
    };
  }

  #find(trains: Trains, key: number, packet: number, now: number): Train | null {
    const view = this.#view;
    const train = trains.get(key);
    const isThis = train !== undefined && now < train.expiresAt &&
      train.identification === ipv4.identification(view, packet) &&
      train.source === sourceAddress(view, packet) &&
      train.destination === destinationAddress(view, packet) &&
      train.protocol === ipv4.protocol(view, packet);
    return isThis ? train : null;
  }

  /** Removes a train that waits. */
  #forget(key: number, train: Train): void {
    for (const fragment of train.waiting) this.#waitingBytes -= fragment.length;
    this.#waiting.delete(key);
  }

  #key(packet: number): number {
    const view = this.#view;
    const addresses = hash(
      sourceAddress(view, packet),
      destinationAddress(view, packet),
      this.#seed,
    );
    const name = ipv4.identification(view, packet) << 8 | ipv4.protocol(view, packet);
    return hash(addresses, name, this.#seed);
  }
}

function oldest(trains: Trains): number {
  return trains.keys().next().value!;
}
