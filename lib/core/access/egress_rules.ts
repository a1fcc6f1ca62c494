/**
 * Egress rules: which addresses outside the tunnel a gateway's clients reach, and by which exit, as a table of prefixes
 * of which the longest one decides.
 *
 * `EgressAllow` and `EgressDeny` come first: of their entries that hold an address, the longest prefix wins, and a deny
 * wins over an allow of the same length. Where none holds it, the networks of the gateway's own interfaces are refused,
 * those of the uplink included: the neighbours there trust the gateway, not its clients; and so does a cloud's service
 * for its hosts, whose address may look like any other. All else is the internet, and open, but for what the kernel
 * would forward by an interface that an entry has opened for something else.
 *
 * Whatever the entries say: of IPv4, a network's own and its broadcast address are nobody's (RFC 2644); of IPv6, all
 * that is the gateway's own outside, the clouds' services, and by a translator's addresses what no router forwards, are
 * shut; and the latter itself never comes this far (`isMartian()` of both families).
 */
import type { HostAddress, Ipv6Text } from "../wire/host_address.ts";
import { type EgressFamily, IPV4_EGRESS, IPV6_EGRESS, type PrefixOf } from "./egress_family.ts";

/**
 * What becomes of a packet: `pass`, out by the gateway's egress; `host`, to the host, which has the address or forwards
 * to another interface; `private`, refused as a network of the gateway's; `denied`, refused by `EgressDeny`; `nowhere`,
 * for the internet while the gateway has no interface that leads there.
 */
export type EgressVerdict = "pass" | "host" | "private" | "denied" | "nowhere";

export interface EgressRule<Address extends HostAddress = HostAddress> extends PrefixOf<Address> {
  readonly verdict: EgressVerdict;
}

/** `EgressAllow` and `EgressDeny`; `lan` stands for the networks of the gateway's interfaces. */
export interface EgressPolicy<Address extends HostAddress = number> {
  readonly allow: readonly (PrefixOf<Address> | "lan")[];
  readonly deny: readonly (PrefixOf<Address> | "lan")[];
}

/** What the host's interfaces and routes are now, without those of the tunnel. IPv4 addresses are in host order. */
export interface HostSurroundings<Address extends HostAddress = number> {
  /** The address that the egress sends from, and the index of its interface; null while there is none. */
  readonly external: { readonly address: Address; readonly link: number } | null;
  /** All of the host's own. */
  readonly addresses: readonly Address[];
  /** Those that published services have for themselves; none if left out. */
  readonly virtual?: readonly Address[];
  /** Further networks of which the host takes each address for its own. */
  readonly local?: readonly PrefixOf<Address>[];
  /** Of all interfaces; host bits do not matter. */
  readonly networks: readonly PrefixOf<Address>[];
  /** The better one first where two have the same prefix. */
  readonly routes: readonly HostRoute<Address>[];
}

export interface HostRoute<Address extends HostAddress = number> extends PrefixOf<Address> {
  /** Index of the interface. */
  readonly link: number;
}

/** What is known of one prefix. */
interface Entry<Address extends HostAddress> {
  readonly prefix: PrefixOf<Address>;
  explicit?: Explicit;
  isNetwork?: boolean;
  /** The first or last address of a network. */
  isNobody?: boolean;
  /** What no entry opens. */
  isClosed?: boolean;
  route?: HostRoute<Address>;
}

type Explicit = "allow" | "deny";

/** The rules, the shorter prefixes first, and interfaces (indices) besides the egress's that packets leave by. */
interface Compiled<Address extends HostAddress> {
  readonly rules: EgressRule<Address>[];
  readonly exits: number[];
}

/**
 * Compiles the rules of IPv4. An address that no rule holds passes.
 *
 * @param isForwarded whether what passes is the host's to forward, wherever its routes lead
 */
export function egressRules(
  policy: EgressPolicy,
  host: HostSurroundings,
  { isForwarded = false }: { readonly isForwarded?: boolean } = {},
): Compiled<number> {
  const compiled = compile(policy, host, IPV4_EGRESS);
  return isForwarded ? compile(policy, host, IPV4_EGRESS, compiled.exits) : compiled;
}

/**
 * Compiles the rules of IPv6. One holds all addresses: without rules, as where IPv6 is off, none passes.
 *
 * @param isTranslated whether what passes is the NAT's, and not the host's to forward; the address outside then passes
 */
export function egressRules6(
  policy: EgressPolicy<Ipv6Text>,
  host: HostSurroundings<Ipv6Text>,
  { isTranslated = false }: { readonly isTranslated?: boolean } = {},
): Compiled<Ipv6Text> {
  const family = isTranslated ? { ...IPV6_EGRESS, isExternalClosed: false } : IPV6_EGRESS;
  const { exits } = compile(policy, host, family);
  const { rules } = isTranslated
    ? compile(policy, host, family)
    : compile(policy, host, family, exits);
  const all = { address: "::", prefixLength: 0, verdict: "pass" } as const;
  return { rules: rules[0]?.prefixLength === 0 ? rules : [all, ...rules], exits };
}

