/** Address values: reads networks, resolvers and endpoints. */
import {
  bracketed,
  canonicalIpv6,
  type HostAddress,
  ipv6Bytes,
  isIpv6,
  parseAddress,
} from "../../wire/host_address.ts";
import { isMartian } from "../../wire/ipv4.ts";
import * as ipv6 from "../../wire/ipv6.ts";
import {
  addressOf6,
  formatCidr6,
  type Ipv6PrefixText,
  isWithin6,
  LINK_LOCAL6,
  network6,
  parseCidr6,
  splitCidr6,
} from "../../wire/ipv6_prefix.ts";
import {
  formatCidr,
  type Ipv4Prefix,
  parseCidr,
  parseIpv4,
  prefixMask,
} from "../../wire/ipv4_text.ts";
import type { Ipv4SocketAddress } from "../../wire/socket_address.ts";
import type { DnsResolver, EgressTarget, Endpoint } from "../config.ts";
import type { Entry } from "../text/config_document.ts";
import type { Notes } from "../text/notes.ts";
import { badValue } from "../text/section.ts";
import { integer, portOf, rejectValue } from "./values.ts";

/** An address or a network of either version, with the line it stands on. */
export interface Prefix {
  /** Canonical text: equal for equal prefixes. */
  readonly text: string;
  /** `null` for IPv6. */
  readonly ipv4: Ipv4Prefix | null;
  readonly entry: Entry;
}

/** `Address`: comma-separated, host bits kept, no length meaning one address alone. */
export function parseAddresses(entry: Entry): readonly Prefix[] {
  const rule = "an address is ADDRESS/LENGTH, as in 10.66.77.1/24";
  return items(entry).map((item) => {
    const prefix = parsePrefix(entry, item, rule);
    const isOfHost = prefix.ipv4 === null
      ? isUnicast6(prefix.text)
      : isUnicast(prefix.ipv4.address);
    if (!isOfHost) throw badValue(entry, "a host cannot have this address", item);
    return prefix;
  });
}

/** `AllowedIPs`: comma-separated, may be empty; host bits are cleared, as `wg` does. */
export function parseAllowedIps(entry: Entry): readonly Prefix[] {
  const rule = "a network is ADDRESS/LENGTH, as in 10.66.77.0/24";
  return items(entry).map((item) => withoutHostBits(parsePrefix(entry, item, rule)));
}

/** One item of `EgressAllow` or `EgressDeny`: `lan`, or a network. */
export type EgressItem = "lan" | Prefix;

/** `EgressDeny`: comma-separated; host bits are cleared. */
export function parseEgressDeny(entry: Entry): readonly EgressItem[] {
  const rule = "a network is lan or ADDRESS/LENGTH, as in 10.20.0.0/16";
  if (items(entry).length === 0) throw badValue(entry, rule);
  return items(entry).map((item) =>
    item.toLowerCase() === "lan" ? "lan" : withoutHostBits(parsePrefix(entry, item, rule))
  );
}

/** `EgressAllow`: the same, but no entry opens what is never forwarded: anyone who writes one should know. */
export function parseEgressAllow(entry: Entry): readonly EgressItem[] {
  const parsed = parseEgressDeny(entry);
  parsed.forEach((item, index) => {
    if (item === "lan" || !isNeverForwarded(item)) return;
    const rule = "such addresses are never forwarded: remove it";
    throw badValue(entry, rule, items(entry)[index]!);
  });
  return parsed;
}

/** Whether no packet to any address of a network is forwarded. */
function isNeverForwarded({ ipv4, text }: Prefix): boolean {
  if (ipv4 !== null) return ipv4.prefixLength >= 8 && isMartian(ipv4.address);
  const { address, prefixLength } = splitCidr6(text);
  return prefixLength >= 8 && ipv6.isMartian(new DataView(ipv6Bytes(address).buffer), 0);
}

