/** Configuration: what a file in wg-quick's format says, with types, defaults and units. */
import type { Ipv4SocketAddress } from "../wire/socket_address.ts";
import type { PortRange } from "../wire/port_range.ts";
import type { HostAddress, Ipv6Text } from "../wire/host_address.ts";
import type { Ipv4Prefix } from "../wire/ipv4_text.ts";
import type { Ipv6Prefix, Ipv6PrefixText } from "../wire/ipv6_prefix.ts";

/** A whole file. Role-dependent rules are not checked yet: see `validateServer()` and `validateClient()`. */
export interface Config {
  /** The file's name as the user gave it, for messages. */
  readonly fileName: string;
  readonly interface: InterfaceConfig;
  readonly peers: readonly PeerConfig[];
  readonly groups: readonly GroupConfig[];
  /** What is accepted without effect; one line each, beginning with file and line. */
  readonly warnings: readonly string[];
  /** The same of what is no mistake and can be had in any good file, as IPv6 addresses. */
  readonly notes: readonly string[];
}

/** What a gateway runs from: `listenPort` has its default. */
export interface ServerConfig extends Config {
  /** Host order; 0 lets the kernel choose. */
  readonly listenPort: number;
}

/** What a client runs from: a server, with an endpoint, and what other peers there are. */
export interface ClientConfig extends Config {
  /** Host order; 0 (the default) lets the kernel choose. */
  readonly listenPort: number;
  /** The peer that the client connects to, and without which it is not connected. */
  readonly server: PeerConfig & { readonly endpoint: Endpoint };
  /** Where the server is reached, in the order of preference: its `endpoint` first. */
  readonly endpoints: readonly Endpoint[];
  /** The others: reached as plain WireGuard does it, when there is something to send. */
  readonly otherPeers: readonly PeerConfig[];
  /** Networks of all peers together. */
  readonly allowedIps: readonly Ipv4Prefix[];
  readonly allowedIps6: readonly string[];
}

/** The `[Interface]` section. Times are in ms; `null` means "not given" where no default fits every role. */
export interface InterfaceConfig {
  /** 32 bytes. Never log or print it. */
  readonly privateKey: Uint8Array;
  /** 32 bytes, computed from `privateKey`. */
  readonly publicKey: Uint8Array;
  /** Host order; 0 lets the kernel choose. */
  readonly listenPort: number | null;
  /** Addresses with their prefix length; host bits kept. */
  readonly addresses: readonly Ipv4Prefix[];
  /** IPv6 addresses with prefix length; the tunnel carries IPv6 where there is one. */
  readonly addresses6: readonly Ipv6PrefixText[];
  /** IPv4 resolvers, each a uint32 in host order. */
  readonly dns: readonly number[];
  /** IPv6 resolvers, in canonical text; reachable through a tunnel that carries IPv6. */
  readonly dns6: readonly string[];
  /** Search domains. */
  readonly dnsSearch: readonly string[];
  /** The most bytes of an inner packet; `auto` for what the path takes, up to jumbo frames. */
  readonly mtu: "auto" | number | null;
  /** Where routes go: `auto` as wg-quick decides, `off` for none, or the number of a table. */
  readonly table: "auto" | "off" | number;
  /** Mark of the tunnel's own datagrams; 0 is `off`. */
  readonly fwMark: number | null;
  /** In order; `%i` stands for the interface's name. */
  readonly preUp: readonly HookCommand[];
  readonly postUp: readonly HookCommand[];
  readonly preDown: readonly HookCommand[];
  readonly postDown: readonly HookCommand[];

