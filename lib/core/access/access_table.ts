/**
 * Access table: which rules decide about what a peer sends, as flat lists of numbers: a `Deny` of any of its lists
 * before every `Allow`; without an `Allow`, everywhere.
 */
import * as ipv4 from "../wire/ipv4.ts";
import {
  ACCESS_IDS,
  type AccessItem,
  type AccessSurroundings,
  ANY_PROTOCOL,
  type Denials,
  NO_ALLOW_RULE,
  NO_SURROUNDINGS,
  type RuleItem,
  TargetKind,
} from "./access_items.ts";
import {
  ADDRESS_WORDS,
  isInPrefix,
  PrefixSet,
  type PrefixWords,
  writePrefix,
} from "./inner_address.ts";
import { NO_PORT, type PacketFacts } from "./packet_facts.ts";

// Words of a rule.
const RULE = 0;
const KIND = 1;
const TARGET = 2;
const PROTOCOL = 3;
const FIRST = 4;
const LAST = 5;
const NETWORK = 6;
const RULE_WORDS: number = NETWORK + 2 * ADDRESS_WORDS;

const DNS_PORT = 53;

/** Addresses that are nobody's on the internet (RFC 6890), in IPv4. */
const PRIVATE: readonly (readonly [number, number, number, number, number])[] = [
  [0, 0, 0, 0, 8],
  [10, 0, 0, 0, 8],
  [100, 64, 0, 0, 10],
  [127, 0, 0, 0, 8],
  [169, 254, 0, 0, 16],
  [172, 16, 0, 0, 12],
  [192, 0, 0, 0, 24],
  [192, 168, 0, 0, 16],
  [198, 18, 0, 0, 15],
  [224, 0, 0, 0, 3],
];
/** The same in IPv6: unspecified and loopback, NAT64's local prefix, unique local, link-local, multicast. */
const PRIVATE6: readonly PrefixWords[] = [
  [0, 0, 0, 0, 127],
  [0x0064ff9b, 0x00010000, 0, 0, 48],
  [0xfc000000 | 0, 0, 0, 0, 7],
  [0xfe800000 | 0, 0, 0, 0, 10],
  [0xff000000 | 0, 0, 0, 0, 8],
];
const PRIVATE_ADDRESSES: PrefixSet = new PrefixSet([
  ...PRIVATE.map(([a, b, c, d, bits]): PrefixWords => [
    0,
    0,
    0xffff,
    a << 24 | b << 16 | c << 8 | d,
    96 + bits,
  ]),
  ...PRIVATE6,
]);

/** The rules of a peer or of a group. */
interface List {
  readonly hasAllow: boolean;
  readonly allow: Int32Array;
  readonly deny: Int32Array;
}

interface Member {
  readonly lists: readonly List[];
  readonly hasAllow: boolean;
  readonly groups: Int32Array;
  /** By `Deny`: the words of its rule and how many packets it has cost, `NO_ALLOW_RULE` among them. */
  denials: Map<number, { packets: number }>;
}

const NO_GROUPS = new Int32Array();

export class AccessTable {
  /** By access id: whether there are rules for what the peer sends. */
  readonly hasRules: Uint8Array = new Uint8Array(ACCESS_IDS);
  /** The rule that the last decision is by; `NO_ALLOW_RULE` where it is by none. */
  decidedBy = NO_ALLOW_RULE;
  /** How many peers there are rules for. */
  #restricted = 0;
  readonly #lists = new Map<number, List>();
  /** By access id. */
  readonly #members = new Map<number, { lists: readonly number[]; groups: readonly number[] }>();
  readonly #compiled: (Member | null)[] = [];
  #inner = new PrefixSet([]);
  #outer = new PrefixSet([]);
  #ownNetworks = new PrefixSet([]);
  #lan = new PrefixSet([]);

  constructor(items: readonly AccessItem[] = []) {
    this.setSurroundings(NO_SURROUNDINGS);
    this.change(items);
  }

  /** Whether any peer has rules. */
  get isUsed(): boolean {
    return this.#restricted > 0;
  }

