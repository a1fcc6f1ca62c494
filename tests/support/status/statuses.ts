/** Made-up states of instances, for tests of how they are shown. */
import type { PeerStatus, Status } from "../../../lib/control/status.ts";

/** A gateway that has run for an hour, with what is given instead. */
export function statusOf(given: Partial<Status> = {}): Status {
  return {
    interface: "vpn0",
    netns: null,
    role: "server",
    state: "up",
    missing: [],
    pid: 4711,
    time: "2026-11-21T11:00:00.000Z",
    since: "2026-11-21T10:00:00.000Z",
    publicKey: "op0igo2zI7aaYWR7bWzG1scKLQPRXwE+yuur90UthH8=",
    listenPort: 51820,
    addresses: ["10.66.77.1/24"],
    aead: "libcrypto.so.3",
    threads: { count: 1, decidedBy: "auto: 2 processors" },
    oneThread: null,
    workers: [],
    segmentation: true,
    peers: [],
    nat: { mappings: 0, sessions: 0, sendErrors: {} },
    services: [],
    drops: {},
    store: null,
    ...given,
  };
}

/** A peer that nothing has been heard of, with what is given instead. */
export function peerOf(given: Partial<PeerStatus> = {}): PeerStatus {
  return {
    name: null,
    publicKey: "Npjl0pvEUFdO0M7Dx8bENSDhfqKHKLucyb8FBSYUezI=",
    endpoint: null,
    otherEndpoint: null,
    transport: "udp",
    allowedIps: ["10.66.77.2/32"],
    latestHandshake: null,
    silence: null,
    presence: "never",
    isUp: false,
    admission: "admitted",
    expires: null,
    groups: [],
    kind: "unknown",
    roundTrip: null,
    hello: null,
    mtu: 1420,
    persistentKeepalive: 0,
    rateLimit: null,
    rateLimited: 0,
    denied: [],
    nat: null,
    quota: null,
    dns: null,
    received: 0,
    sent: 0,
    ...given,
  };
}
