/** Command: a command line once it is parsed, with its options. */
import type { Subnet } from "../core/config/address_pool.ts";
import type { Endpoint } from "../core/config/config.ts";
import type { ConsoleListener } from "../core/config/values/console_values.ts";
import type { Expiry } from "../core/config/values/expiry.ts";
import type { PeerSettingName } from "../core/config/values/keys.ts";
import type { RelayListener, RelayTarget } from "../core/config/values/relay_url.ts";
import type { UsagePeriod } from "../core/config/values/usage_period.ts";
import type { FleetRequest } from "./fleet_request.ts";

export const LOG_LEVELS = ["trace", "debug", "info", "warning", "error"] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

export const LOG_FORMATS = ["text", "json"] as const;
export type LogFormat = (typeof LOG_FORMATS)[number];

/** The parts of the program that log, as a log line names them behind `vpn.`. */
export const LOG_CATEGORIES = [
  "server",
  "client",
  "relay",
  "dataplane",
  "control",
  "dns",
  "hooks",
  "journal",
  "cleanup",
  "upkeep",
  "console",
] as const;
export type LogCategory = (typeof LOG_CATEGORIES)[number];

/** How much is logged, and how. */
export interface LogOptions {
  readonly logLevel: LogLevel;
  readonly logFormat: LogFormat;
}

/** What `vpn server` and `vpn client` run with. */
export interface RunOptions extends LogOptions {
  readonly configPath: string;
  /** Name of the TUN device. */
  readonly interfaceName: string;
  /** The network namespace to run in, by its name in `/run/netns`. */
  readonly netns?: string;
  /** Whether segmentation offload may be used. */
  readonly offload: boolean;
}

/** What `vpn block` closes the host for. */
export type BlockOptions = Pick<RunOptions, "interfaceName" | "netns">;

/** What `vpn cleanup` leaves. */
export interface CleanupOptions {
  readonly keepKillSwitch: boolean;
}

/** What `vpn usage` shows, and how. */
export interface UsageRequest {
  /** Name of the gateway's TUN device, and its network namespace. */
  readonly interfaceName: string;
  readonly netns?: string;
  /** The peer's name or public key; null for all. */
  readonly peer: string | null;
  readonly by: UsagePeriod;
  readonly json: boolean;
}

/** What `vpn events`, `vpn queries` and `vpn flows` show, and how. */
export interface EventsRequest {
  /** Name of the gateway's TUN device, and its network namespace. */
  readonly interfaceName: string;
  readonly netns?: string;
  /** The peer's name or public key; null for all. */
  readonly peer: string | null;
  /** From when on; null for all that are kept. */
  readonly since: Expiry | null;
  /** Whether to go on with what happens from now on. */
  readonly follow: boolean;
  readonly json: boolean;
}

export const ACCESS_PROTOCOLS = ["tcp", "udp", "icmp", "gre", "esp"] as const;

/** What `vpn service` is to do. */
export type ServiceRequest =
  & {
    /** Name of the gateway's TUN device; null for the only one. */
    readonly interfaceName: string | null;
  }
  & (
    | { readonly action: "list"; readonly json: boolean }
    | {
      readonly action: "drain" | "undrain";
      /** As `Forward` has it, with its port or without. */
      readonly backEnd: string;
      /** As in `tcp:443`; null for all that have the back end. */
      readonly service: string | null;
    }
  );

/** What `vpn access test` asks. */
export interface AccessRequest {
  /** The peer's name or public key. */
  readonly peer: string;
  readonly protocol: (typeof ACCESS_PROTOCOLS)[number];
  /** Of either family, in its one spelling. */
  readonly address: string;
  /** Null where none is given. */
  readonly port: number | null;
  /** A gateway's file to ask; null for what runs. */
  readonly configPath: string | null;
  /** Name of the gateway's TUN device; null for the only one. */
  readonly interfaceName: string | null;
  readonly json: boolean;
}

/** What `vpn relay` runs with: of the two ends, one is UDP, the other fake TCP. */
export interface RelayOptions extends LogOptions {
  readonly listen: RelayListener;
  readonly connect: RelayTarget;
  /** The network namespace to run in, by its name in `/run/netns`. */
  readonly netns?: string;
  /** Whether segmentation offload may be used. */
  readonly offload: boolean;
}

