/**
 * Methods of the application interface: what a gateway is asked and has changed, by its command line, its console and
 * its API alike. All of it is plain data, as it passes over a control socket.
 *
 * A peer is named by its name or its public key. A change that bears a `revision` is refused with code `revision` where
 * what it is about is another by then; without one, it is made whatever that is. A change is written to the gateway's
 * configuration, which keeps its comments, is in effect at once, and is an event with who made it; one that is refused,
 * with a `RefusalCode` (lib/core/config/refusal_error.ts) beside the message, changes nothing.
 */
import type { TrialResult } from "../../core/peers/access_trial.ts";
import type { DiffLine } from "../../core/config/text/line_diff.ts";
import type { UsagePeriod } from "../../core/config/values/usage_period.ts";
import type { AdmissionState } from "../../core/peers/admission.ts";
import type { PeerSettingKey, PeerSettings } from "../../core/peers/peer_settings.ts";

/** What a file says of a peer, by the keys of `[Peer]`, but for its secrets. */
export type PeerKeys = Omit<PeerSettings, "PresharedKey" | "NextPresharedKey">;

/**
 * Keys that become others; null takes one out. `Expires` and `KeyExpires` may also be a period that begins now, as in
 * `30d`. `NextPublicKey` may be taken out alone, which leaves the peer with the key that it has.
 */
export type PeerKeyChanges = { readonly [Key in PeerSettingKey]?: string | null };

/** Beside the parameters of a change. */
export interface ChangeParams {
  /** Of what is to be changed, as it was when the caller looked. */
  readonly revision?: string;
  /** Who asks, of those whom the console knows. Of no effect on the other socket, where the kernel says who it is. */
  readonly by?: string;
}

/** A peer of a gateway, and what it may do. Members as in `vpn peer list --json`, and more. */
export interface PeerEntry {
  readonly name: string | null;
  /** Base64. */
  readonly publicKey: string;
  readonly allowedIps: readonly string[];
  readonly hasPresharedKey: boolean;
  readonly groups: readonly string[];
  readonly admission: AdmissionState;
  /** RFC 3339, UTC; null for never. */
  readonly expires: string | null;
  readonly quota: string | null;
  /** Bits a second; null where nothing passes when the quota is used up. */
  readonly quotaRate: number | null;
  /** Base64: the key that takes the place of `publicKey` with its first handshake; null for none. */
  readonly nextPublicKey: string | null;
  /** When `publicKey` ends, whether or not the next has been used; RFC 3339, UTC; null for not before that. */
  readonly keyExpires: string | null;
  /** What the file says of it, by the keys of `[Peer]`; keys that it does not have are left out. */
  readonly settings: PeerKeys;
  /** Null for one that is not in the configuration: `wg set` has added it. */
  readonly revision: string | null;
}

export interface GroupEntry {
  readonly name: string;
  /** As a file has them; empty for none. */
  readonly allow: string;
  readonly deny: string;
  /** Names, or public keys, of its members. */
  readonly members: readonly string[];
  readonly revision: string;
}

export interface PeerList {
  /** Of all peers and groups together. */
  readonly revision: string;
  readonly peers: readonly PeerEntry[];
  readonly groups: readonly GroupEntry[];
}

/** All that a client's configuration needs besides its private key. */
export interface ClientNeeds {
  /** Of the client, as in `10.66.77.2/32`. */
  readonly addresses: readonly string[];
  readonly dns: string | null;
  /** Bytes; null for the default. */
  readonly mtu: number | null;
  /** The gateway's. */
  readonly publicKey: string;
  /** Null where it has none. It is told this once. */
  readonly presharedKey: string | null;
  /** What the client sends through the tunnel. */
  readonly allowedIps: string;
  /** Of the gateway; several separated by commas. */
  readonly endpoint: string;
  /** The file, with `CLIENT_KEY_PLACE` where the private key belongs. */
  readonly text: string;
}

/** In `ClientNeeds.text`. */
export const CLIENT_KEY_PLACE = "{PRIVATE_KEY}";

export interface CreatedPeer {
  readonly peer: PeerEntry;
  readonly client: ClientNeeds;
}

export interface UsageEntry {
  /** As in `2026-11`, `2026-11-28` or `2026-11-28T14:00Z`, UTC. */
  readonly period: string;
  readonly name: string | null;
  readonly publicKey: string;
  /** Bytes. */
  readonly received: number;
  readonly sent: number;
}

export interface EventEntry {
  /** Greater than those of all before it. */
  readonly id: number;
  /** RFC 3339, UTC. */
  readonly time: string;
  /** As in `connected` or `configuration-changed`. */
  readonly event: string;
  readonly name: string | null;
  readonly publicKey: string | null;
  readonly detail: string | null;
}

export interface SettingsText {
  readonly revision: string;
  /** `[Interface]` with its comments; the value of a secret is `(secret)`, which keeps it when it comes back. */
  readonly text: string;
}

export interface SettingsPreview {
  /** By line; `same` lines are those of both. */
  readonly lines: readonly DiffLine[];
  /** Keys whose change is in effect at once, and those whose change counts from the next start. */
  readonly live: readonly string[];
  readonly restart: readonly string[];
  /** What the configuration has to say of itself then. */
  readonly warnings: readonly string[];
}

export interface SettingsResult {
  readonly revision: string;
  /** What is in effect now, in words, and which keys are not before the next start. */
  readonly changes: readonly string[];
  readonly restart: readonly string[];
  /** What went wrong with keys that are written all the same. */
  readonly problems: readonly string[];
}

