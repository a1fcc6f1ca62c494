/**
 * Owns fragments on their way through the NAT: later ones have no ports, so they follow what was decided for the first.
 *
 * Out of order they are kept as copies until the first one comes (RFC 4787 REQ-14), within bounds of memory and time
 * (REQ-14a: an attacker could otherwise fill the memory with fragments whose first never comes).
 */
import * as ipv4 from "../wire/ipv4.ts";
import { FRAGMENT_TIMEOUT, MAX_FRAGMENT_BYTES, MAX_FRAGMENTED_PACKETS } from "./constants.ts";
import { MAX_SLOTS_PER_CALL } from "./packet_slots.ts";

/** The fragments of one packet. */
export class FragmentTrain {
  readonly source: number;
  readonly destination: number;
  readonly protocol: number;
  readonly identification: number;
  /** ms */
  readonly expiresAt: number;
  /** What the first fragment was translated to; while it has not come, `isDecided` is false. */
  isDecided = false;
  address = 0;
  newIdentification = 0;
  /** Copies of later fragments that wait for the first. */
  readonly waiting: Uint8Array[] = [];

  constructor(view: DataView, packet: number, expiresAt: number) {
    this.source = ipv4.sourceAddress(view, packet);
    this.destination = ipv4.destinationAddress(view, packet);
    this.protocol = ipv4.protocol(view, packet);
    this.identification = ipv4.identification(view, packet);
    this.expiresAt = expiresAt;
  }

  /** Whether `packet` is one of this train. */
  has(view: DataView, packet: number): boolean {
    return this.identification === ipv4.identification(view, packet) &&
      this.source === ipv4.sourceAddress(view, packet) &&
      this.destination === ipv4.destinationAddress(view, packet) &&
      this.protocol === ipv4.protocol(view, packet);
  }
}

export class FragmentTable {
  /** By a hash of what names a train. Two with one hash: the newer takes the place. */
  readonly #trains = new Map<number, FragmentTrain>();
  #bytes = 0;

  /** The train of a fragment, made if there is none; null when there is no room for another. */
  train(view: DataView, packet: number, now: number): FragmentTrain | null {
    const key = keyOf(view, packet);
    const found = this.#trains.get(key);
    if (found !== undefined) {
      if (found.has(view, packet) && now < found.expiresAt) return found;
      this.#remove(key, found);
    }
    if (this.#trains.size >= MAX_FRAGMENTED_PACKETS) {
      this.sweep(now);
      if (this.#trains.size >= MAX_FRAGMENTED_PACKETS) return null;
    }
    const train = new FragmentTrain(view, packet, now + FRAGMENT_TIMEOUT);
    this.#trains.set(key, train);
    return train;
  }

  /** Keeps a copy of a fragment that came before its first; false when there is no room. */
  hold(train: FragmentTrain, packet: Uint8Array<ArrayBuffer>): boolean {
    if (
      this.#bytes + packet.length > MAX_FRAGMENT_BYTES ||
      train.waiting.length >= MAX_SLOTS_PER_CALL
    ) return false;
    train.waiting.push(packet.slice());
    this.#bytes += packet.length;
    return true;
  }

  /** Takes the fragments that waited. */
  release(train: FragmentTrain): Uint8Array[] {
    const waiting = train.waiting.splice(0);
    for (const packet of waiting) this.#bytes -= packet.length;
    return waiting;
  }

  /** Forgets trains whose time is over. */
  sweep(now: number): void {
    for (const [key, train] of this.#trains) {
      if (now >= train.expiresAt) this.#remove(key, train);
    }
  }

  #remove(key: number, train: FragmentTrain): void {
    this.release(train);
    this.#trains.delete(key);
  }
}

function keyOf(view: DataView, packet: number): number {
  const addresses = Math.imul(ipv4.sourceAddress(view, packet), 0x9e3779b1) ^
    ipv4.destinationAddress(view, packet);
  return Math.imul(addresses, 0x85ebca6b) ^
    (ipv4.identification(view, packet) << 8) ^ ipv4.protocol(view, packet);
}

/**
 * Divides a packet without DF into fragments of at most `mtu` bytes (RFC 791 section 3.2).
 *
 * @param emit is handed the offset, the place in the packet and the length of each piece to make
 * @returns false for a packet with options, which would have to be divided up by their kind
 */
export function forEachFragment(
  view: DataView,
  packet: number,
  mtu: number,
  emit: (payloadOffset: number, payloadLength: number, isLast: boolean) => void,
): boolean {
  if (ipv4.headerSize(view, packet) !== ipv4.MIN_HEADER_SIZE) return false;
  const payload = ipv4.totalLength(view, packet) - ipv4.MIN_HEADER_SIZE;
  const step = (mtu - ipv4.MIN_HEADER_SIZE) & ~7;
  for (let at = 0; at < payload; at += step) {
    emit(at, Math.min(step, payload - at), at + step >= payload);
  }
  return true;
}