/** The networks of such a key; those of IPv6 are noted, and left out where it is not carried. */
export function egressNetworks(
  items: readonly EgressItem[],
  carriesIpv6: boolean,
  notes: Notes,
): readonly EgressTarget[] {
  return items.flatMap((item) => {
    if (item === "lan") return item;
    if (item.ipv4 !== null) return item.ipv4;
    notes.ipv6(item.entry);
    return carriesIpv6 ? splitCidr6(item.text) : [];
  });
}

/** The IPv4 ones. */
export function ipv4Prefixes(prefixes: readonly Prefix[]): readonly Ipv4Prefix[] {
  return prefixes.flatMap(({ ipv4 }) => ipv4 ?? []);
}

/** The IPv6 ones, which are noted, as they may not be carried. */
export function ipv6Prefixes(prefixes: readonly Prefix[], notes?: Notes): Ipv6PrefixText[] {
  const ipv6 = prefixes.filter(({ ipv4 }) => ipv4 === null);
  for (const { entry } of ipv6) notes?.ipv6(entry);
  return ipv6.map(({ text }) => text);
}

/** One item of `DNS`: exactly one of the three is set. */
export interface DnsItem {
  readonly ipv4?: number;
  readonly ipv6?: string;
  readonly search?: string;
  readonly entry: Entry;
}

/** `DNS`: comma-separated resolvers and search domains, told apart as wg-quick does. */
export function parseDns(entry: Entry): readonly DnsItem[] {
  return items(entry).map((item): DnsItem => {
    const ipv4 = parseIpv4(item);
    if (ipv4 !== null) return { ipv4, entry };
    const ipv6 = canonicalIpv6(item);
    if (ipv6 !== null && parseAddress(ipv6) === null) throw badValue(entry, IPV4_RULE, item);
    if (ipv6 !== null) return { ipv6, entry };
    // "~example.org" and "~." are systemd-resolved's routing domains.
    if (item === "~." || isHostName(item.replace(/^~/, ""))) return { search: item, entry };
    throw badValue(entry, "it must be an address or a search domain", item);
  });
}

/**
 * `DnsProxy`: comma-separated addresses of resolvers, or, where one is asked by TLS, `tls://` with the name in its
 * certificate before it: the file's `#`, which other programs have there, begins a comment. IPv6 may stand in brackets.
 */
export function parseResolvers(entry: Entry): readonly DnsResolver[] {
  return items(entry).map((item) => {
    const [, name, addressText] = /^tls:\/\/([^@]*)@(.*)$/si.exec(item) ?? [];
    const text = addressText ?? item;
    const address = parseAddress(/^\[(.*)\]$/.exec(text)?.[1] ?? text);
    if (address === null || !isOfHost(address)) {
      const rule =
        "a resolver is an address, as in 9.9.9.9 or 2620:fe::fe, or tls://dns.quad9.net@9.9.9.9";
      throw badValue(entry, rule, item);
    }
    if (isIpv6(address) ? address === "::1" : !isUnicast(address)) {
      const problem = "give the resolvers that this one asks (`resolvectl dns`), as in 9.9.9.9";
      throw badValue(entry, problem, item);
    }
    if (name === undefined) return { address, tlsName: null };
    const tlsName = asciiHost(name);
    if (isHostName(tlsName)) return { address, tlsName };
    const rule = "before the @ is the name in its certificate, as in tls://dns.quad9.net@9.9.9.9";
    throw badValue(entry, rule, item);
  });
}

/** Whether a host can have an address that is reached without naming a link. */
function isOfHost(address: HostAddress): boolean {
  if (!isIpv6(address)) return isUnicastOrLoopback(address);
  return address !== "::" && !/^(?:ff|fe[89ab])/.test(address);
}

/** What is said of an endpoint on one link of this host. */
export const ZONED_ENDPOINT_RULE =
  "a link-local address, or one with a zone, is not supported: give an address without one";

/** An `Endpoint` of a peer, with the line it stands on. */
export interface EndpointLine {
  /** As text what stands there where it is an address with a zone. */
  readonly endpoint: Endpoint | string;
  readonly entry: Entry;
}