/** What `vpn console` serves, and where. */
export interface ConsoleRequest extends LogOptions {
  /** Name of the gateway's TUN device. */
  readonly interfaceName: string;
  readonly listen: ConsoleListener;
  /** As in `https://vpn.example.com`; null where it is reached by an address. */
  readonly origin: string | null;
  /** Addresses and networks. */
  readonly trustedProxies: readonly string[];
  /** Files of certificate and key; null for plain HTTP. */
  readonly tls: { readonly certPath: string; readonly keyPath: string } | null;
  /** Whether plain HTTP may leave this host. */
  readonly insecure: boolean;
  /** The gateway's control socket; null for the usual one. */
  readonly socketPath: string | null;
  /** Folder of its state; null for the usual one. */
  readonly statePath: string | null;
}

/** What `vpn status` shows, and how. */
export interface StatusOptions {
  /** Name of the TUN device; null for all. */
  readonly interfaceName: string | null;
  readonly json: boolean;
  /** Again every second. */
  readonly watch: boolean;
}

/** What `vpn capture` captures, and where it goes. */
export interface CaptureOptions {
  /** Name of the TUN device. */
  readonly interfaceName: string;
  /** The peer's name or public key; null for all peers. */
  readonly peer: string | null;
  /** The file; `-` is standard output. */
  readonly write: string;
  /** Bytes of a packet that are kept at most; null for all. */
  readonly snapLength: number | null;
}

/** A level for a category, or for all of them. */
export interface LogLevelChange {
  readonly category: LogCategory | "all";
  readonly level: LogLevel;
}

/** What `vpn log` is to change. */
export interface LogRequest {
  /** Name of the TUN device. */
  readonly interfaceName: string;
  /** In this order; none: the levels are shown. */
  readonly changes: readonly LogLevelChange[];
}

/** What `vpn up` brings up, and how. */
export interface UpRequest extends LogOptions {
  /** A file, or the name of one in `/etc/vpn`. */
  readonly name: string;
  /** Whether it runs here, until a signal ends it. */
  readonly foreground: boolean;
}

/** What `vpn reload` is to reload. */
export interface ReloadRequest {
  /** Name of the TUN device; null for the only one there is. */
  readonly interfaceName: string | null;
}

/** What `vpn export` saves, and where. */
export interface ExportRequest {
  /** Files, or names of files in `/etc/vpn`; none: all there. */
  readonly names: readonly string[];
  /** The file; `-` is standard output. */
  readonly out: string;
  /** Left out: the terminal is asked. */
  readonly passphraseFile: string | undefined;
}

/** What `vpn import` restores, and where to. */
export interface ImportRequest {
  readonly backup: string;
  readonly folder: string;
  /** Whether files that differ may be replaced. */
  readonly overwrite: boolean;
  /** Left out: the terminal is asked. */
  readonly passphraseFile: string | undefined;
}

/** What `vpn demo` runs with. */
export interface DemoOptions extends LogOptions {
  /** Three gateways with one virtual address in place of one. */
  readonly fleet: boolean;
  /** Of the program of NATS, for a fleet; left out: the one in PATH. */
  readonly natsServer: string | undefined;
}

/** What `vpn init` is asked for. */
export interface InitRequest {
  readonly endpoint: Endpoint;
  readonly subnet: Subnet;
  /** Whether there is a network of IPv6 as well. */
  readonly ipv6: boolean;
  /** Whether it is to be administered by a console. */
  readonly console: boolean;
  /** The file to write. */
  readonly out: string;
}

/** What `vpn peer` is asked for, about the gateway with this configuration. */
export type PeerRequest =
  & {
    readonly configPath: string;
    /** TUN device of the running gateway that is meant, in place of one by its file. */
    readonly interfaceName?: string;
  }
  & (
    | PeerAddition
    /** All, or those of a group. */
    | { readonly action: "list"; readonly group: string | null; readonly json: boolean }
    | PeerView
    | { readonly action: "remove"; readonly name: string }
    | PeerRotation
    | PeerUpdate
  );

/** What of a client `vpn peer` is to change, or, but for a name, of all in a group: `@` and the name of that. */
export type PeerUpdate =
  | { readonly action: "enable" | "disable"; readonly name: string }
  | { readonly action: "expire"; readonly name: string; readonly expiry: Expiry }
  | { readonly action: "rename"; readonly name: string; readonly newName: string }
  /** The value as it is to stand in the file; `none` takes the key out. */
  | {
    readonly action: "set";
    readonly name: string;
    readonly key: PeerSettingName;
    readonly value: string;
  };

