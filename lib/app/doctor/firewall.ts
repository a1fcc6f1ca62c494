/** Owns what other people's firewalls do at a hook: which of their chains drop by default, and whether a rule lets us through. */
import { openLibc } from "../../../ffi/libc.ts";
import { NF_INET_POST_ROUTING } from "../../../ffi/netlink/nftables.ts";
import {
  type BaseChain,
  type FirewallListing,
  type ListedRule,
  listFirewall,
} from "../../../ffi/netlink/nftables_listing.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { SystemCallError } from "../../../ffi/errno.ts";
import { findProgram } from "../dns/programs.ts";

/** What a rule may name: an interface, or a destination port. */
export type Match = { readonly device: string } | { readonly port: number };

/** A chain whose policy is to drop. */
export interface DroppingChain {
  /** As in `ip filter FORWARD`. */
  readonly title: string;
  readonly chain: string;
  /** The program that changes it, up to the chain's name; what is matched and done follows. */
  readonly insert: "nft" | "iptables" | "iptables-legacy";
  /** As in `inet fw`; for nft. */
  readonly table: string;
  /** Whether a rule of this table that names this accepts something. */
  readonly accepts: (match: Match) => boolean;
  /** Whether Docker's chain for other people's rules is there. */
  readonly hasDockerUser: boolean;
}

/** Names that iptables has for the chains at hooks, by `NF_INET_*`. */
const LEGACY_CHAINS: Readonly<Record<number, string>> = { 1: "INPUT", 2: "FORWARD" };
const DOCKER_USER = "DOCKER-USER";
/** `NFTA_VERDICT_CODE`, 8 bytes with its header, of NF_ACCEPT: how a rule that accepts ends. */
const ACCEPT = Uint8Array.of(8, 0, 1, 0, 0, 0, 0, 1);
/** The same of NF_DROP, in the attribute that holds it (`NFTA_DATA_VERDICT`); and what else refuses, by its name. */
const DROPPING = [
  Uint8Array.of(12, 0, 2, 0, 8, 0, 1, 0, 0, 0, 0, 0),
  ...["reject\0", "REJECT\0"].map((name) => new TextEncoder().encode(name)),
];
/** Where packets of this host pass: `NF_INET_LOCAL_OUT`, `NF_INET_POST_ROUTING`. */
const OUTPUT_HOOKS: ReadonlySet<number> = new Set([3, NF_INET_POST_ROUTING]);
/** What the tables of our own instances begin with. */
const OWN_TABLES = "vpn_";
/** ms */
const PROGRAM_LIMIT = 2_000;
const LEGACY_TABLES = "/proc/thread-self/net/ip_tables_names";

/**
 * The chains for IPv4 at a hook (`NF_INET_*`) that drop what no rule of theirs decides on: each is enough to drop a packet,
 * whatever others accept.
 */
export async function droppingChains(hook: number): Promise<DroppingChain[]> {
  const listing = listNftables();
  const chains = listing.chains
    .filter((chain) => chain.hook === hook && chain.type === "filter" && chain.drops)
    .filter(({ table }) => table.family === "ip" || table.family === "inet")
    .map((chain) => describeNftables(chain, listing));
  return [...chains, ...await legacyChains(hook)];
}

/**
 * The chains of others that packets of this host pass on their way out, and that drop some: as in `inet fw output`. What leaves
 * by a packet socket passes none of them.
 */
export async function outputChains(): Promise<string[]> {
  const listing = listNftables();
  const found = listing.chains
    .filter(({ hook, type }) => OUTPUT_HOOKS.has(hook) && (type === "filter" || type === "route"))
    .filter(({ table }) => table.family === "ip" || table.family === "inet")
    .filter(({ table }) => !table.name.startsWith(OWN_TABLES))
    .filter((chain) => chain.drops || rulesReachedFrom(chain, listing).some(isDropping))
    .map(({ table, name }) => `${table.family} ${table.name} ${name}`);
  const legacy = (await legacyRules()).filter((line) =>
    line === "-P OUTPUT DROP" || /^-A OUTPUT .*-j (?:DROP|REJECT)\b/.test(line)
  );
  return legacy.length === 0 ? found : [...found, "iptables' OUTPUT"];
}

