/** Shows that the text, the JSON and the metrics say the same of each peer. */
import { peerStatus } from "../../../../lib/control/status.ts";
import type { PeerStatistics } from "../../../../lib/dataplane/data_plane_protocol.ts";
import { statusLines } from "../../../../lib/commands/status/view.ts";
import { Software } from "../../../../lib/core/wireguard/liveness/recognition.ts";
import { vpnMetrics } from "../../../../lib/core/metrics/vpn_metrics.ts";
import { GATEWAY, LAPTOP } from "../../../support/metrics/snapshots.ts";
import { assertEquals, assertStringIncludes } from "../../../support/assert.ts";
import { statusOf } from "../../../support/status/statuses.ts";

const PEER: PeerStatistics = {
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

const CASES = [
  ["never seen", { silence: null, lastHandshake: 0 }, "never", "never seen"],
  ["seen", { silence: 500 }, "up", "12 s ago"],
  ["seen before its session ended", { silence: 240_000 }, "silent", "last seen 4 min ago"],
  ["found missing", { silence: 9_000, isDown: true }, "down", "last seen 9 s ago"],
] as const;

for (const [title, given, presence, text] of CASES) {
  Deno.test(`text, JSON and metrics agree on a peer that was ${title}`, () => {
    const peer = { ...PEER, ...given };
    const status = peerStatus(peer, null, null, () => "");
    const isUp = presence === "up";
    assertEquals([status.presence, status.isUp], [presence, isUp]);

    const options = { colour: false, rates: new Map(), sparklines: false };
    assertStringIncludes(statusLines(statusOf({ peers: [status] }), options).at(-1)!, text);

    const families = vpnMetrics({ ...GATEWAY, peers: [{ ...peer, denied: [] }] });
    const samples = families.find(({ name }) => name === "vpn_peer_up")!.samples;
    assertEquals([...samples].map(({ value }) => value), [Number(isUp)]);
  });
}
