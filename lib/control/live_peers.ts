/**
 * Live peers: the peers of a running tunnel, as the file had them and as they were changed since. It changes them in
 * the data plane and, on a gateway, with their routes; peers of a gateway that are disabled or have expired are in
 * neither.
 */
import type { Config, GroupConfig, PeerOutsideFile } from "../core/config/config.ts";
import { decodeKey, encodeKey } from "../core/config/values/key_text.ts";
import { MAX_PEERS } from "../core/limits/max_peers.ts";
import { formatCidr, type Ipv4Prefix } from "../core/wire/ipv4_text.ts";
import type { Ipv6PrefixText } from "../core/wire/ipv6_prefix.ts";
import type { DataPlaneHandle } from "../dataplane/data_plane_handle.ts";
import type { HostNetwork, InterfaceSettings } from "../host/network/host_network.ts";
import { background } from "../process/guard.ts";
import { getLogger } from "../process/logging.ts";
import { paced } from "../process/pace.ts";
import { admissionOf, type AdmissionState } from "../core/peers/admission.ts";
import { formatExpires } from "../core/config/values/expiry.ts";
import { ExpiryWatch } from "./expiry_watch.ts";
import type { TrialPacket, TrialResult } from "../core/peers/access_trial.ts";
import type { PeerChange } from "../core/peers/peer_change.ts";
import { planPeerRoutes } from "../host/network/route_plan.ts";
import { peerOptions } from "../core/peers/peer_options.ts";
import { changedPeers, type ChangeOf, keysOf } from "./changed_peers.ts";
import type { LiveAccess } from "./live_access.ts";
import { refuseHosts } from "./host_rules.ts";
import { RequestError } from "./protocol.ts";

/** A peer whose endpoint, if it has one, is an address. */
export type LivePeer = PeerOutsideFile;

/** A change that is asked for. */
export type LiveChange = ChangeOf<LivePeer>;

/** Beside the changes. */
export interface LiveChangeOptions {
  readonly groups?: readonly GroupConfig[];
  readonly by?: string;
}

/** Of either family. */
type Network = Ipv4Prefix | Ipv6PrefixText;

/** Networks of one peer; more would not fit a message to the data plane. */
const MAX_NETWORKS = 1000;
const ROUTES_AT_ONCE = 16;

/** What became of peers, each by its public key in base64. */
export interface PeersChange {
  /** What was asked for; nothing, where time has passed. */
  readonly changes: readonly LiveChange[];
  /** Who asked for it, as a person reads it; empty for nobody. */
  readonly by: string;
  /** All of them and those with access, before and after. */
  readonly before: PeersState;
  readonly after: PeersState;
}

interface PeersState {
  readonly peers: ReadonlyMap<string, LivePeer>;
  readonly admitted: ReadonlyMap<string, LivePeer>;
}

export interface LivePeersOptions {
  readonly role: "server" | "client";
  readonly config: Config;
  readonly dataPlane: Pick<DataPlaneHandle, "changePeers" | "changeAccess">;
  /** The rules of a gateway's peers; left out, there are none. */
  readonly access?: LiveAccess;
  readonly network: Pick<HostNetwork, "addRoutes" | "removeRoutes">;
  readonly settings: InterfaceSettings;
  /** The time, Unix ms, by which it was decided which of the peers the data plane begins with. */
  readonly startedAt: number;
  /** The wall clock, Unix ms. */
  readonly now: () => number;
  /** Is told of the peers that have access when they have changed, and of what became of whom. */
  readonly onPeersChange?:
    | ((peers: ReadonlyMap<string, LivePeer>, change: PeersChange) => void)
    | undefined;
}

