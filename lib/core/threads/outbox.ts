/** Outbox: what one thread tells another and must not be lost: what the ring has no room for waits here. */
import type { RingWriter } from "./record_ring.ts";

interface Waiting {
  readonly kind: number;
  readonly payload: Uint8Array;
}

export class Outbox {
  readonly #ring: RingWriter;
  readonly #waiting: Waiting[] = [];

  constructor(ring: RingWriter) {
    this.#ring = ring;
  }

  /** Records posted since the start; int32, wraps around. */
  get posted(): number {
    return (this.#ring.count + this.#waiting.length) | 0;
  }

  /** Whether the other thread has done as many. */
  isDone(count: number): boolean {
    return this.#ring.isDone(count);
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

  /** Posts a record if there is room in this share of the ring; else false. */
  offer(kind: number, payload: Uint8Array, share: number): boolean {
    return !this.isWaiting && this.#write(kind, payload, share);
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

  #write(kind: number, payload: Uint8Array, share?: number): boolean {
    const at = this.#ring.begin(kind, payload.length, share);
    if (at < 0) return false;
    this.#ring.bytes.set(payload, at);
    this.#ring.commit();
    return true;
  }
}
