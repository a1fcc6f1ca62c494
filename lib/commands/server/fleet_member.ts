/**
 * Fleet member: a gateway's part in a fleet, whose peers are in a store that others have as well. It goes on without
 * the store, from what it knows, and from what it has kept of that at its start; for too long, and it lets nobody new
 * in: who was cut off meanwhile must not come back.
 */
import type { Config, ServerConfig } from "../../core/config/config.ts";
import { decodeKey, encodeKey } from "../../core/config/values/key_text.ts";
import { settledGroup, settledPeer } from "../../core/peers/peer_settings.ts";
import type { StoredPeers } from "../../core/peers/peer_store.ts";
import { liveGateway } from "../../control/application/live_gateway.ts";
import { StoreFollower } from "../../control/fleet/store_follower.ts";
import { type LivePeers } from "../../control/live_peers.ts";
import type { StoreStatus } from "../../control/fleet/store_status.ts";
import type { DataPlaneHandle } from "../../dataplane/data_plane_handle.ts";
import { openStore } from "../../host/fleet/open_store.ts";
import type { SharedPeerStore } from "../../host/fleet/shared_peer_store.ts";
import { StoreFile } from "../../host/fleet/store_file.ts";
import { guarded } from "../../process/guard.ts";
import { getLogger } from "../../process/logging.ts";
import { storePath } from "../../process/state_directory.ts";

/** ms that a start waits for the store before it begins with what is kept. */
const START_TIMEOUT = 4_000;
/** ms between looks at how long the store has been away; and between notes on the disk that it has not. */
const LOOK_INTERVAL = 1_000;
const TOUCH_INTERVAL = 60_000;
/** ms until a change is on the disk: what comes meanwhile is written with it. */
const WRITE_PAUSE = 200;

export interface FleetMemberOptions {
  readonly config: ServerConfig;
  readonly configPath: string;
  readonly interfaceName: string;
  readonly netns: string | null | undefined;
}

export class FleetMember implements AsyncDisposable {
  /** The configuration with the peers and groups of the store. */
  readonly config: ServerConfig;
  readonly #options: FleetMemberOptions;
  readonly #logger = getLogger("control");
  readonly #store: SharedPeerStore;
  readonly #file: StoreFile;
  readonly #resources = new AsyncDisposableStack();
  readonly #start: StoredPeers;
  /** When the store was last heard from before this start, and this start, Unix and monotonic ms. */
  readonly #earlierContact: number | null;
  readonly #startedAt = performance.now();
  readonly #startTime = Date.now();
  #writeTimer: ReturnType<typeof setTimeout> | undefined;
  #touchedAt = 0;
  #admitsNew = true;
  #follower: StoreFollower | null = null;

  private constructor(
    options: FleetMemberOptions,
    { store, file, start, contact }: {
      readonly store: SharedPeerStore;
      readonly file: StoreFile;
      readonly start: StoredPeers;
      readonly contact: number | null;
    },
  ) {
    this.#options = options;
    this.#store = this.#resources.use(store);
    this.#file = file;
    this.#start = start;
    this.#earlierContact = contact;
    this.config = withPeers(options.config, start);
  }

  /**
   * Reads the peers, from the store or from what is kept of it.
   *
   * @returns null where the configuration has no store
   * @throws {AppError} where its files cannot be read
   */
  static async join(options: FleetMemberOptions): Promise<FleetMember | null> {
    const { config: { interface: section }, configPath, interfaceName, netns } = options;
    if (section.store.length === 0) return null;
    const logger = getLogger("control");
    const file = new StoreFile(storePath(interfaceName, netns));
    const read = file.read();
    const kept = read !== null && "peers" in read ? read : null;
    if (read !== null && "problem" in read) {
      logger.warn("{path} is not used: {problem}", { path: file.path, problem: read.problem });
    }
    const store = openStore({
      keys: section,
      configPath,
      kept: kept?.peers ?? null,
      logger,
      isUrgent: section.virtualAddress !== null,
    });
    await store.reached(START_TIMEOUT).catch(() => {});
    if (!store.state.isConnected) {
      logger.warn(
        kept === null
          ? "no peers are known until the store is reached: {problem}"
          : "starting with the peers of {time}: the store is not reached: {problem}",
        {
          problem: store.state.problem ?? "no answer",
          time: kept === null ? "" : new Date(kept.contact).toISOString(),
        },
      );
    }
    const start = withoutSelf(store.known ?? NOTHING, section.publicKey);
    return new FleetMember(options, { store, file, start, contact: kept?.contact ?? null });
  }

  get store(): SharedPeerStore {
    return this.#store;
  }

  /** The store and what runs, for the application. */
  get follower(): Pick<StoreFollower, "store" | "live"> {
    return this.#follower!;
  }

