/** Relay URLs: reads the two ends of a relay, `udp://HOST:PORT` and `faketcp://HOST:PORT`. */
import { canonicalIpv6, type HostAddress } from "../../wire/host_address.ts";
import { parseIpv4 } from "../../wire/ipv4_text.ts";
import { hostAddress6, parseEndpoint } from "./addresses.ts";
import type { Endpoint } from "../config.ts";
import type { Entry } from "../text/config_document.ts";
import { integer, rejectValue } from "./values.ts";

const RELAY_SCHEMES = ["udp", "faketcp"] as const;
export type RelayScheme = (typeof RELAY_SCHEMES)[number];

/** Where a relay sends what it takes. */
export interface RelayTarget extends Endpoint {
  readonly scheme: RelayScheme;
}

/** Where a relay takes what it sends on. */
export interface RelayListener {
  readonly scheme: RelayScheme;
  /** A local address; 0 for all of IPv4, `::` for all of both families. Of fake TCP, which has all of both, it is 0. */
  readonly address: HostAddress;
  readonly port: number;
}

/** Where datagrams come from: an address of this host, of IPv6 in brackets; of fake TCP, all of them. */
export function parseRelayListener(entry: Entry): RelayListener {
  const rule = "the form is udp://ADDRESS:PORT or faketcp://0.0.0.0:PORT";
  const { scheme, rest } = split(entry, rule);
  const [, host, host6, portText] = /^(?:([\d.]+)|\[([^\]]+)\]):(\d+)$/.exec(rest) ??
    rejectValue(entry, rule);
  const address = host6 === undefined
    ? parseIpv4(host!) ?? rejectValue(entry, rule)
    : localAddress6(entry, canonicalIpv6(host6) ?? rejectValue(entry, rule));
  const port = integer(portText!, 1, 65535) ?? rejectValue(entry, "a port is 1 to 65535");
  const isAny = address === 0 || address === "::";
  if (scheme === "faketcp" && !isAny) {
    rejectValue(entry, `fake TCP listens on all addresses: give faketcp://0.0.0.0:${port}`);
  }
  if (typeof address === "number" && address >>> 24 >= 224) {
    rejectValue(entry, "no host can have this address");
  }
  return { scheme, address: scheme === "faketcp" ? 0 : address, port };
}

function localAddress6(entry: Entry, ipv6: string): HostAddress {
  return ipv6 === "::" ? ipv6 : hostAddress6(entry, ipv6);
}

/** Where datagrams go: an address or a name. */
export function parseRelayTarget(entry: Entry): RelayTarget {
  const { scheme, rest } = split(entry, "the form is udp://HOST:PORT or faketcp://HOST:PORT");
  return { scheme, ...parseEndpoint({ ...entry, value: rest }) };
}

function split(entry: Entry, rule: string): { scheme: RelayScheme; rest: string } {
  const [, name, rest] = /^([a-z]+):\/\/([^/]+)\/?$/i.exec(entry.value) ?? rejectValue(entry, rule);
  const scheme = RELAY_SCHEMES.find((known) => known === name!.toLowerCase()) ??
    rejectValue(entry, rule);
  return { scheme, rest: rest! };
}
