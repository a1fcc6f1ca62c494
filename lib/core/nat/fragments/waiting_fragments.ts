/**
 * Fragments that wait for the first of their packet: copies, kept by what names the packet, with bounds of memory and
 * time (RFC 4787 REQ-14a).
 *
 * Anybody can send fragments whose first never comes. No sender holds more than an eighth of the room: beyond, it loses
 * its own oldest. When all is full the oldest go, whosever they are, and not those of the largest sender: source
 * addresses can be forged, one for each fragment, and then a sender of two is the largest. So under a flood, fragments
 * that come close together, as they do, still pass.
 */
import {
  FRAGMENT_TIMEOUT,
  MAX_WAITING_BYTES,
  MAX_WAITING_FRAGMENTS,
  MAX_WAITING_TRAINS,
  WAITING_PARTS,
} from "../constants.ts";

/** What names a packet whose fragments come one by one (RFC 791 section 3.2, RFC 8200 section 4.5). */
export interface Train {
  /** Words of both addresses, as they stand in the packet. */
  readonly addresses: Int32Array;
  readonly protocol: number;
  readonly identification: number;
}

/** What waits of one sender. */
interface Sender {
  readonly owner: unknown;
  /** Oldest first. */
  readonly trains: Set<WaitingTrain>;
  bytes: number;
}

export interface WaitingTrain {
  readonly train: Train;
  readonly key: number;
  readonly sender: Sender;
  readonly fragments: Uint8Array[];
  bytes: number;
  /** ms */
  readonly expiresAt: number;
}

export class WaitingFragments {
  /** By the hash of what names the packet, the oldest first. Two with one hash: the newer takes the place. */
  readonly #trains = new Map<number, WaitingTrain>();
  readonly #senders = new Map<unknown, Sender>();
  readonly #onForgotten: (waiting: WaitingTrain) => void;
  #bytes = 0;

  /** @param onForgotten is told of a packet whose first fragment has not come in time */
  constructor(onForgotten: (waiting: WaitingTrain) => void) {
    this.#onForgotten = onForgotten;
  }

  /** Packets of which something waits. */
  get size(): number {
    return this.#trains.size;
  }

  /** What waits under a hash, perhaps of another packet than is meant. */
  get(key: number): WaitingTrain | undefined {
    return this.#trains.get(key);
  }

  /** Makes place for a packet of an owner's, none of whose fragments waits yet. */
  add(key: number, train: Train, owner: unknown, now: number): WaitingTrain {
    const other = this.#trains.get(key);
    if (other !== undefined) this.#forget(other);
    let sender = this.#senders.get(owner);
    if (sender === undefined) {
      sender = { owner, trains: new Set(), bytes: 0 };
      this.#senders.set(owner, sender);
    }
    const expiresAt = now + FRAGMENT_TIMEOUT;
    const waiting = { train, key, sender, fragments: [], bytes: 0, expiresAt };
    sender.trains.add(waiting);
    this.#trains.set(key, waiting);
    return waiting;
  }

  /**
   * Takes one more fragment, a copy.
   *
   * @returns how many packets lost what waited of them, or this fragment itself, as there is no room
   */
  push(waiting: WaitingTrain, fragment: Uint8Array): number {
    if (waiting.fragments.length >= MAX_WAITING_FRAGMENTS) return 1;
    const { sender } = waiting;
    waiting.fragments.push(fragment);
    waiting.bytes += fragment.length;
    sender.bytes += fragment.length;
    this.#bytes += fragment.length;
    let lost = 0;
    while (
      sender.trains.size > MAX_WAITING_TRAINS / WAITING_PARTS ||
      sender.bytes > MAX_WAITING_BYTES / WAITING_PARTS
    ) {
      this.remove(first(sender.trains.values()));
      lost++;
    }
    while (this.#trains.size > MAX_WAITING_TRAINS || this.#bytes > MAX_WAITING_BYTES) {
      this.remove(first(this.#trains.values()));
      lost++;
    }
    return lost;
  }

  remove(waiting: WaitingTrain): void {
    const { key, sender } = waiting;
    if (this.#trains.get(key) !== waiting) return;
    this.#trains.delete(key);
    this.#bytes -= waiting.bytes;
    sender.bytes -= waiting.bytes;
    sender.trains.delete(waiting);
    if (sender.trains.size === 0) this.#senders.delete(sender.owner);
  }

  /** Forgets what has waited too long. */
  sweep(now: number): void {
    for (const waiting of this.#trains.values()) {
      if (now < waiting.expiresAt) return;
      this.#forget(waiting);
    }
  }

  #forget(waiting: WaitingTrain): void {
    this.remove(waiting);
    this.#onForgotten(waiting);
  }

  clear(): void {
    this.#trains.clear();
    this.#senders.clear();
    this.#bytes = 0;
  }
}

function first<T>(values: Iterator<T>): T {
  return values.next().value!;
}
