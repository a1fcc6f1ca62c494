/**
 * Interleavings: threads' code in every order that there is, one atomic operation at a time. It is the product's own
 * code: a thread is run from its start again for each step, with what its operations on shared memory have returned so
 * far, which are not done again, and stopped before the atomic one after the next.
 */

/** What there is in one run, which shares nothing with another. */
export interface Threads<Result> {
  /** Each makes what it has for itself, and returns what is to be judged. It may be run, in part, more than once. */
  readonly threads: readonly (() => Result)[];
  /** Judges what all have returned. */
  readonly check: (results: Result[]) => void;
}

interface Operation {
  readonly of: object;
  readonly name: string;
  readonly isAtomic: boolean;
  /** Whether it may change what is in the memory. */
  readonly isWrite: boolean;
}

const BYTES = Object.getPrototypeOf(Uint8Array.prototype);

/**
 * What is done to shared memory: an atomic operation is a step, and what follows until the next is part of it. But for
 * what is written once an atomic operation has told others of it: that is too late, and a step by itself.
 */
const OPERATIONS: readonly Operation[] = [
  { of: Atomics, name: "load", isAtomic: true, isWrite: false },
  ...["store", "add", "compareExchange"].map((name) => ({
    of: Atomics,
    name,
    isAtomic: true,
    isWrite: true,
  })),
  { of: DataView.prototype, name: "getInt32", isAtomic: false, isWrite: false },
  { of: DataView.prototype, name: "setInt32", isAtomic: false, isWrite: true },
  { of: BYTES, name: "slice", isAtomic: false, isWrite: false },
  { of: BYTES, name: "fill", isAtomic: false, isWrite: true },
];

/** Thrown where a thread's turn ends. */
class TurnOver extends Error {}

interface Thread<Result> {
  readonly run: () => Result;
  readonly returned: unknown[];
  result: { readonly value: Result } | null;
}

/** Runs all orders. Returns how many there were. */
export function everyInterleaving<Result>(make: () => Threads<Result>): number {
  // The thread that goes on at each step, and how many others could have.
  let choices: number[] = [];
  for (let count = 1;; count++) {
    const alternatives = runOnce(make(), choices);
    let last = choices.length - 1;
    while (last >= 0 && choices[last]! + 1 >= alternatives[last]!) last--;
    if (last < 0) return count;
    choices = choices.slice(0, last + 1);
    choices[last]!++;
  }
}

/** Makes the choices, and the first one from then on, which it adds. Returns how many there were at each step. */
function runOnce<Result>({ threads, check }: Threads<Result>, choices: number[]): number[] {
  const all: Thread<Result>[] = threads.map((run) => ({ run, returned: [], result: null }));
  const alternatives: number[] = [];
  for (let step = 0;; step++) {
    const ready = all.filter(({ result }) => result === null);
    if (ready.length === 0) break;
    choices[step] ??= 0;
    alternatives.push(ready.length);
    takeStep(ready[choices[step]!]!);
  }
  check(all.map(({ result }) => result!.value));
  return alternatives;
}

/** Lets a thread do one more step. */
function takeStep<Result>(thread: Thread<Result>): void {
  const { returned } = thread;
  let position = 0;
  let hasStepped = false;
  let hasTold = false;
  const originals = OPERATIONS.map(({ of, name }) => ({
    of,
    name,
    original: Reflect.get(of, name),
  }));
  OPERATIONS.forEach(({ of, name, isAtomic, isWrite }, i) => {
    const { original } = originals[i]!;
    Reflect.set(of, name, function (this: unknown, ...given: unknown[]): unknown {
      if (position === returned.length) {
        const isStep = isAtomic || (isWrite && hasTold);
        if (isStep && hasStepped) throw new TurnOver();
        hasStepped ||= isStep;
        hasTold ||= isAtomic && isWrite;
        returned.push(original.apply(this, given));
      }
      return returned[position++];
    });
  });
  try {
    thread.result = { value: thread.run() };
  } catch (error) {
    if (!(error instanceof TurnOver)) throw error;
  } finally {
    for (const { of, name, original } of originals) Reflect.set(of, name, original);
  }
}
