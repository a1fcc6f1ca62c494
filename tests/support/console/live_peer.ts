/** Peer of a running gateway, as the console's page is told of it, for tests. */
import type { LivePeerState } from "../../../lib/console/page/state/shapes.ts";

/** One that was never seen, but for what is given. */
export function livePeer(given: Partial<LivePeerState>): LivePeerState {
  return {
    name: null,
    publicKey: "key",
    endpoint: null,
    otherEndpoint: null,
    transport: "udp",
    allowedIps: [],
    latestHandshake: null,
    presence: "never",
    isUp: false,
    admission: "admitted",
    expires: null,
    groups: [],
    roundTrip: null,
    hello: null,
    mtu: 0,
    rateLimit: null,
    denied: [],
    nat: null,
    quota: null,
    received: 0,
    sent: 0,
    ...given,
  };
}
