/**
 * Book of every transport key in a test, at all ends together: what was sealed under it and when it was in use.
 *
 * It wraps a real provider and enters each call. Rules that must hold for every key at all times are checked as the
 * calls come, so that a breach stops the test where it happens.
 */
import type { AeadKey, AeadProvider } from "../../../lib/core/noise/aead.ts";

import type { FakeClock } from "../time/fake_clock.ts";

/** REJECT_AFTER_TIME in ms, written down once more so that the product's own constant is judged too. */
const REJECT_AFTER_TIME = 180_000;

/** One key at one end. */
export interface KeyUse {
  readonly owner: string;
  readonly createdAt: number;
  destroyedAt: number;
  sealed: number;
  opened: number;
}

export class KeyLedger {
  /** Every key that was taken into use, at either end. */
  readonly uses: KeyUse[] = [];
  /** Messages sealed, at all ends. */
  sealed = 0;
  readonly #clock: FakeClock;
  /** By key in hexadecimal: the counters that were spent, by either end. */
  readonly #nonces = new Map<string, Set<string>>();
  readonly #live = new Map<string, Set<KeyUse>>();
  readonly #lastCreatedAt = new Map<string, number>();

  constructor(clock: FakeClock) {
    this.#clock = clock;
  }

  /** The provider `inner`, with every key entered under the name of its owner. */
  wrap(inner: AeadProvider, owner: string): AeadProvider {
    return { ...inner, key: (key) => this.#enter(inner.key(key), key.toHex(), owner) };
  }

  /** Keys of `owner` that are not destroyed. */
  live(owner: string): number {
    return this.#live.get(owner)?.size ?? 0;
  }

  /** When `owner` last took a key into use; -Infinity for never. */
  lastCreatedAt(owner: string): number {
    return this.#lastCreatedAt.get(owner) ?? -Infinity;
  }

  #enter(key: AeadKey, hex: string, owner: string): AeadKey {
    const clock = this.#clock;
    const use: KeyUse = {
      owner,
      createdAt: clock.now,
      destroyedAt: Infinity,
      sealed: 0,
      opened: 0,
    };
    this.uses.push(use);
    const live = this.#live.get(owner) ?? new Set();
    this.#live.set(owner, live.add(use));
    this.#lastCreatedAt.set(owner, clock.now);
    const nonces = this.#nonces.get(hex) ?? new Set();
    this.#nonces.set(hex, nonces);
    return {
      prefetch: () => key.prefetch(),
      seal: (destination, source, length, low, high) => {
        const nonce = `${high}:${low}`;
        if (nonces.has(nonce)) throw new Error(`${owner} uses nonce ${nonce} twice`);
        nonces.add(nonce);
        checkAge(use, clock.now, "seals");
        use.sealed++;
        this.sealed++;
        return key.seal(destination, source, length, low, high);
      },
      open: (destination, source, length, low, high) => {
        if (!key.open(destination, source, length, low, high)) return false;
        checkAge(use, clock.now, "opens");
        use.opened++;
        return true;
      },
      destroy: () => {
        key.destroy();
        use.destroyedAt = Math.min(use.destroyedAt, clock.now);
        live.delete(use);
      },
    };
  }
}

function checkAge(use: KeyUse, now: number, verb: string): void {
  const age = now - use.createdAt;
  if (use.destroyedAt !== Infinity) throw new Error(`${use.owner} ${verb} under a destroyed key`);
  if (age >= REJECT_AFTER_TIME) throw new Error(`${use.owner} ${verb} under a key of ${age} ms`);
}
