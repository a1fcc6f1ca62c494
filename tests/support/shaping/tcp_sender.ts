/**
 * TCP sender for simulations: CUBIC's window (RFC 9438) with selective acknowledgements. It always has something to
 * send; what it is sent back is only acknowledgements, which nothing delays or loses.
 */

/** Bytes of each packet. */
export const PACKET_SIZE = 1_400;
/** Factor of the window after a loss, and how fast it grows after that, packets in s^3 (sections 4.6 and 5). */
const BETA = 0.7;
const GROWTH = 0.4;
/** Packets at the beginning (RFC 6928). */
const FIRST_WINDOW = 10;
/** A packet is lost when one that was sent this many later has come (RFC 6675). */
const REORDERING = 3;
/** ms without an acknowledgement after which all under way counts as lost (RFC 6298, with Linux's least). */
const TIME_OUT = 200;

export class TcpSender {
  readonly #send: (sequence: number) => void;
  #window = FIRST_WINDOW;
  #threshold = Infinity;
  /** The window before the last loss, and when that was. */
  #before = 0;
  #lostAt = 0;
  /** Packets that are under way, oldest first. */
  readonly #underWay = new Set<number>();
  #next = 0;
  /** A loss of one sent before this has been answered to. */
  #answered = 0;
  #answeredAt = 0;
  lost = 0;

  /** @param send sends a packet by this number; each is sent once, as what is sent again is a packet of its own */
  constructor(send: (sequence: number) => void) {
    this.#send = send;
  }

  /** Sends what the window lets through. */
  poll(now: number): void {
    if (this.#underWay.size > 0 && now - this.#answeredAt > TIME_OUT) {
      this.lost += this.#underWay.size;
      this.#underWay.clear();
      this.#answer(now);
      this.#window = 1;
      this.#answeredAt = now;
    }
    while (this.#underWay.size < Math.floor(this.#window)) {
      if (this.#underWay.size === 0) this.#answeredAt = now;
      this.#underWay.add(this.#next);
      this.#send(this.#next++);
    }
  }

  /** A packet has been acknowledged. `marked` says that it bore a congestion mark. */
  acknowledged(sequence: number, now: number, marked = false): void {
    if (!this.#underWay.delete(sequence)) return;
    this.#answeredAt = now;
    if (marked && sequence >= this.#answered) this.#answer(now);
    for (const older of this.#underWay) {
      if (older > sequence - REORDERING) break;
      this.#underWay.delete(older);
      this.lost++;
      if (older >= this.#answered) this.#answer(now);
    }
    this.#grow(now);
  }

  #answer(now: number): void {
    this.#before = this.#window;
    this.#lostAt = now;
    this.#window = this.#threshold = Math.max(2, this.#window * BETA);
    this.#answered = this.#next;
  }

  #grow(now: number): void {
    if (this.#window < this.#threshold) {
      this.#window++;
      return;
    }
    const seconds = (now - this.#lostAt) / 1_000;
    const inflection = Math.cbrt(this.#before * (1 - BETA) / GROWTH);
    const target = GROWTH * (seconds - inflection) ** 3 + this.#before;
    // At least as Reno does (section 4.3).
    const reno = 3 * (1 - BETA) / (1 + BETA) / this.#window;
    this.#window += Math.max(reno, Math.min(0.5, (target - this.#window) / this.#window));
  }
}
