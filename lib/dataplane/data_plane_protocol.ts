/**
 * Data-plane protocol: what the main thread and the data-plane thread say to each other: commands one way, reports the
 * other.
 */
import type { QuotaOptions } from "../core/wireguard/quota.ts";
import type { DeviceEventKind } from "../core/wireguard/device_events.ts";
import type { Hello } from "../core/wireguard/liveness/hello.ts";
import type { WatchOptions } from "../core/wireguard/liveness/liveness.ts";
import type { PeerOptions } from "../core/wireguard/peer.ts";
import type { Software } from "../core/wireguard/liveness/recognition.ts";
import type { CaptureCommand, CaptureReport } from "./captures.ts";
import type { AccessItem, Denials } from "../core/access/access_items.ts";
import type { EgressRule } from "../core/access/egress_rules.ts";
import type { FlowBatch } from "../core/flows/flow_meter.ts";
import type { FakeTcpEndpoints } from "../core/transport/fake_tcp/endpoints.ts";
import type { Transport } from "../core/transport/transport.ts";
import type { EgressConfig, EgressConfig6 } from "./egress/egress.ts";
import type { FleetCommand, FleetConfig, FleetReport } from "./fleet/fleet_protocol.ts";
import type { ThreadReport } from "./thread/thread_report.ts";
import type { PeerNatUsage } from "./workers/nat_usage.ts";
import type { WorkerFigures } from "./workers/worker_figures.ts";
import type { SharedMemory } from "./workers/shared_memory.ts";
import type { ExternalLink } from "../core/nat/external_link.ts";
import type { NatService } from "../core/nat/nat_options.ts";
import type { BackEndFigures } from "../core/nat/services/services.ts";
import type { PeerChangeText } from "../core/peers/peer_change.ts";
import type { HostAddress, Ipv6Text } from "../core/wire/host_address.ts";
import type { Ipv4Prefix } from "../core/wire/ipv4_text.ts";
import type { Ipv6PrefixText } from "../core/wire/ipv6_prefix.ts";
import type { SocketAddress } from "../core/wire/socket_address.ts";

/** All that the data plane needs to begin. Sent once, by `postMessage`, before its loop starts. */
export interface DataPlaneConfig {
  /** Descriptor of the wake channel's receiving end. */
  readonly commandFd: number;
  readonly isGateway: boolean;
  /** 32 bytes. */
  readonly privateKey: Uint8Array;
  /** Name that the TUN will have. */
  readonly interfaceName: string;
  /** 0 takes a free port. */
  readonly listenPort: number;
  /** SO_MARK of the tunnel's own datagrams; 0 for none. */
  readonly mark: number;
  /** Inner MTU in bytes. */
  readonly mtu: number;
  /** The most that it is towards a peer that has answered no probe of the path. */
  readonly unprovenMtu: number;
  /** Whether segmentation offloads may be used. */
  readonly offload: boolean;
  readonly aead: "auto" | "ipsec-mb" | "boringssl" | "libcrypto" | "builtin";
  /** Whether to log each packet that goes outside. */
  readonly trace: boolean;
  /** Inner addresses of this end. */
  readonly addresses: readonly Ipv4Prefix[];
  /** The same of IPv6, which is carried where there is one; none if left out. */
  readonly addresses6?: readonly Ipv6PrefixText[];
  readonly clientToClient: boolean;
  /** What becomes of a gateway's packets for outside: translated by us, left to the kernel, or dropped. */
  readonly egress: EgressConfig | "kernel" | "off";
  /** Where those of IPv6 are translated by us, too; null, or left out, where the kernel has them. */
  readonly egress6?: EgressConfig6 | null;
  /** Which addresses outside peers reach, and how. */
  readonly egressRules: readonly EgressRule[];
  /** What peers of a gateway may reach of that. */
  readonly access: readonly AccessItem[];
  /** Of a client, the first is its server. */
  readonly peers: readonly PeerOptions[];
  /** Whether there may be fake TCP besides UDP. */
  readonly hasFakeTcp: boolean;
  /** How peers are watched. */
  readonly watch: WatchOptions;
  /** What a gateway that shares a virtual address with others needs for that; null for none. */
  readonly fleet: FleetConfig | null;
  /** What is shared with packet workers; null where the data plane has the packets itself. */
  readonly shared: SharedMemory | null;
}

/** The quota of a peer, by its public key in base64; null for none. */
export interface PeerQuota {
  readonly peer: string;
  readonly quota: QuotaOptions | null;
}

