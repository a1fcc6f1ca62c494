/** What the data plane says of a peer, for tests. */
import { Software } from "../../../lib/core/wireguard/liveness/recognition.ts";
import type { PeerStatistics } from "../../../lib/dataplane/data_plane_protocol.ts";
import { LAPTOP } from "../metrics/snapshots.ts";

export const PEER_STATISTICS: PeerStatistics = {
  accessId: 0,
  denials: [],
  ...LAPTOP,
  endpoint: { address: 0xc6336407, port: 51820 },
  lastHandshake: Date.parse("2026-11-21T10:59:48.000Z"),
  otherPlace: null,
  allowedIps: [],
  allowedIps6: [],
  persistentKeepalive: 0,
  mtu: 1420,
  software: Software.unknown,
  roundTrip: null,
  hello: null,
  clockOffset: 0,
  rateLimit: null,
};