/** `Endpoint` of a peer: `HOST:PORT`, one each line. */
export function parsePeerEndpoint(entry: Entry): readonly EndpointLine[] {
  if (entry.value.length > MAX_ENDPOINT) return [{ endpoint: parseEndpoint(entry), entry }];
  const [, zoned, portText] = /^(\[[0-9A-Fa-f:.]{2,45}%[^\]]+\]):([^:]*)$/.exec(entry.value) ?? [];
  const endpoint = zoned === undefined
    ? parseEndpoint(entry)
    : `${zoned}:${portOf(entry, portText!)}`;
  return [{ endpoint, entry }];
}

/** A name of 253 letters in another script is shorter than in DNS. What is longer takes minutes to look through. */
const MAX_ENDPOINT = 300;

/** `HOST:PORT`, where a host is an address, of IPv6 in brackets, or a name, in any language. */
export function parseEndpoint(entry: Entry): Endpoint {
  const rule = "an endpoint is HOST:PORT, as in vpn.example.org:51820";
  if (entry.value.length > MAX_ENDPOINT) rejectValue(entry, rule);
  // As `wg` has it, brackets may be left away: the last colon is the port's.
  const [, bracketed, unbracketed, portText6] =
    /^(?:\[([^\]]*)\]|([^[\]]*:[^[\]]*)):([^:]*)$/.exec(entry.value) ?? [];
  const ipv6 = canonicalIpv6(bracketed ?? unbracketed ?? "");
  if (ipv6 !== null) {
    return { host: ipv6, address: hostAddress6(entry, ipv6), port: portOf(entry, portText6!) };
  }
  const [, hostText, portText] = /^([^:\s]+):([^:\s]+)$/.exec(entry.value) ??
    rejectValue(entry, rule);
  const host = asciiHost(hostText!);
  const address = parseIpv4(host);
  if (address !== null && !isUnicastOrLoopback(address)) {
    rejectValue(entry, "no host can have this address");
  }
  if (address === null && !isHostName(host)) rejectValue(entry, rule);
  return { host, address, port: portOf(entry, portText!) };
}

/** Endpoints of one server that are separated by commas, in the order of preference. */
export function parseEndpoints(entry: Entry): readonly Endpoint[] {
  const endpoints = items(entry).map((item) => parseEndpoint({ ...entry, value: item }));
  if (endpoints.length > MAX_ENDPOINTS) rejectValue(entry, ENDPOINTS_RULE);
  return endpoints;
}

/** Of one server: a client tries each for `ConnectTimeout`. */
export const MAX_ENDPOINTS = 8;
export const ENDPOINTS_RULE: string =
  `a server has ${MAX_ENDPOINTS} endpoints at most: remove some`;

/** The same with a port that may be left out: `HOST[:PORT]`. An IPv6 address that stands alone has none. */
export function parsePlace(entry: Entry, defaultPort: number): Endpoint {
  const { value } = entry;
  const hasPort = value.includes(":") && !value.endsWith("]") && canonicalIpv6(value) === null;
  if (hasPort) return parseEndpoint(entry);
  const host = value.endsWith("]") ? value : bracketed(value);
  return parseEndpoint({ ...entry, value: `${host}:${defaultPort}` });
}

/** The address of a host that a canonical text is; link-local ones are not taken, as no interface is named. */
export function hostAddress6(entry: Entry, ipv6: string): HostAddress {
  // Unspecified and multicast (RFC 4291 sections 2.5.2 and 2.7).
  if (ipv6 === "::" || ipv6.startsWith("ff")) rejectValue(entry, "no host can have this address");
  if (/^fe[89ab]/.test(ipv6)) rejectValue(entry, ZONED_ENDPOINT_RULE);
  return parseAddress(ipv6) ?? rejectValue(entry, IPV4_RULE);
}

/** What is said of an IPv4 address that is mapped into IPv6: sockets would send by IPv4, routes would be IPv6's. */
const IPV4_RULE = "this is an IPv4 address: write it as one";