  /** Where clients reach a gateway: what the files made for them name. */
  readonly publicEndpoint: Endpoint | null;
  /** How packets leave for the internet: raw socket, the kernel's forwarding, or not at all. */
  readonly egress: "raw" | "kernel" | "off";
  /**
   * How IPv6 packets leave for the internet: from the gateway's address, from their senders' own, of a prefix that is
   * routed to the gateway, or not at all.
   */
  readonly egress6: "nat" | "routed" | "off";
  /** `null`: the interface that has the default route. */
  readonly egressInterface: string | null;
  /**
   * What clients may reach besides the internet, and what they may not; `lan`: the networks of the gateway's
   * interfaces.
   */
  readonly egressAllow: readonly EgressTarget[];
  readonly egressDeny: readonly EgressTarget[];
  /** External ports that the NAT may take. */
  readonly natPorts: PortRange;
  /** `endpoint`: endpoint-independent filtering (RFC 4787 section 5); `address`: address-dependent. */
  readonly natFiltering: "endpoint" | "address";
  readonly capture: "packet" | "nfqueue";
  readonly clientToClient: boolean;
  /** Upstream resolvers of the forwarding proxy; empty: no proxy. */
  readonly dnsProxy: readonly DnsResolver[];
  /** The domain that the proxy answers for with the peers' names, in ASCII; `null`: none. */
  readonly dnsDomain: string | null;
  /** Who knows the names of other domains; each domain once. */
  readonly dnsRoutes: readonly DnsRoute[];
  /** Files of names that the proxy does not resolve, as the file has their paths. */
  readonly dnsBlock: readonly string[];
  /** Whether the proxy keeps which names clients ask for. */
  readonly dnsQueryLog: boolean;
  /** Whether a gateway keeps which flows there were in the tunnel. */
  readonly flowLog: boolean;
  readonly forwards: readonly PortForward[];
  readonly forwards6: readonly PortForward6[];
  readonly transport: "udp" | "faketcp" | "auto";
  /** ms */
  readonly connectTimeout: number;
  /** ms */
  readonly peerTimeout: number;
  /** ms, at least `peerTimeout` */
  readonly releaseAfter: number;
  readonly onPeerTimeout: "reconnect" | "exit";
  readonly killSwitch: boolean;
  readonly allowIpv6: boolean;
  readonly aead: "auto" | "ipsec-mb" | "boringssl" | "libcrypto" | "builtin";
  /** Threads that move packets. */
  readonly dataPlaneThreads: "auto" | number;
  /** Addresses (URLs) that are told of events. */
  readonly webhooks: readonly string[];
  /** Key of the signature of what they are told; null: none is configured. */
  readonly webhookSecret: Uint8Array | null;
  /** The group of users of this host that may ask and change the gateway; null: root alone. */
  readonly controlGroup: string | null;
  /** Servers that have the peers of a fleet, as in `tls://nats-a.example.org:4222`; empty: the file has the peers. */
  readonly store: readonly string[];
  /** Paths of files, as the configuration has them: of the key by which the store knows this gateway ... */
  readonly storeCredentials: string | null;
  /** ... and of the certificates that vouch for the store's; null: those that the system trusts. */
  readonly storeCa: string | null;
  /** ms without the store after which no new sessions are admitted; 0 for never. */
  readonly storeGrace: number;
  /** One of the gateways of the fleet has it at a time, where its network is; null: there is none. */
  readonly virtualAddress: Ipv4Prefix | null;
  /** Where metrics are served; `null`: nowhere. */
  readonly metrics: Ipv4SocketAddress | null;
  /** The line that gave each key (its first line, where it is repeated), by the key's documented spelling. */
  readonly lines: ReadonlyMap<string, number>;
}

/** A network outside that clients may reach, or not. */
export type EgressTarget = Ipv4Prefix | Ipv6Prefix | "lan";

/** Resolvers for names in a domain. */
export interface DnsRoute {
  /** In ASCII and lower case, without a dot at its end. */
  readonly domain: string;
  readonly upstreams: readonly DnsResolver[];
}

/** A resolver that the proxy asks. */
export interface DnsResolver {
  readonly address: HostAddress;
  /** The name in its certificate, where it is asked by DNS over TLS alone (RFC 7858); null: by UDP and TCP. */
  readonly tlsName: string | null;
}

/** A shell command to run at a turn of the tunnel's life. */
export interface HookCommand {
  readonly command: string;
  /** The line that gives it. */
  readonly line: number;
}

/** A `[Peer]` section. */
export interface PeerConfig {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes, or `null` for none. Never log or print it. */
  readonly presharedKey: Uint8Array | null;
  /** Networks, host bits cleared. */
  readonly allowedIps: readonly Ipv4Prefix[];
  /** Those of IPv6, whether they are carried or not. */
  readonly allowedIps6: readonly Ipv6PrefixText[];
  readonly endpoint: Endpoint | null;
  /** Where a client reaches the same server otherwise, in the order of preference. */
  readonly otherEndpoints: readonly Endpoint[];
  /** `Endpoint` where it is an IPv6 address with a zone, which is not used. */
  readonly zonedEndpoint: string | null;
  /** Seconds between persistent keepalives; 0 is off. */
  readonly persistentKeepalive: number;
  /** Unique among the peers of a file. */
  readonly name: string | null;
  /** Bits a second; `null` for no limit. */
  readonly rateLimit: number | null;
  /** What it may send and be sent together; `null` for any amount. */
  readonly quota: QuotaConfig | null;
  /** Bits a second each way when that is used up; `null` where nothing passes then. */
  readonly quotaRate: number | null;
  /** Whether it may have access at all. */
  readonly isEnabled: boolean;
  /** From when on it has none, Unix ms; `null` for never. */
  readonly expires: number | null;
  /** The key that it has been given in place of `publicKey`; `null` for none. */
  readonly nextKey: NextKey | null;
  /** Names of the groups that it is in, each once. */
  readonly groups: readonly string[];
  /** Where it may go, besides what its groups say: everywhere, where none of them says anything. */
  readonly allow: readonly AccessRule[];
  /** Where it may not go, whatever is allowed. */
  readonly deny: readonly AccessRule[];
  /** The line of the `[Peer]` header, the first of several for one key. */
  readonly line: number;
}

