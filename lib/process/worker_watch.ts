/**
 * Watch over a worker thread: asks it from time to time whether it still runs. A thread that has died without a word,
 * or hangs, would else leave the tunnel dead and the host's changes in place until somebody looks.
 */
import type { LogCategory } from "../cli/command.ts";
import { guarded } from "./guard.ts";

/** ms between questions. */
const INTERVAL = 5_000;
/**
 * Intervals without an answer after which it counts as dead. They are counted, since this thread may be late itself.
 */
const LIMIT = 6;
/** The same until the first answer: a small or busy machine takes long to load what the thread runs. */
const START_LIMIT = 24;
/** ms that a thread has to end when it is told to. */
const END_LIMIT = 5_000;

export interface WorkerWatchOptions {
  readonly category: LogCategory;
  /** What the thread is called in messages. */
  readonly thread: string;
  /** Puts the question, which `answered()` is to follow. */
  readonly ask: () => void;
  /** Called once, with words for it, when the thread has been silent for too long. */
  readonly onSilence: (message: string) => void;
}

export class WorkerWatch implements Disposable {
  readonly #options: WorkerWatchOptions;
  readonly #timer: ReturnType<typeof setInterval>;
  #limit = START_LIMIT;
  /** Intervals since a question that has no answer; -1 where none is open. */
  #unanswered = -1;

  constructor(options: WorkerWatchOptions) {
    this.#options = options;
    this.#timer = setInterval(
      guarded(options.category, "watching a thread", () => this.#look()),
      INTERVAL,
    );
  }

  /** Takes note of an answer. */
  answered(): void {
    this.#unanswered = -1;
    this.#limit = LIMIT;
  }

  #look(): void {
    if (this.#unanswered < 0) {
      this.#unanswered = 0;
      this.#options.ask();
    } else if (++this.#unanswered === this.#limit) {
      this[Symbol.dispose]();
      const subject = this.#limit === LIMIT
        ? "it"
        : `Cannot start: the ${this.#options.thread} thread`;
      this.#options.onSilence(`${subject} has not answered for ${this.#limit * INTERVAL / 1000} s`);
    }
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
  }
}

/**
 * Waits until a thread has ended, well or not, but no longer than a person would: what it holds ends with the process.
 */
export async function endOf(ended: Promise<unknown>): Promise<void> {
  const { promise: late, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, END_LIMIT);
  try {
    await Promise.race([ended.catch(() => {}), late]);
  } finally {
    clearTimeout(timer);
  }
}

/** What a thread's failure means to the user; a system call that was refused says enough by itself. */
export function deathOf(
  thread: string,
  { message, errno }: { readonly message: string; readonly errno: number },
): { message: string; errno: number } {
  if (errno !== 0) return { message, errno };
  return { message: `Cannot continue: the ${thread} thread has died: ${message}`, errno };
}
