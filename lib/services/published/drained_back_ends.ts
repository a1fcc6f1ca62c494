/** Drained back ends: which of them a person has taken out of service, by their keys, kept over restarts. */
import type { DrainedFile } from "../../host/accounts/drained_file.ts";
import { errorMessage } from "../../process/errors.ts";
import type { Logger } from "../../process/logging.ts";

export interface DrainedBackEndsOptions {
  readonly drained: Pick<DrainedFile, "read" | "write">;
  readonly logger: Logger;
}

export class DrainedBackEnds {
  readonly #options: DrainedBackEndsOptions;
  #keys: ReadonlySet<string>;

  /** @param drainable keys of those that may be drained; what else was kept is forgotten */
  constructor(options: DrainedBackEndsOptions, drainable: ReadonlySet<string>) {
    this.#options = options;
    this.#keys = drainable.intersection(new Set(options.drained.read()));
  }

  has(key: string): boolean {
    return this.#keys.has(key);
  }

  /** Only these may be drained from now on. */
  bound(drainable: ReadonlySet<string>): void {
    this.#set(this.#keys.intersection(drainable));
  }

  change(keys: ReadonlySet<string>, isDrained: boolean): void {
    this.#set(isDrained ? this.#keys.union(keys) : this.#keys.difference(keys));
  }

  #set(keys: ReadonlySet<string>): void {
    if (keys.symmetricDifference(this.#keys).size === 0) return;
    this.#keys = keys;
    const { drained, logger } = this.#options;
    try {
      drained.write(keys);
    } catch (error) {
      const reason = errorMessage(error);
      logger.warn("which back ends are drained is forgotten with a restart: {reason}", { reason });
    }
  }
}
