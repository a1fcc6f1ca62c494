/**
 * Metrics: those of a server or client, with names by Prometheus's conventions, labels and meaning.
 *
 * Names and labels are what dashboards and alerts are made of: they stay. The two labels of a peer tell it from all
 * others; where it is, which changes, is none of them.
 */
import { encodeKey } from "../config/values/key_text.ts";
import { Transport } from "../transport/transport.ts";
import { type LastSeen, presenceOf } from "../wireguard/liveness/presence.ts";
import type { ClientQueries } from "../dns/client_tally.ts";
import { DROP_REASON_NAMES } from "../wire/drop_reason.ts";
import { gauge, type MetricFamily, type Sample } from "./exposition.ts";
import { storeMetrics, type StoreSnapshot } from "./store_metrics.ts";

/** What is known of a peer. */
export interface PeerSnapshot extends LastSeen {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  readonly name: string | null;
  readonly transport: Transport;
  /** Unix ms; 0 for never. */
  readonly lastHandshake: number;
  readonly receivedBytes: number;
  readonly sentBytes: number;
  readonly rateLimited: number;
  /** Packets that access rules have cost, by what they say. */
  readonly denied: readonly { readonly rule: string; readonly packets: number }[];
  /** What of the NAT it holds, and how many of its packets were refused as it had no room left; null without a NAT. */
  readonly nat: {
    readonly ports: number;
    readonly sessions: number;
    readonly refused: number;
  } | null;
  /** What it has asked the DNS proxy; null for nothing. */
  readonly dns: Readonly<ClientQueries> | null;
}

/** A configured peer, which need not be one of the data plane's. */
export interface PeerAccess extends Pick<PeerSnapshot, "publicKey" | "name"> {
  readonly isAdmitted: boolean;
  /** Unix ms; null for never. */
  readonly expires: number | null;
  /** What it may use up; null for any amount; and what of that it has used in the period under way, bytes. */
  readonly quota: { readonly bytes: number } | null;
  readonly quotaUsed: number;
}

/** A server or client at the time of asking. Counts are since its start. */
export interface Snapshot {
  readonly version: string;
  readonly role: "server" | "client";
  readonly interfaceName: string;
  /** Who encrypts. */
  readonly aead: string;
  /** Whether the kernel segments what is sent by UDP. */
  readonly segmentation: boolean;
  readonly peers: readonly PeerSnapshot[];
  /** All that are configured. */
  readonly access: readonly PeerAccess[];
  /** Packets by the name of the reason; those that are 0 may be left out. */
  readonly drops: Readonly<Record<string, number>>;
  /** The NAT in user space; null where there is none. */
  readonly nat: {
    readonly mappings: number;
    readonly sessions: number;
    /** Packets that the kernel refused, by the name of the error. */
    readonly sendErrors: Readonly<Record<string, number>>;
  } | null;
  /** What is published. */
  readonly services: readonly {
    readonly name: string;
    readonly backEnds: readonly {
      readonly name: string;
      readonly state: string;
      readonly connections: number;
      readonly totalConnections: number;
    }[];
  }[];
  /** The DNS proxy; null where there is none. */
  readonly dns: {
    readonly queries: number;
    /** Answered from the cache; joined an equal question under way. */
    readonly hits: number;
    readonly merged: number;
    /** Of clients with too many in a second; with too many upstream; with the most under way. */
    readonly refused: number;
    readonly overBudget: number;
    readonly evicted: number;
    readonly evictedConnections: number;
    /** For names that are blocked. */
    readonly blocked: number;
    readonly wrongAnswers: number;
  } | null;
  /** The store of a fleet's peers; null where there is none. */
  readonly store: StoreSnapshot | null;
  /** Errors inside the program that ended nothing, by what it was doing; what has had none is left out. */
  readonly faults: Readonly<Record<string, number>>;
  readonly process: {
    /** Unix ms. */
    readonly startTime: number;
    /** Of all threads, user and system, microseconds. */
    readonly cpuTime: number;
    /** Bytes. */
    readonly residentMemory: number;
  };
}

