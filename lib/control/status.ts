/** Control method "status", and `vpn status --json`: what they say of a running instance. */
import { formatExpires } from "../core/config/values/expiry.ts";
import { encodeKey } from "../core/config/values/key_text.ts";
import type { Config, QuotaPeriod } from "../core/config/config.ts";
import type { ServiceStatus } from "../core/peers/service_status.ts";
import type { AdmissionState } from "../core/peers/admission.ts";
import { Transport } from "../core/transport/transport.ts";
import type { Hello } from "../core/wireguard/liveness/hello.ts";
import { type Presence, presenceOf } from "../core/wireguard/liveness/presence.ts";
import { Software } from "../core/wireguard/liveness/recognition.ts";
import { formatSocketAddress } from "../core/wire/host_address.ts";
import { formatCidr, type Ipv4Prefix } from "../core/wire/ipv4_text.ts";
import type { Ipv6PrefixText } from "../core/wire/ipv6_prefix.ts";
import type { DataPlaneHandle } from "../dataplane/data_plane_handle.ts";
import type { PeerStatistics } from "../dataplane/data_plane_protocol.ts";
import type { WorkerCount } from "../dataplane/workers/worker_count.ts";
import type { Accounts, QuotaState } from "./accounts.ts";
import type { StoreStatus } from "./fleet/store_status.ts";
import type { ClientQueries } from "../core/dns/client_tally.ts";
import type { LivePeer, LivePeers } from "./live_peers.ts";
import type { PublishedControl } from "./services.ts";
import { paced } from "../process/pace.ts";
import type { StandingBlock } from "../host/firewall/standing_blocks.ts";

/**
 * A running instance. The form is stable: members are added, none is taken away or given another meaning. Bytes and
 * counts are since the start.
 */
export interface Status {
  readonly interface: string;
  /** The network namespace that `--netns` named; null where it did not. */
  readonly netns: string | null;
  readonly role: "server" | "client";
  /**
   * `degraded`: something is lacking on the host, see `missing`: what others take away again and again of what the
   * tunnel has put there, or a gateway's route to the internet. `blocked`: nothing runs, and the kill switch that a
   * client has left keeps the host closed; what is said of peers, port and addresses is then empty.
   */
  readonly state: "up" | "degraded" | "blocked";
  /** What is lacking, in words; empty but while degraded. */
  readonly missing: readonly string[];
  readonly pid: number;
  /** When this was true, and since when it has run: RFC 3339, UTC. */
  readonly time: string;
  readonly since: string;
  /** Base64, as all keys. */
  readonly publicKey: string;
  readonly listenPort: number;
  /** Inner addresses, as in `10.66.77.1/24`. */
  readonly addresses: readonly string[];
  /** What ciphers: the name of a library, or `builtin`. */
  readonly aead: string;
  /** Whether several datagrams are handed to the kernel as one (UDP segmentation offload). */
  readonly segmentation: boolean;
  readonly peers: readonly PeerStatus[];
  /** Of a fleet's gateway; null of one that has its peers from its file, and of a client. */
  readonly store: StoreStatus | null;
  /** How many threads move packets, and why; missing of a host that is left closed, and of a `vpn` older than this. */
  readonly threads?: { readonly count: number; readonly decidedBy: string };
  /** Packet workers, where there are several threads: messages and bytes, outside, by each. */
  readonly workers: readonly WorkerStatus[];
  /**
   * Why one thread moves the packets, or translates them for all workers that there are, though `DataPlaneThreads` asks
   * for several; null where it does not.
   */
  readonly oneThread: string | null;
  /** Of the gateway's own NAT; 0 without it. */
  readonly nat: {
    readonly mappings: number;
    readonly sessions: number;
    /** Packets that the kernel refused, by the name of its error. */
    readonly sendErrors: Readonly<Record<string, number>>;
  };
  /** What `Forward` publishes; none at a client, and where the kernel forwards. */
  readonly services: readonly ServiceStatus[];
  /** Dropped packets by reason; reasons that have not occurred are left out. */
  readonly drops: Readonly<Record<string, number>>;
}

