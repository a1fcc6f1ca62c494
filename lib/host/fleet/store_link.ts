/**
 * Store link: keeps a connection to the store's bucket, reads all of it at each connection, and says how that is going.
 *
 * A connection that is up may bring nothing: the node that feeds this reader has failed, say. So the last change is
 * asked for each second; one that does not come by itself, or no answer, is the end of the connection.
 */
import { COMMIT_KEY } from "../../core/fleet/store_entries.ts";
import type { StoreMirror } from "../../core/fleet/store_mirror.ts";
import { errorMessage } from "../../process/errors.ts";
import { background } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";
import type { StoreBucket } from "./store_bucket.ts";
import { limitedWait } from "./limited_wait.ts";

/** ms between attempts, from the first to the longest, and between looks. */
const PAUSES = { first: 250, longest: 10_000, probe: 1_000 };
/** Looks in a row at which something is missing. */
const PATIENCE = 3;

export interface StoreState {
  readonly isConnected: boolean;
  /** Which server answers; null while none does. */
  readonly server: string | null;
  /** On how many servers each entry is; null while none answers. */
  readonly replicas: number | null;
  /** When it last answered, Unix ms; null for never since the start. */
  readonly contact: number | null;
  /** ms since then; Infinity for never. */
  readonly silence: number;
  /** Why it is not connected; null while it is. */
  readonly problem: string | null;
  /** Entries that cannot be used. */
  readonly leftOut: number;
}

export interface StoreLinkOptions {
  readonly open: () => Promise<StoreBucket>;
  readonly logger: Logger;
  readonly pauses?: typeof PAUSES;
  readonly newMirror: () => StoreMirror;
  /** A new mirror has all that is in the bucket; it takes the place of the one before. */
  readonly onLoaded: (mirror: StoreMirror) => void;
  /** The mirror has moved. */
  readonly onMoved: () => void;
}

export class StoreLink implements AsyncDisposable {
  readonly #options: StoreLinkOptions;
  readonly #pauses: typeof PAUSES;
  #bucket: StoreBucket | null = null;
  #contact: number | null = null;
  /** The same, monotonic ms. */
  #heardAt = -Infinity;
  #problem: string | null = "it is not connected yet";
  #isEnded = false;
  readonly #end = Promise.withResolvers<void>();
  #connected = Promise.withResolvers<void>();
  readonly #work: Promise<void>;

  constructor(options: StoreLinkOptions) {
    this.#options = options;
    this.#pauses = options.pauses ?? PAUSES;
    this.#work = this.#run();
    background("control", "keeping the connection to the store", this.#work);
  }

  /** Null while there is none. */
  get bucket(): StoreBucket | null {
    return this.#bucket;
  }

  get state(): Omit<StoreState, "leftOut"> {
    const bucket = this.#bucket;
    return {
      isConnected: bucket !== null,
      server: bucket?.server ?? null,
      replicas: bucket?.replicas ?? null,
      contact: this.#contact,
      silence: performance.now() - this.#heardAt,
      problem: this.#problem,
    };
  }

  /** Whether the bucket has been read, within so many ms. */
  async connected(timeout: number): Promise<boolean> {
    await limitedWait(timeout, this.#connected.promise);
    return this.#bucket !== null;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#isEnded = true;
    this.#end.resolve();
    await this.#work.catch(() => {});
  }

  async #run(): Promise<void> {
    const { first, longest } = this.#pauses;
    let pause = first;
    while (!this.#isEnded) {
      let reason: string;
      try {
        await using bucket = await this.#options.open();
        reason = await this.#serve(bucket);
        pause = first;
      } catch (error) {
        reason = errorMessage(error);
      }
      this.#lost(reason);
      // Gateways that lost it together do not come back together.
      await limitedWait(pause * (0.5 + Math.random() / 2), this.#end.promise);
      pause = Math.min(2 * pause, longest);
    }
  }

  /** Reads the bucket, and follows it as long as it answers. */
  async #serve(bucket: StoreBucket): Promise<string> {
    const mirror = this.#options.newMirror();
    let isLoaded = false;
    await Promise.race([
      this.#end.promise,
      bucket.follow((entry) => {
        if (mirror.take(entry) && isLoaded && this.#bucket === bucket) this.#options.onMoved();
      }),
    ]);
    if (this.#isEnded) return "";
    mirror.loaded();
    isLoaded = true;
    if (this.#problem !== null) {
      this.#options.logger.info("the store is connected: {server}", { server: bucket.server });
    }
    this.#bucket = bucket;
    this.#problem = null;
    this.#heard();
    this.#options.onLoaded(mirror);
    this.#connected.resolve();
    return await Promise.race([
      bucket.closed,
      this.#end.promise.then(() => ""),
      this.#watch(bucket, mirror),
    ]);
  }

  /** @returns what is wrong */
  async #watch(bucket: StoreBucket, mirror: StoreMirror): Promise<string> {
    for (let misses = 0, reason = ""; misses < PATIENCE;) {
      await limitedWait(this.#pauses.probe, this.#end.promise);
      if (this.#isEnded || this.#bucket !== bucket) return reason;
      try {
        const known = mirror.commit?.revision ?? 0;
        const revision = await bucket.revisionOf(COMMIT_KEY);
        this.#heard();
        misses = revision > known && (mirror.commit?.revision ?? 0) === known ? misses + 1 : 0;
        reason = "a change has not come";
      } catch (error) {
        misses++;
        reason = errorMessage(error);
      }
      if (misses >= PATIENCE) return reason;
    }
    return "";
  }

  #heard(): void {
    this.#contact = Date.now();
    this.#heardAt = performance.now();
  }

  #lost(reason: string): void {
    if (this.#bucket !== null) this.#connected = Promise.withResolvers();
    this.#bucket = null;
    if (this.#isEnded || reason === this.#problem) return;
    this.#problem = reason;
    this.#options.logger.warn(
      "the store cannot be reached: {reason}: continuing with the peers as they are",
      { reason },
    );
  }
}
