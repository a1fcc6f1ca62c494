/**
 * Firewalls of others on this host: what they do with a packet that comes to it or passes through, and by which rule.
 */
import { openLibc } from "../../../../ffi/libc.ts";
import { NF_INET_POST_ROUTING } from "../../../../ffi/netlink/nftables/hooks.ts";
import type { Links } from "../../../../ffi/netlink/links.ts";
import {
  type BaseChain,
  dumpFirewall,
  type FirewallListing,
  type ListedRule,
  readFirewall,
} from "../../../../ffi/netlink/nftables/nftables_listing.ts";
import { NetlinkError } from "../../../../ffi/netlink/socket.ts";
import { SystemCallError } from "../../../../ffi/errno.ts";
import { findProgram } from "../../../host/dns/programs.ts";
import { iptablesEntry } from "./iptables_text.ts";
import type { LinkIndexes } from "./nft_fields.ts";
import { nftRule } from "./nft_rule.ts";
import { actionsOf, refuses } from "./nft_verdict.ts";
import type { PacketFamily, SupposedPacket } from "./packet.ts";
import {
  type Action,
  type Decision,
  type FirewallEntry,
  type FirewallRule,
  walk,
  type WalkState,
} from "./walk.ts";

/** Who keeps a firewall, and has commands of its own for it. */
export type Manager = "ufw" | "firewalld" | "docker" | null;

/** A chain that does not let a packet pass. */
export interface Obstacle {
  readonly decision: Decision;
  /** As in `inet fw input`. */
  readonly title: string;
  readonly chain: string;
  /** The program that changes it, up to the chain's name; what is matched and done follows. */
  readonly insert: "nft" | IptablesProgram;
  /** As in `inet fw`; for nft. */
  readonly table: string;
  readonly manager: Manager;
}

/** That of iptables' rules for each family, and that of its older half. */
export type IptablesProgram = "iptables" | "ip6tables" | "iptables-legacy" | "ip6tables-legacy";

/**
 * How a packet goes: to this host, through it, or from it. One that is given another destination on the way through is
 * two: as it comes in, and as it goes on.
 */
export type Journey = "in" | "through" | "out" | "entering" | "onward";

/** Rules of iptables' older half, by table, as `iptables -S` prints them; null where they cannot be read. */
export type LegacyTables = ReadonlyMap<string, readonly string[] | null>;
/** Those of each family. */
export type LegacyFamilies = Readonly<Record<PacketFamily, LegacyTables>>;

interface Stop extends Omit<Obstacle, "decision"> {
  readonly entry: FirewallEntry;
  /** Whether connection tracking has seen the packet by then. */
  readonly isTracked: boolean;
}

/**
 * Chains at hooks of the IP layer by `NF_INET_*`, in the order in which a packet meets them, and iptables' names for
 * them.
 */
const JOURNEYS: Readonly<Record<Journey, readonly number[]>> = {
  in: [0, 1],
  through: [0, 2, 4],
  out: [3, 4],
  entering: [0],
  onward: [2, 4],
};
/** What connection tracking stands at. */
const FIRST_HOOKS: ReadonlySet<number> = new Set([0, 3]);
const LEGACY_CHAINS: Readonly<Record<number, string>> = {
  0: "PREROUTING",
  1: "INPUT",
  2: "FORWARD",
  3: "OUTPUT",
  4: "POSTROUTING",
};
/**
 * By the priorities of their chains in front of routing; behind it, that of `nat` is another, which changes nothing
 * here.
 */