/** The rules of a chain and of those that it leads to. */
function rulesReachedFrom(base: BaseChain, { rules }: FirewallListing): ListedRule[] {
  const { family, name } = base.table;
  const own = rules.filter(({ table }) => table.family === family && table.name === name);
  const chains = new Set([base.name]);
  const reached: ListedRule[] = [];
  // A set is walked to what is added on the way.
  for (const chain of chains) {
    for (const rule of own.filter((each) => each.chain === chain)) {
      reached.push(rule);
      for (const { chain: other } of own) {
        if (includes(rule.expressions, new TextEncoder().encode(`${other}\0`))) chains.add(other);
      }
    }
  }
  return reached;
}

function isDropping({ expressions }: ListedRule): boolean {
  return DROPPING.some((mark) => includes(expressions, mark));
}

/** None where the kernel has no netfilter, or not this part of it. */
function listNftables(): FirewallListing {
  try {
    return listFirewall(openLibc());
  } catch (error) {
    const unknown = error instanceof NetlinkError && error.code === "EINVAL" ||
      error instanceof SystemCallError && error.code === "EPROTONOSUPPORT";
    if (unknown) return { chains: [], rules: [] };
    throw error;
  }
}

function describeNftables(chain: BaseChain, { rules }: FirewallListing): DroppingChain {
  const { family, name } = chain.table;
  const own = rules.filter(({ table }) => table.family === family && table.name === name);
  // What `iptables` makes by way of nftables has its names, and should be changed by it.
  const isIptables = family === "ip" && name === "filter" &&
    Object.values(LEGACY_CHAINS).includes(chain.name);
  return {
    title: `${family} ${name} ${chain.name}`,
    chain: chain.name,
    insert: isIptables ? "iptables" : "nft",
    table: `${family} ${name}`,
    accepts: (match) =>
      own.some(({ expressions }) =>
        includes(expressions, ACCEPT) && marksOf(match).some((mark) => includes(expressions, mark))
      ),
    hasDockerUser: own.some((rule) => rule.chain === DOCKER_USER),
  };
}

/** The same by iptables' older half of the kernel, which only its program can read. */
async function legacyChains(hook: number): Promise<DroppingChain[]> {
  const chain = LEGACY_CHAINS[hook];
  if (chain === undefined) return [];
  const lines = await legacyRules();
  if (!lines.includes(`-P ${chain} DROP`)) return [];
  const accepting = lines.filter((line) => line.endsWith(" -j ACCEPT")).map((line) => `${line} `);
  return [{
    title: `iptables' ${chain}`,
    chain,
    insert: "iptables-legacy",
    table: "",
    accepts: (match) => accepting.some((line) => line.includes(argumentOf(match))),
    hasDockerUser: lines.includes(`-N ${DOCKER_USER}`),
  }];
}

/** What `iptables -S` prints; nothing where there is no such firewall. */
async function legacyRules(): Promise<string[]> {
  const program = findProgram("iptables-legacy") ?? findProgram("iptables");
  if (program === null || !hasLegacyFilter()) return [];
  const { success, stdout } = await new Deno.Command(program, {
    args: ["-w", "1", "-t", "filter", "-S"],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
    signal: AbortSignal.timeout(PROGRAM_LIMIT),
  }).output();
  return success ? new TextDecoder().decode(stdout).split("\n") : [];
}

function hasLegacyFilter(): boolean {
  try {
    return Deno.readTextFileSync(LEGACY_TABLES).split("\n").includes("filter");
  } catch {
    // The kernel has none, or it is not loaded, or not ours to see.
    return false;
  }
}

/**
 * How it stands in an nftables rule. A name has a NUL behind it, as another's may begin with it. A port is compared in network
 * order, or, in what `iptables` made, is a range of one in the host's.
 */
function marksOf(match: Match): Uint8Array[] {
  if ("device" in match) return [new TextEncoder().encode(`${match.device}\0`)];
  const [high, low] = [match.port >>> 8, match.port & 0xff];
  return [Uint8Array.of(6, 0, 1, 0, high, low), Uint8Array.of(low, high, low, high)];
}

/** How `iptables -S` prints it. */
function argumentOf(match: Match): string {
  return "device" in match ? ` ${match.device} ` : ` --dport ${match.port} `;
}

function includes(bytes: Uint8Array, part: Uint8Array): boolean {
  for (let at = 0; at + part.length <= bytes.length; at++) {
    if (part.every((byte, i) => bytes[at + i] === byte)) return true;
  }
  return false;
}
