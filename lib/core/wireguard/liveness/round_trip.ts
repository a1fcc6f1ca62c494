/**
 * Round trip: the time to a peer and back, smoothed as RFC 6298 section 2 has it, and the heartbeats whose answers
 * measure it.
 *
 * An answer names the heartbeat by its sequence, so that none is counted for another's (Karn's problem does not arise),
 * and each counts once: an answer to what was never sent, or a second one, changes nothing.
 */

/** RFC 6298 (2.3): of the smoothed time, and of its variation. */
const ALPHA = 1 / 8;
const BETA = 1 / 4;
/** Heartbeats that wait for answers; at the densest (15 a second), those of 4 s. */
const WAITING = 64;

export class RoundTrip {
  /** ms; null before the first measurement. */
  smoothed: number | null = null;
  /** ms */
  variation = 0;
  #sequence = 0;
  /** When the heartbeat of a sequence was sent, by its low bits; -1 for one that is answered. */
  readonly #sentAt = new Float64Array(WAITING).fill(-1);

  /** The sequence of a heartbeat that is sent now. */
  next(now: number): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    this.#sentAt[this.#sequence % WAITING] = now;
    return this.#sequence;
  }

  /** The heartbeat of this sequence has been answered. */
  answered(sequence: number, now: number): void {
    const age = (this.#sequence - sequence) >>> 0;
    const slot = sequence % WAITING;
    if (age >= WAITING || this.#sentAt[slot]! < 0) return;
    this.measured(now - this.#sentAt[slot]!);
    this.#sentAt[slot] = -1;
  }

  /** Takes a measurement in ms. */
  measured(time: number): void {
    if (this.smoothed === null) {
      this.smoothed = time;
      this.variation = time / 2;
      return;
    }
    this.variation += BETA * (Math.abs(this.smoothed - time) - this.variation);
    this.smoothed += ALPHA * (time - this.smoothed);
  }

  /** The path is another one, or the peer: what was measured says nothing about it. */
  forget(): void {
    this.smoothed = null;
    this.variation = 0;
    this.#sentAt.fill(-1);
  }
}
