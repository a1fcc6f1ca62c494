/**
 * Examinations: what `vpn doctor` says of a gateway, for those who ask it. Few are made, however many ask and
 * however often: one at a time, each within a limit, and seldom unless somebody wants another.
 */
import { errorMessage } from "../../process/errors.ts";
import { background, guarded } from "../../process/guard.ts";
import type { CheckFinding, Examination } from "./methods.ts";

/** ms after which a look at what was found begins another; and for a request for another. */
const LIFETIME = 600_000;
const PAUSE = 60_000;
/** ms that one may take. */
const LIMIT = 60_000;
/** Findings that are told, the worst first where there are more. */
const MAX_FINDINGS = 200;

const ORDER = ["fail", "warn", "ok"] as const;

export interface ExaminationsOptions {
  /** Examines, and gives up when it is told to. Its error is told as it is. */
  readonly examine: (signal: AbortSignal) => Promise<readonly CheckFinding[]>;
  /** The wall clock, Unix ms; and a monotonic one, ms. */
  readonly now: () => number;
  readonly monotonic: () => number;
}

export class Examinations implements Disposable {
  readonly #options: ExaminationsOptions;
  #last: Omit<Examination, "isRunning"> = { time: null, problem: null, checks: [] };
  /** When the last one began, of the monotonic clock. */
  #begun = -Infinity;
  #running: AbortController | null = null;

  constructor(options: ExaminationsOptions) {
    this.#options = options;
  }

  /** What was found last; begins another where that is old. @param isAgain whether another is wanted at once */
  ask(isAgain: boolean): Examination {
    const age = this.#options.monotonic() - this.#begun;
    if (this.#running === null && age >= (isAgain ? PAUSE : LIFETIME)) {
      background("control", "examining the host", this.#examine());
    }
    return { isRunning: this.#running !== null, ...this.#last };
  }

  async #examine(): Promise<void> {
    const { examine, now, monotonic } = this.#options;
    const running = this.#running = new AbortController();
    this.#begun = monotonic();
    const timer = setTimeout(
      guarded("control", "ending an examination", () => running.abort()),
      LIMIT,
    );
    try {
      const checks = worst(await examine(running.signal));
      this.#last = { time: new Date(now()).toISOString(), problem: null, checks };
    } catch (error) {
      const problem = running.signal.aborted
        ? `it took longer than ${LIMIT / 1000} s`
        : errorMessage(error);
      this.#last = { time: new Date(now()).toISOString(), problem, checks: [] };
    } finally {
      clearTimeout(timer);
      this.#running = null;
    }
  }

  [Symbol.dispose](): void {
    this.#begun = Infinity;
    this.#running?.abort();
  }
}

function worst(findings: readonly CheckFinding[]): readonly CheckFinding[] {
  if (findings.length <= MAX_FINDINGS) return findings;
  const sorted = findings.toSorted((a, b) => ORDER.indexOf(a.status) - ORDER.indexOf(b.status));
  return sorted.slice(0, MAX_FINDINGS);
}