/** By transport, what `Transport` calls it. */
const TRANSPORTS: Readonly<Record<Transport, string>> = {
  [Transport.udp]: "udp",
  [Transport.fakeTcp]: "faketcp",
};

/** All metrics, in the order in which they are shown. */
export function vpnMetrics(snapshot: Snapshot): MetricFamily[] {
  const { version, role, interfaceName, aead } = snapshot;
  return [
    gauge("vpn_info", "Version, role, interface and cipher of this instance; always 1.", [
      { labels: { version, role, interface: interfaceName, aead }, value: 1 },
    ]),
    gauge(
      "vpn_udp_segmentation_enabled",
      "Whether the kernel segments UDP datagrams (UDP_SEGMENT).",
      [{ value: Number(snapshot.segmentation) }],
    ),
    ...peerMetrics(snapshot.peers),
    ...accessMetrics(snapshot.access),
    counter(
      "vpn_drops_total",
      "Packets dropped, by reason.",
      DROP_REASON_NAMES.slice(1).map((reason) => ({
        labels: { reason },
        value: snapshot.drops[reason] ?? 0,
      })),
    ),
    ...snapshot.nat === null ? [] : natMetrics(snapshot.nat, snapshot.peers),
    ...snapshot.services.length === 0 ? [] : serviceMetrics(snapshot.services),
    ...snapshot.store === null ? [] : storeMetrics(snapshot.store),
    ...snapshot.dns === null ? [] : dnsMetrics(snapshot.dns),
    ...snapshot.dns === null ? [] : peerDnsMetrics(snapshot.peers),
    counter(
      "vpn_internal_errors_total",
      "Internal errors that the program survived, by operation.",
      Object.entries(snapshot.faults).map(([entry, value]) => ({ labels: { entry }, value })),
    ),
    ...processMetrics(snapshot.process),
  ];
}

function peerMetrics(peers: readonly PeerSnapshot[]): MetricFamily[] {
  const labels = new Map<PeerSnapshot, Record<string, string>>();
  function* ofEach(valueOf: (peer: PeerSnapshot) => number): Generator<Sample> {
    for (const peer of peers) {
      let own = labels.get(peer);
      if (own === undefined) {
        own = peerLabels(peer);
        labels.set(peer, own);
      }
      yield { labels: own, value: valueOf(peer) };
    }
  }
  return [
    gauge(
      "vpn_peer_up",
      "Whether the peer was seen in the last 180 s (the life of a session) and is not known to be gone.",
      ofEach((peer) => Number(presenceOf(peer) === "up")),
    ),
    gauge(
      "vpn_peer_last_handshake_timestamp_seconds",
      "Unix time of the last completed handshake with the peer; 0 for never.",
      ofEach(({ lastHandshake }) => lastHandshake / 1000),
    ),
    counter(
      "vpn_peer_receive_bytes_total",
      "Bytes received from the peer, as WireGuard counts them.",
      ofEach(({ receivedBytes }) => receivedBytes),
    ),
    counter(
      "vpn_peer_transmit_bytes_total",
      "Bytes sent to the peer, as WireGuard counts them.",
      ofEach(({ sentBytes }) => sentBytes),
    ),
    counter(
      "vpn_peer_rate_limited_packets_total",
      "Packets from and to the peer dropped because of its RateLimit.",
      ofEach(({ rateLimited }) => rateLimited),
    ),
    counter(
      "vpn_peer_denied_packets_total",
      "Packets from the peer dropped because of access rules, by rule.",
      (function* () {
        for (const peer of peers) {
          for (const { rule, packets } of peer.denied) {
            yield { labels: { ...peerLabels(peer), rule }, value: packets };
          }
        }
      })(),
    ),
    gauge(
      "vpn_peer_info",
      "Transport by which the peer is reached; always 1.",
      (function* () {
        for (const peer of peers) {
          const own = { ...peerLabels(peer), transport: TRANSPORTS[peer.transport] };
          yield { labels: own, value: 1 };
        }
      })(),
    ),
  ];
}