/** What the main thread asks for, to be answered by the report that names the request's id. */
export type Request =
  /** Create the TUN device of this name; answered by `done` or `refused`. */
  | { readonly kind: "open-tun"; readonly id: number; readonly name: string }
  /** Begin to carry by fake TCP as well, what `FakeTcpGuard` has made room for; answered by `done` or `refused`. */
  | { readonly kind: "open-fake-tcp"; readonly id: number; readonly endpoints: FakeTcpEndpoints }
  /** Change the peers, in this order, while all others go on; answered by `done`. */
  | {
    readonly kind: "change-peers";
    readonly id: number;
    readonly changes: readonly PeerChangeText[];
  }
  /** Bound what peers use up from now on, or bound it no more; answered by `done`. */
  | { readonly kind: "set-quotas"; readonly id: number; readonly quotas: readonly PeerQuota[] }
  /** Change access rules: all parts together, from the one on that is the last; answered by `done`. */
  | {
    readonly kind: "change-access";
    readonly id: number;
    readonly items: readonly AccessItem[];
    readonly isLast: boolean;
  }
  /** Hand services to these back ends: all together, from the part on that is the last; answered by `done`. */
  | {
    readonly kind: "set-services";
    readonly id: number;
    readonly services: readonly NatService[];
    readonly isLast: boolean;
  }
  /** Answered by `usages`: of the peers that more has passed with since it was last asked for. */
  | { readonly kind: "get-usage"; readonly id: number }
  /** Answered by `flows`: those that have ended since it was last asked for; with `isLast`, all. */
  | { readonly kind: "get-flows"; readonly id: number; readonly isLast: boolean }
  /** Answered by `statistics`: the first page, with some of the peers, or the next one. */
  | { readonly kind: "get-statistics"; readonly id: number; readonly isFirst: boolean };

/** A request before it has an id. */
export type UnnumberedRequest = Request extends infer Each
  ? Each extends Request ? Omit<Each, "id"> : never
  : never;

/** From the main thread, as JSON over the wake channel. A peer is named by its public key in base64. */
export type DataPlaneCommand =
  | Request
  /**
   * Begin a handshake with every peer that there was none with yet, and with `server` in any case: that a client's
   * server is lost says nothing of its other peers. Repeat it at this interval in ms.
   */
  | { readonly kind: "connect"; readonly server: string; readonly interval: number }
  /** Go back to the ordinary interval between handshakes. */
  | { readonly kind: "connected" }
  /** Look for the peer there; whatever its packets say later counts as ever. */
  | {
    readonly kind: "set-endpoint";
    readonly peer: string;
    readonly address: HostAddress;
    readonly port: number;
  }
  /** Reach the peer in this way from now on; `connect` or `renew` is to follow. */
  | { readonly kind: "set-transport"; readonly peer: string; readonly transport: Transport }
  /** Ask the peer by UDP whether that gets through; an answer is reported as `transport-works`. */
  | { readonly kind: "try-udp"; readonly peer: string }
  /** Re-handshake at once with every peer that there is a session with: the path to it may be another. */
  | { readonly kind: "renew" }
  /** This is the interface outside now, and the gateway's address there; null for none. */
  | { readonly kind: "set-external"; readonly external: ExternalLink | null }
  /** The same of IPv6. */
  | { readonly kind: "set-external6"; readonly external: ExternalLink<Ipv6Text> | null }
  /** Which addresses outside peers reach, and how: all rules together, from the part on that is the last. */
  | {
    readonly kind: "set-egress-rules";
    readonly rules: readonly EgressRule[];
    readonly isLast: boolean;
  }
  /** Whether one client may reach another, from now on. */
  | { readonly kind: "set-client-to-client"; readonly allowed: boolean }
  /** Whether peers that have no session get one, from now on. */
  | { readonly kind: "set-admits-new"; readonly admits: boolean }
  /** Count what passes by flow from now on, or no more. */
  | { readonly kind: "set-flow-log"; readonly isOn: boolean }
  /** Log each packet that goes outside from now on, or no more. */
  | { readonly kind: "set-trace"; readonly trace: boolean }
  | CaptureCommand
  | FleetCommand
  /** Answered by `alive`, by which the main thread sees that the loop runs. */
  | { readonly kind: "ping" }
  /** End the loop; answered by `stopped`. */
  | { readonly kind: "stop" };

