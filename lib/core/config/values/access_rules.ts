/** Access rules: reads and writes the values of `Allow` and `Deny`. */
import { formatCidr, formatIpv4, parseCidr, prefixMask } from "../../wire/ipv4_text.ts";
import { formatCidr6, network6, parseCidr6 } from "../../wire/ipv6_prefix.ts";
import type { AccessRule, AccessService, AccessTarget } from "../config.ts";
import { formatAddress, parseAddress } from "../../wire/host_address.ts";
import type { Entry } from "../text/config_document.ts";
import { badValue } from "../text/section.ts";
import { isHostName } from "./addresses.ts";
import { integer, isGroupName, isPeerName, portOf } from "./values.ts";

const RULE =
  "a rule is a target, a service or both, as in internet, 10.20.0.0/16 tcp/443 tcp/8443, " +
  "git.example.org tcp/22, peer:NAME udp/631, group:NAME, lan, gateway, peers or icmp";
const NOTHING = "it has no rule: remove the line where there is to be none; Deny = any denies all";
const SERVICE_RULE = "a service is tcp, udp, tcp/443, udp/1000-2000, icmp, gre or esp";

const PLACES = ["any", "internet", "lan", "gateway", "peers"] as const;
const WITHOUT_PORTS = ["icmp", "gre", "esp"] as const;

/** Rules with commas between them: of each its target, then services; a service alone is for every target. */
export function parseAccessRules(entry: Entry): readonly AccessRule[] {
  const rules = itemsOf(entry.value).map((item) => parseRule(entry, item));
  // Who has emptied an `Allow` means nowhere; without rules it would be everywhere.
  if (rules.length === 0) throw badValue(entry, NOTHING);
  return rules;
}

/** Splits at commas, but for those in quotation marks. */
function itemsOf(value: string): string[] {
  return (value.match(/(?:"[^"]*"|[^",]|")+/g) ?? [])
    .map((item) => item.trim())
    .filter((item) => item !== "");
}

function parseRule(entry: Entry, item: string): AccessRule {
  const words = item.match(/(?:"[^"]*"|[^\s"]|")+/g) ?? [];
  const [first = ""] = words;
  const isService = /^(tcp|udp|icmp|gre|esp)(\/|$)/i.test(first);
  return {
    target: isService ? { kind: "any" } : parseTarget(entry, first),
    services: words.slice(isService ? 0 : 1).map((word) => parseService(entry, word)),
  };
}

function parseTarget(entry: Entry, word: string): AccessTarget {
  const place = PLACES.find((each) => each === word.toLowerCase());
  if (place !== undefined) return { kind: place };
  const [, kindText, quotedName, plainName] =
    /^(?:(peer:|group:|@))(?:"([^"]*)"|([^"]*))$/i.exec(word) ?? [];
  if (kindText !== undefined) {
    const name = quotedName ?? plainName!;
    const kind = kindText.toLowerCase() === "peer:" ? "peer" : "group";
    const isName = kind === "peer" ? isPeerName(name) : isGroupName(name);
    if (!isName) throw badValue(entry, `this is no ${kind}'s name`, word);
    return { kind, name };
  }
  const prefix = parseCidr(word);
  if (prefix !== null) {
    const { address, prefixLength } = prefix;
    const network = (address & prefixMask(prefixLength)) >>> 0;
    return { kind: "network", prefix: { address: network, prefixLength } };
  }
  const prefix6 = parseCidr6(word);
  if (prefix6 !== null) return { kind: "network", prefix: network6(formatCidr6(prefix6)) };
  if (word.includes(".") && isHostName(word)) {
    return { kind: "host", name: word.toLowerCase().replace(/\.$/, "") };
  }
  throw badValue(entry, RULE, word);
}

function parseService(entry: Entry, word: string): AccessService {
  const [, protocolText, portsText] = /^([a-z]+)(?:\/(.+))?$/i.exec(word) ?? [];
  const protocol = protocolText?.toLowerCase();
  const plain = WITHOUT_PORTS.find((each) => each === protocol);
  if (plain !== undefined && portsText === undefined) return { protocol: plain, ports: null };
  if (protocol !== "tcp" && protocol !== "udp") throw badValue(entry, SERVICE_RULE, word);
  if (portsText === undefined) return { protocol, ports: null };
  const [, firstText, lastText] = /^(\d+)-(\d+)$/.exec(portsText) ?? [];
  if (firstText === undefined) {
    const port = portOf(entry, portsText);
    return { protocol, ports: { first: port, last: port } };
  }
  const first = integer(firstText, 1, 65535);
  const last = first === undefined ? undefined : integer(lastText!, first, 65535);
  if (first === undefined || last === undefined) throw badValue(entry, SERVICE_RULE, word);
  return { protocol, ports: { first, last } };
}

/** An address that a rule may be about, in its one spelling. */
export function parseAccessAddress(entry: Entry): string {
  const address = parseAddress(entry.value);
  if (address === null) throw badValue(entry, "give an address, as in 10.20.1.5");
  return formatAddress(address);
}

/** Why a host's name is no use in a rule of a gateway without a DNS proxy. */
export const NO_RESOLVER =
  "a gateway without DnsProxy does not know a host's addresses: set DnsProxy, or give the addresses";

/** A host that rules name; null where they name none. */
export function hostIn(
  { allow, deny }: { readonly allow: readonly AccessRule[]; readonly deny: readonly AccessRule[] },
): string | null {
  for (const { target } of [...allow, ...deny]) if (target.kind === "host") return target.name;
  return null;
}

/** Rules as the value of a key. */
export function formatAccessRules(rules: readonly AccessRule[]): string {
  return rules.map(formatAccessRule).join(", ");
}

/** A rule as it stands in a file. */
export function formatAccessRule({ target, services }: AccessRule): string {
  const words = services.map(formatService);
  const isImplied = target.kind === "any" && words.length > 0;
  return [...isImplied ? [] : [formatTarget(target)], ...words].join(" ");
}

function formatTarget(target: AccessTarget): string {
  switch (target.kind) {
    case "network": {
      const { prefix } = target;
      if (typeof prefix === "string") return prefix.replace(/\/128$/, "");
      return prefix.prefixLength === 32 ? formatIpv4(prefix.address) : formatCidr(prefix);
    }
    case "peer":
    case "group":
      return `${target.kind}:${/[\s,]/.test(target.name) ? `"${target.name}"` : target.name}`;
    case "host":
      return target.name;
    default:
      return target.kind;
  }
}

function formatService({ protocol, ports }: AccessService): string {
  if (ports === null) return protocol;
  const { first, last } = ports;
  return `${protocol}/${first === last ? first : `${first}-${last}`}`;
}