function accessMetrics(access: readonly PeerAccess[]): MetricFamily[] {
  return [
    gauge(
      "vpn_peer_admitted",
      "Whether the configured peer has access: it is enabled and has not expired.",
      access.map((peer) => ({ labels: peerLabels(peer), value: Number(peer.isAdmitted) })),
    ),
    gauge(
      "vpn_peer_expiry_timestamp_seconds",
      "Unix time at which the access of the peer ends; left out where it never does.",
      access.flatMap((peer) =>
        peer.expires === null ? [] : [{ labels: peerLabels(peer), value: peer.expires / 1000 }]
      ),
    ),
    gauge(
      "vpn_peer_quota_bytes",
      "Bytes that the peer may send and be sent in a period; left out where any amount is allowed.",
      access.flatMap((peer) =>
        peer.quota === null ? [] : [{ labels: peerLabels(peer), value: peer.quota.bytes }]
      ),
    ),
    gauge(
      "vpn_peer_quota_used_bytes",
      "Bytes of its quota that the peer has used in the current period, at most 10 s late.",
      access.flatMap((peer) =>
        peer.quota === null ? [] : [{ labels: peerLabels(peer), value: peer.quotaUsed }]
      ),
    ),
  ];
}

/** One without a name is called by its key: an empty label is the same as none. */
function peerLabels(
  { publicKey, name }: Pick<PeerSnapshot, "publicKey" | "name">,
): Record<string, string> {
  const key = encodeKey(publicKey);
  return { peer: name ?? key, public_key: key };
}

function natMetrics(
  { mappings, sessions, sendErrors }: NonNullable<Snapshot["nat"]>,
  peers: readonly PeerSnapshot[],
): MetricFamily[] {
  const ofEach = (valueOf: (nat: NonNullable<PeerSnapshot["nat"]>) => number): Sample[] =>
    peers.flatMap((peer) =>
      peer.nat === null ? [] : [{ labels: peerLabels(peer), value: valueOf(peer.nat) }]
    );
  return [
    gauge(
      "vpn_peer_nat_ports",
      "External NAT ports of the peer, including those not yet reusable by other peers.",
      ofEach(({ ports }) => ports),
    ),
    gauge(
      "vpn_peer_nat_sessions",
      "NAT sessions of the peer: TCP connections, UDP mappings and ICMP echoes.",
      ofEach((nat) => nat.sessions),
    ),
    counter(
      "vpn_peer_nat_refused_packets_total",
      "Packets of the peer refused because it had no NAT port or session left.",
      ofEach(({ refused }) => refused),
    ),
    gauge("vpn_nat_mappings", "External ports that the NAT has assigned to clients.", [
      { value: mappings },
    ]),
    gauge(
      "vpn_nat_sessions",
      "TCP connections through the NAT, and with NatFiltering = address also the remote hosts that clients sent to.",
      [{ value: sessions }],
    ),
    counter(
      "vpn_nat_send_errors_total",
      "Packets to the internet that the kernel refused to send, by error.",
      Object.entries(sendErrors).map(([error, value]) => ({ labels: { error }, value })),
    ),
  ];
}

