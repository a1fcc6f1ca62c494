/** Configuration keys: those that a file may have, and how the value of each is read. */
import { parseAccessRules } from "./access_rules.ts";
import {
  parseAddresses,
  parseAllowedIps,
  parseDns,
  parseEgressAllow,
  parseEgressDeny,
  parseEndpoint,
  parsePeerEndpoint,
  parseResolvers,
  parseSocketAddress,
} from "./addresses.ts";
import { parseForward } from "./forward_key.ts";
import { parseDnsBlock, parseDnsDomain, parseDnsRoute } from "./name_keys.ts";
import { parseExpires } from "./expiry.ts";
import { parseForward6 } from "./forward6.ts";
import { parseQuota } from "./quota.ts";
import { list, single } from "../text/section.ts";
import {
  oneOf,
  orNothing,
  parseBoolean,
  parseCommand,
  parseFwMark,
  parseGroupName,
  parseGroups,
  parseInterfaceName,
  parseKeepalive,
  parseKey,
  parseListenPort,
  parseMtu,
  parsePeerName,
  parsePortRange,
  parseRateLimit,
  parseSwitch,
  parseTable,
  parseThreads,
  parseUserGroup,
  parseYesNo,
  secondsBetween,
  withoutBlanks,
} from "./values.ts";

import { parseStore, parseStoreFile, parseStoreGrace, parseVirtualAddress } from "./store_keys.ts";
import { parseWebhook, parseWebhookSecret } from "./webhook_keys.ts";

/** Of a time after which a peer counts as lost. */
const TOO_SHORT = "shorter silences are normal on any path";

export const INTERFACE_KEYS = {
  // Those of wg and wg-quick.
  PrivateKey: single(withoutBlanks(parseKey)),
  ListenPort: single(withoutBlanks(parseListenPort)),
  Address: list(parseAddresses),
  DNS: list(parseDns),
  MTU: single(orNothing(parseMtu)),
  Table: single(orNothing(parseTable)),
  FwMark: single(withoutBlanks(parseFwMark)),
  PreUp: list(parseCommand),
  PostUp: list(parseCommand),
  PreDown: list(parseCommand),
  PostDown: list(parseCommand),
  SaveConfig: single(orNothing(parseBoolean)),
  // Ours.
  PublicEndpoint: single(parseEndpoint),
  Egress: single(oneOf("raw", "kernel", "off")),
  Egress6: single(oneOf("nat", "routed", "off")),
  EgressInterface: single(parseInterfaceName),
  EgressAllow: list(parseEgressAllow),
  EgressDeny: list(parseEgressDeny),
  NatPorts: single(parsePortRange),
  NatFiltering: single(oneOf("endpoint", "address")),
  Capture: single(oneOf("packet", "nfqueue")),
  ClientToClient: single(parseSwitch),
  DnsProxy: list(parseResolvers),
  DnsDomain: single(parseDnsDomain),
  DnsRoute: list(parseDnsRoute),
  DnsBlock: list(parseDnsBlock),
  DnsQueryLog: single(parseSwitch),
  FlowLog: single(parseSwitch),
  Forward: list(parseForward),
  Forward6: list(parseForward6),
  Transport: single(oneOf("udp", "faketcp", "auto")),
  ConnectTimeout: single(secondsBetween(0.1, 60)),
  PeerTimeout: single(secondsBetween(2, 3600, TOO_SHORT)),
  ReleaseAfter: single(secondsBetween(1, 86400)),
  OnPeerTimeout: single(oneOf("reconnect", "exit")),
  KillSwitch: single(parseSwitch),
  AllowIPv6: single(parseSwitch),
  Aead: single(oneOf("auto", "ipsec-mb", "boringssl", "libcrypto", "builtin")),
  DataPlaneThreads: single(parseThreads),
  Metrics: single(parseSocketAddress),
  Webhook: list(parseWebhook),
  WebhookSecret: single(parseWebhookSecret),
  ControlGroup: single(parseUserGroup),
  Store: list(parseStore),
  StoreCredentials: single(parseStoreFile),
  StoreCA: single(parseStoreFile),
  StoreGrace: single(parseStoreGrace),
  VirtualAddress: single(parseVirtualAddress),
};

export const PEER_KEYS = {
  // Those of wg.
  PublicKey: single(withoutBlanks(parseKey)),
  PresharedKey: single(withoutBlanks(parseKey)),
  AllowedIPs: list(parseAllowedIps),
  Endpoint: list(withoutBlanks(parsePeerEndpoint)),
  PersistentKeepalive: single(withoutBlanks(parseKeepalive)),
  // Ours.
  Name: single(parsePeerName),
  RateLimit: single(parseRateLimit),
  Quota: single(parseQuota),
  QuotaRate: single(parseRateLimit),
  Groups: list(parseGroups),
  Allow: list(parseAccessRules),
  Deny: list(parseAccessRules),
  Enabled: single(parseYesNo),
  Expires: single(parseExpires),
  NextPublicKey: single(withoutBlanks(parseKey)),
  NextPresharedKey: single(withoutBlanks(parseKey)),
  KeyExpires: single(parseExpires),
};

/**
 * The keys of `[Peer]` that may be set by themselves: what a peer is known by is no setting of it, and what it is to be
 * known by goes with a key pair that is made for it.
 */
export const PEER_SETTING_KEYS = [
  "Name",
  "PresharedKey",
  "AllowedIPs",
  "Endpoint",
  "PersistentKeepalive",
  "RateLimit",
  "Quota",
  "QuotaRate",
  "Groups",
  "Allow",
  "Deny",
  "Enabled",
  "Expires",
  "KeyExpires",
] as const satisfies readonly (keyof typeof PEER_KEYS)[];
export type PeerSettingName = (typeof PEER_SETTING_KEYS)[number];

export const GROUP_KEYS = {
  Name: single(parseGroupName),
  Allow: list(parseAccessRules),
  Deny: list(parseAccessRules),
};

/** By the section that they stand in. */
export const SECTION_KEYS = { Interface: INTERFACE_KEYS, Peer: PEER_KEYS, Group: GROUP_KEYS };
