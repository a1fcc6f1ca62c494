/** Peer settings: a peer, or a group, as text by the keys of a file: what is kept, and passes between processes. */
import type { GroupConfig, NextKey, PeerOutsideFile } from "../config/config.ts";
import type { Entry } from "../config/text/config_document.ts";
import { formatEndpoint } from "../config/text/config_writer.ts";
import { formatAccessRules } from "../config/values/access_rules.ts";
import { ipv4Prefixes, ipv6Prefixes } from "../config/values/addresses.ts";
import { formatExpires } from "../config/values/expiry.ts";
import { encodeKey } from "../config/values/key_text.ts";
import { GROUP_KEYS, PEER_KEYS } from "../config/values/keys.ts";
import { nextKeyOf, noneIfZero } from "../config/values/next_key.ts";
import { formatQuota } from "../config/values/quota.ts";
import { rateText } from "../config/values/values.ts";
import { formatCidr } from "../wire/ipv4_text.ts";

/** The keys of `[Peer]` besides `PublicKey`, which is what a peer is known by. */
export type PeerSettingKey = Exclude<keyof typeof PEER_KEYS, "PublicKey">;

/** `Key: "value"`; what a section would not have is left out. */
export type PeerSettings = { readonly [Key in PeerSettingKey]?: string };

/** The same of a `[Group]`. */
export type GroupSettings = { readonly [Key in Exclude<keyof typeof GROUP_KEYS, "Name">]?: string };

/** A peer as its settings say, whose endpoint, if it has one, is an address. */
export type SettledPeer = PeerOutsideFile;

/** The settings of a peer of a configuration: one text for one meaning. */
export function peerSettings(peer: SettledPeer): PeerSettings {
  const { name, presharedKey, allowedIps, allowedIps6, endpoint, persistentKeepalive } = peer;
  const networks = [...allowedIps.map(formatCidr), ...allowedIps6];
  return {
    ...(name === null ? {} : { Name: name }),
    ...(presharedKey === null ? {} : { PresharedKey: encodeKey(presharedKey) }),
    ...(networks.length === 0 ? {} : { AllowedIPs: networks.join(", ") }),
    ...(endpoint === null ? {} : { Endpoint: formatEndpoint(endpoint) }),
    ...(persistentKeepalive === 0 ? {} : { PersistentKeepalive: `${persistentKeepalive}` }),
    ...(peer.groups.length === 0 ? {} : { Groups: peer.groups.join(", ") }),
    ...(peer.allow.length === 0 ? {} : { Allow: formatAccessRules(peer.allow) }),
    ...(peer.deny.length === 0 ? {} : { Deny: formatAccessRules(peer.deny) }),
    ...(peer.rateLimit === null ? {} : { RateLimit: rateText(peer.rateLimit) }),
    ...(peer.quota === null ? {} : { Quota: formatQuota(peer.quota) }),
    ...(peer.quotaRate === null ? {} : { QuotaRate: rateText(peer.quotaRate) }),
    ...(peer.isEnabled ? {} : { Enabled: "no" }),
    ...(peer.expires === null ? {} : { Expires: formatExpires(peer.expires) }),
    ...(peer.nextKey === null ? {} : nextKeySettings(peer.nextKey)),
  };
}

function nextKeySettings({ publicKey, presharedKey, since }: NextKey): PeerSettings {
  return {
    NextPublicKey: encodeKey(publicKey),
    ...(presharedKey === null ? {} : { NextPresharedKey: encodeKey(presharedKey) }),
    ...(since === null ? {} : { KeyExpires: formatExpires(since) }),
  };
}

/**
 * The peer that settings stand for. An endpoint with a name is left out: a gateway looks up none.
 *
 * @throws {ConfigError} whose message begins with the key
 */
export function settledPeer(publicKey: Uint8Array, settings: PeerSettings): SettledPeer {
  const read = <T>(key: PeerSettingKey, parse: (entry: Entry) => T): T | null => {
    const value = settings[key];
    return value === undefined ? null : parse(entryOf(key, value));
  };
  const endpoint = read("Endpoint", PEER_KEYS.Endpoint.parse)?.[0]?.endpoint ?? null;
  return {
    publicKey,
    presharedKey: noneIfZero(read("PresharedKey", PEER_KEYS.PresharedKey.parse)),
    ...settledNetworks(settings),
    endpoint: typeof endpoint === "string" ? null : endpoint,
    persistentKeepalive: read("PersistentKeepalive", PEER_KEYS.PersistentKeepalive.parse) ?? 0,
    name: read("Name", PEER_KEYS.Name.parse),
    rateLimit: read("RateLimit", PEER_KEYS.RateLimit.parse),
    quota: read("Quota", PEER_KEYS.Quota.parse),
    quotaRate: read("QuotaRate", PEER_KEYS.QuotaRate.parse),
    groups: [...new Set(read("Groups", PEER_KEYS.Groups.parse) ?? [])],
    allow: read("Allow", PEER_KEYS.Allow.parse) ?? [],
    deny: read("Deny", PEER_KEYS.Deny.parse) ?? [],
    isEnabled: read("Enabled", PEER_KEYS.Enabled.parse) ?? true,
    expires: read("Expires", PEER_KEYS.Expires.parse),
    nextKey: nextKeyOf({
      NextPublicKey: read("NextPublicKey", PEER_KEYS.NextPublicKey.parse),
      NextPresharedKey: read("NextPresharedKey", PEER_KEYS.NextPresharedKey.parse),
      KeyExpires: read("KeyExpires", PEER_KEYS.KeyExpires.parse),
    }, (key) => `:0: ${key}`),
  };
}

/** The networks of that peer alone. @throws {ConfigError} as above */
export function settledNetworks(
  { AllowedIPs: value }: PeerSettings,
): Pick<SettledPeer, "allowedIps" | "allowedIps6"> {
  const networks = value === undefined
    ? []
    : PEER_KEYS.AllowedIPs.parse(entryOf("AllowedIPs", value));
  return { allowedIps: ipv4Prefixes(networks), allowedIps6: ipv6Prefixes(networks) };
}

/** The settings of a group of a configuration. */
export function groupSettings({ allow, deny }: Pick<GroupConfig, "allow" | "deny">): GroupSettings {
  return {
    ...(allow.length === 0 ? {} : { Allow: formatAccessRules(allow) }),
    ...(deny.length === 0 ? {} : { Deny: formatAccessRules(deny) }),
  };
}

/** The group that settings stand for. @throws {ConfigError} as above */
export function settledGroup(name: string, { Allow, Deny }: GroupSettings): GroupConfig {
  return {
    name: GROUP_KEYS.Name.parse(entryOf("Name", name)),
    allow: Allow === undefined ? [] : GROUP_KEYS.Allow.parse(entryOf("Allow", Allow)),
    deny: Deny === undefined ? [] : GROUP_KEYS.Deny.parse(entryOf("Deny", Deny)),
    line: 0,
  };
}

/** A value that stands in no file. */
export function entryOf(key: string, value: string): Entry {
  return { fileName: "", line: 0, key, value };
}

/** What is wrong with such a value, as a person is told: without the place. */
export function withoutPlace(message: string): string {
  return message.replace(/^:0: /, "");
}