const LEGACY_PRIORITIES: Readonly<Record<string, number>> = {
  raw: -300,
  mangle: -150,
  nat: -100,
  filter: 0,
};
const LEGACY_TABLES = Object.keys(LEGACY_PRIORITIES);
/** Chains of lower priorities see packets that connection tracking has not (NF_IP_PRI_CONNTRACK). */
const CONNTRACK_PRIORITY = -200;
const NETDEV_INGRESS = 0;
const NETDEV_EGRESS = 1;
const INET_INGRESS = 5;
/** Where packets of this host pass: `NF_INET_LOCAL_OUT`, `NF_INET_POST_ROUTING`. */
const OUTPUT_HOOKS: ReadonlySet<number> = new Set([3, NF_INET_POST_ROUTING]);
/** What the tables of our own instances begin with. */
const OWN_TABLES = "vpn_";
/** ms */
const PROGRAM_LIMIT = 2_000;
/** Of each family: the program of iptables, where the kernel names its tables, and what they are called here. */
const IPTABLES = {
  ip: { program: "iptables", names: "/proc/thread-self/net/ip_tables_names" },
  ip6: { program: "ip6tables", names: "/proc/thread-self/net/ip6_tables_names" },
} as const;
const FAMILIES = ["ip", "ip6"] as const;

/** What there is, at one time. */
export class Firewall {
  readonly #listing: FirewallListing;
  readonly #legacy: LegacyFamilies;
  readonly #links: LinkIndexes;

  constructor(listing: FirewallListing, legacy: LegacyFamilies, links: LinkIndexes = new Map()) {
    this.#listing = listing;
    this.#legacy = legacy;
    this.#links = links;
  }

  /**
   * Reads what there is in the network namespace that the thread is in.
   *
   * @throws {NetlinkError} EPERM without CAP_NET_ADMIN
   */
  static async read(links: Pick<Links, "list">): Promise<Firewall> {
    const indexes = new Map(links.list().map(({ name, index }) => [name, index]));
    const [ip, ip6] = await Promise.all(FAMILIES.map(legacyTables));
    return new Firewall(listNftables(), { ip: ip!, ip6: ip6! }, indexes);
  }

