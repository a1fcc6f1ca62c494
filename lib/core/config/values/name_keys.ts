/** Name keys: the domain of the peers' names, who knows the names of other domains, and which are blocked. */
import type { DnsResolver, DnsRoute } from "../config.ts";
import type { Entry } from "../text/config_document.ts";
import { asciiHost, isHostName, parseResolvers } from "./addresses.ts";
import { rejectValue } from "./values.ts";

/** Bytes in ASCII that leave room for a host's name before it. */
const MAX_DOMAIN = 180;

/** `DnsDomain`: in ASCII and lower case, without a dot at its end. */
export function parseDnsDomain(entry: Entry): string {
  return domainOf(entry.value) ??
    rejectValue(entry, "a domain is a name, as in vpn or vpn.example.org");
}

/** `DnsRoute`: `corp.example -> 10.20.0.53`, with several resolvers if need be. */
export function parseDnsRoute(entry: Entry): readonly DnsRoute[] {
  const rule = "a route is DOMAIN -> RESOLVER, as in corp.example -> 10.20.0.53";
  const at = entry.value.indexOf("->");
  const domain = at < 0 ? null : domainOf(entry.value.slice(0, at).trim());
  if (domain === null) rejectValue(entry, rule);
  const upstreams = parseResolvers({ ...entry, value: entry.value.slice(at + 2).trim() });
  return upstreams.length > 0 ? [{ domain, upstreams }] : rejectValue(entry, rule);
}

/** `DnsBlock`: the path of a file, which may have blanks. */
export function parseDnsBlock(entry: Entry): readonly string[] {
  return entry.value === "" ? rejectValue(entry, "give the path of a file") : [entry.value];
}

/** The routes with those of one domain put together. */
export function mergedRoutes(routes: readonly DnsRoute[]): readonly DnsRoute[] {
  const merged = new Map<string, readonly DnsResolver[]>();
  for (const { domain, upstreams } of routes) {
    merged.set(domain, withoutRepeats([...merged.get(domain) ?? [], ...upstreams]));
  }
  return Array.from(merged, ([domain, upstreams]) => ({ domain, upstreams }));
}

function withoutRepeats(resolvers: readonly DnsResolver[]): readonly DnsResolver[] {
  const texts = resolvers.map((resolver) => JSON.stringify(resolver));
  return resolvers.filter((_, index) => texts.indexOf(texts[index]!) === index);
}

function domainOf(text: string): string | null {
  if (text.length > MAX_DOMAIN) return null;
  const name = asciiHost(text.replace(/\.$/, "")).toLowerCase();
  return name.length <= MAX_DOMAIN && isHostName(name) ? name : null;
}
