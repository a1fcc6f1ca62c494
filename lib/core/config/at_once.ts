/** Work in steps, done at once: where it is known to be little, or nobody else has to have his turn meanwhile. */

export function atOnce<Result>(work: Generator<unknown, Result>): Result {
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
  }
}
