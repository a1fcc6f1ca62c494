/**
 * Live peers: the peers of a running tunnel, as the file had them and as they were changed since. It changes them in
 * the data plane and, on a gateway, with their routes.
 */
import { type Config, type PeerConfig } from "../core/config/config.ts";
import { encodeKey } from "../core/config/values/key_text.ts";
import { MAX_PEERS } from "../core/limits/max_peers.ts";
import { formatCidr, type Ipv4Prefix } from "../core/wire/ipv4_text.ts";
import type { DataPlaneHandle } from "../dataplane/data_plane_handle.ts";
import type { HostNetwork, InterfaceSettings } from "../host/network/host_network.ts";
import { paced } from "../process/pace.ts";
import type { PeerChange } from "../core/peers/peer_change.ts";
import { planPeerRoutes } from "../host/network/route_plan.ts";
import { peerOptions } from "../core/peers/peer_options.ts";
import { NetworkOwners } from "../core/peers/network_owners.ts";
import { RequestError } from "./protocol.ts";

/** A peer whose endpoint, if it has one, is an address. */
export type LivePeer = Omit<PeerConfig, "allowedIps6" | "endpoint6" | "line">;

/** A change that is asked for. */
export type LiveChange =
  /** A peer as it shall be, new or not; without an endpoint, one that is there stays where it is. */
  | { readonly kind: "put"; readonly peer: LivePeer }
  | { readonly kind: "remove"; readonly publicKey: Uint8Array };

/** Networks of one peer; more would not fit a message to the data plane. */
const MAX_NETWORKS = 1000;
const ROUTES_AT_ONCE = 16;

export interface LivePeersOptions {
  readonly role: "server" | "client";
  readonly config: Config;
  readonly dataPlane: Pick<DataPlaneHandle, "changePeers">;
  readonly network: Pick<HostNetwork, "addRoutes" | "removeRoutes">;
  readonly settings: InterfaceSettings;
  /** Is told of the peers when they have changed. */
  readonly onPeersChange?: ((peers: ReadonlyMap<string, LivePeer>) => void) | undefined;
}

export class LivePeers implements Disposable {
  readonly #options: LivePeersOptions;
  #peers: ReadonlyMap<string, LivePeer>;
  /** Changes are made one after the other, for all callers. */
  #last: Promise<unknown> = Promise.resolve();
  #isClosed = false;

  constructor(options: LivePeersOptions) {
    this.#options = options;
    this.#peers = peersByKey(options.config.peers);
  }

  /** By public key, in base64. */
  get peers(): ReadonlyMap<string, LivePeer> {
    return this.#peers;
  }

  /**
   * Makes changes, in this order, all or none of them; peers that they do not concern go on undisturbed. That a peer to
   * be removed is not there is no error.
   *
   * @param changes or what they are, given the peers that there are when it is their turn
   * @throws {RequestError} for what cannot be, with nothing changed
   */
  change(
    changes:
      | readonly LiveChange[]
      | ((peers: ReadonlyMap<string, LivePeer>) => Generator<void, readonly LiveChange[]>),
  ): Promise<void> {
    const made = this.#last.then(async () => {
      const all = typeof changes === "function" ? await paced(changes(this.#peers)) : changes;
      await this.#make(all);
    });
    this.#last = made.catch(() => {});
    return made;
  }

  /** Changes nothing any more. */
  [Symbol.dispose](): void {
    this.#isClosed = true;
  }

  async #make(changes: readonly LiveChange[]): Promise<void> {
    const peers = await paced(changedPeers(this.#peers, changes));
    this.#refuse(peers, changes);
    const before = await paced(this.#routed(this.#peers));
    const after = await paced(this.#routed(peers));
    this.#requireOpen();
    await this.#options.dataPlane.changePeers(removalsFirst(changes).map(peerChange));
    this.#peers = peers;
    this.#options.onPeersChange?.(peers);
    await paced(this.#followRoutes(before, after));
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
    const given = new Set(changes.map((each) => each.kind === "put" ? each.peer.name : null));
    const names = new Set<string>();
    for (const { name, allowedIps } of peers.values()) {
      if (allowedIps.length > MAX_NETWORKS) {
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
  ): Generator<void, ReadonlyMap<string, Ipv4Prefix>> {
    const { config, role } = this.#options;
    const routed = new Map<string, Ipv4Prefix>();
    if (role === "client") return routed;
    for (const peer of peers.values()) {
      const { networks } = planPeerRoutes({ ...config, peers: [peer] });
      for (const network of networks) routed.set(formatCidr(network), network);
      yield;
    }
    return routed;
  }

  /** A few routes at a time: each is a request to the kernel. */
  *#followRoutes(
    before: ReadonlyMap<string, Ipv4Prefix>,
    after: ReadonlyMap<string, Ipv4Prefix>,
  ): Generator<void, void> {
    const { network, settings, config } = this.#options;
    const { table } = planPeerRoutes({ ...config, peers: [] });
    const missing = [...after].filter(([text]) => !before.has(text));
    const left = [...before].filter(([text]) => !after.has(text));
    const parts = (all: readonly [string, Ipv4Prefix][]) =>
      Array.from({ length: Math.ceil(all.length / ROUTES_AT_ONCE) }, (_, part) => ({
        networks: all.slice(part * ROUTES_AT_ONCE, (part + 1) * ROUTES_AT_ONCE)
          .map(([, prefix]) => prefix),
        table,
      }));
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

/**
 * The peers as changes make them; a network belongs to the peer that was given it last, as in WireGuard. The cost grows
 * with the peers and changes, not with their product: thousands may come at once. In steps, see `paced()`.
 */
export function* changedPeers(
  peers: ReadonlyMap<string, LivePeer>,
  changes: readonly LiveChange[],
): Generator<void, ReadonlyMap<string, LivePeer>> {
  const changed = new Map(peers);
  const networks = yield* NetworkOwners.of(peers);
  for (const change of changes) {
    yield;
    if (change.kind === "remove") {
      const key = encodeKey(change.publicKey);
      networks.release(key);
      changed.delete(key);
      continue;
    }
    const key = encodeKey(change.peer.publicKey);
    networks.release(key);
    for (const network of change.peer.allowedIps) networks.give(network, key);
    changed.set(key, change.peer);
  }
  for (const key of networks.bereft) {
    const peer = changed.get(key);
    if (peer !== undefined) changed.set(key, { ...peer, allowedIps: networks.networksOf(key) });
  }
  return changed;
}

/** So that there is a place for those who come where others go; a peer that comes again goes first in any case. */
function removalsFirst(changes: readonly LiveChange[]): readonly LiveChange[] {
  const isRemoval = ({ kind }: LiveChange) => kind === "remove";
  return [...changes.filter(isRemoval), ...changes.filter((change) => !isRemoval(change))];
}

function peerChange(change: LiveChange): PeerChange {
  if (change.kind === "remove") return change;
  return { kind: "put", peer: peerOptions(change.peer, change.peer.endpoint?.address ?? null) };
}
