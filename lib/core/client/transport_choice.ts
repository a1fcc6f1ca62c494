/**
 * Transport choice: which transports are tried by `Transport`, in which order, and when a client that UDP failed asks
 * whether UDP works by now.
 */
import { Transport } from "../transport/transport.ts";

/** ms until the first question; twice as long each time that UDP came back and failed again. */
const UDP_TRIAL_PAUSE = 15_000;
const MAX_UDP_TRIAL_PAUSE = 600_000;

export class TransportChoice {
  /** The one in use: the last by which a connection came about, or was tried. */
  current: Transport;
  /** When UDP is to be tried; `Infinity` for never. */
  trialAt = Infinity;
  readonly #isAuto: boolean;
  #pause = UDP_TRIAL_PAUSE;
  /** Whether the last change was back to UDP. */
  #cameBack = false;

  constructor(setting: "udp" | "faketcp" | "auto") {
    this.#isAuto = setting === "auto";
    this.current = setting === "faketcp" ? Transport.fakeTcp : Transport.udp;
  }

  /** Those to be tried, the one in use first. */
  get order(): readonly Transport[] {
    if (!this.#isAuto) return [this.current];
    const other = this.current === Transport.udp ? Transport.fakeTcp : Transport.udp;
    return [this.current, other];
  }

  /** Whether UDP is to be used again as soon as it works. */
  get wantsUdp(): boolean {
    return this.#isAuto && this.current === Transport.fakeTcp;
  }

  /** A connection stands: plans the next question, if UDP is wanted. */
  planTrial(now: number): void {
    this.trialAt = Infinity;
    if (!this.wantsUdp) return;
    if (this.#cameBack) this.#pause = Math.min(2 * this.#pause, MAX_UDP_TRIAL_PAUSE);
    this.#cameBack = false;
    this.trialAt = now + this.#pause;
  }

  /** UDP works again. */
  comeBack(): void {
    this.current = Transport.udp;
    this.trialAt = Infinity;
    this.#cameBack = true;
  }
}