/** @param opened interfaces by which the kernel forwards whatever it is given: only what is named may come there */
function compile<Address extends HostAddress>(
  policy: EgressPolicy<Address>,
  host: HostSurroundings<Address>,
  family: EgressFamily<Address>,
  opened: readonly number[] = [],
): Compiled<Address> {
  const { external } = host;
  /** Of the internet. */
  const open: EgressVerdict = external === null ? "nowhere" : "pass";
  const own = new Set(host.addresses);
  const published = new Set([...host.virtual ?? [], external?.address]);
  const explicit = family.table<Explicit>();
  const closed = family.table<Entry<Address>>();
  const networks = family.table<Entry<Address>>();
  const routes = family.table<HostRoute<Address>>();
  const compiled = family.table<EgressRule<Address>>();
  const rules: EgressRule<Address>[] = [];
  const exits = new Set<number>();

  const judge = (
    { prefix, explicit: named, isNobody }: Entry<Address>,
  ): EgressVerdict => {
    const { address, prefixLength } = prefix;
    const isExternal = prefixLength === family.bits && external !== null && published.has(address);
    const isClosed = closed.lookup(address) !== null;
    if (isClosed && (!isExternal || family.isExternalClosed)) return "private";
    const entry = explicit.lookup(address);
    // Forwarded ports and hairpinning go by such an address: only an entry for it alone takes it away.
    if (isExternal) return named === "deny" ? "denied" : "pass";
    if (entry === "deny") return "denied";
    if (isNobody) return "private";
    const route = routes.lookup(address);
    if (entry === null) {
      const isShut = networks.lookup(address) !== null ||
        (route !== null && opened.includes(route.link));
      return isShut ? "private" : open;
    }
    if (prefixLength === family.bits && own.has(address)) return "host";
    if (route === null || route.link === external?.link) return open;
    exits.add(route.link);
    return "host";
  };

  if (external === null) {
    const rule = { ...family.all, verdict: "nowhere" } as const;
    compiled.insert(family.all, rule);
    rules.push(rule);
  }
  // In this order, a look-up finds what holds the whole prefix, and never what is within it.
  for (const entry of entriesOf(policy, host, family)) {
    const { prefix } = entry;
    if (entry.explicit !== undefined) explicit.insert(prefix, entry.explicit);
    if (entry.isClosed) closed.insert(prefix, entry);
    if (entry.isNetwork) networks.insert(prefix, entry);
    if (entry.route !== undefined) routes.insert(prefix, entry.route);
    const verdict = judge(entry);
    if (verdict === (compiled.lookup(prefix.address)?.verdict ?? "pass")) continue;
    const rule = { ...prefix, verdict };
    compiled.insert(prefix, rule);
    rules.push(rule);
  }
  return { rules, exits: [...exits] };
}

/** All prefixes at which the verdict may change, the shorter ones first. */
function entriesOf<Address extends HostAddress>(
  policy: EgressPolicy<Address>,
  { external, addresses, virtual = [], local = [], networks, routes }: HostSurroundings<Address>,
  family: EgressFamily<Address>,
): Entry<Address>[] {
  const entries = new Map<string, Entry<Address>>();
  const at = (prefix: PrefixOf<Address>): Entry<Address> => {
    const { key, network } = family.keyOf(prefix);
    const known = entries.get(key) ?? { prefix: network };
    entries.set(key, known);
    return known;
  };
  const alone = (address: Address) => at({ address, prefixLength: family.bits });
  // Some hosts have their address outside as a network of its own: anyone who says `lan` does not mean that.
  const lan = networks.filter(({ address, prefixLength }) =>
    prefixLength < family.bits || address !== external?.address
  );
  const named = (targets: EgressPolicy<Address>["allow"]) =>
    targets.flatMap((target) => target === "lan" ? lan : [target]);
  for (const prefix of named(policy.allow)) at(prefix).explicit = "allow";
  for (const prefix of named(policy.deny)) at(prefix).explicit = "deny";
  for (const prefix of networks) {
    at(prefix).isNetwork = true;
    for (const address of family.nobodies(prefix)) alone(address).isNobody = true;
  }
  for (const prefix of family.networks) at(prefix).isNetwork = true;
  for (const address of addresses) alone(address).isNetwork = true;
  for (const prefix of [...family.closed, ...local]) at(prefix).isClosed = true;
  if (family.isOwnClosed) { for (const address of addresses) alone(address).isClosed = true; }
  if (external !== null) alone(external.address);
  for (const address of virtual) alone(address);
  // Where nothing is allowed but the internet, it does not matter where other routes lead.
  if (policy.allow.length > 0) { for (const route of routes) at(route).route ??= route; }
  return [...entries.values()].sort((a, b) => a.prefix.prefixLength - b.prefix.prefixLength);
}