export interface WorkerStatus {
  readonly receivedMessages: number;
  readonly receivedBytes: number;
  readonly sentMessages: number;
  readonly sentBytes: number;
}

export interface PeerStatus {
  readonly name: string | null;
  readonly publicKey: string;
  /** As in `198.51.100.7:51820` or `[2001:db8::7]:51820`; null while it is not known. */
  readonly endpoint: string | null;
  /** Where else its key is in use, as in `203.0.113.9:51820`; null where only one host was seen. */
  readonly otherEndpoint: string | null;
  /** How datagrams travel to it. */
  readonly transport: "udp" | "faketcp";
  readonly allowedIps: readonly string[];
  /** RFC 3339, UTC; null for never. */
  readonly latestHandshake: string | null;
  /** Seconds since its last authenticated message; null for never. */
  readonly silence: number | null;
  /** Whether it is there: `up` is what the metric `vpn_peer_up` counts. */
  readonly presence: Presence;
  /** `presence` is `up`. */
  readonly isUp: boolean;
  /** Whether it has access. Of one without, nothing is known but what the configuration says. */
  readonly admission: AdmissionState;
  /** From when on it has none, RFC 3339, UTC; null for never. */
  readonly expires: string | null;
  /** Names of its groups. */
  readonly groups: readonly string[];
  /** Whether its program speaks our extensions of WireGuard; `unknown` until something has come in a session. */
  readonly kind: "ours" | "stock" | "unknown";
  /** Seconds there and back, smoothed (RFC 6298); null before it was measured, which it is with peers of ours. */
  readonly roundTrip: number | null;
  /** What a peer of ours says of itself and of us; null for one that says nothing. */
  readonly hello: {
    /** Version of the extensions. */
    readonly version: number;
    /** Name and version of its program, as in `vpn/0.1.0`. */
    readonly software: string;
    readonly role: "client" | "server" | null;
    /** Where it sees us, as in `203.0.113.7:51820`; null where it does not say. */
    readonly seenAt: string | null;
    /** Seconds by which its clock is ahead of ours; null where it does not say. */
    readonly clockOffset: number | null;
  } | null;
  /** Bytes of a packet inside that the path to it takes. */
  readonly mtu: number;
  /** Seconds; 0 for none. */
  readonly persistentKeepalive: number;
  /** Bits a second; null for no limit. */
  readonly rateLimit: number | null;
  /** Packets that the limit has cost. */
  readonly rateLimited: number;
  /** Packets that access rules have cost it: each rule as it stands, and where; `no Allow` where none holds. */
  readonly denied: readonly { readonly rule: string; readonly packets: number }[];
  /** Null without the gateway's own NAT. */
  readonly nat: {
    /** Ports outside that count against it, those at rest included. */
    readonly ports: number;
    readonly sessions: number;
    /** Packets refused as it had no room left. */
    readonly refused: number;
  } | null;
  /** What it may send and be sent together; null for any amount, and at a client. */
  readonly quota: {
    readonly bytes: number;
    readonly period: QuotaPeriod;
    /** Bytes in the period that is under way. */
    readonly used: number;
    /** When the next one begins, RFC 3339, UTC; null for never. */
    readonly resetsAt: string | null;
    /** Bits a second each way when it is used up; null where nothing passes then. */
    readonly rate: number | null;
  } | null;
  /** Its queries to a gateway's DNS proxy; null for none. No name is kept. */
  readonly dns: Readonly<ClientQueries> | null;
  /** Bytes of tunnel messages from and to it. */
  readonly received: number;
  readonly sent: number;
}

/** What of a status does not change while an instance runs. */
export interface StatusFrame {
  readonly interfaceName: string;
  readonly netns: string | null;
  readonly role: "server" | "client";
  readonly config: Config;
  readonly port: number;
  readonly aead: string;
  readonly threads: Pick<WorkerCount, "workers" | "decidedBy" | "oneThread">;
  readonly peers: Pick<LivePeers, "peers" | "admissionOf" | "ruleText">;
  /** Null where nothing is kept: at a client. */
  readonly accounts: Pick<Accounts, "quotaOf"> | null;
  /** Null where there is no DNS proxy. */
  readonly dnsProxy: { countsOf(key: string): PeerStatus["dns"] } | null;
  /** Null at a client. */
  readonly published: Pick<PublishedControl, "status"> | null;
  readonly degraded: () => readonly string[];
  readonly store: () => StoreStatus | null;
  /** When it started. */
  readonly since: Date;
}

