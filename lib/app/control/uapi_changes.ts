/** Owns what `wg set` and its like lead to on a running tunnel: changes to peers, and what cannot be had. */
import { encodeKey } from "../../config/key_text.ts";
import {
  type UapiDeviceChange,
  UapiErrno,
  UapiError,
  type UapiPeerChange,
} from "../../config/uapi.ts";
import { formatCidr } from "../../wire/ipv4_text.ts";
import type { LiveChange, LivePeer } from "./live_peers.ts";

/** What of a tunnel cannot be changed while it runs. */
export interface FixedSettings {
  readonly privateKey: Uint8Array;
  readonly port: number;
  readonly mark: number;
}

/**
 * Makes sure that what is set of the interface itself is what it has. `wg setconf` and `wg syncconf` send 0 for a port and a
 * mark that their file does not have; these stay as they are.
 *
 * @throws {UapiError}
 */
export function refuseFixed(change: UapiDeviceChange, fixed: FixedSettings): void {
  const { privateKey, listenPort = 0, fwMark = 0 } = change;
  const refuse = (what: string) => {
    throw new UapiError(
      `${what} cannot be changed while the tunnel runs: start it again`,
      UapiErrno.notSupported,
    );
  };
  if (privateKey !== undefined && encodeKey(privateKey) !== encodeKey(fixed.privateKey)) {
    refuse("the private key");
  }
  if (listenPort !== 0 && listenPort !== fixed.port) refuse("the port");
  if (fwMark !== 0 && fwMark !== fixed.mark) refuse("the mark");
}

/**
 * What is to become of the peers.
 *
 * With `replace_peers`, a peer that is named again is set anew but keeps its session and where it is.
 */
export function liveChanges(
  { replacePeers, peers: wanted }: UapiDeviceChange,
  before: ReadonlyMap<string, LivePeer>,
): LiveChange[] {
  const changes: LiveChange[] = [];
  /** As they are after the changes so far. */
  const peers = new Map(replacePeers ? [] : before);
  if (replacePeers) {
    const named = new Set(wanted.map(({ publicKey }) => encodeKey(publicKey)));
    for (const [key, { publicKey }] of before) {
      if (!named.has(key)) changes.push({ kind: "remove", publicKey });
    }
  }
  for (const each of wanted) {
    const key = encodeKey(each.publicKey);
    const peer = peers.get(key);
    if (each.remove) {
      peers.delete(key);
      changes.push({ kind: "remove", publicKey: each.publicKey });
    } else if (peer !== undefined || !each.updateOnly) {
      const changed = changedPeer(peer ?? newPeer(each.publicKey, before.get(key)), each);
      peers.set(key, changed);
      changes.push({ kind: "put", peer: changed });
    }
  }
  return changes;
}

/** What the protocol does not know of stays, where the peer has been there. */
function newPeer(publicKey: Uint8Array, before: LivePeer | undefined): LivePeer {
  return {
    publicKey,
    presharedKey: null,
    allowedIps: [],
    endpoint: null,
    persistentKeepalive: 0,
    name: before?.name ?? null,
    rateLimit: before?.rateLimit ?? null,
  };
}

function changedPeer(peer: LivePeer, change: UapiPeerChange): LivePeer {
  const { endpoint } = change;
  const networks = new Map(
    change.replaceAllowedIps ? [] : peer.allowedIps.map((each) => [formatCidr(each), each]),
  );
  for (const { network, remove } of change.allowedIps) {
    if (remove) networks.delete(formatCidr(network));
    else networks.set(formatCidr(network), network);
  }
  return {
    ...peer,
    presharedKey: change.presharedKey === undefined ? peer.presharedKey : change.presharedKey,
    persistentKeepalive: change.persistentKeepalive ?? peer.persistentKeepalive,
    allowedIps: [...networks.values()],
    // Without a new one, the peer is where it was last heard, which the file does not know.
    endpoint: endpoint === undefined ? null : { host: "", ...endpoint },
  };
}
