/**
 * Health checks: connects to each back end again and again by TCP, as this host does to any, and says who is there. A
 * dead back end is found within 2.75 s: a second until the next check, which may take 0.75 s, and then another one.
 */
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import { errorMessage } from "../../process/errors.ts";
import { background, guarded } from "../../process/guard.ts";
import { BackEndHealth } from "./back_end_health.ts";

/** ms in which a back end has to answer. */
const LIMIT = 750;

/** Where a check goes. */
export interface CheckTarget {
  /** Host order. */
  readonly address: number;
  readonly port: number;
}

/** Connects, and ends the connection; null where that went well, else why it did not. */
export type Connect = (target: CheckTarget, signal: AbortSignal) => Promise<string | null>;

export interface HealthChecksOptions {
  readonly connect: Connect;
  /** Whether a back end can be reached by now: that a check fails says nothing of it before. */
  readonly isReachable: (name: string) => boolean;
  /** Is told of a check that went well. */
  readonly onAnswer: (name: string) => void;
  /** Is told of one that is taken for something else now. */
  readonly onChange: (name: string) => void;
}

interface Subject {
  readonly target: CheckTarget;
  readonly health: BackEndHealth;
  readonly ended: AbortController;
  timer: ReturnType<typeof setTimeout> | undefined;
}

export class HealthChecks implements Disposable {
  readonly #options: HealthChecksOptions;
  readonly #subjects = new Map<string, Subject>();

  constructor(options: HealthChecksOptions) {
    this.#options = options;
  }

  /** What is known of one that is checked; null of any other. */
  healthOf(name: string): Pick<BackEndHealth, "isUp" | "problem"> | null {
    return this.#subjects.get(name)?.health ?? null;
  }

  /** Checks these from now on, by their names; of those that stay where they are, what is known is kept. */
  follow(targets: ReadonlyMap<string, CheckTarget>): void {
    for (const [name, subject] of this.#subjects) {
      const target = targets.get(name);
      if (target?.address === subject.target.address && target.port === subject.target.port) {
        continue;
      }
      end(subject);
      this.#subjects.delete(name);
    }
    for (const [name, target] of targets) {
      if (this.#subjects.has(name)) continue;
      const ended = new AbortController();
      const subject = { target, health: new BackEndHealth(), ended, timer: undefined };
      this.#subjects.set(name, subject);
      this.#schedule(name, subject, 0);
    }
  }

  #schedule(name: string, subject: Subject, pause: number): void {
    subject.timer = setTimeout(
      guarded("server", "checking a back end", () => {
        background("server", "checking a back end", this.#check(name, subject));
      }),
      pause,
    );
  }

  async #check(name: string, subject: Subject): Promise<void> {
    const { connect, isReachable, onAnswer, onChange } = this.#options;
    const isFair = isReachable(name);
    const problem = await withLimit(connect, subject);
    // Meanwhile it may have moved, or all have ended.
    if (subject.ended.signal.aborted) return;
    const hasChanged = (problem === null || isFair) && subject.health.take(problem);
    this.#schedule(name, subject, subject.health.pause);
    if (problem === null) onAnswer(name);
    if (hasChanged) onChange(name);
  }

  [Symbol.dispose](): void {
    for (const subject of this.#subjects.values()) end(subject);
    this.#subjects.clear();
  }
}

/** The check ends with its time, whatever it waits for. */
async function withLimit(connect: Connect, { target, ended }: Subject): Promise<string | null> {
  const over = new AbortController();
  const { promise: late, resolve } = Promise.withResolvers<string>();
  const timer = setTimeout(
    guarded("server", "ending a check of a back end", () => {
      resolve(`no answer within ${LIMIT} ms`);
      over.abort();
    }),
    LIMIT,
  );
  try {
    return await Promise.race([
      connect(target, AbortSignal.any([over.signal, ended.signal])),
      late,
    ]);
  } finally {
    clearTimeout(timer);
  }
}

function end(subject: Subject): void {
  clearTimeout(subject.timer);
  subject.ended.abort();
}

/** Connects by the host's own TCP. */
export async function connectTcp(
  { address, port }: CheckTarget,
  signal: AbortSignal,
): Promise<string | null> {
  try {
    const connection = await Deno.connect({ hostname: formatIpv4(address), port, signal });
    connection.close();
    return null;
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return "connection refused";
    return errorMessage(error).replace(/ \(os error \d+\)$/, "");
  }
}
