/**
 * Shared external: has the packet workers follow the gateway to another interface outside, all of them or none.
 *
 * The kernel numbers the sockets of a fanout group in the order in which they join, and by these numbers the steering
 * program gives each worker what comes for its ports. A worker that could not open its socket, as the interface has
 * gone down again meanwhile, leaves the others with wrong numbers, and a second group beside theirs where it was the
 * first. So then all give it up, and all try again.
 */
import type { ExternalLink } from "../../core/nat/external_link.ts";
import type { HostAddress } from "../../core/wire/host_address.ts";
import { guarded } from "../../process/guard.ts";

/** ms until an interface that a worker could not open is tried again. */
export const RETRY_PAUSE = 1_000;

/** A packet worker, as far as it follows the interface outside of one family. */
export interface ExternalFollower {
  /**
   * @param group of the workers before this one; null for none
   * @returns the group that those behind it are to join, and whether it has opened the interface
   */
  setExternal(
    external: ExternalLink<HostAddress> | null,
    group: number | null,
  ): Promise<{ readonly group: number | null; readonly isOpen: boolean }>;
}

export class SharedExternal implements Disposable {
  readonly #workers: readonly ExternalFollower[];
  /** What the workers are told, one after the other. */
  #last: Promise<unknown> = Promise.resolve();
  #timer: ReturnType<typeof setTimeout> | undefined;
  /** What `set()` was called with last: what is older is not tried again. */
  #wanted: ExternalLink<HostAddress> | null = null;
  #isClosed = false;

  /** @param workers in the order of their sockets; more may be added before the first `set()` */
  constructor(workers: readonly ExternalFollower[]) {
    this.#workers = workers;
  }

  /**
   * Has all of them follow; null while there is no interface outside.
   *
   * @returns resolves when they have; rejects where one has ended
   */
  set(external: ExternalLink<HostAddress> | null): Promise<void> {
    clearTimeout(this.#timer);
    this.#wanted = external;
    const done = this.#last.then(() => this.#follow(external));
    this.#last = done.catch(() => {});
    return done;
  }

  /** Tries nothing any more. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    clearTimeout(this.#timer);
  }

  async #follow(external: ExternalLink<HostAddress> | null): Promise<void> {
    if (await this.#tell(external) || external === null) return;
    await this.#tell(null);
    if (this.#isClosed || this.#wanted !== external) return;
    const again = guarded(
      "dataplane",
      "trying the interface outside again",
      () => this.set(external),
    );
    this.#timer = setTimeout(again, RETRY_PAUSE);
  }

  /** @returns whether all have opened it */
  async #tell(external: ExternalLink<HostAddress> | null): Promise<boolean> {
    let group: number | null = null;
    let areOpen = true;
    for (const worker of this.#workers) {
      const answer = await worker.setExternal(external, group);
      group = answer.group;
      areOpen &&= answer.isOpen;
    }
    return areOpen;
  }
}
