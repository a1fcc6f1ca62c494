/** Tests which metrics there are and what they say of a server or client. */
import { encodeKey } from "../../../../lib/core/config/values/key_text.ts";
import { formatExposition } from "../../../../lib/core/metrics/exposition.ts";
import {
  type PeerSnapshot,
  type Snapshot,
  vpnMetrics,
} from "../../../../lib/core/metrics/vpn_metrics.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { DROP_REASON_NAMES } from "../../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals, assertMatch } from "../../../support/assert.ts";
import { type ParsedSample, parseExposition } from "../../../support/metrics/exposition_parser.ts";
import { GATEWAY, LAPTOP } from "../../../support/metrics/snapshots.ts";

const LAPTOP_LABELS = { peer: "laptop", public_key: encodeKey(LAPTOP.publicKey) };

const CONTRACTOR_LABELS = {
  peer: "contractor",
  public_key: encodeKey(new Uint8Array(32).fill(2)),
};

/** The samples of one name. */
function samples(snapshot: Snapshot, name: string): ParsedSample[] | undefined {
  return parseExposition(formatExposition(vpnMetrics(snapshot))).get(name)?.samples;
}

/** The only value of `name` where `peer` is the only peer. */
function peerValue(peer: Partial<PeerSnapshot>, name: string): number | undefined {
  return samples({ ...GATEWAY, peers: [{ ...LAPTOP, ...peer }] }, name)?.[0]?.value;
}

Deno.test("vpnMetrics() tells all that is known, in base units", () => {
  const families = parseExposition(formatExposition(vpnMetrics(GATEWAY)));
  const { drops, ...rest } = Object.fromEntries(
    Array.from(families, ([name, family]) => [
      name === "vpn_drops_total" ? "drops" : name,
      family.samples.map(({ labels, value }) => [labels, value]),
    ]),
  );
  assertEquals(drops!.length, DROP_REASON_NAMES.length - 1);
  assertEquals(rest, {
    vpn_service_back_end_up: [
      [{ service: "tcp:443", back_end: "web-1:8443" }, 1],
      [{ service: "tcp:443", back_end: "web-2:8443" }, 0],
    ],
    vpn_service_back_end_connections: [
      [{ service: "tcp:443", back_end: "web-1:8443" }, 3],
      [{ service: "tcp:443", back_end: "web-2:8443" }, 0],
    ],
    vpn_service_back_end_connections_total: [
      [{ service: "tcp:443", back_end: "web-1:8443" }, 8],
      [{ service: "tcp:443", back_end: "web-2:8443" }, 5],
    ],
    vpn_info: [
      [{ version: "1.2.3", role: "server", interface: "vpn0", aead: "libcrypto" }, 1],
    ],
    vpn_udp_segmentation_enabled: [[{}, 1]],
    vpn_store_connected: [[{}, 1]],
    vpn_store_last_contact_timestamp_seconds: [[{}, 1_700_000_000.5]],
    vpn_store_left_out: [[{}, 2]],
    vpn_store_admits_new_sessions: [[{}, 1]],
    vpn_virtual_address_held: [[{}, 1]],
    vpn_fleet_gateways: [[{}, 3]],
    vpn_fleet_gateways_up: [[{}, 2]],
    vpn_fleet_clock_offset_seconds: [[{ gateway: "2", name: "gw-2" }, -0.25]],
    vpn_peer_up: [[LAPTOP_LABELS, 1]],
    vpn_peer_last_handshake_timestamp_seconds: [[LAPTOP_LABELS, 1_790_000_000.5]],
    vpn_peer_receive_bytes_total: [[LAPTOP_LABELS, 2 ** 40]],
    vpn_peer_transmit_bytes_total: [[LAPTOP_LABELS, 148]],
    vpn_peer_rate_limited_packets_total: [[LAPTOP_LABELS, 7]],
    vpn_peer_denied_packets_total: [[
      { ...LAPTOP_LABELS, rule: "[Peer] laptop: Deny = lan" },
      8,
    ]],
    vpn_peer_info: [[{ ...LAPTOP_LABELS, transport: "udp" }, 1]],
    vpn_peer_admitted: [[LAPTOP_LABELS, 1], [CONTRACTOR_LABELS, 0]],
    vpn_peer_expiry_timestamp_seconds: [[CONTRACTOR_LABELS, 1_790_000_000.5]],
    vpn_peer_quota_bytes: [[LAPTOP_LABELS, 1e11]],
    vpn_peer_quota_used_bytes: [[LAPTOP_LABELS, 123_456_789]],
    vpn_peer_nat_ports: [[LAPTOP_LABELS, 12]],
    vpn_peer_nat_sessions: [[LAPTOP_LABELS, 34]],
    vpn_peer_nat_refused_packets_total: [[LAPTOP_LABELS, 56]],
    vpn_nat_mappings: [[{}, 5]],
    vpn_nat_sessions: [[{}, 9]],
    vpn_nat_send_errors_total: [[{ error: "EPERM" }, 2]],
    vpn_dns_queries_total: [[{}, 100]],
    vpn_dns_cache_hits_total: [[{}, 40]],
    vpn_dns_merged_queries_total: [[{}, 5]],
    vpn_dns_blocked_queries_total: [[{}, 6]],
    vpn_dns_refused_queries_total: [
      [{ reason: "rate" }, 7],
      [{ reason: "upstream_rate" }, 4],
      [{ reason: "evicted" }, 3],
    ],
    vpn_dns_evicted_connections_total: [[{}, 2]],
    vpn_dns_wrong_answers_total: [[{}, 9]],
    vpn_peer_dns_queries_total: [[LAPTOP_LABELS, 90]],
    vpn_peer_dns_results_total: [
      [{ ...LAPTOP_LABELS, result: "cached" }, 40],
      [{ ...LAPTOP_LABELS, result: "blocked" }, 5],
      [{ ...LAPTOP_LABELS, result: "nxdomain" }, 3],
      [{ ...LAPTOP_LABELS, result: "refused" }, 1],
    ],
    vpn_internal_errors_total: [[{ entry: "answering a DNS query" }, 3]],
    process_start_time_seconds: [[{}, 1_790_000_000]],
    process_cpu_seconds_total: [[{}, 1.5]],
    process_resident_memory_bytes: [[{}, 1e8]],
  });
});

