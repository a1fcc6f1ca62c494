/** Outbox: what one thread tells another and must not be lost: what the ring has no room for waits here. */
import type { RingWriter } from "./record_ring.ts";

interface Waiting {
  readonly kind: number;
  readonly payload: Uint8Array;
}

export class Outbox {
  readonly ring: RingWriter;
  readonly #waiting: Waiting[] = [];

  constructor(ring: RingWriter) {
    this.ring = ring;
  }

  /** Records posted since the start; int32, wraps around. */
  get posted(): number {
    return (this.ring.count + this.#waiting.length) | 0;
  }

  /** Whether the other thread has done as many. */
  isDone(count: number): boolean {
    return this.ring.isDone(count);
  }

  /** Whether something waits for room. */
  get isWaiting(): boolean {
    return this.#waiting.length > 0;
  }

  /** Posts a copy of a record. */
  post(kind: number, payload: Uint8Array): void {
    if (this.isWaiting || !this.#write(kind, payload)) {
      this.#waiting.push({ kind, payload: payload.slice() });
    }
  }

  /**
   * Begins a record that may be lost, as `RingWriter.begin()` does; -1 also while others wait. It is to be written to
   * `ring`, and committed there.
   */
  begin(kind: number, length: number, share: number): number {
    return this.isWaiting ? -1 : this.ring.begin(kind, length, share);
  }

  /** Hands over what waits, as far as there is room. */
  flush(): void {
    while (this.#waiting.length > 0) {
      const { kind, payload } = this.#waiting[0];
      if (!this.#write(kind, payload)) return;
      payload.fill(0);
      this.#waiting.shift();
    }
  }

  #write(kind: number, payload: Uint8Array): boolean {
    const at = this.ring.begin(kind, payload.length);
    if (at < 0) return false;
    this.ring.bytes.set(payload, at);
    this.ring.commit();
    return true;
  }
}