  /** Keeps what runs as the store has it, and says to the data plane who is let in. */
  follow(
    peers: LivePeers,
    dataPlane: Pick<DataPlaneHandle, "setAdmitsNew">,
    record: (detail: string) => void,
  ): void {
    const { publicKey } = this.#options.config.interface;
    const store = this.#store;
    this.#follower = this.#resources.use(
      new StoreFollower({
        store: {
          get known() {
            return store.known === null ? null : withoutSelf(store.known, publicKey);
          },
          get state() {
            return store.state;
          },
          snapshot: () => store.snapshot(),
          watch: (onChange) => store.watch(onChange),
          change: (make, accept) => store.change(make, accept),
        },
        live: liveGateway(peers, record),
        applied: this.#start,
        logger: this.#logger,
      }),
    );
    this.#resources.use(store.watch(() => this.#writeSoon()));
    if (store.state.isConnected) this.#writeSoon();
    const look = guarded("control", "looking after the store", () => this.#look(dataPlane));
    const timer = setInterval(look, LOOK_INTERVAL);
    this.#resources.defer(() => clearInterval(timer));
    this.#look(dataPlane);
  }

  /** How the store is reached. */
  get status(): Omit<StoreStatus, "virtualAddress"> {
    const { isConnected, server, replicas, problem, leftOut } = this.#store.state;
    const contact = this.#contact;
    return {
      servers: this.#options.config.interface.store,
      connected: isConnected,
      server,
      replicas,
      lastContact: contact === null ? null : new Date(contact).toISOString(),
      problem: isConnected ? null : problem ?? "no answer",
      revision: this.#store.known?.revision ?? null,
      leftOut,
      admitsNew: this.#admitsNew,
    };
  }

  /** What is lacking, in words: without the store for a while, nothing is. */
  get degraded(): readonly string[] {
    return this.#admitsNew ? [] : ["the store of the peers, for longer than StoreGrace"];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const isUnwritten = this.#writeTimer !== undefined;
    await this.#resources.disposeAsync();
    if (isUnwritten) this.#write();
  }

  /** Unix ms. */
  get #contact(): number | null {
    return this.#store.state.contact ?? this.#earlierContact;
  }

  /** ms that the store has been away; the wall clock counts for the time before this start alone. */
  #age(now: number): number {
    const { isConnected, contact } = this.#store.state;
    if (isConnected) return 0;
    const run = now - this.#startedAt;
    if (contact !== null) return Math.min(run, Math.max(0, Date.now() - contact));
    const earlier = this.#earlierContact;
    return run + (earlier === null ? 0 : Math.max(0, this.#startTime - earlier));
  }

  #look(dataPlane: Pick<DataPlaneHandle, "setAdmitsNew">): void {
    const { storeGrace } = this.#options.config.interface;
    const now = performance.now();
    const admitsNew = storeGrace === 0 || this.#age(now) <= storeGrace;
    if (admitsNew !== this.#admitsNew) {
      this.#admitsNew = admitsNew;
      dataPlane.setAdmitsNew(admitsNew);
      if (admitsNew) this.#logger.info("new sessions are admitted again: the store is reached");
      else {
        this.#logger.error(
          "no new sessions are admitted: the store has been away for longer than StoreGrace",
        );
      }
    }
    if (!this.#store.state.isConnected || now - this.#touchedAt < TOUCH_INTERVAL) return;
    this.#touchedAt = now;
    try {
      this.#file.touch(Date.now());
    } catch (error) {
      // It is not there yet.
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }

  #writeSoon(): void {
    this.#writeTimer ??= setTimeout(
      guarded("control", "keeping the peers of the store", () => this.#write()),
      WRITE_PAUSE,
    );
  }

  #write(): void {
    clearTimeout(this.#writeTimer);
    this.#writeTimer = undefined;
    const peers = this.#store.known;
    if (peers !== null) this.#file.write({ peers, contact: this.#contact ?? Date.now() });
  }
}

const NOTHING: StoredPeers = {
  peers: new Map(),
  groups: new Map(),
  revision: "",
  peerRevisions: new Map(),
  groupRevisions: new Map(),
};

/** A gateway is no peer of itself. */
function withoutSelf(stored: StoredPeers, publicKey: Uint8Array): StoredPeers {
  const key = encodeKey(publicKey);
  if (!stored.peers.has(key)) return stored;
  return { ...stored, peers: new Map(Array.from(stored.peers).filter(([each]) => each !== key)) };
}

/** A configuration as if its file had the peers. */
function withPeers(config: ServerConfig, { peers, groups }: StoredPeers): ServerConfig {
  return {
    ...config,
    peers: Array.from(peers, ([key, settings]) => ({
      ...settledPeer(decodeKey(key)!, settings),
      otherEndpoints: [],
      zonedEndpoint: null,
      line: 0,
    })),
    groups: Array.from(groups, ([name, settings]) => settledGroup(name, settings)),
  };
}

/** The same for one that runs: what is read again of the file has the peers that run. */
export function withLivePeers<Kind extends Config>(
  config: Kind,
  { peers, groups }: Pick<LivePeers, "peers" | "groups">,
): Kind {
  return {
    ...config,
    peers: Array.from(peers.values(), (peer) => ({
      ...peer,
      endpoint: null,
      otherEndpoints: [],
      zonedEndpoint: null,
      line: 0,
    })),
    groups: groups ?? config.groups,
  };
}