  /** Makes all of these changes at once. */
  change(items: readonly AccessItem[]): void {
    const stale = new Set<number>();
    const lists = new Set<number>();
    let surroundings: AccessSurroundings | null = null;
    for (const item of items) {
      switch (item.kind) {
        case "list":
          this.#putList(item);
          lists.add(item.list);
          break;
        case "no-list":
          this.#lists.delete(item.list);
          break;
        case "peer":
          this.#members.set(item.id, item);
          stale.add(item.id);
          break;
        case "no-peer":
          this.#members.delete(item.id);
          stale.add(item.id);
          break;
        case "surroundings":
          surroundings = surroundings === null || item.isFirst
            ? item.surroundings
            : together(surroundings, item.surroundings);
          break;
      }
    }
    if (surroundings !== null) this.setSurroundings(surroundings);
    if (lists.size > 0) {
      for (const [id, member] of this.#members) {
        if (member.lists.some((list) => lists.has(list))) stale.add(id);
      }
    }
    for (const id of stale) this.#compile(id);
  }

  setSurroundings({ inner, outer, lan }: AccessSurroundings): void {
    this.#inner = new PrefixSet(inner.map(alone));
    this.#outer = new PrefixSet(outer.map(alone));
    this.#ownNetworks = new PrefixSet([...inner, ...lan]);
    this.#lan = new PrefixSet(lan);
  }

  #putList(item: AccessItem & { kind: "list" }): void {
    const before = item.isFirst ? undefined : this.#lists.get(item.list);
    this.#lists.set(item.list, {
      hasAllow: item.hasAllow,
      allow: joined(before?.allow, rows(item.allow)),
      deny: joined(before?.deny, rows(item.deny)),
    });
  }

  #compile(id: number): void {
    const member = this.#members.get(id);
    const before = this.#compiled[id] ?? null;
    const lists = (member?.lists ?? []).flatMap((list) => this.#lists.get(list) ?? []);
    const hasAllow = lists.some((list) => list.hasAllow);
    const hasRules = hasAllow || lists.some(({ deny }) => deny.length > 0);
    this.#restricted += (hasRules ? 1 : 0) - this.hasRules[id];
    this.hasRules[id] = hasRules ? 1 : 0;
    this.#compiled[id] = member === undefined ? null : {
      lists,
      hasAllow,
      groups: member.groups.length === 0 ? NO_GROUPS : Int32Array.from(member.groups),
      denials: keptDenials(before, lists),
    };
  }

  /**
   * Whether the peer with the access id `from` may send the packet, whose destination is the peer `to`'s, 0 for none's.
   * `decidedBy` is the rule after that.
   *
   * Of a later fragment, whose ports nobody knows, whether it may be one of a packet that may pass: without the first
   * one, nobody can make anything of it.
   */
  allows(from: number, to: number, facts: PacketFacts): boolean {
    this.decidedBy = NO_ALLOW_RULE;
    const member = this.#compiled[from] ?? null;
    if (member === null) return true;
    const { lists } = member;
    for (let i = 0; i < lists.length; i++) {
      const rule = this.#match(lists[i].deny, to, facts, false);
      if (rule < 0) continue;
      this.decidedBy = lists[i].deny[rule + RULE];
      return false;
    }
    if (!member.hasAllow) return true;
    for (let i = 0; i < lists.length; i++) {
      const rule = this.#match(lists[i].allow, to, facts, true);
      if (rule < 0) continue;
      this.decidedBy = lists[i].allow[rule + RULE];
      return true;
    }
    return this.#isService(facts);
  }

  /**
   * Where the first rule stands that holds; -1 for none.
   *
   * @param somePorts whether one for some ports holds where those of the packet are not known
   */
  #match(rules: Int32Array, to: number, facts: PacketFacts, somePorts: boolean): number {
    const { protocol, destination, destinationPort } = facts;
    for (let at = 0; at < rules.length; at += RULE_WORDS) {
      const wanted = rules[at + PROTOCOL];
      if (wanted !== ANY_PROTOCOL && wanted !== protocol) continue;
      const first = rules[at + FIRST];
      const last = rules[at + LAST];
      if (destinationPort === NO_PORT) {
        if (!somePorts && (first > 0 || last < 0xffff)) continue;
      } else if (destinationPort < first || destinationPort > last) continue;
      if (this.#isTarget(rules, at, to, destination)) return at;
    }
    return -1;
  }

  #isTarget(rules: Int32Array, at: number, to: number, destination: Int32Array): boolean {
    switch (rules[at + KIND]) {
      case TargetKind.any:
        return true;
      case TargetKind.network:
        return isInPrefix(destination, rules, at + NETWORK);
      case TargetKind.internet:
        return to === 0 && this.#isInternet(destination);
      case TargetKind.internetHost:
        return to === 0 && isInPrefix(destination, rules, at + NETWORK) &&
          this.#isInternet(destination);
      case TargetKind.lan:
        return to === 0 && this.#lan.contains(destination) && !this.#isGateway(destination);
      case TargetKind.gateway:
        return this.#isGateway(destination);
      case TargetKind.peers:
        return to !== 0;
      case TargetKind.peer:
        return to === rules[at + TARGET];
      case TargetKind.group:
        return this.#compiled[to]?.groups.includes(rules[at + TARGET]) ?? false;
      default:
        return false;
    }
  }

  #isInternet(address: Int32Array): boolean {
    return !PRIVATE_ADDRESSES.contains(address) && !this.#ownNetworks.contains(address) &&
      !this.#outer.contains(address);
  }

  #isGateway(address: Int32Array): boolean {
    return this.#inner.contains(address) || this.#outer.contains(address);
  }

  /** Whether a packet is for what the gateway itself does for each peer: DNS, and answers to `ping`. */
  #isService({ protocol, destination, destinationPort }: PacketFacts): boolean {
    const isDns = destinationPort === DNS_PORT &&
      (protocol === ipv4.PROTOCOL_UDP || protocol === ipv4.PROTOCOL_TCP);
    return (isDns || protocol === ipv4.PROTOCOL_ICMP) && this.#inner.contains(destination);
  }

  // Denials.

  /** Counts a packet that the rule of the last decision has cost. */
  countDenial(from: number): void {
    const counts = this.#compiled[from]?.denials;
    if (counts === undefined) return;
    const count = counts.get(this.decidedBy);
    if (count === undefined) counts.set(this.decidedBy, { packets: 1 });
    else count.packets += 1;
  }

  /** What rules have cost a peer. */
  denialsOf(id: number): Denials[] {
    return Array.from(
      this.#compiled[id]?.denials ?? [],
      ([rule, { packets }]) => ({ id, rule, packets }),
    );
  }

  /** What rules have cost, of all peers. */
  denials(): Denials[] {
    return [...this.#members.keys()].flatMap((id) => this.denialsOf(id));
  }
}