/** `state` stays one of few words; a back end that is not checked counts as up, as it is given connections. */
function serviceMetrics(services: Snapshot["services"]): MetricFamily[] {
  const all = services.flatMap(({ name: service, backEnds }) =>
    backEnds.map((backEnd) => ({ ...backEnd, labels: { service, back_end: backEnd.name } }))
  );
  return [
    gauge(
      "vpn_service_back_end_up",
      "Whether the back end of the published service is given new connections.",
      all.map(({ labels, state }) => ({
        labels,
        value: Number(state === "up" || state === "unchecked"),
      })),
    ),
    gauge(
      "vpn_service_back_end_connections",
      "Connections of the back end, and with UDP flows of datagrams; 0 where the service has no other.",
      all.map(({ labels, connections }) => ({ labels, value: connections })),
    ),
    counter(
      "vpn_service_back_end_connections_total",
      "Connections that the back end was given; 0 where the service has no other.",
      all.map(({ labels, totalConnections }) => ({ labels, value: totalConnections })),
    ),
  ];
}

function peerDnsMetrics(peers: readonly PeerSnapshot[]): MetricFamily[] {
  const ofEach = (samplesOf: (dns: Readonly<ClientQueries>) => Sample[]) =>
    peers.flatMap((peer) =>
      peer.dns === null ? [] : samplesOf(peer.dns)
        .map(({ labels, value }) => ({ labels: { ...peerLabels(peer), ...labels }, value }))
    );
  return [
    counter(
      "vpn_peer_dns_queries_total",
      "Queries of the peer to the DNS proxy.",
      ofEach(({ queries }) => [{ value: queries }]),
    ),
    counter(
      "vpn_peer_dns_results_total",
      "Queries of the peer that the DNS proxy answered from its cache, blocked, answered with NXDOMAIN, or refused.",
      ofEach(({ cached, blocked, nameErrors, refused }) => [
        { labels: { result: "cached" }, value: cached },
        { labels: { result: "blocked" }, value: blocked },
        { labels: { result: "nxdomain" }, value: nameErrors },
        { labels: { result: "refused" }, value: refused },
      ]),
    ),
  ];
}

function dnsMetrics(dns: NonNullable<Snapshot["dns"]>): MetricFamily[] {
  const unanswered = {
    rate: dns.refused,
    upstream_rate: dns.overBudget,
    evicted: dns.evicted,
  };
  return [
    counter("vpn_dns_queries_total", "Queries to the DNS proxy.", [{ value: dns.queries }]),
    counter("vpn_dns_cache_hits_total", "Queries to the DNS proxy answered from its cache.", [
      { value: dns.hits },
    ]),
    counter(
      "vpn_dns_merged_queries_total",
      "Queries to the DNS proxy merged with an identical query in progress.",
      [{ value: dns.merged }],
    ),
    counter("vpn_dns_blocked_queries_total", "Queries to the DNS proxy for names in DnsBlock.", [
      { value: dns.blocked },
    ]),
    counter(
      "vpn_dns_refused_queries_total",
      "Queries to the DNS proxy not answered: above the client's rate (rate), above its rate to the resolvers " +
        "(upstream_rate), or evicted by newer queries (evicted).",
      Object.entries(unanswered).map(([reason, value]) => ({ labels: { reason }, value })),
    ),
    counter(
      "vpn_dns_evicted_connections_total",
      "TCP connections to the DNS proxy closed because their client held the most.",
      [{ value: dns.evictedConnections }],
    ),
    counter(
      "vpn_dns_wrong_answers_total",
      "Messages to the DNS proxy that match no query in progress: late, malformed or forged.",
      [{ value: dns.wrongAnswers }],
    ),
  ];
}

/** Named as in Prometheus's own client libraries. */
function processMetrics(
  { startTime, cpuTime, residentMemory }: Snapshot["process"],
): MetricFamily[] {
  return [
    gauge("process_start_time_seconds", "Unix time of the start of the process.", [
      { value: startTime / 1000 },
    ]),
    counter("process_cpu_seconds_total", "User and system CPU time of all threads.", [
      { value: cpuTime / 1e6 },
    ]),
    gauge("process_resident_memory_bytes", "Resident memory of the process.", [
      { value: residentMemory },
    ]),
  ];
}

function counter(name: string, help: string, samples: Iterable<Sample>): MetricFamily {
  return { name, type: "counter", help, samples };
}
