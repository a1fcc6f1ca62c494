/**
 * Back end news: tells people, by the log and by events, what becomes of back ends: of each a few changes at once, and
 * one a minute after that. A client that is one may come and go every few seconds, and there is room for so many events
 * of all: they are not to give way to those of one. What is left out is told as soon as that may be, if it lasts.
 */
import type { BackEndState } from "../../core/peers/service_status.ts";
import { guarded } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";

/** Changes of a back end that are told at once, and ms until there may be one more. */
const BURST = 10;
const PAUSE = 60_000;

/** A back end, as it is now. */
export interface BackEndNow {
  readonly key: string;
  readonly name: string;
  readonly state: BackEndState;
  /** Why; null where there is nothing to say. */
  readonly reason: string | null;
}

export interface BackEndNewsOptions {
  readonly logger: Logger;
  readonly record: (kind: string, detail: string) => void;
  /** Is called when what was left out may be told. */
  readonly onDue: () => void;
}

export class BackEndNews implements Disposable {
  readonly #options: BackEndNewsOptions;
  /** As they were told last, by their keys. */
  readonly #told = new Map<string, BackEndState>();
  /** Changes that have been told of, less one a minute; none where there are none. */
  readonly #counts = new Map<string, number>();
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(options: BackEndNewsOptions) {
    this.#options = options;
  }

  /** Tells what has changed of a back end. Returns whether there was anything. */
  tell(service: string, { key, name, state, reason }: BackEndNow): boolean {
    const told = this.#told.get(key) ?? null;
    const count = this.#counts.get(key) ?? 0;
    if (state === told || count >= BURST) return false;
    this.#told.set(key, state);
    // Those that are there from the start need no line.
    if (told === null && (state === "up" || state === "unchecked")) return false;
    this.#counts.set(key, count + 1);
    this.#timer ??= setTimeout(
      guarded("server", "telling of back ends", () => this.#pass()),
      PAUSE,
    );
    const { logger, record } = this.#options;
    const values = { service, backEnd: name, state, reason };
    if (reason === null) logger.info("service {service}: {backEnd} is {state}", values);
    else logger.warn("service {service}: {backEnd} is {state}: {reason}", values);
    const why = reason === null ? "" : `: ${reason}`;
    record(`back-end-${state}`, `${service} ${name}${why}`);
    return true;
  }

  #pass(): void {
    this.#timer = undefined;
    for (const [key, count] of this.#counts) {
      if (count === 1) this.#counts.delete(key);
      else this.#counts.set(key, count - 1);
    }
    if (this.#counts.size > 0) {
      this.#timer = setTimeout(
        guarded("server", "telling of back ends", () => this.#pass()),
        PAUSE,
      );
    }
    this.#options.onDue();
  }

  /** There are these and no others. */
  bound(keys: ReadonlySet<string>): void {
    for (const known of [this.#told, this.#counts]) {
      for (const key of known.keys()) if (!keys.has(key)) known.delete(key);
    }
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
  }
}
