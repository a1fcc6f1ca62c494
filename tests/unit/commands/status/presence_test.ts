/** Shows that the text, the JSON and the metrics say the same of each peer. */
import { peerStatus } from "../../../../lib/control/status.ts";
import { statusLines } from "../../../../lib/commands/status/view.ts";
import { vpnMetrics } from "../../../../lib/core/metrics/vpn_metrics.ts";
import { GATEWAY } from "../../../support/metrics/snapshots.ts";
import { assertEquals, assertStringIncludes } from "../../../support/assert.ts";
import { PEER_STATISTICS } from "../../../support/status/peer_statistics.ts";
import { statusOf } from "../../../support/status/statuses.ts";

const CASES = [
  ["never seen", { silence: null, lastHandshake: 0 }, "never", "never seen"],
  ["seen", { silence: 500 }, "up", "12 s ago"],
  ["seen before its session ended", { silence: 240_000 }, "silent", "last seen 4 min ago"],
  ["found missing", { silence: 9_000, isDown: true }, "down", "last seen 9 s ago"],
] as const;

for (const [title, given, presence, text] of CASES) {
  Deno.test(`text, JSON and metrics agree on a peer that was ${title}`, () => {
    const peer = { ...PEER_STATISTICS, ...given };
    const status = peerStatus(peer, null, null, () => "");
    const isUp = presence === "up";
    assertEquals([status.presence, status.isUp], [presence, isUp]);

    const options = { colour: false, rates: new Map(), sparklines: false };
    assertStringIncludes(statusLines(statusOf({ peers: [status] }), options).at(-1)!, text);

    const families = vpnMetrics({ ...GATEWAY, peers: [{ ...peer, denied: [], dns: null }] });
    const samples = families.find(({ name }) => name === "vpn_peer_up")!.samples;
    assertEquals([...samples].map(({ value }) => value), [Number(isUp)]);
  });
}
