/** Peers of a running tunnel, for tests of what becomes of them. */
import type { LivePeer } from "../../../lib/control/live_peers.ts";
import { parseCidr } from "../../../lib/core/wire/ipv4_text.ts";

export function peerKey(number: number): Uint8Array<ArrayBuffer> {
  return new Uint8Array(32).fill(number);
}

/** A peer with the key of this number. */
export function samplePeer(number: number, ...networks: string[]): LivePeer {
  return {
    publicKey: peerKey(number),
    presharedKey: null,
    allowedIps: networks.flatMap((text) => parseCidr(text) ?? []),
    allowedIps6: networks.filter((text) => text.includes(":")),
    endpoint: null,
    persistentKeepalive: 0,
    name: null,
    rateLimit: null,
    quota: null,
    quotaRate: null,
    groups: [],
    allow: [],
    deny: [],
    isEnabled: true,
    expires: null,
    nextKey: null,
  };
}
