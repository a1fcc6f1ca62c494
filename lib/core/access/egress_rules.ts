/**
 * Egress rules: which addresses outside the tunnel a gateway's clients reach, and by which exit, as a table of prefixes
 * of which the longest one decides.
 *
 * `EgressAllow` and `EgressDeny` come first: of their entries that hold an address, the longest prefix wins, and a deny
 * wins over an allow of the same length. Where none holds it, the networks of the gateway's own interfaces are refused,
 * those of the uplink included: the neighbours there trust the gateway, not its clients; and so does a cloud's service
 * for its hosts, whose address may look like any other. All else is the internet, and open.
 *
 * Whatever the entries say: the network's own and its broadcast address are nobody's (RFC 2644), and what no router
 * forwards never comes this far (`isMartian()`).
 */
import { AllowedIps } from "../wireguard/allowed_ips.ts";
import { formatCidr, type Ipv4Prefix, parseCidr, prefixMask } from "../wire/ipv4_text.ts";

/**
 * Where clouds that do not use a link-local address, or not alone, tell a host about itself, its credentials included:
 * Alibaba Cloud's metadata service, Azure's host agent, Oracle Cloud's former metadata service.
 */
const CLOUD_SERVICES: readonly Ipv4Prefix[] = [
  "100.100.100.200/32",
  "168.63.129.16/32",
  "192.0.0.192/32",
]
  .map((text) => parseCidr(text)!);

/**
 * What becomes of a packet: `pass`, out by the gateway's egress; `host`, to the host, which has the address or forwards
 * to another interface; `private`, refused as a network of the gateway's; `denied`, refused by `EgressDeny`; `nowhere`,
 * for the internet while the gateway has no interface that leads there.
 */
export type EgressVerdict = "pass" | "host" | "private" | "denied" | "nowhere";

export interface EgressRule extends Ipv4Prefix {
  readonly verdict: EgressVerdict;
}

/** `EgressAllow` and `EgressDeny`; `lan` stands for the networks of the gateway's interfaces. */
export interface EgressPolicy {
  readonly allow: readonly (Ipv4Prefix | "lan")[];
  readonly deny: readonly (Ipv4Prefix | "lan")[];
}

/** What the host's interfaces and routes are now, without those of the tunnel. Addresses are in host order. */
export interface HostSurroundings {
  /** The address that the egress sends from, and the index of its interface; null while there is none. */
  readonly external: { readonly address: number; readonly link: number } | null;
  /** All of the host's own. */
  readonly addresses: readonly number[];
  /** Of all interfaces; host bits do not matter. */
  readonly networks: readonly Ipv4Prefix[];
  /** The better one first where two have the same prefix. */
  readonly routes: readonly HostRoute[];
}

export interface HostRoute extends Ipv4Prefix {
  /** Index of the interface. */
  readonly link: number;
}

/** What is known of one prefix. */
interface Entry {
  readonly prefix: Ipv4Prefix;
  explicit?: Explicit;
  isNetwork?: boolean;
  /** The first or last address of a network. */
  isNobody?: boolean;
  route?: HostRoute;
}

type Explicit = "allow" | "deny";

/**
 * Compiles the rules.
 *
 * @returns the rules, the shorter prefixes first, and the interfaces (indices) besides the egress's that packets of
 * clients may leave the host by. An address that no rule holds passes.
 */
