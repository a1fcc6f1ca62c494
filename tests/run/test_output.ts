/**
 * Test output: reads what `deno test` writes: which lines are worth showing, how many tests passed, and which were left
 * out for what reason.
 */
import { MODULE_LOADS } from "./grouped_tests.ts";

/** How many tests, and why those left out were. */
export interface Counts {
  readonly passed: number;
  readonly failed: number;
  readonly skipped: number;
}

/** A test that failed. */
export interface Failure {
  /** Null where the file itself failed. */
  readonly name: string | null;
  /** From the root of the project. */
  readonly file: string;
}

export const NO_TESTS: Counts = { passed: 0, failed: 0, skipped: 0 };

/** As in `ok | 12 passed (3 steps) | 0 failed | 1 ignored | 2 filtered out (1s)`; what is 0 may be left out. */
const LAST_LINE = /^(?:ok|FAILED) \| \d+ passed.* \(\d.*\)$/;
const PASSED = /\.\.\. ok \([^)]*\)$/;
const FILE_BEGUN = /^running \d+ tests? from (?:\.\/)?(.*)$/;
/** What each line of a test begins with where several files are one group, or run at once. */
const AMONG_OTHERS = /^(?:\.\/)?(\S+\.ts) => /;
const IGNORED = /^(.*) \.\.\. ignored \([^)]*\)$/;
/** What closes the list of errors: after it, a line for each test that failed. */
const FAILURES = " FAILURES ";
/** As in `name => ./tests/a_test.ts:1:6`; where a module throws, the file alone. */
const FAILURE = /^(?:(.*) => )?(?:\.\/)?(\S+?)(?::\d+:\d+| \(uncaught error\))$/;
const BEGUN = /^(.*?) \.\.\./;
/** The form that `netTest()` gives to the name of a test that it leaves out; of several, the last was given last. */
const REASON = /^.* \(ignored: (.*)\)$/;
/** A promise or a timer failed that no test waited for: the runtime names the module, which may be that of a group. */
const UNCAUGHT = /^Uncaught error from /;

/** Takes the lines of one run of `deno test`. */
export class TestOutput {
  #counts: Counts | null = null;
  /** The last line that says no more than that a test began. */
  #begun: string | null = null;
  readonly #reasons = new Map<string, number>();
  readonly #filesByReason = new Map<string, Set<string>>();
  #file: string | null = null;
  /** By name of a test, the file that is being run when it begins: the runtime names the place of its registration. */
  readonly #files = new Map<string, string>();
  /** Of the line before, where that named one. */
  #lastAmongOthers: string | null = null;
  /** Those of the tests that ran when an error came which no test waited for. */
  readonly #uncaughtIn: string[] = [];
  #listsFailures = false;
  readonly #failures: Failure[] = [];

  /** @returns the lines to show now: those that say more than that tests began, passed or were left out */
  take(line: string): string[] {
    const begun = this.#begun;
    this.#begun = null;
    const among = AMONG_OTHERS.exec(line);
    const file = among?.[1] ?? this.#file;
    this.#note(line);
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
      const name = ignored[1].slice(among?.[0].length ?? 0);
      const reason = REASON.exec(name)?.[1] ?? `as marked: ${name}`;
      this.#reasons.set(reason, (this.#reasons.get(reason) ?? 0) + 1);
      const files = this.#filesByReason.get(reason) ?? new Set();
      this.#filesByReason.set(reason, files);
      if (file !== null) files.add(file);
      return [];
    }
    if (line === "" || PASSED.test(line) || FILE_BEGUN.test(line)) return [];
    if (line.endsWith(" ...")) {
      this.#begun = line;
      return [];
    }
    return begun === null ? [line] : [begun, line];
  }

  #note(line: string): void {
    const file = FILE_BEGUN.exec(line);
    if (file !== null) this.#file = file[1];
    else if (line === FAILURES) this.#listsFailures = true;
    else if (this.#listsFailures) {
      const failure = FAILURE.exec(line);
      if (failure !== null) this.#failures.push(this.#failureOf(failure[1] ?? null, failure[2]));
    } else if (UNCAUGHT.test(line)) {
      if (this.#lastAmongOthers !== null) this.#uncaughtIn.push(this.#lastAmongOthers);
    } else {
      const among = AMONG_OTHERS.exec(line);
      const test = BEGUN.exec(line.slice(among?.[0].length ?? 0));
      if (among !== null) this.#lastAmongOthers = among[1];
      const of = among?.[1] ?? this.#file;
      if (test !== null && of !== null) this.#files.set(test[1], of);
    }
  }

  /** @param place the file where it was registered, by the runtime's word */
  #failureOf(listed: string | null, place: string): Failure {
    if (listed === null) return { name: null, file: this.#uncaughtIn.shift() ?? place };
    const among = AMONG_OTHERS.exec(listed);
    if (among === null) return { name: listed, file: this.#files.get(listed) ?? place };
    const name = listed.slice(among[0].length);
    return { name: name === MODULE_LOADS ? null : name, file: among[1] };
  }

  /** Those that the runtime lists at its end; none for a run that was cut short. */
  get failures(): readonly Failure[] {
    return this.#failures;
  }

  /** The test that had begun when the last line came, if nothing more was said of it: in a run cut short, it hung. */
  get begun(): string | null {
    return this.#begun;
  }

  /** The test that hung, in a run cut short. */
  get unfinished(): Failure | null {
    if (this.#begun === null) return null;
    const listed = this.#begun.replace(/ \.\.\.$/, "");
    return this.#failureOf(listed, this.#file ?? "");
  }

  /**
   * The counts, once it has ended. One that failed has at least one failed test: it may have ended before it could
   * say so.
   */
  counts({ success }: { success: boolean }): Counts {
    const counts = this.#counts ?? NO_TESTS;
    return success ? counts : { ...counts, failed: Math.max(1, counts.failed) };
  }

  /** The files that have tests which were left out for this reason. */
  filesLeftOut(reason: string): string[] {
    return [...this.#filesByReason.get(reason) ?? []];
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