export interface Health {
  readonly state: "up" | "degraded";
  /** What is lacking on the host, in words. */
  readonly missing: readonly string[];
  /** What the configuration has that is of no effect, or unwise. */
  readonly warnings: readonly string[];
  /** What of the file is not in effect: what a reload would change, in words, and keys that wait for a restart. */
  readonly pending: readonly string[];
  readonly restart: readonly string[];
  /** What is wrong with the file as it is by now; null for nothing. */
  readonly problem: string | null;
  /** Access rules that can never decide anything, and why. */
  readonly deadRules: readonly string[];
}

/** A finding of `vpn doctor`, as in its `--json`. */
export interface CheckFinding {
  /** Of the check. */
  readonly name: string;
  readonly status: "ok" | "warn" | "fail";
  readonly why: string;
  /** What fixes it; null where nothing is to be fixed. */
  readonly remedy: string | null;
}

/** What `vpn doctor` has found on the gateway's host. */
export interface Examination {
  /** Whether another is under way. */
  readonly isRunning: boolean;
  /** When the last one ended, RFC 3339, UTC; null before the first. */
  readonly time: string | null;
  /** Why nothing came of it; null where something did. */
  readonly problem: string | null;
  /** In the order of the report. */
  readonly checks: readonly CheckFinding[];
}

/** What the DNS proxy has done since the start; null where there is none. */
export type DnsFigures = Readonly<Record<string, number>> | null;

/** Parameters and result of each method, by its name. */
export interface ApplicationMethods {
  readonly "peers": { readonly params: Readonly<Record<never, never>>; readonly result: PeerList };
  /** The next free addresses are given to it, unless `set` has `AllowedIPs`. */
  readonly "create-peer": {
    readonly params: ChangeParams & {
      readonly name: string;
      readonly publicKey: string;
      readonly set?: PeerKeyChanges;
      /** Whether the gateway makes one; it does, if left out. */
      readonly presharedKey?: boolean;
      /**
       * Where this client reaches the gateway, several separated by commas, what it sends through the tunnel, its
       * resolvers: not the defaults.
       */
      readonly endpoint?: string;
      readonly allowedIps?: string;
      readonly dns?: string;
    };
    readonly result: CreatedPeer;
  };
  /**
   * Gives a peer another key pair, whose public key this is; the one it has counts until the first handshake with the
   * other, and until `keyExpires` at most. The rest of it stays. What another such change has begun is given up for it.
   */
  readonly "rotate-peer": {
    readonly params: ChangeParams & {
      readonly peer: string;
      readonly publicKey: string;
      /** A moment, or a period that begins now. */
      readonly keyExpires?: string;
      /** As in `create-peer`. */
      readonly presharedKey?: boolean;
      readonly endpoint?: string;
      readonly allowedIps?: string;
      readonly dns?: string;
    };
    readonly result: CreatedPeer;
  };
  /** All of them or none. `revision` is the peer's where one is named, that of the list where there are several. */
  readonly "change-peers": {
    readonly params: ChangeParams & {
      readonly peers: readonly string[];
      readonly set: PeerKeyChanges;
    };
    readonly result: { readonly peers: readonly PeerEntry[] };
  };
  readonly "delete-peers": {
    readonly params: ChangeParams & { readonly peers: readonly string[] };
    readonly result: {
      readonly peers: readonly { readonly name: string | null; readonly publicKey: string }[];
    };
  };
  /** Made where there is none of this name. */
  readonly "put-group": {
    readonly params: ChangeParams & {
      readonly name: string;
      /** As a file has them; empty for none. */
      readonly allow: string;
      readonly deny: string;
    };
    readonly result: GroupEntry;
  };
  /** Its members are in it no more. */
  readonly "delete-group": {
    readonly params: ChangeParams & { readonly name: string };
    readonly result: null;
  };
  readonly "settings": {
    readonly params: Readonly<Record<never, never>>;
    readonly result: SettingsText;
  };
  readonly "preview-settings": {
    readonly params: { readonly text: string };
    readonly result: SettingsPreview;
  };
  readonly "change-settings": {
    readonly params: ChangeParams & { readonly text: string };
    readonly result: SettingsResult;
  };
  /** The newest period first; all of one peer, if one is named, and 48 hours, 31 days or 12 months of all of them. */
  readonly "usage": {
    readonly params: { readonly by?: UsagePeriod; readonly peer?: string };
    readonly result: { readonly usage: readonly UsageEntry[] };
  };
  /** Those with a greater number than `after` and no older than `since` (Unix ms), in their order, `limit` at most. */
  readonly "events": {
    readonly params: {
      readonly after?: number;
      readonly since?: number;
      readonly peer?: string;
      readonly limit?: number;
      /** Whether the last ones are meant where there are more than `limit`. */
      readonly newest?: boolean;
    };
    /** `last`: the number of the last one looked at, to go on from. */
    readonly result: { readonly events: readonly EventEntry[]; readonly last: number };
  };
  /** Tells `EventEntry` as they come, from the next one on, until the caller says no more. */
  readonly "follow-events": {
    readonly params: { readonly after?: number; readonly peer?: string };
    readonly result: null;
  };
  readonly "test-access": {
    readonly params: {
      readonly peer: string;
      readonly protocol: string;
      readonly address: string;
      readonly port: number | null;
    };
    readonly result: TrialResult;
  };
  readonly "dns": {
    readonly params: Readonly<Record<never, never>>;
    readonly result: DnsFigures;
  };
  /** What was found last. One that is ten minutes old leads to another, with `again` one of a minute. */
  readonly "doctor": {
    readonly params: { readonly again?: boolean };
    readonly result: Examination;
  };
  readonly "health": { readonly params: Readonly<Record<never, never>>; readonly result: Health };
}
