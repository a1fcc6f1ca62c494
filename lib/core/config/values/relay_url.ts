/** Relay URLs: reads the two ends of a relay, `udp://HOST:PORT` and `faketcp://HOST:PORT`. */
import { isIpv6 } from "../../wire/host_address.ts";
import { parseIpv4 } from "../../wire/ipv4_text.ts";
import { parseEndpoint } from "./addresses.ts";
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
  /** A local IPv4 address, host order; 0 for all. */
  readonly address: number;
  readonly port: number;
}

/** Where datagrams come from: an address of this host; of fake TCP, all of them. */
export function parseRelayListener(entry: Entry): RelayListener {
  const rule = "the form is udp://ADDRESS:PORT or faketcp://0.0.0.0:PORT";
  const { scheme, rest } = split(entry, rule);
  const [, host, portText] = /^([\d.]+):(\d+)$/.exec(rest) ?? rejectValue(entry, rule);
  const address = parseIpv4(host!) ?? rejectValue(entry, rule);
  const port = integer(portText!, 1, 65535) ?? rejectValue(entry, "a port is 1 to 65535");
  if (scheme === "faketcp" && address !== 0) {
    rejectValue(entry, `fake TCP listens on all addresses: give faketcp://0.0.0.0:${port}`);
  }
  if (address >>> 24 >= 224) rejectValue(entry, "no host can have this address");
  return { scheme, address, port };
}

/** Where datagrams go: an address or a name. */
export function parseRelayTarget(entry: Entry): RelayTarget {
  const { scheme, rest } = split(entry, "the form is udp://HOST:PORT or faketcp://HOST:PORT");
  const target = parseEndpoint({ ...entry, value: rest });
  if (target.address !== null && isIpv6(target.address)) {
    rejectValue(entry, "a relay speaks IPv4 only: give an IPv4 address or a host name");
  }
  return { scheme, ...target };
}

function split(entry: Entry, rule: string): { scheme: RelayScheme; rest: string } {
  const [, name, rest] = /^([a-z]+):\/\/([^/]+)\/?$/i.exec(entry.value) ?? rejectValue(entry, rule);
  const scheme = RELAY_SCHEMES.find((known) => known === name!.toLowerCase()) ??
    rejectValue(entry, rule);
  return { scheme, rest: rest! };
}