/** A peer without what a file alone knows of it. */
export type PeerOutsideFile = Omit<PeerConfig, "otherEndpoints" | "zonedEndpoint" | "line">;

/** A key that takes the place of a peer's with its first handshake; until then both are the peer's. */
export interface NextKey {
  /** 32 bytes. */
  readonly publicKey: Uint8Array;
  /** 32 bytes, or `null` for none. Never log or print it. */
  readonly presharedKey: Uint8Array | null;
  /** From when on it alone counts, whether or not it has been used, Unix ms; `null` for never. */
  readonly since: number | null;
}

/** A period is one of the calendar in UTC; `total` has no end. */
export type QuotaPeriod = "day" | "month" | "total";

/** What a peer may send and be sent together. */
export interface QuotaConfig {
  readonly bytes: number;
  readonly period: QuotaPeriod;
}

/** A `[Group]` section: peers that are told apart, and changed, together. */
export interface GroupConfig {
  /** Unique among the groups of a file. */
  readonly name: string;
  /** Where its members may go and may not, as in `PeerConfig`. */
  readonly allow: readonly AccessRule[];
  readonly deny: readonly AccessRule[];
  /** The line of the header. */
  readonly line: number;
}

/** A place that peers may go to, or may not. */
export interface AccessRule {
  readonly target: AccessTarget;
  /** What is there; none for all. */
  readonly services: readonly AccessService[];
}

export type AccessTarget =
  /** `any`: everywhere; `gateway`: its own addresses; `lan`: the networks that it is attached to. */
  | { readonly kind: "any" | "internet" | "lan" | "gateway" | "peers" }
  | { readonly kind: "network"; readonly prefix: Ipv4Prefix | Ipv6PrefixText }
  | { readonly kind: "peer" | "group"; readonly name: string }
  /** The addresses that resolvers have for a name, in lower case and without a dot at its end. */
  | { readonly kind: "host"; readonly name: string };

export interface AccessService {
  readonly protocol: "tcp" | "udp" | "icmp" | "gre" | "esp";
  /** `null` for all. */
  readonly ports: PortRange | null;
}

/** Where a peer is reached. */
export interface Endpoint {
  /** A host name, or an address as text, without brackets. */
  readonly host: string;
  /** The address where `host` is one; `null` for a name that must be looked up. */
  readonly address: HostAddress | null;
  /** Host order, 1 to 65535. */
  readonly port: number;
}

/** A port of the gateway's outside that leads to a client's address of IPv6. */
export interface PortForward6 {
  readonly protocol: "tcp" | "udp";
  readonly externalPort: number;
  readonly address: Ipv6Text;
  readonly port: number;
}

/** A service that is published outside. */
export interface PortForward {
  readonly protocol: "tcp" | "udp";
  /** Of its own, uint32 in host order; null for the gateway's outside. */
  readonly externalAddress: number | null;
  /** Host order. */
  readonly externalPort: number;
  /** Who serves it: each once. */
  readonly backEnds: readonly ForwardBackEnd[];
  /** How one of several is chosen for a flow: by consistent hashing, or the one that has the fewest. */
  readonly method: "hash" | "least";
  /** How it is found out whether one of several is there: by a connection of TCP to its port or another, or not. */
  readonly check: ForwardCheck;
}

export type ForwardCheck = "port" | "off" | number;

export interface ForwardBackEnd {
  /** As in `web-1:8443`. */
  readonly text: string;
  /** Name of the peer; null where there is an address. */
  readonly peer: string | null;
  /** uint32 in host order; null where a peer is named. */
  readonly address: number | null;
  /** Host order. */
  readonly port: number;
}
