/** Store keys: the servers that a fleet's gateways have their peers from. */
import { type Ipv4Prefix, parseCidr, prefixMask } from "../../wire/ipv4_text.ts";
import type { Entry } from "../text/config_document.ts";
import { isUnicast } from "./addresses.ts";
import { rejectValue } from "./values.ts";

const DEFAULT_PORT = 4222;
/** From a server's port for gateways to the one where the others reach it, as 6222 is to 4222. */
const ROUTE_PORT_OFFSET = 2_000;
const MAX_SERVERS = 16;
const RULE = "a server is tls://HOST:PORT, or nats://HOST:PORT without encryption, as in " +
  "tls://nats-a.example.org:4222, tls://nats-b.example.org:4222";
/** A name, an IPv4 address, or an IPv6 address in brackets. */
const HOST = /^(?:[a-z0-9](?:[a-z0-9._-]{0,252})|\[[0-9a-f:.]{2,45}\])$/;
/** ms; ten years. */
const LONGEST_GRACE = 3_650 * 86_400_000;
const UNITS: Readonly<Record<string, number>> = {
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** `Store`: servers, all with encryption or all without. */
export function parseStore(entry: Entry): readonly string[] {
  const servers = entry.value.split(",").map((text) => serverOf(text.trim()));
  const isMixed = new Set(servers.map((server) => server?.split(":")[0])).size > 1;
  if (isMixed || servers.length > MAX_SERVERS) rejectValue(entry, RULE);
  return servers.map((server) => server ?? rejectValue(entry, RULE));
}

function serverOf(text: string): string | null {
  const [, scheme, host, port] =
    /^(tls|nats):\/\/(.{1,255}?)(?::(\d{1,5}))?$/.exec(text.toLowerCase()) ?? [];
  if (scheme === undefined || !HOST.test(host!)) return null;
  const number = port === undefined ? DEFAULT_PORT : Number(port);
  return number < 1 || number > 65_535 ? null : `${scheme}://${host}:${number}`;
}

/** A server of NATS that is to be set up. */
export interface NatsServer {
  /** A name or an address; one of IPv6 without brackets. */
  readonly host: string;
  /** Where gateways reach it, and where the other servers do. */
  readonly port: number;
  readonly routePort: number;
}

/** Servers of NATS that are to be set up, as in `nats-a.example.org,nats-b.example.org,nats-c.example.org`. */
export function parseNatsServers(entry: Entry): readonly NatsServer[] {
  const rule =
    "give HOST or HOST:PORT of one server or of three and more, each once, with commas between them";
  const servers = entry.value.split(",").map((text) => {
    const [, host, port] = /^tls:\/\/(.*):(\d+)$/.exec(serverOf(`tls://${text.trim()}`) ?? "") ??
      [];
    const routePort = Number(port) + ROUTE_PORT_OFFSET;
    if (host === undefined || routePort > 65_535) rejectValue(entry, rule);
    return { host: host.replace(/^\[|\]$/g, ""), port: Number(port), routePort };
  });
  const places = new Set(servers.map(({ host, port }) => `${host} ${port}`));
  // Of two, none may fail: that is less than one.
  if (places.size !== servers.length || servers.length === 2 || servers.length > MAX_SERVERS) {
    rejectValue(entry, rule);
  }
  return servers;
}

/** `StoreCredentials`, `StoreCA`: as the file has the path. */
export function parseStoreFile(entry: Entry): string {
  return entry.value === "" ? rejectValue(entry, "give the path of a file") : entry.value;
}

/** `StoreGrace`, ms; 0 for ever. */
export function parseStoreGrace(entry: Entry): number {
  if (entry.value === "0") return 0;
  const [, count, unit] = /^(\d{1,9})([smhd])$/.exec(entry.value) ?? [];
  const grace = count === undefined ? 0 : Number(count) * UNITS[unit!]!;
  const rule = "a time is a number with its unit, as in 24h, 30m or 7d, up to 3650d; 0 is for ever";
  return grace > 0 && grace <= LONGEST_GRACE ? grace : rejectValue(entry, rule);
}

/** `VirtualAddress`: an address that the gateways of a fleet have by turns, with the length of its network. */
export function parseVirtualAddress(entry: Entry): Ipv4Prefix {
  const prefix = entry.value.includes("/") ? parseCidr(entry.value) : null;
  const rule =
    "it is an IPv4 address with the length of the network that all gateways have an address in, as in " +
    "203.0.113.5/24";
  if (prefix === null || prefix.prefixLength < 8 || prefix.prefixLength > 30) {
    rejectValue(entry, rule);
  }
  const hostBits = (prefix.address & ~prefixMask(prefix.prefixLength)) >>> 0;
  const isHost = hostBits !== 0 && hostBits !== ~prefixMask(prefix.prefixLength) >>> 0;
  return isHost && isUnicast(prefix.address) ? prefix : rejectValue(entry, rule);
}
