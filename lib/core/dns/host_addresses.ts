/**
 * Host addresses: the addresses of some names, by what resolvers have answered. Answers of a name may have other
 * addresses each time, and clients keep those of before, so each counts for an hour after it was last in an answer.
 */
import type { HostAddress } from "../wire/host_address.ts";

/** Addresses of one name; of more, those that were seen first go first. */
export const MAX_ADDRESSES = 64;
/** ms for which an address counts after it was last seen. */
export const KEPT_FOR = 3_600_000;
/** ms between two questions for one name, at least and at most. */
const MIN_PAUSE = 60_000;
const MAX_PAUSE = 900_000;

interface Host {
  /** When each was last seen, monotonic ms, the one longest ago first. */
  readonly seen: Map<HostAddress, number>;
  /** When its addresses are to be asked for again. */
  askAt: number;
}

export class HostAddresses {
  readonly #hosts = new Map<string, Host>();

  /** Knows these names and no others from now on; those that are new are to be asked for at once. */
  watch(names: ReadonlySet<string>): void {
    for (const name of this.#hosts.keys()) if (!names.has(name)) this.#hosts.delete(name);
    for (const name of names) {
      if (!this.#hosts.has(name)) this.#hosts.set(name, { seen: new Map(), askAt: -Infinity });
    }
  }

  /**
   * Takes what an answer says.
   *
   * @param timeToLive seconds
   * @param now monotonic ms
   * @returns whether the name has another address now
   */
  learn(
    name: string,
    { addresses, timeToLive }: { addresses: readonly HostAddress[]; timeToLive: number },
    now: number,
  ): boolean {
    const host = this.#hosts.get(name);
    if (host === undefined || addresses.length === 0) return false;
    let isNew = false;
    for (const address of addresses.slice(0, MAX_ADDRESSES)) {
      if (!host.seen.delete(address)) isNew = true;
      host.seen.set(address, now);
    }
    for (const address of host.seen.keys()) {
      if (host.seen.size <= MAX_ADDRESSES) break;
      host.seen.delete(address);
    }
    host.askAt = now + Math.min(MAX_PAUSE, Math.max(MIN_PAUSE, timeToLive * 1000));
    return isNew;
  }

  /** Forgets what was last seen long ago. Returns whether there was any. */
  expire(now: number): boolean {
    let isExpired = false;
    for (const { seen } of this.#hosts.values()) {
      for (const [address, at] of seen) {
        if (now - at < KEPT_FOR) break;
        seen.delete(address);
        isExpired = true;
      }
    }
    return isExpired;
  }

  /** The names whose addresses are to be asked for now; not again before the pause is over, whatever comes of it. */
  takeDue(now: number): string[] {
    const due: string[] = [];
    for (const [name, host] of this.#hosts) {
      if (host.askAt > now) continue;
      host.askAt = now + MIN_PAUSE;
      due.push(name);
    }
    return due;
  }

  /** Whether there are names. */
  get isUsed(): boolean {
    return this.#hosts.size > 0;
  }

  /** By name; none for a name that has had no answer. */
  get known(): ReadonlyMap<string, readonly HostAddress[]> {
    return new Map(Array.from(this.#hosts, ([name, { seen }]) => [name, [...seen.keys()]]));
  }
}
