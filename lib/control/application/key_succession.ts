/**
 * Key succession: has the configuration follow where the key that a peer was given has taken the place of the one it
 * had, in the data plane or as its time has come. As long as that cannot be written, it is tried again.
 */
import { encodeKey } from "../../core/config/values/key_text.ts";
import { isKeyDue } from "../../core/peers/key_succession.ts";
import { errorMessage } from "../../process/errors.ts";
import { background, guarded } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";
import type { PeerApplication } from "./peer_application.ts";
import { ExpiryWatch } from "../expiry_watch.ts";
import type { LivePeer } from "../live_peers.ts";

/** ms until a change that could not be written is tried again. */
const RETRY = 60_000;

export interface KeySuccessionOptions {
  readonly application: Pick<PeerApplication, "succeed">;
  /** The wall clock, Unix ms. */
  readonly now: () => number;
  readonly logger: Logger;
}

export class KeySuccession implements Disposable {
  readonly #options: KeySuccessionOptions;
  readonly #watch: ExpiryWatch;
  /** Keys that have taken over in the data plane, and that the configuration may not have yet. */
  readonly #used = new Set<string>();
  #retry: ReturnType<typeof setTimeout> | undefined;
  #isTold = false;
  #isEnded = false;

  constructor(options: KeySuccessionOptions) {
    this.#options = options;
    this.#watch = new ExpiryWatch({ now: options.now, onTurn: () => this.look() });
  }

  /** These are the peers from now on. */
  follow(peers: Iterable<Pick<LivePeer, "nextKey">>): void {
    const moments = Array.from(peers).flatMap(({ nextKey }) => nextKey?.since ?? []);
    this.#watch.watch(moments, this.#options.now());
  }

  /** A key has taken the place of its peer's in the data plane. */
  used(publicKey: Uint8Array): void {
    this.#used.add(encodeKey(publicKey));
    this.look();
  }

  /** Has the configuration follow. */
  look(): void {
    background("control", "replacing the keys of peers", this.#look());
  }

  async #look(): Promise<void> {
    const { application, now, logger } = this.#options;
    clearTimeout(this.#retry);
    if (this.#isEnded) return;
    const used = new Set(this.#used);
    let isAnyInEffect = used.size > 0;
    try {
      await application.succeed((peer, next) => {
        const isInEffect = used.has(next) || isKeyDue(peer, now());
        isAnyInEffect ||= isInEffect;
        return isInEffect;
      }, "its next key");
      for (const key of used) this.#used.delete(key);
      this.#isTold = false;
    } catch (error) {
      const reason = errorMessage(error);
      // What cannot even be read, as a configuration by a pipe, is no news at each start.
      if (isAnyInEffect && !this.#isTold) {
        logger.warn(
          "a peer's next key is in effect, and the configuration does not say so: {reason}: this is tried again",
          { reason },
        );
      }
      this.#isTold ||= isAnyInEffect;
      if (this.#isEnded) return;
      this.#retry = setTimeout(
        guarded("control", "replacing the keys of peers", () => this.look()),
        RETRY,
      );
    }
  }

  [Symbol.dispose](): void {
    this.#isEnded = true;
    clearTimeout(this.#retry);
    this.#watch[Symbol.dispose]();
  }
}
