/**
 * Query log: keeps, where `DnsQueryLog = on` asks for it, which names clients have asked for. It is off by default, and
 * where it is off what was kept before is removed. Writes come in batches; what cannot be written is bounded.
 */
import { fairCut } from "../../core/limits/fair_cut.ts";
import { type ClientQuery, QueryFile } from "../../host/accounts/query_file.ts";
import { guarded } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";

/** ms between writes. */
const INTERVAL = 500;
/** ms of the wall clock between looks for what is too old. */
const FORGET_PAUSE = 600_000;
/** Writes until a file that could not be used is tried again. */
const TICKS_TO_OPEN = 120;
/** Queries that are kept in memory while they cannot be written; and how many more, until it is decided whose go. */
const KEPT = 10_000;
const MORE = 1_000;

export interface QueryLogOptions {
  readonly path: string;
  /** The wall clock, Unix ms. */
  readonly now: () => number;
  readonly logger: Logger;
}

export class QueryLog implements AsyncDisposable {
  readonly #options: QueryLogOptions;
  #isOn = false;
  /** Null where it is off, and while the file cannot be used. */
  #file: QueryFile | null = null;
  #pending: ClientQuery[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;
  #ticks = 0;
  /** When what is too old was last looked for, Unix ms. */
  #forgotAt = 0;
  /** Whether the last attempt failed, which is said once. */
  #hasFailed = false;
  /** The end of the last change: each waits for the one before. */
  #changed: Promise<void> = Promise.resolve();

  constructor(options: QueryLogOptions) {
    this.#options = options;
  }

  /** Whether queries are to be told. */
  get isOn(): boolean {
    return this.#isOn;
  }

  /** Keeps queries from now on; or none, and removes those that there are. */
  turn(isOn: boolean): Promise<void> {
    return this.#changed = this.#changed.then(() => isOn ? this.#begin() : this.#end());
  }

  /** Takes note of a query. */
  add(query: Omit<ClientQuery, "time">): void {
    if (!this.#isOn) return;
    this.#pending.push({ ...query, time: this.#options.now() });
    if (this.#pending.length > KEPT + MORE) this.#forgetPending();
  }

  /** The clients with the most lose their oldest ones, as in the file. */
  #forgetPending(): void {
    const counts = new Map<string, number>();
    for (const { client } of this.#pending) counts.set(client, (counts.get(client) ?? 0) + 1);
    const cut = fairCut(counts, this.#pending.length - KEPT);
    this.#pending = this.#pending.filter(({ client }) => {
      const part = cut.get(client) ?? 0;
      if (part > 0) cut.set(client, part - 1);
      return part === 0;
    });
  }

  async #begin(): Promise<void> {
    if (this.#isOn) return;
    this.#isOn = true;
    this.#ticks = 0;
    this.#timer = setInterval(guarded("dns", "keeping queries", () => this.#tick()), INTERVAL);
    await this.#open();
    const { logger, path } = this.#options;
    logger.info("the names that clients ask for are kept in {path} for 7 days", { path });
  }

  #end(): void {
    this.#isOn = false;
    this.#pending = [];
    this.#close();
    const { path, logger } = this.#options;
    try {
      QueryFile.remove(path);
    } catch (error) {
      logger.warn("cannot remove the names that clients have asked for, {path}: {reason}", {
        path,
        reason: reasonOf(error),
      });
    }
  }

  async #open(): Promise<void> {
    try {
      this.#file = await QueryFile.open(this.#options.path);
      this.#forgetOld(this.#file);
    } catch (error) {
      this.#failed(error);
    }
  }

  #tick(): void {
    this.#ticks++;
    if (this.#file !== null) {
      this.#write(this.#file);
    } else if (this.#ticks % TICKS_TO_OPEN === 0) {
      this.#changed = this.#changed.then(async () => {
        if (this.#isOn && this.#file === null) await this.#open();
      });
    }
  }

  #write(file: QueryFile): void {
    try {
      // The clock may have been set, to either side.
      if (Math.abs(this.#options.now() - this.#forgotAt) >= FORGET_PAUSE) this.#forgetOld(file);
      if (this.#pending.length === 0) return;
      file.add(this.#pending);
    } catch (error) {
      return this.#failed(error);
    }
    this.#pending = [];
    if (this.#hasFailed) {
      const { logger, path } = this.#options;
      logger.info("queries are written to {path} again", { path });
    }
    this.#hasFailed = false;
  }

  #forgetOld(file: QueryFile): void {
    this.#forgotAt = this.#options.now();
    file.forgetOld(this.#forgotAt);
  }

  #failed(error: unknown): void {
    if (!this.#hasFailed) {
      const { path, logger } = this.#options;
      logger.warn(
        "cannot keep in {path} what clients ask for: {reason}: some {kept} queries are kept in memory, and written when that is possible",
        { path, reason: reasonOf(error), kept: KEPT },
      );
    }
    this.#hasFailed = true;
  }

  #close(): void {
    clearInterval(this.#timer);
    this.#file?.[Symbol.dispose]();
    this.#file = null;
  }

  /** Writes what there is, and ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#changed;
    if (this.#file !== null) this.#write(this.#file);
    this.#isOn = false;
    this.#close();
  }
}

function reasonOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
