/** Console of a guest: the lines by which its tests tell what became of them. */
import type { Counts } from "../run/test_output.ts";

/** Anything may stand in front: firmware writes to the same console, and ends no line. */
const MARK = /@@ (machine|begin|passed|failed|end)\b ?(.*)$/;

/** Takes the lines of one guest. */
export class GuestOutput {
  readonly #name: string;
  readonly #failed: string[] = [];
  #passed = 0;
  #begun: string | null = null;
  #hasEnded = false;

  /** @param name of the guest */
  constructor(name: string) {
    this.#name = name;
  }

  /** Takes a line of the console; returns what to show of it, or null for nothing. */
  take(line: string): string | null {
    const [, kind, text] = MARK.exec(line.trimEnd()) ?? [];
    if (kind === undefined || text === undefined) return null;
    switch (kind) {
      case "machine":
        return `${this.#name}: Linux ${text}`;
      case "begin":
        this.#begun = text;
        return null;
      case "passed":
        this.#passed++;
        break;
      case "failed":
        this.#failed.push(this.#begun ?? text);
        break;
      case "end":
        this.#hasEnded = true;
        return null;
    }
    this.#begun = null;
    return `${this.#name}: ${kind} after ${text}`;
  }

  /** The tests that failed; a guest that came to no end has failed in what it had begun. */
  get failures(): readonly string[] {
    if (this.#hasEnded) return this.#failed;
    return [...this.#failed, this.#begun ?? `the guest ${this.#name} ran to its end`];
  }

  get counts(): Counts {
    return { passed: this.#passed, failed: this.failures.length, skipped: 0 };
  }
}