/** Asks the data plane how things are. */
export async function statusOf(
  dataPlane: DataPlaneHandle,
  frame: StatusFrame,
): Promise<Status> {
  const statistics = await dataPlane.statistics();
  const { peers, drops, nat, segmentation, workers } = statistics;
  const now = Date.now();
  const missing = frame.degraded();
  return {
    interface: frame.interfaceName,
    netns: frame.netns,
    role: frame.role,
    state: missing.length > 0 ? "degraded" : "up",
    missing,
    pid: Deno.pid,
    time: new Date(now).toISOString(),
    since: frame.since.toISOString(),
    publicKey: encodeKey(frame.config.interface.publicKey),
    listenPort: frame.port,
    addresses: textsOf(frame.config.interface.addresses, frame.config.interface.addresses6),
    aead: frame.aead,
    segmentation,
    peers: await paced(peerStatuses(peers, frame)),
    store: frame.store(),
    workers: workers.map(({ receivedMessages, receivedBytes, sentMessages, sentBytes }) => ({
      receivedMessages,
      receivedBytes,
      sentMessages,
      sentBytes,
    })),
    threads: { count: frame.threads.workers, decidedBy: frame.threads.decidedBy },
    oneThread: frame.threads.oneThread,
    nat,
    services: frame.published?.status(statistics) ?? [],
    drops,
  };
}

/** What there is to say of a host that a client has left closed. */
export function blockedStatus({ owner }: StandingBlock): Status {
  const now = new Date().toISOString();
  return {
    interface: owner.interfaceName,
    netns: owner.netns ?? null,
    role: "client",
    state: "blocked",
    missing: [],
    pid: owner.pid,
    time: now,
    since: now,
    publicKey: "",
    listenPort: 0,
    addresses: [],
    aead: "",
    segmentation: false,
    peers: [],
    store: null,
    workers: [],
    oneThread: null,
    nat: { mappings: 0, sessions: 0, sendErrors: {} },
    services: [],
    drops: {},
  };
}

/** A status as JSON, by the peer. */
export function* statusTexts({ peers, ...rest }: Status): Generator<string> {
  yield `${JSON.stringify(rest).slice(0, -1)},"peers":[`;
  for (const [index, peer] of peers.entries()) {
    yield `${index === 0 ? "" : ","}${JSON.stringify(peer)}`;
  }
  yield "]}";
}

const KINDS: Readonly<Record<Software, PeerStatus["kind"]>> = {
  [Software.unknown]: "unknown",
  [Software.ours]: "ours",
  [Software.stock]: "stock",
};

function helloStatus(hello: Hello, clockOffset: number): PeerStatus["hello"] {
  const { version, software, role, seenAt } = hello;
  return {
    version,
    software,
    role,
    seenAt: seenAt === null ? null : formatSocketAddress(seenAt),
    clockOffset: hello.time === 0 ? null : clockOffset / 1000,
  };
}

/**
 * What the data plane knows of its peers, and behind them those that it has not: kept out, or on their way in or out.
 * It was asked a moment ago, and a change may have been made since: each peer stands here once all the same, as those
 * who compare two statuses take one that is missing for one that was removed.
 */
