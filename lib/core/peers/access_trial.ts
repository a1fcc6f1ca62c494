/** Access trial: what access rules say of a packet that nobody has sent. */
import { NO_ALLOW_RULE } from "../access/access_items.ts";
import type { AccessTable } from "../access/access_table.ts";
import { prefixWords } from "../access/inner_address.ts";
import { NO_PORT, PacketFacts } from "../access/packet_facts.ts";
import type { AccessService, PeerConfig } from "../config/config.ts";
import { type HostAddress, ipv6Bytes, isIpv6 } from "../wire/host_address.ts";
import { AllowedIps } from "../wireguard/allowed_ips.ts";
import { AllowedIps6 } from "../wireguard/allowed_ips6.ts";
import { hostPrefix, PROTOCOLS } from "./access_book.ts";

/** The first packet of a flow. */
export interface TrialPacket {
  /** The public key of the peer that sends it, in base64. */
  readonly from: string;
  readonly protocol: AccessService["protocol"];
  readonly destination: HostAddress;
  /** Null where the protocol has none. */
  readonly port: number | null;
}

export interface TrialResult {
  readonly isAllowed: boolean;
  /** The rule that decides; null where none holds. */
  readonly rule: string | null;
  /** Whether the peer has rules at all. */
  readonly hasRules: boolean;
}

/** What is known of rules and peers. */
export interface TrialSite {
  readonly table: AccessTable;
  readonly idOf: (key: string) => number;
  readonly ruleText: (rule: number) => string;
  /** Those that have access, by public key in base64. */
  readonly peers: ReadonlyMap<string, Pick<PeerConfig, "allowedIps" | "allowedIps6">>;
}

export function tryAccess(
  { from, protocol, destination, port }: TrialPacket,
  { table, idOf, ruleText, peers }: TrialSite,
): TrialResult {
  const facts = new PacketFacts();
  facts.destination.set(prefixWords(hostPrefix(destination)).slice(0, 4));
  facts.protocol = PROTOCOLS[protocol];
  facts.destinationPort = port ?? NO_PORT;
  const owner = ownerOf(destination, peers);
  const id = idOf(from);
  const isAllowed = table.allows(id, owner === null ? 0 : idOf(owner), facts);
  const { decidedBy } = table;
  const rule = decidedBy === NO_ALLOW_RULE ? null : ruleText(decidedBy);
  return { isAllowed, rule, hasRules: table.hasRules[id] !== 0 };
}

/** Whose an address is. */
function ownerOf(destination: HostAddress, peers: TrialSite["peers"]): string | null {
  const owners = new AllowedIps<string>();
  const owners6 = new AllowedIps6<string>();
  for (const [key, { allowedIps, allowedIps6 }] of peers) {
    for (const { address, prefixLength } of allowedIps) owners.insert(address, prefixLength, key);
    for (const network of allowedIps6) owners6.insert(network, key);
  }
  if (!isIpv6(destination)) return owners.lookup(destination);
  return owners6.lookup(new DataView(ipv6Bytes(destination).buffer), 0);
}