/** What a peer has sent and been sent since it was added, bytes. */
export interface PeerCounts {
  readonly publicKey: Uint8Array;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

export interface PeerStatistics {
  readonly publicKey: Uint8Array;
  readonly name: string | null;
  /** Port 0 when not known. */
  readonly endpoint: SocketAddress;
  readonly transport: Transport;
  /** Unix ms; 0 for never. */
  readonly lastHandshake: number;
  /** ms since its last authenticated message; null for never. */
  readonly silence: number | null;
  /** Whether it was found missing, or has said goodbye, and has not been seen since. */
  readonly isDown: boolean;
  /** Where else its key is in use; null where only one host was seen. */
  readonly otherPlace: SocketAddress | null;
  /** What runs at the other end. */
  readonly software: Software;
  /** ms, smoothed; null before it was measured. */
  readonly roundTrip: number | null;
  /** What the peer says of itself; null for one that says nothing. */
  readonly hello: Hello | null;
  /** ms by which its clock is ahead of ours, where it said so. */
  readonly clockOffset: number;
  /** As the table of allowed IPs has it now. */
  readonly allowedIps: readonly Ipv4Prefix[];
  readonly allowedIps6: readonly Ipv6PrefixText[];
  /** Seconds; 0 is off. */
  readonly persistentKeepalive: number;
  /** Bytes of the longest packet inside that fits the path to it. */
  readonly mtu: number;
  /** Bits a second each way; null for no limit. And how many packets it has cost. */
  readonly rateLimit: number | null;
  readonly rateLimited: number;
  /** Its number among those that access rules are about; what each rule has cost it. */
  readonly accessId: number;
  readonly denials: readonly Denials[];
  /** What of the NAT it holds, and how many of its packets were refused as it had no room left; null without a NAT. */
  readonly nat: PeerNatUsage | null;
  readonly receivedBytes: number;
  readonly sentBytes: number;
}

/** What passed so far. Counts are float64 numbers. */
export interface Statistics {
  readonly peers: readonly PeerStatistics[];
  /** By packet worker; none where the data plane has the packets itself. */
  readonly workers: readonly WorkerFigures[];
  /** Drops by the name of their reason; those that are 0 are left out. */
  readonly drops: Readonly<Record<string, number>>;
  readonly segmentation: boolean;
  /** Why the kernel refused to send to a peer, the last time, by the name of its error; null where it never did. */
  readonly sendError: string | null;
  /** Mappings and sessions of the NAT, and how many packets the kernel refused, by the name of the error. */
  readonly nat: {
    readonly mappings: number;
    readonly sessions: number;
    readonly sendErrors: Readonly<Record<string, number>>;
  };
  /** Of the published services that have a choice; none without. */
  readonly services: readonly BackEndFigures[];
}

/** The answer to the request of this id. */
export type Answer =
  | { readonly kind: "done"; readonly id: number }
  | {
    readonly kind: "statistics";
    readonly id: number;
    readonly statistics: Statistics;
    readonly isLast: boolean;
  }
  | { readonly kind: "usages"; readonly id: number; readonly peers: readonly PeerCounts[] }
  /** Null where nothing is counted. */
  | { readonly kind: "flows"; readonly id: number; readonly batch: FlowBatch | null }
  /** It could not be done; all else goes on. `errno` is 0 when no system call failed. */
  | {
    readonly kind: "refused";
    readonly id: number;
    readonly message: string;
    readonly errno: number;
  };

/** How the data plane reports; its thread passes it to the main thread. Buffers in `transfer` are given away. */
export type Reporter = (report: Report, transfer?: Transferable[]) => void;

/** From the data plane, by `postMessage`. */
export type Report =
  | { readonly kind: "ready"; readonly port: number; readonly aead: string }
  | Answer
  /**
   * What happened to a peer: each kind at most once a second, with the peer's state at that time, see `PeerReports`.
   */
  | {
    readonly kind: "peer";
    readonly event: DeviceEventKind;
    readonly publicKey: Uint8Array;
    readonly name: string | null;
    readonly endpoint: SocketAddress;
    /** Of `key-shared`: where the other host is. */
    readonly otherPlace: SocketAddress | null;
  }
  /** A peer has come a step further with its quota, or it is removed. */
  | PeerCounts & { readonly kind: "usage"; readonly isRemoved: boolean }
  /** The path to a peer takes packets of this many bytes inside, less or more than before; as rarely. */
  | {
    readonly kind: "path-mtu";
    readonly publicKey: Uint8Array;
    readonly name: string | null;
    readonly mtu: number;
  }
  | {
    readonly kind: "log";
    readonly level: "trace" | "info" | "warning";
    readonly category: string;
    readonly message: string;
  }
  /** Addresses, links or routes of the host have changed. */
  | { readonly kind: "network-changed" }
  | CaptureReport
  | FleetReport
  | ThreadReport;
