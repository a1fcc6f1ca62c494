/** Undoing: what a clean-up has undone, a line for each change, and what went wrong, which keeps no other from it. */
import { AppError, ExitCode, exitCodeOf } from "../process/errors.ts";
import { getLogger } from "../process/logging.ts";

export class Undoing {
  readonly lines: string[] = [];
  readonly #failures: unknown[] = [];

  /** That of the command: 0 only where nothing is left of what was to be undone. */
  get exitCode(): ExitCode {
    if (this.#failures.length === 0) return ExitCode.ok;
    const isDenied = this.#failures.every((error) => exitCodeOf(error) === ExitCode.privilege);
    return isDenied ? ExitCode.privilege : ExitCode.unexpected;
  }

  /** Takes note that something is left, of which the log tells already. */
  failed(error: unknown): void {
    this.#failures.push(error);
  }

  /**
   * Undoes one thing, or looks for what is to be undone.
   *
   * @param what it is, as in "cannot … : REASON: remedy"
   */
  attempt(what: string, remedy: string, call: () => void): void {
    try {
      call();
    } catch (error) {
      // Without the right to look, nothing can be undone.
      if (error instanceof AppError && error.exitCode === ExitCode.privilege) throw error;
      getLogger("cleanup").warn("cannot {what}: {error}: {remedy}", { what, error, remedy });
      this.failed(error);
    }
  }
}
