/**
 * Flow log: keeps, where `FlowLog = on` asks for it, which flows there were in the tunnel: when, whose, between which
 * addresses and ports, and how many bytes; never what was in them. The data plane counts them only as long as it is on.
 */
import { type FlowLine, flowLines } from "../../core/flows/flow_lines.ts";
import { formatAddress, type HostAddress } from "../../core/wire/host_address.ts";
import type { DataPlaneHandle } from "../../dataplane/data_plane_handle.ts";
import { type ClientFlow, FLOWS } from "../../host/accounts/record_kinds.ts";
import { guarded } from "../../process/guard.ts";
import { getLogger, type Logger } from "../../process/logging.ts";
import { ClientDirectory } from "../dns_proxy/clients.ts";
import type { PeerNetworks } from "../dns_proxy/followed_peers.ts";
import { RecordLog } from "./record_log.ts";

/** ms between two looks at what has ended. */
const INTERVAL = 1_000;
/** ms in which flows of a peer that is gone end. */
const GONE_TIME = 120_000;
/** ms between two lines of the log about what there was no room for. */
const LOST_PAUSE = 60_000;

export interface FlowLogOptions {
  readonly path: string;
  readonly dataPlane: Pick<DataPlaneHandle, "setFlowLog" | "flows">;
  /** By their keys, as they are now: another map when they have changed. */
  readonly peers: () => ReadonlyMap<string, PeerNetworks>;
  /** The wall clock, Unix ms. */
  readonly now: () => number;
  readonly logger?: Pick<Logger, "info" | "warn">;
}

export class FlowLog implements AsyncDisposable {
  readonly #options: FlowLogOptions;
  readonly #logger: Pick<Logger, "info" | "warn">;
  readonly #log: RecordLog<ClientFlow>;
  readonly #directory: ClientDirectory = new ClientDirectory(() => this.#peers);
  /** The peers as they were at the last look, with those that were removed not long ago. */
  #peers: ReadonlyMap<string, PeerNetworks> = new Map();
  #current: ReadonlyMap<string, PeerNetworks> = this.#peers;
  /** Until when those are remembered, monotonic ms. */
  readonly #gone = new Map<string, { readonly peer: PeerNetworks; readonly until: number }>();
  #timer: ReturnType<typeof setInterval> | undefined;
  #isAsking = false;
  /** Flows that are told as lost by the next line, and when the last one was. */
  #lost = 0;
  #lostAt = -Infinity;

  constructor(options: FlowLogOptions) {
    const { path, now, logger } = this.#options = options;
    this.#logger = logger ?? getLogger("control");
    this.#log = new RecordLog({
      kind: FLOWS,
      what: "the flows of clients",
      path,
      now,
      category: "control",
      logger: this.#logger,
    });
  }

  /** Keeps flows from now on; or none, and removes those that there are. */
  async turn(isOn: boolean): Promise<void> {
    const { dataPlane } = this.#options;
    clearInterval(this.#timer);
    if (isOn || this.#log.isOn) dataPlane.setFlowLog(isOn);
    await this.#log.turn(isOn);
    if (!isOn) return;
    clearInterval(this.#timer);
    this.#timer = setInterval(guarded("control", "keeping flows", () => this.#look()), INTERVAL);
  }

  async #look(): Promise<void> {
    // One that is busy is not asked again meanwhile.
    if (this.#isAsking) return;
    this.#isAsking = true;
    try {
      await this.#take(false);
    } finally {
      this.#isAsking = false;
    }
  }

  async #take(isLast: boolean): Promise<void> {
    const batches = await this.#options.dataPlane.flows(isLast);
    this.#followPeers();
    await this.#directory.settled();
    for (const batch of batches) {
      for (const line of flowLines(batch)) this.#log.add(this.#named(line));
      this.#lost += batch.lost;
    }
    const now = performance.now();
    if (this.#lost === 0 || now - this.#lostAt < LOST_PAUSE) return;
    this.#logger.warn(
      "{lost} flows of clients are not in the log of them: more ended at once than there is room for",
      { lost: this.#lost },
    );
    this.#lost = 0;
    this.#lostAt = now;
  }

  /** What a peer did until it was removed is its own, though it is told of later. */
  #followPeers(): void {
    const peers = this.#options.peers();
    if (peers === this.#current) return;
    const now = performance.now();
    for (const [key, { until }] of this.#gone) {
      if (now >= until || peers.has(key)) this.#gone.delete(key);
    }
    for (const [key, peer] of this.#current) {
      if (!peers.has(key)) this.#gone.set(key, { peer, until: now + GONE_TIME });
    }
    this.#current = peers;
    // Of two with one network the last has it: the one that is there.
    const gone = Array.from(this.#gone, ([key, { peer }]) => [key, peer] as const);
    this.#peers = new Map([...gone, ...peers]);
  }

  #named({ ended, source, destination, ...figures }: FlowLine): ClientFlow {
    const from = this.#peerAt(source);
    const to = this.#peerAt(destination);
    return {
      ...figures,
      time: ended,
      client: from ?? to ?? formatAddress(source),
      name: this.#nameOf(from ?? to),
      source: formatAddress(source),
      destination: formatAddress(destination),
      toClient: from === null ? null : to,
      toName: from === null ? null : this.#nameOf(to),
    };
  }

  /** The public key of the peer that has an address; null for none. */
  #peerAt(address: HostAddress): string | null {
    const found = this.#directory.at(address);
    return found === address ? null : String(found);
  }

  #nameOf(key: string | null): string | null {
    return key === null ? null : this.#peers.get(key)?.name ?? null;
  }

  /** Writes what there is, with the flows that go on, and ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    // One that has died has nothing, and is what the end comes of.
    if (this.#log.isOn) await this.#take(true).catch(() => {});
    await this.#log[Symbol.asyncDispose]();
  }
}
