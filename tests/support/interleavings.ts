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

/** Thrown where a thread's turn ends: no `Error`, as hundreds of thousands would each keep a stack. */
const TURN_OVER = Symbol("turn over");

interface Thread<Result> {
  readonly run: () => Result;
  readonly returned: unknown[];
  result: { readonly value: Result } | null;
}

/** Runs all orders. Returns how many there were. */
export function everyInterleaving<Result>(make: () => Threads<Result>): number {
  using watched = new WatchedOperations();
  // The thread that goes on at each step, and how many others could have.
  let choices: number[] = [];
  for (let count = 1;; count++) {
    const alternatives = runOnce(make(), choices, watched);
    let last = choices.length - 1;
    while (last >= 0 && choices[last]! + 1 >= alternatives[last]!) last--;
    if (last < 0) return count;
    choices = choices.slice(0, last + 1);
    choices[last]!++;
  }
}

/** Makes the choices, and the first one from then on, which it adds. Returns how many there were at each step. */
function runOnce<Result>(
  { threads, check }: Threads<Result>,
  choices: number[],
  watched: WatchedOperations,
): number[] {
  const all: Thread<Result>[] = threads.map((run) => ({ run, returned: [], result: null }));
  const alternatives: number[] = [];
  for (let step = 0;; step++) {
    const ready = all.filter(({ result }) => result === null);
    if (ready.length === 0) break;
    choices[step] ??= 0;
    alternatives.push(ready.length);
    takeStep(ready[choices[step]!]!, watched);
  }
  check(all.map(({ result }) => result!.value));
  return alternatives;
}

/** Lets a thread do one more step. */
function takeStep<Result>(thread: Thread<Result>, watched: WatchedOperations): void {
  watched.begin(thread.returned);
  try {
    thread.result = { value: thread.run() };
  } catch (error) {
    if (error !== TURN_OVER) throw error;
  } finally {
    watched.end();
  }
}

/** The operations on shared memory, as threads have them during a turn; they are the runtime's own between turns. */
class WatchedOperations implements Disposable {
  readonly #originals = OPERATIONS.map(({ of, name }) => Reflect.get(of, name));
  /** What the operations of the thread whose turn it is have returned so far; null between turns. */
  #returned: unknown[] | null = null;
  #position = 0;
  #hasStepped = false;
  #hasTold = false;

  constructor() {
    const operate = this.#operate.bind(this);
    OPERATIONS.forEach((operation, i) => {
      const original = this.#originals[i];
      Reflect.set(operation.of, operation.name, function (this: unknown, ...given: unknown[]) {
        return operate(operation, () => original.apply(this, given));
      });
    });
  }

  begin(returned: unknown[]): void {
    this.#returned = returned;
    this.#position = 0;
    this.#hasStepped = this.#hasTold = false;
  }

  end(): void {
    this.#returned = null;
  }

  #operate({ isAtomic, isWrite }: Operation, operate: () => unknown): unknown {
    const returned = this.#returned;
    if (returned === null) return operate();
    if (this.#position === returned.length) {
      const isStep = isAtomic || (isWrite && this.#hasTold);
      if (isStep && this.#hasStepped) throw TURN_OVER;
      this.#hasStepped ||= isStep;
      this.#hasTold ||= isAtomic && isWrite;
      returned.push(operate());
    }
    return returned[this.#position++];
  }

  [Symbol.dispose](): void {
    OPERATIONS.forEach(({ of, name }, i) => Reflect.set(of, name, this.#originals[i]));
  }
}