function* peerStatuses(
  statistics: readonly PeerStatistics[],
  { peers: live, accounts, dnsProxy }: Pick<StatusFrame, "peers" | "accounts" | "dnsProxy">,
): Generator<void, PeerStatus[]> {
  const told = new Set<string>();
  const statuses: PeerStatus[] = [];
  for (const peer of statistics) {
    yield;
    const key = encodeKey(peer.publicKey);
    const known = live.peers.get(key) ?? null;
    if (known !== null && live.admissionOf(key, known) !== "admitted") continue;
    told.add(key);
    const state = accounts?.quotaOf(key, peer.receivedBytes + peer.sentBytes) ?? null;
    const dns = dnsProxy?.countsOf(key) ?? null;
    statuses.push({ ...peerStatus(peer, known, state, (rule) => live.ruleText(rule)), dns });
  }
  for (const [key, peer] of live.peers) {
    yield;
    if (!told.has(key)) statuses.push(absentStatus(peer, live.admissionOf(key, peer)));
  }
  return statuses;
}

/**
 * @param live what the configuration says of it; null where it is not known any more
 * @param ruleText what an access rule says
 */
export function peerStatus(
  peer: PeerStatistics,
  live: Pick<LivePeer, "expires" | "groups" | "quota" | "quotaRate"> | null,
  state: QuotaState | null,
  ruleText: (rule: number) => string,
): PeerStatus {
  const { expires = null, groups = [] } = live ?? {};
  const publicKey = encodeKey(peer.publicKey);
  const presence = presenceOf(peer);
  return {
    name: peer.name,
    publicKey,
    endpoint: peer.endpoint.port === 0 ? null : formatSocketAddress(peer.endpoint),
    otherEndpoint: peer.otherPlace === null ? null : formatSocketAddress(peer.otherPlace),
    transport: peer.transport === Transport.fakeTcp ? "faketcp" : "udp",
    allowedIps: textsOf(peer.allowedIps, peer.allowedIps6),
    latestHandshake: peer.lastHandshake === 0 ? null : new Date(peer.lastHandshake).toISOString(),
    silence: peer.silence === null ? null : peer.silence / 1000,
    presence,
    isUp: presence === "up",
    admission: "admitted",
    expires: expires === null ? null : formatExpires(expires),
    groups,
    kind: KINDS[peer.software],
    roundTrip: peer.roundTrip === null ? null : peer.roundTrip / 1000,
    hello: peer.hello === null ? null : helloStatus(peer.hello, peer.clockOffset),
    mtu: peer.mtu,
    persistentKeepalive: peer.persistentKeepalive,
    rateLimit: peer.rateLimit,
    rateLimited: peer.rateLimited,
    denied: peer.denials.map(({ rule, packets }) => ({ rule: ruleText(rule), packets })),
    nat: peer.nat,
    quota: live === null ? null : quotaStatus(live, state),
    dns: null,
    received: peer.receivedBytes,
    sent: peer.sentBytes,
  };
}

function quotaStatus(
  { quota, quotaRate }: Pick<LivePeer, "quota" | "quotaRate">,
  state: QuotaState | null,
): PeerStatus["quota"] {
  if (quota === null) return null;
  const { used = 0, resetsAt = null } = state ?? {};
  return {
    ...quota,
    used,
    resetsAt: resetsAt === null ? null : formatExpires(resetsAt),
    rate: quotaRate,
  };
}

/** Of a peer that the data plane has not. */
function absentStatus(peer: LivePeer, admission: AdmissionState): PeerStatus {
  return {
    name: peer.name,
    publicKey: encodeKey(peer.publicKey),
    endpoint: null,
    otherEndpoint: null,
    transport: "udp",
    allowedIps: textsOf(peer.allowedIps, peer.allowedIps6),
    latestHandshake: null,
    silence: null,
    presence: "never",
    isUp: false,
    admission,
    expires: peer.expires === null ? null : formatExpires(peer.expires),
    groups: peer.groups,
    kind: "unknown",
    roundTrip: null,
    hello: null,
    mtu: 0,
    persistentKeepalive: peer.persistentKeepalive,
    rateLimit: peer.rateLimit,
    rateLimited: 0,
    denied: [],
    nat: null,
    quota: quotaStatus(peer, null),
    dns: null,
    received: 0,
    sent: 0,
  };
}

/** Those of both families as texts. */
function textsOf(ipv4: readonly Ipv4Prefix[], ipv6: readonly Ipv6PrefixText[]): string[] {
  return [...ipv4.map(formatCidr), ...ipv6];
}
