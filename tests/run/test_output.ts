/**
 * Owns reading what `deno test` writes: which lines are worth showing, how many tests passed, and which were left out
 * for what reason.
 */

/** How many tests, and why those left out were. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

export const NO_TESTS: Counts = { passed: 0, failed: 0, skipped: 0 };

/** As in `ok | 12 passed (3 steps) | 0 failed | 1 ignored | 2 filtered out (1s)`; what is 0 may be left out. */
const LAST_LINE = /^(?:ok|FAILED) \| \d+ passed.* \(\d.*\)$/;
const PASSED = /\.\.\. ok \([^)]*\)$/;
const FILE_BEGUN = /^running \d+ tests? from /;
const IGNORED = /^(?:\S+ => )?(.*) \.\.\. ignored \([^)]*\)$/;
/** The form that `netTest()` gives to the name of a test that it leaves out. */
const REASON = / \(ignored: (.*)\)$/;

/** Takes the lines of one run of `deno test`. */
export class TestOutput {
  #counts: Counts | null = null;
  /** The last line that says no more than that a test began. */
  #begun: string | null = null;
  readonly #reasons = new Map<string, number>();

  /** @returns the lines to show now: those that say more than that tests began, passed or were left out */
  take(line: string): string[] {
    const begun = this.#begun;
    this.#begun = null;
    if (LAST_LINE.test(line)) {
      this.#counts = {
        passed: numberBefore(line, "passed"),
        failed: numberBefore(line, "failed"),
        skipped: numberBefore(line, "ignored"),
      };
      return [];
    }
    const ignored = IGNORED.exec(line);
    if (ignored !== null) {
      const reason = REASON.exec(ignored[1])?.[1] ?? `as marked: ${ignored[1]}`;
      this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1);
      return [];
    }
    if (line === "" || PASSED.test(line) || FILE_BEGUN.test(line)) return [];
    if (line.endsWith(" ...")) {
      this.#begun = line;
      return [];
    }
    return begun === null ? [line] : [begun, line];
  }

  /** The test that had begun when the last line came, if nothing more was said of it: in a run cut short, it hung. */
  get begun(): string | null {
    return this.#begun;
  }

  /**
   * The counts, once it has ended. One that failed has at least one failed test: it may have ended before it could
   * say so.
   */
  counts({ success }: { success: boolean }): Counts {
    const counts = this.#counts ?? NO_TESTS;
    return success ? counts : { ...counts, failed: Math.max(1, counts.failed) };
  }

  /** Reasons for which tests were left out, each with how many. */
  get reasons(): ReadonlyMap<string, number> {
    return this.#reasons;
  }
}

export function addCounts(one: Counts, other: Counts): Counts {
  return {
    passed: one.passed + other.passed,
    failed: one.failed + other.failed,
    skipped: one.skipped + other.skipped,
  };
}

function numberBefore(line: string, word: string): number {
  return Number(new RegExp(`\\| (\\d+) ${word}\\b`).exec(line)?.[1] ?? 0);
}