/** The address of a prefix by itself. */
function alone([a, b, c, d]: PrefixWords): PrefixWords {
  return [a, b, c, d, 128];
}

function rows(items: readonly RuleItem[]): Int32Array {
  const words = new Int32Array(items.length * RULE_WORDS);
  items.forEach((item, i) => {
    const at = i * RULE_WORDS;
    words[at + RULE] = item.rule;
    words[at + KIND] = item.kind;
    words[at + TARGET] = item.target ?? 0;
    words[at + PROTOCOL] = item.protocol;
    words[at + FIRST] = item.first;
    words[at + LAST] = item.last;
    if (item.network !== undefined) writePrefix(words, at + NETWORK, item.network);
  });
  return words;
}

function joined(before: Int32Array | undefined, words: Int32Array): Int32Array {
  if (before === undefined) return words;
  const all = new Int32Array(before.length + words.length);
  all.set(before);
  all.set(words, before.length);
  return all;
}

/** The counts of rules that are still there. */
function keptDenials(before: Member | null, lists: readonly List[]): Member["denials"] {
  const kept: Member["denials"] = new Map();
  if (before === null || before.denials.size === 0) return kept;
  const rules = new Set([NO_ALLOW_RULE]);
  for (const { deny } of lists) {
    for (let at = 0; at < deny.length; at += RULE_WORDS) rules.add(deny[at + RULE]);
  }
  for (const [rule, count] of before.denials) if (rules.has(rule)) kept.set(rule, count);
  return kept;
}

function together(one: AccessSurroundings, more: AccessSurroundings): AccessSurroundings {
  return {
    inner: [...one.inner, ...more.inner],
    outer: [...one.outer, ...more.outer],
    lan: [...one.lan, ...more.lan],
  };
}