Deno.test("vpnMetrics() names as Prometheus's conventions say", () => {
  for (const { name, type, help } of vpnMetrics(GATEWAY)) {
    assertMatch(name, /^(vpn|process)_[a-z]+(_[a-z]+)*$/);
    assertEquals(name.endsWith("_total"), type === "counter", name);
    assertMatch(help, /^[A-Z].*\.$/);
    const units = name.match(/milliseconds|seconds|bytes|bits|kilobytes|percent|ratio/g) ?? [];
    assert(units.length <= 1, name);
    for (const unit of units) {
      assert(["seconds", "bytes"].includes(unit), name);
      assertMatch(name, new RegExp(`_${unit}(_total)?$`));
    }
  }
});

Deno.test("vpnMetrics() has every reason for a drop from the start, so that the first one shows as a rate", () => {
  const drops = samples(GATEWAY, "vpn_drops_total")!;
  assertEquals(drops.map(({ labels }) => labels["reason"]), DROP_REASON_NAMES.slice(1));
  const counted = drops.filter(({ value }) => value > 0)
    .map(({ labels, value }) => [labels["reason"], value]);
  assertEquals(counted.sort(), [["bad_tag", 1], ["no_route", 7]]);
});

Deno.test("vpnMetrics() reports a peer as up that was last seen within 180 s and not missed since", () => {
  assertEquals(peerValue({ silence: 180_000 }, "vpn_peer_up"), 1);
  assertEquals(peerValue({ silence: 180_001 }, "vpn_peer_up"), 0);
  assertEquals(peerValue({ silence: null }, "vpn_peer_up"), 0);
  assertEquals(peerValue({ isDown: true }, "vpn_peer_up"), 0);
});

Deno.test("vpnMetrics() calls a peer without a name by its key, and tells its transport", () => {
  const peer = { ...LAPTOP, name: null, transport: Transport.fakeTcp };
  const key = LAPTOP_LABELS.public_key;
  assertEquals(samples({ ...GATEWAY, peers: [peer] }, "vpn_peer_info"), [
    { labels: { peer: key, public_key: key, transport: "faketcp" }, value: 1 },
  ]);
});

Deno.test("vpnMetrics() says 0 where there was no handshake", () => {
  assertEquals(peerValue({ lastHandshake: 0 }, "vpn_peer_last_handshake_timestamp_seconds"), 0);
});

Deno.test("vpnMetrics() has nothing of peers, a NAT, a store or a DNS proxy where there are none", () => {
  const empty = { ...GATEWAY, peers: [], access: [], nat: null, store: null, dns: null };
  const names = Array.from(parseExposition(formatExposition(vpnMetrics(empty))).keys());
  assertEquals(names.filter((name) => /_(peer|nat|store|dns)_/.test(name)), []);
});
