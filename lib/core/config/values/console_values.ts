/** Console values: where the console listens, by which origin it is reached, and which proxies it trusts. */
import { canonicalIpv6 } from "../../wire/host_address.ts";
import { formatIpv4, parseIpv4 } from "../../wire/ipv4_text.ts";
import type { Entry } from "../text/config_document.ts";
import { parseAllowedIps } from "./addresses.ts";
import { integer, rejectValue } from "./values.ts";

/** Where a console takes connections. */
export interface ConsoleListener {
  /** Of this host, in text without brackets. */
  readonly address: string;
  readonly port: number;
}

/** `ADDRESS:PORT`, an IPv6 address in brackets. */
export function parseConsoleListener(entry: Entry): ConsoleListener {
  const rule = "the form is ADDRESS:PORT, for example 127.0.0.1:51821 or [::1]:51821";
  const [, host = "", host6, portText = ""] =
    /^(?:([\d.]+)|\[([^\]]+)\]):(\d{1,5})$/.exec(entry.value) ??
      rejectValue(entry, rule);
  const port = integer(portText, 1, 65535) ?? rejectValue(entry, "a port is 1 to 65535");
  const ipv4 = parseIpv4(host);
  const address = ipv4 === null ? canonicalIpv6(host6 ?? "") : formatIpv4(ipv4);
  return { address: address ?? rejectValue(entry, rule), port };
}

/** As in `https://vpn.example.com`. */
export function parseConsoleOrigin(entry: Entry): string {
  const url = URL.parse(entry.value);
  const isOrigin = url !== null && /^https?:$/.test(url.protocol) && url.pathname === "/" &&
    url.search + url.hash + url.username + url.password === "" && !entry.value.includes("?");
  if (!isOrigin) {
    rejectValue(
      entry,
      "the form is https://NAME or https://NAME:PORT, for example https://vpn.example.com",
    );
  }
  return url.origin;
}

/** An address, or a network as in `10.0.0.0/8`. */
export function parseTrustedProxy(entry: Entry): string {
  const [network, ...others] = parseAllowedIps(entry);
  if (network === undefined || others.length > 0) {
    rejectValue(entry, "give one address or network, for example 127.0.0.1 or 10.0.0.0/8");
  }
  return network.text;
}

/** The device of a gateway's file: `vpn up` and the units call it as a file in /etc/vpn, `vpn server` vpn0. */
export function deviceOfFile(path: string): string {
  return /^\/etc\/vpn\/([^/]+)\.conf$/.exec(path)?.[1] ?? "vpn0";
}
