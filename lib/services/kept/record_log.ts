/**
 * Record log: keeps records of what clients do, where a key such as `DnsQueryLog` asks for it. Where that is off, what
 * was kept before is removed. Writes come in batches; what cannot be written is bounded.
 */
import { fairCut } from "../../core/limits/fair_cut.ts";
import {
  type ClientRecord,
  type ClientRecordKind,
  RecordFile,
} from "../../host/accounts/record_file.ts";
import { errorMessage } from "../../process/errors.ts";
import { guarded } from "../../process/guard.ts";
import { getLogger, type Logger } from "../../process/logging.ts";

/** ms between writes. */
const INTERVAL = 500;
/** ms of the wall clock between looks for what is too old. */
const FORGET_PAUSE = 600_000;
/** Writes until a file that could not be used is tried again. */
const TICKS_TO_OPEN = 120;
/** Records that are kept in memory while they cannot be written; and how many more, until it is decided whose go. */
const KEPT = 10_000;
const MORE = 1_000;

export interface RecordLogOptions<T extends ClientRecord> {
  readonly kind: ClientRecordKind<T>;
  /** What they are, for the log: "the names that clients ask for". */
  readonly what: string;
  readonly path: string;
  /** The wall clock, Unix ms. */
  readonly now: () => number;
  readonly category: "dns" | "control";
  /** Left out, that of the category. */
  readonly logger?: Pick<Logger, "info" | "warn">;
}

export class RecordLog<T extends ClientRecord> implements AsyncDisposable {
  readonly #options: RecordLogOptions<T>;
  readonly #logger: Pick<Logger, "info" | "warn">;
  #isOn = false;
  /** Null where it is off, and while the file cannot be used. */
  #file: RecordFile<T> | null = null;
  #pending: T[] = [];
  #timer: ReturnType<typeof setInterval> | undefined;
  #ticks = 0;
  /** When what is too old was last looked for, Unix ms. */
  #forgotAt = 0;
  /** Whether the last attempt failed, which is said once. */
  #hasFailed = false;
  /** The end of the last change: each waits for the one before. */
  #changed: Promise<void> = Promise.resolve();

  constructor(options: RecordLogOptions<T>) {
    this.#options = options;
    this.#logger = options.logger ?? getLogger(options.category);
  }

  /** Whether records are to be told. */
  get isOn(): boolean {
    return this.#isOn;
  }

  /** Keeps records from now on; or none, and removes those that there are. */
  turn(isOn: boolean): Promise<void> {
    return this.#changed = this.#changed.then(() => isOn ? this.#begin() : this.#end());
  }

  add(record: T): void {
    if (!this.#isOn) return;
    this.#pending.push(record);
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
    const { category, what, path } = this.#options;
    this.#isOn = true;
    this.#ticks = 0;
    this.#timer = setInterval(guarded(category, `keeping ${what}`, () => this.#tick()), INTERVAL);
    await this.#open();
    this.#logger.info("{what} are kept in {path} for 7 days", { what, path });
  }

  #end(): void {
    this.#isOn = false;
    this.#pending = [];
    this.#close();
    const { path, what } = this.#options;
    try {
      RecordFile.remove(path);
    } catch (error) {
      this.#logger.warn("cannot remove {path}, where {what} were kept: {reason}", {
        path,
        what,
        reason: errorMessage(error),
      });
    }
  }

  async #open(): Promise<void> {
    try {
      this.#file = await RecordFile.open(this.#options.path, this.#options.kind);
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

  #write(file: RecordFile<T>): void {
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
      const { what, path } = this.#options;
      this.#logger.info("{what} are written to {path} again", { what, path });
    }
    this.#hasFailed = false;
  }

  #forgetOld(file: RecordFile<T>): void {
    this.#forgotAt = this.#options.now();
    file.forgetOld(this.#forgotAt);
  }

  #failed(error: unknown): void {
    if (!this.#hasFailed) {
      const { what, path } = this.#options;
      this.#logger.warn(
        "cannot keep {what} in {path}: {reason}: some {kept} are kept in memory, and written when that is possible",
        { what, path, reason: errorMessage(error), kept: KEPT },
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
