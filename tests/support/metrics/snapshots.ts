/** Made-up states of a server for tests of its metrics. */
import type { PeerSnapshot, Snapshot } from "../../../lib/core/metrics/vpn_metrics.ts";
import { Transport } from "../../../lib/core/transport/transport.ts";

export const LAPTOP: PeerSnapshot = {
  publicKey: new Uint8Array(32).fill(1),
  name: "laptop",
  transport: Transport.udp,
  lastHandshake: 1_790_000_000_500,
  silence: 20,
  isDown: false,
  receivedBytes: 2 ** 40,
  sentBytes: 148,
  rateLimited: 7,
  denied: [{ rule: "[Peer] laptop: Deny = lan", packets: 8 }],
  nat: { ports: 12, sessions: 34, refused: 56 },
  dns: { queries: 90, cached: 40, blocked: 5, nameErrors: 3, refused: 1 },
};

/** A gateway with one client, where something of everything has happened. */
export const GATEWAY: Snapshot = {
  version: "1.2.3",
  role: "server",
  interfaceName: "vpn0",
  aead: "libcrypto",
  segmentation: true,
  peers: [LAPTOP],
  access: [
    {
      publicKey: LAPTOP.publicKey,
      name: LAPTOP.name,
      isAdmitted: true,
      expires: null,
      quota: { bytes: 1e11 },
      quotaUsed: 123_456_789,
    },
    {
      publicKey: new Uint8Array(32).fill(2),
      name: "contractor",
      isAdmitted: false,
      expires: 1_790_000_000_500,
      quota: null,
      quotaUsed: 0,
    },
  ],
  drops: { no_route: 7, bad_tag: 1 },
  nat: { mappings: 5, sessions: 9, sendErrors: { EPERM: 2 } },
  services: [{
    name: "tcp:443",
    backEnds: [
      { name: "web-1:8443", state: "up", connections: 3, totalConnections: 8 },
      { name: "web-2:8443", state: "down", connections: 0, totalConnections: 5 },
    ],
  }],
  store: {
    connected: true,
    lastContact: 1_700_000_000_500,
    leftOut: 2,
    admitsNew: true,
    virtualAddress: {
      isHere: true,
      gateways: [
        { number: 1, name: "gw-1", isSelf: true, isUp: true, clockOffset: 0 },
        { number: 2, name: "gw-2", isSelf: false, isUp: true, clockOffset: -0.25 },
        { number: 3, name: "gw-3", isSelf: false, isUp: false, clockOffset: null },
      ],
    },
  },
  dns: {
    queries: 100,
    hits: 40,
    merged: 5,
    refused: 7,
    overBudget: 4,
    evicted: 3,
    evictedConnections: 2,
    blocked: 6,
    wrongAnswers: 9,
  },
  faults: { "answering a DNS query": 3 },
  process: { startTime: 1_790_000_000_000, cpuTime: 1_500_000, residentMemory: 1e8 },
};
