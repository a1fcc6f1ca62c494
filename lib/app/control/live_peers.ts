/**
 * Owns the peers of a running tunnel as they are now: as the file had them, and as they were changed since. It changes them
 * in the data plane and, on a gateway, with their routes.
 */
import { type Config, type PeerConfig } from "../../config/config.ts";
import { encodeKey } from "../../config/key_text.ts";
import { formatCidr, type Ipv4Prefix } from "../../wire/ipv4_text.ts";
import type { DataPlaneHandle } from "../data_plane_handle.ts";
import type { HostNetwork, InterfaceSettings } from "../host_network.ts";
import type { PeerChange } from "../peer_change.ts";
import { planPeerRoutes } from "../route_plan.ts";
import { peerOptions } from "../tunnel_process.ts";
import { NetworkOwners } from "./network_owners.ts";
import { RequestError } from "./protocol.ts";

/** A peer whose endpoint, if it has one, is an address. */
export type LivePeer = Omit<PeerConfig, "allowedIps6" | "line">;

/** A change that is asked for. */
export type LiveChange =
  /** A peer as it shall be, new or not; without an endpoint, one that is there stays where it is. */
  | { readonly kind: "put"; readonly peer: LivePeer }
  | { readonly kind: "remove"; readonly publicKey: Uint8Array };

/** Networks of one peer; more would not fit a message to the data plane. */
const MAX_NETWORKS = 1000;

export interface LivePeersOptions {
  readonly role: "server" | "client";
  readonly config: Config;
  readonly dataPlane: DataPlaneHandle;
  readonly network: HostNetwork;
  readonly settings: InterfaceSettings;
  /** Is told of the peers when they have changed. */
  readonly onPeersChange?: ((peers: ReadonlyMap<string, LivePeer>) => void) | undefined;
}

export class LivePeers {
  readonly #options: LivePeersOptions;
  #peers: ReadonlyMap<string, LivePeer>;
  /** Changes are made one after the other, whoever asks. */
  #last: Promise<unknown> = Promise.resolve();

  constructor(options: LivePeersOptions) {
    this.#options = options;
    this.#peers = peersByKey(options.config.peers);
  }

  /** By public key, in base64. */
  get peers(): ReadonlyMap<string, LivePeer> {
    return this.#peers;
  }

  /**
   * Makes changes, in this order, all or none of them; peers that they do not concern go on undisturbed. That a peer to be
   * removed is not there is no error.
   *
   * @param changes or what they are, given the peers that there are when it is their turn
   * @throws {RequestError} for what cannot be, with nothing changed
   */
  change(
    changes:
      | readonly LiveChange[]
      | ((peers: ReadonlyMap<string, LivePeer>) => readonly LiveChange[]),
  ): Promise<void> {
    const made = this.#last.then(() =>
      this.#make(typeof changes === "function" ? changes(this.#peers) : changes)
    );
    this.#last = made.catch(() => {});
    return made;
  }

  async #make(changes: readonly LiveChange[]): Promise<void> {
    const { dataPlane } = this.#options;
    const peers = changedPeers(this.#peers, changes);
    this.#refuse(peers, changes);
    const before = this.#routed(this.#peers);
    const after = this.#routed(peers);
    await dataPlane.changePeers(changes.map(peerChange));
    this.#peers = peers;
    this.#options.onPeersChange?.(peers);
    this.#followRoutes(before, after);
  }

  #refuse(peers: ReadonlyMap<string, LivePeer>, changes: readonly LiveChange[]): void {
    const { role, config } = this.#options;
    if (peers.has(encodeKey(config.interface.publicKey))) {
      throw new RequestError("Cannot add the peer: its key is this end's own");
    }
    // Who the server is, the host's routes and the looking after the connection depend on.
    if (role === "client" && peers.size > 1) {
      throw new RequestError("Cannot add the peer: a client has one, which is its server");
    }
    const given = new Set(changes.map((each) => each.kind === "put" ? each.peer.name : null));
    const names = new Set<string>();
    for (const { name, allowedIps } of peers.values()) {
      if (allowedIps.length > MAX_NETWORKS) {
        throw new RequestError(`Cannot add the peer: it has over ${MAX_NETWORKS} networks`);
      }
      if (name === null) continue;
      if (names.has(name) && given.has(name)) {
        throw new RequestError(`Cannot add the peer: another is called ${name}`);
      }
      names.add(name);
    }
  }

  #routed(peers: ReadonlyMap<string, LivePeer>): ReadonlyMap<string, Ipv4Prefix> {
    const { config, role } = this.#options;
    if (role === "client") return new Map();
    const { networks } = planPeerRoutes({ ...config, peers: [...peers.values()] });
    return new Map(networks.map((network) => [formatCidr(network), network]));
  }

  #followRoutes(
    before: ReadonlyMap<string, Ipv4Prefix>,
    after: ReadonlyMap<string, Ipv4Prefix>,
  ): void {
    const { network, settings, config } = this.#options;
    const { table } = planPeerRoutes({ ...config, peers: [] });
    const missing = [...after].filter(([text]) => !before.has(text));
    const left = [...before].filter(([text]) => !after.has(text));
    network.addRoutes(settings, { networks: missing.map(([, prefix]) => prefix), table });
    network.removeRoutes(settings, { networks: left.map(([, prefix]) => prefix), table });
  }
}

/** Peers by public key, in base64. */
export function peersByKey(peers: readonly LivePeer[]): ReadonlyMap<string, LivePeer> {
  return new Map(peers.map((peer) => [encodeKey(peer.publicKey), peer]));
}

/**
 * The peers as changes make them; a network belongs to the peer that was given it last, as in WireGuard. The cost grows with
 * the peers and changes, not with their product: thousands may come at once.
 */
export function changedPeers(
  peers: ReadonlyMap<string, LivePeer>,
  changes: readonly LiveChange[],
): ReadonlyMap<string, LivePeer> {
  const changed = new Map(peers);
  const networks = new NetworkOwners(peers);
  for (const change of changes) {
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
    if (peer !== undefined) changed.set(key, { ...peer, allowedIps: networks.of(key) });
  }
  return changed;
}

function peerChange(change: LiveChange): PeerChange {
  if (change.kind === "remove") return change;
  return { kind: "put", peer: peerOptions(change.peer, change.peer.endpoint?.address ?? null) };
}
