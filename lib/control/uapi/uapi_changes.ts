/** UAPI changes: what `wg set` and its like change in the peers of a running tunnel, and what they cannot. */
import { encodeKey } from "../../core/config/values/key_text.ts";
import {
  type UapiDeviceChange,
  UapiErrno,
  UapiError,
  type UapiPeerChange,
} from "../../core/config/uapi.ts";
import type { LiveChange, LivePeer } from "../live_peers.ts";
import { NetworkOwners } from "../../core/peers/network_owners.ts";

/** What of a tunnel cannot be changed while it runs. */
export interface FixedSettings {
  readonly privateKey: Uint8Array;
  readonly port: number;
  readonly mark: number;
}

/**
 * Makes sure that what is set of the interface itself is what it has. `wg setconf` and `wg syncconf` send zeros for a
 * key, a port and a mark that their file does not have; these stay as they are.
 *
 * @throws {UapiError}
 */
export function refuseFixed(change: UapiDeviceChange, fixed: FixedSettings): void {
  const { privateKey, listenPort = 0, fwMark = 0 } = change;
  const refuse = (what: string) => {
    throw new UapiError(
      `${what} cannot be changed while the tunnel is running: restart it`,
      UapiErrno.notSupported,
    );
  };
  const isKeyGiven = privateKey?.some((byte) => byte !== 0) ?? false;
  if (isKeyGiven && encodeKey(privateKey!) !== encodeKey(fixed.privateKey)) {
    refuse("the private key");
  }
  if (listenPort !== 0 && listenPort !== fixed.port) refuse("the port");
  if (fwMark !== 0 && fwMark !== fixed.mark) refuse("the firewall mark");
}

/**
 * What is to become of the peers: each one's last state, one change for each that is named, and a removal before it
 * where it is removed and comes again.
 *
 * The device's own key is no peer, and what is said of it is passed over, as the kernel does: so one list of peers can
 * serve all the hosts in it.
 *
 * With `replace_peers`, a peer that is named again is replaced, but keeps its session and where it is. The cost grows
 * with the peers and the lines, not with their product. In steps, see `paced()`.
 */
export function* liveChanges(
  { replacePeers, peers }: UapiDeviceChange,
  before: ReadonlyMap<string, LivePeer>,
  ownKey: Uint8Array,
): Generator<void, LiveChange[]> {
  const own = encodeKey(ownKey);
  const wanted = peers.filter(({ publicKey }) => encodeKey(publicKey) !== own);
  const removals: LiveChange[] = [];
  if (replacePeers) {
    const named = new Set<string>();
    for (const { publicKey } of wanted) {
      named.add(encodeKey(publicKey));
      yield;
    }
    for (const [key, { publicKey }] of before) {
      yield;
      if (!named.has(key)) removals.push({ kind: "remove", publicKey });
    }
  }
  const drafts = new Map<string, Draft>();
  const networks = yield* NetworkOwners.of(replacePeers ? new Map() : before);
  for (const each of wanted) {
    yield;
    const key = encodeKey(each.publicKey);
    const known = drafts.get(key);
    const draft = known ?? {
      publicKey: each.publicKey,
      peer: (replacePeers ? undefined : before.get(key)) ?? null,
      endpoint: null,
      isRemoved: false,
    };
    if (each.remove) {
      networks.release(key);
      draft.peer = draft.endpoint = null;
      draft.isRemoved = true;
    } else if (draft.peer !== null || !each.updateOnly) {
      changeDraft(draft, each, before.get(key));
      changeNetworks(networks, key, each);
    } else continue;
    drafts.set(key, draft);
  }
  const changes = removals;
  for (const [key, draft] of drafts) {
    changes.push(...changesOf(draft, networks.networksOf(key)));
    yield;
  }
  return changes;
}

/** A peer as the lines so far make it, but for its networks; null where it is not to be. */
interface Draft {
  readonly publicKey: Uint8Array;
  peer: LivePeer | null;
  /** Where it is to be looked for; null for where it was last seen, which the file does not know. */
  endpoint: LivePeer["endpoint"];
  isRemoved: boolean;
}

function changeDraft(draft: Draft, change: UapiPeerChange, before: LivePeer | undefined): void {
  const peer = draft.peer ?? newPeer(draft.publicKey, before);
  const { presharedKey = peer.presharedKey, persistentKeepalive, endpoint } = change;
  draft.peer = {
    ...peer,
    presharedKey,
    persistentKeepalive: persistentKeepalive ?? peer.persistentKeepalive,
  };
  if (endpoint !== undefined) draft.endpoint = { host: "", ...endpoint };
}

function changeNetworks(networks: NetworkOwners, key: string, change: UapiPeerChange): void {
  if (change.replaceAllowedIps) networks.release(key);
  for (const { network, remove } of change.allowedIps) {
    if (remove) networks.take(network, key);
    else networks.give(network, key);
  }
}

function changesOf(
  { publicKey, peer, endpoint, isRemoved }: Draft,
  networks: Pick<LivePeer, "allowedIps" | "allowedIps6">,
): LiveChange[] {
  const changes: LiveChange[] = [];
  if (isRemoved) changes.push({ kind: "remove", publicKey });
  if (peer !== null) changes.push({ kind: "put", peer: { ...peer, ...networks, endpoint } });
  return changes;
}

/** What the protocol does not know of stays, where the peer has been there. */
function newPeer(publicKey: Uint8Array, before: LivePeer | undefined): LivePeer {
  return {
    publicKey,
    presharedKey: null,
    allowedIps: [],
    allowedIps6: [],
    endpoint: null,
    persistentKeepalive: 0,
    name: before?.name ?? null,
    rateLimit: before?.rateLimit ?? null,
    quota: before?.quota ?? null,
    quotaRate: before?.quotaRate ?? null,
    groups: before?.groups ?? [],
    allow: before?.allow ?? [],
    deny: before?.deny ?? [],
    isEnabled: before?.isEnabled ?? true,
    expires: before?.expires ?? null,
    nextKey: before?.nextKey ?? null,
  };
}
