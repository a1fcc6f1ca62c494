/**
 * Store follower: keeps what runs as the fleet's store has it, when that is changed here or at another gateway.
 *
 * A change that is made here is in effect before it is in the store, as with a file. One that does not get there, since
 * another was first, is undone by what the store has.
 */
import type { LiveGateway } from "../application/peer_application.ts";
import { RefusalError } from "../../core/config/refusal_error.ts";
import type {
  PeerStore,
  StoredPeers,
  StoreOutcome,
  StoreTable,
} from "../../core/peers/peer_store.ts";
import { errorMessage } from "../../process/errors.ts";
import { background } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";

/** Who has made a change at another gateway is known there. */
const BY_STORE = "the store";

export interface SharedStore extends PeerStore {
  readonly known: StoredPeers | null;
  readonly state: { readonly isConnected: boolean };
}

export interface StoreFollowerOptions {
  readonly store: SharedStore;
  readonly live: LiveGateway;
  /** What runs by now. */
  readonly applied: StoreTable;
  readonly logger: Logger;
}

export class StoreFollower implements Disposable {
  /** For the application: the store, by which changes come into effect in their order. */
  readonly store: PeerStore;
  readonly live: LiveGateway;

  readonly #options: StoreFollowerOptions;
  readonly #watch: Disposable;
  #applied: StoreTable;
  #last: Promise<unknown> = Promise.resolve();
  #isWaiting = false;
  /** Whether a change is asked whether it can be. */
  #isAccepting = false;
  /** Who has asked for the change that comes next. */
  #by = BY_STORE;

  constructor(options: StoreFollowerOptions) {
    const { store, live } = options;
    this.#options = options;
    this.#applied = options.applied;
    this.live = {
      peers: () => live.peers(),
      apply: (outcome, by) => this.#accept(outcome, by),
    };
    this.store = {
      snapshot: () => store.snapshot(),
      watch: (onChange) => store.watch(onChange),
      change: async (make, accept) => {
        try {
          return await store.change(make, async (outcome) => {
            this.#isAccepting = true;
            try {
              await accept?.(outcome);
            } finally {
              this.#isAccepting = false;
            }
          });
        } finally {
          await this.#follow();
          this.#by = BY_STORE;
        }
      },
    };
    this.#watch = store.watch(() => this.#notice());
    this.#notice();
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
  }

  /** Of several changes in a row the last is all. */
  #notice(): void {
    if (this.#isWaiting) return;
    this.#isWaiting = true;
    background("control", "following the store", this.#follow());
  }

  #follow(): Promise<void> {
    return this.#inTurn(async () => {
      this.#isWaiting = false;
      const { known } = this.#options.store;
      if (known !== null) await this.#apply(known, this.#by);
    });
  }

  /** A change that cannot be made in the store is none here either, a removal that comes first included. */
  async #accept({ after }: StoreOutcome, by: string): Promise<void> {
    if (this.#isAccepting) {
      await this.#inTurn(() => this.#change(this.#difference(after), by, after));
      return;
    }
    if (!this.#options.store.state.isConnected) {
      throw new RefusalError(
        "unavailable",
        "Cannot change the peers: the store cannot be reached: try again when it is back",
      );
    }
    this.#by = by;
  }

  #inTurn(work: () => Promise<void>): Promise<void> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => {});
    return done;
  }

  /** All that can be; a peer that cannot takes nobody's with it. */
  async #apply(after: StoreTable, by: string): Promise<void> {
    const difference = this.#difference(after);
    try {
      await this.#change(difference, by, after);
      return;
    } catch (error) {
      if (difference.before.peers.size + difference.after.peers.size < 2) {
        this.#tell(difference, error);
        return;
      }
    }
    const keys = new Set([...difference.before.peers.keys(), ...difference.after.peers.keys()]);
    const groups = {
      before: { ...difference.before, peers: NONE },
      after: { ...difference.after, peers: NONE },
    };
    const singles = Array.from(keys, (key): StoreOutcome => ({
      before: { groups: after.groups, peers: only(difference.before, key) },
      after: { groups: after.groups, peers: only(difference.after, key) },
    }));
    // Who goes makes room for who comes.
    const inOrder = [
      groups,
      ...singles.filter(({ after }) => after.peers.size === 0),
      ...singles.filter(({ after }) => after.peers.size > 0),
    ];
    for (const each of inOrder) {
      try {
        await this.#options.live.apply(each, by);
      } catch (error) {
        this.#tell(each, error);
      }
    }
    this.#applied = after;
  }

  #tell({ before, after }: StoreOutcome, error: unknown): void {
    this.#options.logger.error("store: {peers} cannot be followed: {reason}", {
      peers: [...new Set([...before.peers.keys(), ...after.peers.keys()])].join(", ") || "groups",
      reason: errorMessage(error),
    });
  }

  async #change(difference: StoreOutcome, by: string, after: StoreTable): Promise<void> {
    if (!isNothing(difference)) await this.#options.live.apply(difference, by);
    this.#applied = after;
  }

  /** The peers that differ, and all groups. */
  #difference(after: StoreTable): StoreOutcome {
    const before = this.#applied;
    const isOther = (key: string) => {
      const [one, other] = [before.peers.get(key), after.peers.get(key)];
      return one !== other && JSON.stringify(one) !== JSON.stringify(other);
    };
    const differing = (table: StoreTable): StoreTable => ({
      groups: table.groups,
      peers: new Map(Array.from(table.peers).filter(([key]) => isOther(key))),
    });
    return { before: differing(before), after: differing(after) };
  }
}

const NONE: StoreTable["peers"] = new Map();

function only({ peers }: StoreTable, key: string): StoreTable["peers"] {
  const settings = peers.get(key);
  return settings === undefined ? NONE : new Map([[key, settings]]);
}

function isNothing({ before, after }: StoreOutcome): boolean {
  if (before.peers.size + after.peers.size > 0) return false;
  return before.groups === after.groups ||
    JSON.stringify([...before.groups]) === JSON.stringify([...after.groups]);
}
