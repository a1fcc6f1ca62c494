/** What the API says, of which the page reads this much. A test holds it against the server's own types. */
import type { StoreStatus } from "../../../control/fleet/store_status.ts";

export type AccountRole = "admin" | "operator" | "viewer";

export interface PageSession {
  readonly isSetUp: boolean;
  /** Null where nobody is logged in. */
  readonly account: Account | null;
  /** Whether they can be used at this address. */
  readonly passkeys: boolean;
  /** The gateway's interface. */
  readonly gateway: string;
  readonly version: string;
}

export interface Account {
  readonly name: string;
  readonly role: AccountRole;
  readonly hasTotp: boolean;
  /** How many are left. */
  readonly recoveryCodes: number;
  readonly created: string;
  readonly lastLogin: string | null;
}

export interface Passkey {
  readonly id: string;
  readonly name: string;
  readonly created: string;
  readonly lastUsed: string | null;
}

export interface LoginSession {
  readonly id: string;
  readonly created: string;
  readonly lastUsed: string;
  readonly source: string;
  readonly isCurrent: boolean;
}

export interface ApiToken {
  readonly id: string;
  readonly name: string;
  readonly scope: "read" | "peers" | "admin";
  readonly account: string;
  readonly created: string;
  readonly expires: string | null;
  readonly lastUsed: string | null;
}

export interface OneTimeLink {
  readonly id: string;
  readonly name: string;
  readonly createdBy: string;
  readonly created: string;
  readonly expires: string;
}

/** The running gateway; members as in `vpn status --json`. */
export interface GatewayStatus {
  readonly interface: string;
  readonly state: "up" | "degraded" | "blocked";
  readonly missing: readonly string[];
  readonly time: string;
  readonly since: string;
  readonly publicKey: string;
  readonly listenPort: number;
  readonly addresses: readonly string[];
  readonly aead: string;
  readonly nat: { readonly mappings: number; readonly sessions: number };
  readonly drops: Readonly<Record<string, number>>;
  /** Of a gateway that has its peers in common with others; null of one by itself. */
  readonly store: StoreStatus | null;
  readonly peers: readonly LivePeerState[];
}

export interface LivePeerState {
  readonly name: string | null;
  readonly publicKey: string;
  readonly endpoint: string | null;
  readonly otherEndpoint: string | null;
  readonly transport: "udp" | "faketcp";
  readonly allowedIps: readonly string[];
  readonly latestHandshake: string | null;
  readonly presence: "never" | "up" | "silent" | "down";
  readonly isUp: boolean;
  readonly admission: Admission;
  readonly expires: string | null;
  readonly groups: readonly string[];
  /** Seconds. */
  readonly roundTrip: number | null;
  readonly hello: { readonly software: string } | null;
  readonly mtu: number;
  /** Bits a second. */
  readonly rateLimit: number | null;
  readonly denied: readonly { readonly rule: string; readonly packets: number }[];
  readonly nat: { readonly ports: number; readonly sessions: number } | null;
  readonly quota: {
    readonly bytes: number;
    readonly period: string;
    readonly used: number;
    readonly resetsAt: string | null;
    readonly rate: number | null;
  } | null;
  readonly received: number;
  readonly sent: number;
}

type Admission = "admitted" | "disabled" | "expired";

/** A second's differences. */
export interface LiveUpdate {
  readonly time: string;
  readonly status?: Partial<Omit<GatewayStatus, "peers">>;
  /** By public key. */
  readonly peers?: Readonly<Record<string, Partial<LivePeerState>>>;
  readonly added?: readonly LivePeerState[];
  readonly removed?: readonly string[];
}

export interface AuditEntry {
  readonly id: number;
  readonly time: string;
  readonly account: string | null;
  readonly source: string | null;
  readonly action: string;
  readonly target: string | null;
  readonly detail: string | null;
}