export class LivePeers implements Disposable {
  readonly #options: LivePeersOptions;
  #peers: ReadonlyMap<string, LivePeer>;
  /** Those that the data plane has. */
  #admitted: ReadonlyMap<string, LivePeer>;
  readonly #expiries: ExpiryWatch;
  /** Changes are made one after the other, for all callers. */
  #last: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(options: LivePeersOptions) {
    this.#options = options;
    this.#peers = peersByKey(options.config.peers);
    this.#admitted = this.#admittedAt(options.startedAt, this.#peers);
    this.#expiries = new ExpiryWatch({ now: options.now, onTurn: () => this.#turn() });
    // What has expired since the data plane began is due now.
    this.#watchExpiries(options.startedAt);
  }

  /** All of them, by public key, in base64. */
  get peers(): ReadonlyMap<string, LivePeer> {
    return this.#peers;
  }

  /** The groups that there are by now; null at a client. */
  get groups(): readonly GroupConfig[] | null {
    return this.#options.access?.groups ?? null;
  }

  /** All of them, and whether each has access. */
  access(): (LivePeer & { readonly isAdmitted: boolean })[] {
    return Array.from(
      this.#peers,
      ([key, peer]) => ({ ...peer, isAdmitted: this.#admitted.has(key) }),
    );
  }

  /** Whether this peer of them is one of the data plane's, and if not, why. */
  admissionOf(key: string, peer: LivePeer): AdmissionState {
    if (this.#admitted.has(key)) return "admitted";
    return peer.isEnabled ? "expired" : "disabled";
  }

  /**
   * Makes changes, in this order, all or none of them; peers that they do not concern go on undisturbed. That a peer to
   * be removed is not there is no error.
   *
   * @param changes or what they are, given the peers that there are when it is their turn
   * @param options.groups those that there are from now on; as before, if left out
   * @param options.by who asks for it, as a person reads it
   * @throws {RequestError} for what cannot be, with nothing changed
   */
  change(
    changes:
      | readonly LiveChange[]
      | ((peers: ReadonlyMap<string, LivePeer>) => Generator<void, readonly LiveChange[]>),
    options: LiveChangeOptions = {},
  ): Promise<void> {
    const made = this.#last.then(async () => {
      const all = typeof changes === "function" ? await paced(changes(this.#peers)) : changes;
      await this.#make(all, options);
    });
    this.#last = made.catch(() => {});
    return made;
  }

  /** Changes nothing any more. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#expiries[Symbol.dispose]();
  }

  /** What an access rule of this number says, and where it stands. */
  ruleText(rule: number): string {
    return this.#options.access?.ruleText(rule) ?? "";
  }

  /** What access rules say of a packet of a peer that has access. */
  testAccess(packet: TrialPacket): TrialResult {
    const { access } = this.#options;
    if (access === undefined) {
      throw new RequestError("Cannot test access: a client has no access rules");
    }
    return access.test(packet, this.#admitted);
  }

  /** Has the data plane judge by the access rules as they are now. */
  followAccess(): Promise<void> {
    return this.change([]);
  }

  async #make(
    changes: readonly LiveChange[],
    { groups, by = "" }: LiveChangeOptions,
  ): Promise<void> {
    const peers = await paced(changedPeers(this.#peers, changes));
    this.#refuse(peers, changes);
    refuseHosts(this.#options.config, changes, groups);
    const now = this.#options.now();
    const admitted = this.#admittedAt(now, peers);
    const before = await paced(this.#routed(this.#admitted));
    const after = await paced(this.#routed(admitted));
    this.#requireOpen();
    for (const change of changes) {
      if (change.kind !== "put" || change.replaces === undefined) continue;
      this.#options.access?.rename(change.replaces, encodeKey(change.peer.publicKey));
    }
    const told = removalsFirst(this.#toDataPlane(changes, peers, admitted));
    await this.#tell(told, admitted, groups);
    const earlier = { peers: this.#peers, admitted: this.#admitted };
    this.#peers = peers;
    this.#admitted = admitted;
    this.#watchExpiries(now);
    this.#options.onPeersChange?.(admitted, {
      changes,
      by,
      before: earlier,
      after: { peers, admitted },
    });
    await paced(this.#followRoutes(before, after));
  }

  /** Rules before the peers that they are about, so that none of these is without for a moment; and the other way. */
  async #tell(
    changes: readonly PeerChange[],
    admitted: ReadonlyMap<string, LivePeer>,
    groups?: readonly GroupConfig[],
  ): Promise<void> {
    const { access, dataPlane } = this.#options;
    const update = access?.update(admitted, groups) ?? { before: [], after: [] };
    if (update.before.length > 0) await dataPlane.changeAccess(update.before);
    if (changes.length > 0) await dataPlane.changePeers(changes);
    if (update.after.length > 0) await dataPlane.changeAccess(update.after);
  }

  #admittedAt(
    now: number,
    peers: ReadonlyMap<string, LivePeer>,
  ): ReadonlyMap<string, LivePeer> {
    if (this.#options.role === "client") return peers;
    return new Map([...peers].filter(([, peer]) => admissionOf(peer, now) === "admitted"));
  }

  /** What changes, and the time, come to in the data plane, which has only some of the peers. */
  #toDataPlane(
    changes: readonly LiveChange[],
    peers: ReadonlyMap<string, LivePeer>,
    admitted: ReadonlyMap<string, LivePeer>,
  ): PeerChange[] {
    const known = this.#admitted;
    const told = changes.flatMap((change): PeerChange[] => {
      if (change.kind === "remove") return [change];
      const { peer: { publicKey }, replaces } = change;
      const key = encodeKey(publicKey);
      if (admitted.has(key)) {
        const isKnown = known.has(replaces ?? key) || known.has(key);
        return [this.#putOf(key, isKnown ? change.peer : peers.get(key)!)];
      }
      const earlier = replaces === undefined ? [] : [decodeKey(replaces)!];
      return [...earlier, publicKey].map((each) => ({ kind: "remove", publicKey: each }));
    });
    if (admitted.size === peers.size && known.size === this.#peers.size) return told;
    const named = new Set(changes.flatMap(keysOf));
    for (const [key, peer] of known) {
      if (named.has(key) || admitted.has(key)) continue;
      told.push({ kind: "remove", publicKey: peer.publicKey });
      tellTurn(key, peer, false);
    }
    for (const [key, peer] of admitted) {
      if (named.has(key) || known.get(key) === peer) continue;
      // A network that went to one without access is lost by being told so; where the peer is, it stays.
      told.push(this.#putOf(key, known.has(key) ? { ...peer, endpoint: null } : peer));
      if (!known.has(key)) tellTurn(key, peer, true);
    }
    return told;
  }

  #putOf(key: string, peer: LivePeer): PeerChange {
    const id = this.#options.access?.idOf(key) ?? 0;
    return { kind: "put", peer: peerOptions(peer, peer.endpoint?.address ?? null, id) };
  }

  #watchExpiries(now: number): void {
    if (this.#options.role === "client") return;
    const moments = [...this.#peers.values()].flatMap(({ expires }) => expires ?? []);
    this.#expiries.watch(moments, now);
  }

  /** The clock has moved past the end of somebody's access, or back before it. */
  #turn(): void {
    background("control", "following the expiry of peers", this.change([]));
  }

  /** What is made in slices may find the tunnel at its end. */
  #requireOpen(): void {
    if (this.#isClosed) throw new RequestError("Cannot change the peers: the tunnel is ending");
  }

  #refuse(peers: ReadonlyMap<string, LivePeer>, changes: readonly LiveChange[]): void {
    const { config } = this.#options;
    if (peers.size > MAX_PEERS) {
      throw new RequestError(
        `Cannot add the peer: there would be ${peers.size} peers, and ${MAX_PEERS} at most: remove one first`,
      );
    }
    if (peers.has(encodeKey(config.interface.publicKey))) {
      throw new RequestError("Cannot add the peer: its key is the key of this end");
    }
    for (const { nextKey } of peers.values()) {
      if (nextKey === null || !peers.has(encodeKey(nextKey.publicKey))) continue;
      throw new RequestError(
        "Cannot add the peer: its key is the one that another peer is to have",
      );
    }
    const given = new Set(changes.map((each) => each.kind === "put" ? each.peer.name : null));
    const names = new Set<string>();
    for (const { name, allowedIps, allowedIps6 } of peers.values()) {
      if (allowedIps.length + allowedIps6.length > MAX_NETWORKS) {
        throw new RequestError(`Cannot add the peer: it has more than ${MAX_NETWORKS} networks`);
      }
      if (name === null) continue;
      if (names.has(name) && given.has(name)) {
        throw new RequestError(`Cannot add the peer: another peer has the name ${name}`);
      }
      names.add(name);
    }
  }

  *#routed(
    peers: ReadonlyMap<string, LivePeer>,
  ): Generator<void, ReadonlyMap<string, Network>> {
    const { config, role } = this.#options;
    const routed = new Map<string, Network>();
    if (role === "client") return routed;
    for (const peer of peers.values()) {
      const { networks, networks6 } = planPeerRoutes({ ...config, peers: [peer] });
      for (const network of networks) routed.set(formatCidr(network), network);
      for (const network of networks6) routed.set(network, network);
      yield;
    }
    return routed;
  }

  /** A few routes at a time: each is a request to the kernel. */
  *#followRoutes(
    before: ReadonlyMap<string, Network>,
    after: ReadonlyMap<string, Network>,
  ): Generator<void, void> {
    const { network, settings, config } = this.#options;
    const { table } = planPeerRoutes({ ...config, peers: [] });
    const missing = [...after].filter(([text]) => !before.has(text));
    const left = [...before].filter(([text]) => !after.has(text));
    const parts = (all: readonly [string, Network][]) =>
      Array.from({ length: Math.ceil(all.length / ROUTES_AT_ONCE) }, (_, part) => {
        const these = all.slice(part * ROUTES_AT_ONCE, (part + 1) * ROUTES_AT_ONCE)
          .map(([, network]) => network);
        return {
          networks: these.filter((network) => typeof network === "object"),
          networks6: these.filter((network) => typeof network === "string"),
          table,
        };
      });
    for (const part of parts(missing)) {
      this.#requireOpen();
      network.addRoutes(settings, part);
      yield;
    }
    for (const part of parts(left)) {
      this.#requireOpen();
      network.removeRoutes(settings, part);
      yield;
    }
  }
}

/** Peers by public key, in base64. */
export function peersByKey(peers: readonly LivePeer[]): ReadonlyMap<string, LivePeer> {
  return new Map(peers.map((peer) => [encodeKey(peer.publicKey), peer]));
}

/** So that there is a place for those who come where others go; a peer that comes again goes first in any case. */
function removalsFirst(changes: readonly PeerChange[]): readonly PeerChange[] {
  const isRemoval = ({ kind }: PeerChange) => kind === "remove";
  return [...changes.filter(isRemoval), ...changes.filter((change) => !isRemoval(change))];
}

function tellTurn(key: string, { name, expires }: LivePeer, isAdmitted: boolean): void {
  const logger = getLogger("control");
  const at = formatExpires(expires ?? 0);
  const peer = name ?? key;
  if (isAdmitted) {
    logger.warn("peer {peer} expires at {at}, and the clock was set back", { peer, at });
  } else logger.info("peer {peer} has expired ({at}): its session has ended", { peer, at });
}