  /** Tables of a family of which nothing is known but that they are there. */
  unread(family: PacketFamily): string[] {
    return [...this.#legacy[family]].flatMap(([table, lines]) => lines === null ? [table] : []);
  }

  /** The chains that keep a packet from its journey: each is enough, whatever others accept. */
  obstacles(journey: Journey, packet: SupposedPacket, mark = 0): Obstacle[] {
    const state: WalkState = { mark, tracking: "before" };
    return this.#stops(journey, packet).flatMap(({ entry, isTracked, ...stop }) => {
      if (isTracked && state.tracking === "before") state.tracking = "tracked";
      const decision = walk(entry, packet, state);
      return decision.fate === "accepted" ? [] : [{ ...stop, decision }];
    });
  }

  /**
   * The mark that a packet from outside has by the time the kernel asks by which interface an answer would leave.
   *
   * @param own a table of ours, which is passed with those of others: as in `vpn_vpn0_return`
   * @returns null where a rule may give it any
   */
  markAtRouting(packet: SupposedPacket, own: string): number | null {
    const state: WalkState = { mark: 0, tracking: "before" };
    const [hook] = JOURNEYS.in;
    for (const { entry, isTracked } of this.#hookStops(hook!, packet, { isBehind: false, own })) {
      if (isTracked && state.tracking === "before") state.tracking = "tracked";
      walk(entry, packet, state);
    }
    return state.mark;
  }

  /** Whether a table of ours keeps a packet from its journey. */
  isStoppedBy(own: string, journey: Journey, packet: SupposedPacket): boolean {
    const state: WalkState = { mark: 0, tracking: "tracked" };
    return JOURNEYS[journey].some((hook) =>
      this.#baseChains(packet.family, own)
        .filter((chain) => chain.hook === hook && chain.table.name === own)
        .some((chain) => walk(this.#nftStop(chain, true).entry, packet, state).fate === "dropped")
    );
  }

  /**
   * The chains of others that IPv4 packets of this host pass on their way out, and that refuse some: as in `inet fw
   * output`. What leaves by a packet socket passes none of them.
   */
  refusingOutput(): string[] {
    const found = this.#baseChains("ip")
      .filter(({ hook, type }) => OUTPUT_HOOKS.has(hook) && (type === "filter" || type === "route"))
      .filter((chain) => chain.drops || this.#actionsReachedFrom(chain).some(refuses))
      .map(({ table, name }) => `${table.family} ${table.name} ${name}`);
    const legacy = (this.#legacy.ip.get("filter") ?? []).filter((line) =>
      line === "-P OUTPUT DROP" || /^-A OUTPUT .*-j (?:DROP|REJECT)\b/.test(line)
    );
    return legacy.length === 0 ? found : [...found, "iptables' OUTPUT"];
  }

  #stops(journey: Journey, packet: SupposedPacket): Stop[] {
    const { input, output } = packet.options;
    const hooks = JOURNEYS[journey];
    const stops = hooks.flatMap((hook) =>
      this.#hookStops(hook, packet, { isBehind: !FIRST_HOOKS.has(hook) })
    );
    return [
      ...hooks.includes(0) ? this.#deviceStops(input, false) : [],
      ...stops,
      ...hooks.includes(4) ? this.#deviceStops(output, true) : [],
    ];
  }

  /** Chains at one hook, in the order of their priorities. */
  #hookStops(
    hook: number,
    { family, options: { isEstablished = false } }: SupposedPacket,
    { isBehind, own = null }: {
      /** Whether it is behind the first hook, and with that behind connection tracking. */
      readonly isBehind: boolean;
      readonly own?: string | null;
    },
  ): Stop[] {
    return [
      ...this.#baseChains(family, own)
        .filter((chain) => chain.hook === hook)
        // NAT sees the first packet of a connection alone.
        .filter(({ type }) => type !== "nat" || !isEstablished)
        .map((chain) => ({ chain: this.#nftStop(chain, isBehind), at: chain.priority })),
      ...this.#legacyStops(family, hook, { isEstablished, isBehind }),
    ].sort((a, b) => a.at - b.at).map(({ chain }) => chain);
  }

  /** Chains at an interface itself. */
  #deviceStops(device: string | null, isEgress: boolean): Stop[] {
    const isThere = ({ table: { family, name }, hook, devices }: BaseChain) =>
      device !== null && devices.includes(device) && !name.startsWith(OWN_TABLES) &&
      (family === "netdev"
        ? hook === (isEgress ? NETDEV_EGRESS : NETDEV_INGRESS)
        : family === "inet" && hook === INET_INGRESS && !isEgress);
    return this.#listing.chains.filter(isThere)
      .sort((a, b) => a.priority - b.priority)
      .map((chain) => this.#nftStop(chain, isEgress));
  }

  /** Those of others, and of one table of ours, that packets of a family pass. */
  #baseChains(wanted: PacketFamily, own: string | null = null): BaseChain[] {
    return this.#listing.chains.filter(({ table: { family, name } }) =>
      (family === wanted || family === "inet") && (name === own || !name.startsWith(OWN_TABLES))
    );
  }

  /** @param isBehind whether it is behind the first hook, and with that behind connection tracking */
  #nftStop(base: BaseChain, isBehind: boolean): Stop {
    const { family, name } = base.table;
    const chains = new Map<string, FirewallRule[]>();
    for (const rule of this.#rulesOf(base)) {
      const rules = chains.get(rule.chain) ?? [];
      rules.push(nftRule(rule, { sets: this.#listing.sets, links: this.#links }));
      chains.set(rule.chain, rules);
    }
    // What `iptables` makes by way of nftables has its names, and should be changed by it.
    const isIptables = (family === "ip" || family === "ip6") && LEGACY_TABLES.includes(name) &&
      Object.values(LEGACY_CHAINS).includes(base.name);
    const title = `${family} ${name} ${base.name}`;
    return {
      entry: { title, chain: base.name, chains, policy: base.drops ? "dropped" : "accepted" },
      title,
      isTracked: isBehind || base.priority > CONNTRACK_PRIORITY,
      chain: base.name,
      insert: isIptables ? IPTABLES[family].program : "nft",
      table: `${family} ${name}`,
      manager: name === "firewalld" ? "firewalld" : managerOf(chains.keys()),
    };
  }

  #legacyStops(
    family: PacketFamily,
    hook: number,
    { isEstablished, isBehind }: { readonly isEstablished: boolean; readonly isBehind: boolean },
  ) {
    const chain = LEGACY_CHAINS[hook];
    const { program } = IPTABLES[family];
    return Object.entries(LEGACY_PRIORITIES).flatMap(([table, at]) => {
      const lines = this.#legacy[family].get(table) ?? [];
      if (chain === undefined || !lines.some((line) => line.startsWith(`-P ${chain} `))) return [];
      if (table === "nat" && isEstablished) return [];
      const title = table === "filter" ? `${program}' ${chain}` : `${program}' ${table} ${chain}`;
      const entry = iptablesEntry(lines, { chain, title, program });
      const stop: Stop = {
        entry,
        title,
        isTracked: isBehind || at > CONNTRACK_PRIORITY,
        chain,
        insert: `${program}-legacy`,
        table: "",
        manager: managerOf(entry.chains.keys()),
      };
      return [{ chain: stop, at }];
    });
  }

  #rulesOf({ table: { family, name } }: BaseChain): ListedRule[] {
    return this.#listing.rules.filter(({ table }) =>
      table.family === family && table.name === name
    );
  }

  /** What the rules of a chain, and of those that it leads to, may do. */
  #actionsReachedFrom(base: BaseChain): Action[] {
    const own = this.#rulesOf(base);
    const chains = new Set([base.name]);
    const reached: Action[] = [];
    // A set is walked to what is added on the way.
    for (const chain of chains) {
      for (const rule of own.filter((each) => each.chain === chain)) {
        for (const action of actionsOf(rule, this.#listing.sets)) {
          reached.push(action);
          if (action !== null && "chain" in action) chains.add(action.chain);
        }
      }
    }
    return reached;
  }
}

