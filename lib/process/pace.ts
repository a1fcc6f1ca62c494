/**
 * Pace of long work on the main thread: it is done in slices of a few milliseconds, between which all others have their
 * turn. So no request, however many peers it is about, keeps anybody waiting for longer; and nor do many of them
 * together: one slice of one of them is done in a turn of the event loop.
 *
 * Work is a generator that yields often, where it may be interrupted; it knows of no time itself.
 */

import { guarded } from "./guard.ts";

/** ms of a slice; what is between two yields comes on top. */
const SLICE = 10;

export interface PaceOptions {
  /** Monotonic ms. */
  readonly now?: () => number;
  /** Resolves when all that waits has had its turn. */
  readonly rest?: () => Promise<void>;
}

/** Does work in slices; yields what is between two steps, which is nobody's. */
export async function paced<Result>(
  work: Generator<unknown, Result>,
  { now = () => performance.now(), rest = nextTurn }: PaceOptions = {},
): Promise<Result> {
  // Others are in the middle of their work.
  if (waiting.length > 0) await rest();
  let end = now() + SLICE;
  for (;;) {
    const step = work.next();
    if (step.done) return step.value;
    if (now() < end) continue;
    await rest();
    end = now() + SLICE;
  }
}

/** Characters of a chunk. */
const CHUNK = 32 * 1024;

/** Joins pieces of text to chunks that can be written one by one, in steps: megabytes at once take long to encode. */
export function* chunked(pieces: Iterable<string>): Generator<void, string[]> {
  const chunks: string[] = [];
  let text: string[] = [];
  let length = 0;
  for (const piece of pieces) {
    text.push(piece);
    length += piece.length;
    if (length >= CHUNK) {
      chunks.push(text.join(""));
      text = [];
      length = 0;
    }
    yield;
  }
  if (length > 0) chunks.push(text.join(""));
  return chunks;
}

/** Those whose work goes on in turns to come, one in each. */
const waiting: (() => void)[] = [];

/** Resolves when all that waits has had its turn: between parts of work that are not done in steps. */
export function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    waiting.push(resolve);
    if (waiting.length === 1) setTimeout(letNextGoOn, 0);
  });
}

const letNextGoOn = guarded("control", "going on with long work", () => {
  waiting.shift()?.();
  if (waiting.length > 0) setTimeout(letNextGoOn, 0);
});