export function egressRules(
  policy: EgressPolicy,
  host: HostSurroundings,
): { rules: EgressRule[]; exits: number[] } {
  const { external } = host;
  /** Of the internet. */
  const open: EgressVerdict = external === null ? "nowhere" : "pass";
  const own = new Set(host.addresses);
  const explicit = new AllowedIps<Explicit>();
  const networks = new AllowedIps<Entry>();
  const routes = new AllowedIps<HostRoute>();
  const compiled = new AllowedIps<EgressRule>();
  const rules: EgressRule[] = [];
  const exits = new Set<number>();

  const judge = ({ prefix, explicit: named, isNobody }: Entry): EgressVerdict => {
    const { address, prefixLength } = prefix;
    const entry = explicit.lookup(address);
    // Forwarded ports and hairpinning go by this address: only an entry for it alone takes it away.
    const isExternal = prefixLength === 32 && address === external?.address;
    if (isExternal) return named === "deny" ? "denied" : "pass";
    if (entry === "deny") return "denied";
    if (isNobody) return "private";
    if (entry === null) return networks.lookup(address) === null ? open : "private";
    if (prefixLength === 32 && own.has(address)) return "host";
    const route = routes.lookup(address);
    if (route === null || route.link === external?.link) return open;
    exits.add(route.link);
    return "host";
  };

  if (external === null) {
    const rule: EgressRule = { address: 0, prefixLength: 0, verdict: "nowhere" };
    compiled.insert(0, 0, rule);
    rules.push(rule);
  }
  // In this order, a look-up finds what holds the whole prefix, and never what is within it.
  for (const entry of entriesOf(policy, host)) {
    const { address, prefixLength } = entry.prefix;
    if (entry.explicit !== undefined) explicit.insert(address, prefixLength, entry.explicit);
    if (entry.isNetwork) networks.insert(address, prefixLength, entry);
    if (entry.route !== undefined) routes.insert(address, prefixLength, entry.route);
    const verdict = judge(entry);
    if (verdict === (compiled.lookup(address)?.verdict ?? "pass")) continue;
    const rule = { address, prefixLength, verdict };
    compiled.insert(address, prefixLength, rule);
    rules.push(rule);
  }
  return { rules, exits: [...exits] };
}

/** All prefixes at which the verdict may change, the shorter ones first. */
function entriesOf(
  policy: EgressPolicy,
  { external, addresses, networks, routes }: HostSurroundings,
): Entry[] {
  const entries = new Map<string, Entry>();
  const at = (prefix: Ipv4Prefix): Entry => {
    const network = withoutHostBits(prefix);
    const key = formatCidr(network);
    const known = entries.get(key) ?? { prefix: network };
    entries.set(key, known);
    return known;
  };
  // Some hosts have their address outside as a network of its own: anyone who says `lan` does not mean that.
  const lan = networks.filter(({ address, prefixLength }) =>
    prefixLength < 32 || address !== external?.address
  );
  const named = (targets: EgressPolicy["allow"]) =>
    targets.flatMap((target) => target === "lan" ? lan : [target]);
  for (const prefix of named(policy.allow)) at(prefix).explicit = "allow";
  for (const prefix of named(policy.deny)) at(prefix).explicit = "deny";
  for (const prefix of networks) {
    at(prefix).isNetwork = true;
    if (prefix.prefixLength > 30) continue;
    for (const address of endsOf(prefix)) at({ address, prefixLength: 32 }).isNobody = true;
  }
  for (const prefix of CLOUD_SERVICES) at(prefix).isNetwork = true;
  for (const address of addresses) at({ address, prefixLength: 32 }).isNetwork = true;
  if (external !== null) at({ address: external.address, prefixLength: 32 });
  // Where nothing is allowed but the internet, it does not matter where other routes lead.
  if (policy.allow.length > 0) { for (const route of routes) at(route).route ??= route; }
  return [...entries.values()].sort((a, b) => a.prefix.prefixLength - b.prefix.prefixLength);
}

/** The first and the last address. */
function endsOf(prefix: Ipv4Prefix): [number, number] {
  const { address, prefixLength } = withoutHostBits(prefix);
  return [address, (address | ~prefixMask(prefixLength)) >>> 0];
}

function withoutHostBits({ address, prefixLength }: Ipv4Prefix): Ipv4Prefix {
  return { address: (address & prefixMask(prefixLength)) >>> 0, prefixLength };
}