/** What `vpn peer show` shows. */
export interface PeerView {
  readonly action: "show";
  readonly name: string;
  /** Its configuration as a QR code, in place of what the gateway knows of it. */
  readonly qr: boolean;
  /** Where the code goes: `.png` or `.svg`; null for the terminal. */
  readonly file: string | null;
  /** Whether another file may lose its place to it. */
  readonly overwrite: boolean;
}

/** The client that `vpn peer add` is to make. */
export interface PeerAddition extends ClientFileWishes {
  readonly action: "add";
  readonly name: string;
  /** When its access ends; left out: never. */
  readonly expiry?: Expiry;
  /** Names of its groups; left out: none. */
  readonly groups?: readonly string[];
}

/** The client that `vpn peer rotate` is to make a key pair for. */
export interface PeerRotation extends ClientFileWishes {
  readonly action: "rotate";
  readonly name: string;
  /** When the old key ends at the latest; left out: with the first handshake of the new one. */
  readonly keyExpiry?: Expiry;
  /** Whether the client is to stay with the key that it has. */
  readonly cancel: boolean;
}

/** What the configuration of a client is to be like. */
export interface ClientFileWishes {
  /** Where its configuration goes; `-` is standard output. Left out: the folder beside the gateway's file. */
  readonly out?: string;
  /** Where the client reaches the gateway, in the order of preference; left out: the file's PublicEndpoint. */
  readonly endpoints?: readonly Endpoint[];
  /** What goes through the tunnel, as it stands in the file; left out: all, where the gateway leads to the internet. */
  readonly allowedIps?: string;
  /** As it stands in the file; left out: the gateway, where all goes through it and it answers. */
  readonly dns?: string;
}

export const ROLES = ["server", "client"] as const;
export type Role = (typeof ROLES)[number];

/** What `vpn doctor` examines, and how it tells. */
export interface DoctorOptions extends LogOptions {
  /** Null: the host alone. */
  readonly configPath: string | null;
  /** The other side's configuration, to compare with; null where it is not at hand. */
  readonly otherConfigPath: string | null;
  /** Null: by what the configuration has. */
  readonly role: Role | null;
  /** Name of the TUN device. */
  readonly interfaceName: string;
  /** The network namespace to examine, by its name in `/run/netns`. */
  readonly netns?: string;
  readonly json: boolean;
}

/** A parsed command line. */
export type Command =
  | { readonly command: "server"; readonly options: RunOptions }
  | { readonly command: "client"; readonly options: RunOptions }
  | { readonly command: "relay"; readonly options: RelayOptions }
  | { readonly command: "status"; readonly options: StatusOptions }
  | { readonly command: "capture"; readonly options: CaptureOptions }
  | { readonly command: "log"; readonly request: LogRequest }
  | { readonly command: "reload"; readonly request: ReloadRequest }
  | { readonly command: "up"; readonly request: UpRequest }
  | { readonly command: "down"; readonly name: string }
  | { readonly command: "export"; readonly request: ExportRequest }
  | { readonly command: "import"; readonly request: ImportRequest }
  | { readonly command: "access"; readonly request: AccessRequest }
  | { readonly command: "console"; readonly request: ConsoleRequest }
  | { readonly command: "service"; readonly request: ServiceRequest }
  | { readonly command: "fleet"; readonly request: FleetRequest }
  | { readonly command: "usage"; readonly request: UsageRequest }
  | { readonly command: "events" | "queries" | "flows"; readonly request: EventsRequest }
  | { readonly command: "demo"; readonly options: DemoOptions }
  | { readonly command: "genkey" | "pubkey" | "genpsk" }
  /** By the name of a tunnel or the path of a file. */
  | { readonly command: "strip"; readonly name: string }
  | { readonly command: "doctor"; readonly options: DoctorOptions }
  | { readonly command: "block"; readonly options: BlockOptions }
  | { readonly command: "cleanup"; readonly options: CleanupOptions }
  | { readonly command: "init"; readonly request: InitRequest }
  | { readonly command: "peer"; readonly request: PeerRequest }
  /** Text to print on standard output: help, the version, a completion script. */
  | { readonly command: "show"; readonly text: string };