/** Whose chains these are, by names that only they have. */
function managerOf(chains: Iterable<string>): Manager {
  const names = [...chains];
  if (names.some((name) => name.startsWith("ufw-"))) return "ufw";
  if (names.some((name) => name === "INPUT_ZONES" || name.startsWith("IN_public"))) {
    return "firewalld";
  }
  return names.some((name) => name === "DOCKER-USER") ? "docker" : null;
}

/** None where the kernel has no netfilter, or not this part of it. */
function listNftables(): FirewallListing {
  try {
    return readFirewall(dumpFirewall(openLibc()));
  } catch (error) {
    const unknown = error instanceof NetlinkError && error.code === "EINVAL" ||
      error instanceof SystemCallError && error.code === "EPROTONOSUPPORT";
    if (unknown) return { chains: [], rules: [], sets: [] };
    throw error;
  }
}

/** What iptables' older half of the kernel has, which only its program can read. */
async function legacyTables(family: PacketFamily): Promise<LegacyTables> {
  const { program, names } = IPTABLES[family];
  const tables = legacyNames(names).filter((name) => LEGACY_TABLES.includes(name));
  return new Map(
    await Promise.all(tables.map(async (table) => [table, await printed(program, table)] as const)),
  );
}

/** What `iptables -S` prints; null where it fails, or there is no such program. */
async function printed(name: string, table: string): Promise<string[] | null> {
  const program = findProgram(`${name}-legacy`) ?? findProgram(name);
  if (program === null) return null;
  // Of today's `iptables` most write to nftables, and print that in place of these tables.
  const version = await output(program, "-V");
  if (version === null || version.includes("nf_tables")) return null;
  return (await output(program, "-w", "1", "-t", table, "-S"))?.split("\n") ?? null;
}

async function output(program: string, ...args: readonly string[]): Promise<string | null> {
  const { success, stdout } = await new Deno.Command(program, {
    args: [...args],
    stdin: "null",
    stdout: "piped",
    stderr: "null",
    signal: AbortSignal.timeout(PROGRAM_LIMIT),
  }).output();
  return success ? new TextDecoder().decode(stdout) : null;
}

function legacyNames(path: string): string[] {
  try {
    return Deno.readTextFileSync(path).trim().split("\n");
  } catch {
    // The kernel has none, or it is not loaded, or not ours to see.
    return [];
  }
}