/** A name in another script as DNS has it (RFC 5891): the URL standard's host parser knows how. */
export function asciiHost(text: string): string {
  const isOther = /[^!-~]/.test(text) && /^[\p{L}\p{M}\p{N}.\u3002-]+$/u.test(text);
  return isOther ? URL.parse(`http://${text}/`)?.hostname ?? text : text;
}

/** `ADDRESS:PORT` of this host, IPv4 only; 0.0.0.0 is all of its addresses. */
export function parseSocketAddress(entry: Entry): Ipv4SocketAddress {
  const rule = "it must be an IPv4 address of this host and a port, as in 127.0.0.1:9586";
  const [, addressText, portText] = /^([\d.]+):(\d+)$/.exec(entry.value) ??
    rejectValue(entry, rule);
  const port = integer(portText!, 1, 65535) ?? rejectValue(entry, "a port is 1 to 65535");
  const address = parseIpv4(addressText!) ?? rejectValue(entry, rule);
  if (address !== 0 && !isUnicastOrLoopback(address)) {
    rejectValue(entry, "no host can have this address");
  }
  return { address, port };
}

/** The network that a new gateway gives its clients addresses of: room for two hosts at least, host bits clear. */
export function parseSubnet(entry: Entry): Ipv4Prefix {
  const prefix = parseCidr(entry.value);
  if (
    prefix === null || prefix.prefixLength < 8 || prefix.prefixLength > 30 ||
    !isUnicast(prefix.address)
  ) {
    rejectValue(entry, "a network is ADDRESS/LENGTH with a length of 8 to 30, as in 10.66.77.0/24");
  }
  const network = (prefix.address & prefixMask(prefix.prefixLength)) >>> 0;
  if (network === prefix.address) return prefix;
  const { prefixLength } = prefix;
  return rejectValue(entry, `the network is ${formatCidr({ address: network, prefixLength })}`);
}

function items(entry: Entry): readonly string[] {
  // `wg` drops all blanks, those around a slash included.
  const text = entry.value.replace(/\s+/g, " ").replace(/ ?\/ ?/g, "/");
  return text.split(/[ ,]+/).filter((item) => item !== "");
}

function parsePrefix(entry: Entry, item: string, rule: string): Prefix {
  const ipv4 = parseCidr(item);
  if (ipv4 !== null) return { text: formatCidr(ipv4), ipv4, entry };
  const ipv6 = parseCidr6(item);
  if (ipv6 === null) throw badValue(entry, rule, item);
  return { text: formatCidr6(ipv6), ipv4: null, entry };
}

function withoutHostBits(prefix: Prefix): Prefix {
  if (prefix.ipv4 === null) return { ...prefix, text: network6(prefix.text) };
  const { address, prefixLength } = prefix.ipv4;
  const ipv4 = { address: (address & prefixMask(prefixLength)) >>> 0, prefixLength };
  return { text: formatCidr(ipv4), ipv4, entry: prefix.entry };
}

/** RFC 1123 labels, and "_"; a last label of digits alone would be a mistyped address. */
export function isHostName(text: string): boolean {
  return text.length <= 253 &&
    /^(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.?$/i
      .test(text) &&
    !/(?:^|\.)\d+\.?$/.test(text);
}

/** Not "this network", loopback, multicast, class E or broadcast (RFC 6890). */
export function isUnicast(address: number): boolean {
  return isUnicastOrLoopback(address) && address >>> 24 !== 127;
}

/** None that no packet may come from; a link-local one may be an interface's, though nothing crosses a tunnel by it. */
export function isUnicast6(text: Ipv6PrefixText): boolean {
  const bytes = ipv6Bytes(addressOf6(text));
  return isWithin6(text, LINK_LOCAL6) || !ipv6.isMartian(new DataView(bytes.buffer), 0);
}

function isUnicastOrLoopback(address: number): boolean {
  const first = address >>> 24;
  return first > 0 && first < 224;
}
