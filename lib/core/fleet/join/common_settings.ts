/** Common settings: what of `[Interface]` is the same at all gateways of a fleet, and the file of one that joins. */
import { documentSteps } from "../../config/text/config_document.ts";

/** A key as the documentation spells it, and its value as it stands in a file. */
export type Setting = readonly [key: string, value: string];

/**
 * The others are a host's own: its commands, interfaces, files, groups of users, threads and what listens there. A
 * command in a token would run as root where that is used.
 */
const COMMON_KEYS = [
  "PrivateKey",
  "Address",
  "ListenPort",
  "MTU",
  "PublicEndpoint",
  "Egress",
  "Egress6",
  "EgressAllow",
  "EgressDeny",
  "NatPorts",
  "NatFiltering",
  "ClientToClient",
  "DnsProxy",
  "DnsDomain",
  "DnsRoute",
  "DnsQueryLog",
  "FlowLog",
  "Forward",
  "Forward6",
  "Transport",
  "PeerTimeout",
  "ReleaseAfter",
  "Store",
  "StoreGrace",
  "VirtualAddress",
] as const;
/** Which this host has for itself, and gives its own values in a fleet. */
const OWN_STORE_KEYS: readonly string[] = ["storecredentials", "storeca"];

/** Whether it is one, as the documentation spells it. */
export function isCommonKey(key: string): boolean {
  return COMMON_KEYS.some((each) => each === key);
}

export interface CommonSettings {
  readonly common: readonly Setting[];
  /** Keys of the file that each gateway has for itself, once each. */
  readonly own: readonly string[];
}

/** What a file says of these, in steps. @throws {ConfigError} for one that is no configuration */
export function* commonSettings(text: string): Generator<void, CommonSettings> {
  const common: Setting[] = [];
  const own = new Set<string>();
  for (const { name, entries } of yield* documentSteps(text, "")) {
    if (name !== "Interface") continue;
    for (const { key, value } of entries) {
      const known = COMMON_KEYS.find((each) => each.toLowerCase() === key.toLowerCase());
      if (known !== undefined) common.push([known, value]);
      else if (!OWN_STORE_KEYS.includes(key.toLowerCase())) own.add(key);
    }
  }
  return { common, own: [...own] };
}

/** Files that a configuration names, as it does: relative to its own folder. */
export interface StoreFiles {
  readonly credentials: string;
  readonly ca: string;
}

/**
 * The file of a gateway that joins.
 *
 * @param endpoint where clients reach this one; null for what the first gateway has
 */
export function joinedFileText(
  settings: readonly Setting[],
  { credentials, ca }: StoreFiles,
  endpoint: string | null,
): string {
  const given = endpoint === null
    ? settings
    : [...settings.filter(([key]) => key !== "PublicEndpoint"), ["PublicEndpoint", endpoint]];
  return [
    "# Written by `vpn fleet join`: but for the files, this section is the same at all gateways of the fleet.",
    "[Interface]",
    ...given.map(([key, value]) => `${key} = ${value}`),
    `StoreCredentials = ${credentials}`,
    `StoreCA = ${ca}`,
    "",
  ].join("\n");
}
