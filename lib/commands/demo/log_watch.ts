/** Log watch: waits for a line of a process's log. */

interface Awaited {
  readonly title: string;
  readonly pattern: RegExp;
  readonly resolve: (match: RegExpExecArray) => void;
}

export class LogWatch {
  readonly #awaited = new Set<Awaited>();

  /** Resolves when the process with this title logs a line that matches, from now on. */
  logged(title: string, pattern: RegExp): Promise<RegExpExecArray> {
    const { promise, resolve } = Promise.withResolvers<RegExpExecArray>();
    this.#awaited.add({ title, pattern, resolve });
    return promise;
  }

  /** Takes a line. */
  note(title: string, line: string): void {
    for (const awaited of this.#awaited) {
      const match = awaited.title === title ? awaited.pattern.exec(line) : null;
      if (match === null) continue;
      this.#awaited.delete(awaited);
      awaited.resolve(match);
    }
  }
}
