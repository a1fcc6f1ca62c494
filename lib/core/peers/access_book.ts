/**
 * Access book: makes of the rules of peers and groups what the data plane is told, and of each change only what is
 * another after it. Peers have a number here as long as they are known, each rule one that its denials are counted by.
 */
import {
  ACCESS_IDS,
  type AccessItem,
  type AccessSurroundings,
  ANY_PROTOCOL,
  NO_ALLOW_RULE,
  NO_SURROUNDINGS,
  type RuleItem,
  TargetKind,
} from "../access/access_items.ts";
import { type PrefixWords, prefixWords } from "../access/inner_address.ts";
import type {
  AccessRule,
  AccessService,
  AccessTarget,
  GroupConfig,
  PeerConfig,
} from "../config/config.ts";
import { formatAccessRule } from "../config/values/access_rules.ts";
import { type HostAddress, isIpv6 } from "../wire/host_address.ts";
import type { Ipv4Prefix } from "../wire/ipv4_text.ts";
import type { Ipv6PrefixText } from "../wire/ipv6_prefix.ts";

/** What of a peer the rules are about. */
export type AccessPeer = Pick<PeerConfig, "name" | "groups" | "allow" | "deny">;

export interface AccessSources {
  /** Those that the data plane has, by public key in base64. */
  readonly peers: ReadonlyMap<string, AccessPeer>;
  readonly groups: readonly Omit<GroupConfig, "line">[];
  readonly surroundings: AccessSurroundings;
  /** What is known of hosts that rules name. */
  readonly hosts: KnownHosts;
}

/** Hosts by name: in lower case, without a dot at the end. */
export type KnownHosts = ReadonlyMap<string, KnownHost>;

export interface KnownHost {
  readonly addresses: readonly HostAddress[];
  /**
   * Whether a resolver of our own has them. Who answers for any other name is not to say that an address inside is
   * allowed: such a host is only where the internet is (DNS rebinding).
   */
  readonly isOwn: boolean;
}

/** What the data plane is told: before it is told of peers that come, and after it has been told of those that go. */
export interface AccessUpdate {
  readonly before: readonly AccessItem[];
  readonly after: readonly AccessItem[];
}

/** Numbers of protocols; ICMPv6 goes by that of ICMP. */
export const PROTOCOLS: Readonly<Record<AccessService["protocol"], number>> = {
  icmp: 1,
  tcp: 6,
  udp: 17,
  gre: 47,
  esp: 50,
};
const PLACES: Readonly<
  Record<Exclude<AccessTarget["kind"], "network" | "peer" | "group" | "host">, number>
> = {
  any: TargetKind.any,
  internet: TargetKind.internet,
  lan: TargetKind.lan,
  gateway: TargetKind.gateway,
  peers: TargetKind.peers,
};
/** Rules in one item: each is some 60 bytes of JSON. */
const RULES_PER_ITEM = 200;
/** Of each kind of a host's addresses and networks. */
const PREFIXES_PER_ITEM = 100;
/** Numbers of rules before they begin again. */
const MAX_RULES = 1 << 22;

type Rules = Pick<AccessPeer, "allow" | "deny">;
type Place = Pick<RuleItem, "kind" | "network" | "target">;

/** What names in rules stand for. */
interface KnownNames {
  /** Access ids of peers. */
  readonly names: ReadonlyMap<string, number>;
  readonly hosts: KnownHosts;
}

interface KnownPeer {
  readonly id: number;
  peer: AccessPeer | null;
  /** Whether its rules name other peers, or hosts. */
  namesOthers: boolean;
}

export class AccessBook {
  readonly #peers = new Map<string, KnownPeer>();
  readonly #keys = new Map<number, string>();
  readonly #freeIds: number[] = [];
  /** By name; numbers of lists as well, behind those of peers. */
  readonly #groups = new Map<string, number>();
  #lastGroup = ACCESS_IDS;
  #lastGroups: AccessSources["groups"] = [];
  /** Numbers of rules by their text, by list; and what each is called. */
  readonly #rules = new Map<number, ReadonlyMap<string, number>>();
  readonly #ruleTexts = new Map<number, string>();
  #lastRule = NO_ALLOW_RULE;
  /** What the data plane has, as text, by what it is. */
  readonly #told = new Map<string, string>();

  /** The number of a peer; it gets one by this. */
  idOf(key: string): number {
    const known = this.#peers.get(key);
    if (known !== undefined) return known.id;
    const id = this.#freeIds.shift() ?? this.#peers.size + 1;
    this.#peers.set(key, { id, peer: null, namesOthers: false });
    this.#keys.set(id, key);
    return id;
  }

  /** A peer goes by another key from now on; its number, and that of its rules, stay. */
  rename(from: string, to: string): void {
    const known = this.#peers.get(from);
    if (known === undefined || this.#peers.has(to)) return;
    this.#peers.delete(from);
    this.#peers.set(to, known);
    this.#keys.set(known.id, to);
  }

  /** The key of the peer with this number. */
  keyOf(id: number): string | undefined {
    return this.#keys.get(id);
  }

  /** What a rule says, and where it stands. */
  ruleText(rule: number): string {
    return rule === NO_ALLOW_RULE ? "no Allow" : this.#ruleTexts.get(rule) ?? "a former rule";
  }

  /** What is another now than when this was last asked. */
  update({ peers, groups, surroundings, hosts }: AccessSources): AccessUpdate {
    const before: AccessItem[] = [];
    const after: AccessItem[] = [];
    const tell = (name: string, items: readonly AccessItem[]) => {
      const text = JSON.stringify(items);
      if (this.#told.get(name) === text) return;
      this.#told.set(name, text);
      before.push(...items);
    };
    const forget = (name: string, item: AccessItem) => {
      if (this.#told.delete(name)) after.push(item);
    };
    const names = new Map<string, number>();
    for (const [key, { name }] of peers) {
      const id = this.idOf(key);
      if (name !== null) names.set(name, id);
    }
    if (this.#told.has("surroundings") || surroundings !== NO_SURROUNDINGS) {
      tell("surroundings", surroundingsItems(surroundings));
    }
    const isOtherGroups = groups !== this.#lastGroups;
    const goneGroups = new Set(this.#groups.keys());
    const tellList = (list: number, where: string, rules: Rules): boolean => {
      const items = this.#list(list, where, rules, { names, hosts });
      if (items.length > 0) tell(`list ${list}`, items);
      else forget(`list ${list}`, { kind: "no-list", list });
      return items.length > 0;
    };
    for (const { name } of groups) {
      goneGroups.delete(name);
      if (!this.#groups.has(name)) this.#groups.set(name, ++this.#lastGroup);
    }
    const withRules = new Set<number>();
    for (const group of groups) {
      const list = this.#groups.get(group.name)!;
      if (tellList(list, `[Group] ${group.name}`, group)) withRules.add(list);
    }
    for (const [key, peer] of peers) {
      const known = this.#peers.get(key)!;
      if (known.peer === peer && !known.namesOthers && !isOtherGroups) continue;
      known.peer = peer;
      known.namesOthers = [...peer.allow, ...peer.deny].some(({ target: { kind } }) =>
        kind === "peer" || kind === "host"
      );
      const { id } = known;
      const hasOwn = tellList(id, `[Peer] ${peer.name ?? key}`, peer);
      const ofGroups = peer.groups.flatMap((name) => this.#groups.get(name) ?? []);
      if (hasOwn || ofGroups.length > 0) {
        const lists = [...hasOwn ? [id] : [], ...ofGroups.filter((list) => withRules.has(list))];
        tell(`peer ${id}`, [{ kind: "peer", id, lists, groups: ofGroups }]);
      } else forget(`peer ${id}`, { kind: "no-peer", id });
    }
    for (const name of goneGroups) {
      const list = this.#groups.get(name)!;
      forget(`list ${list}`, { kind: "no-list", list });
      this.#forgetRules(list);
      this.#groups.delete(name);
    }
    this.#lastGroups = groups;
    for (const [key, { id }] of this.#peers) {
      if (peers.has(key)) continue;
      forget(`peer ${id}`, { kind: "no-peer", id });
      forget(`list ${id}`, { kind: "no-list", list: id });
      this.#forgetRules(id);
      this.#peers.delete(key);
      this.#keys.delete(id);
      this.#freeIds.push(id);
    }
    return { before, after };
  }

  /** The rules of a peer or a group, in parts; none where there are none. */
  #list(
    list: number,
    where: string,
    { allow, deny }: Rules,
    known: KnownNames,
  ): AccessItem[] {
    const numbers = new Map<string, number>();
    const before = this.#rules.get(list);
    const itemsOf = (key: "Allow" | "Deny", rules: readonly AccessRule[]) =>
      rules.flatMap((rule) => {
        const text = `${key} = ${formatAccessRule(rule)}`;
        const number = before?.get(text) ?? numbers.get(text) ?? this.#nextRule();
        numbers.set(text, number);
        this.#ruleTexts.set(number, `${where}: ${text}`);
        return this.#ruleItems(number, rule, known);
      });
    const allowed = itemsOf("Allow", allow);
    const denied = itemsOf("Deny", deny);
    for (const [text, number] of before ?? []) {
      if (!numbers.has(text)) this.#ruleTexts.delete(number);
    }
    this.#rules.set(list, numbers);
    if (allow.length + deny.length === 0) return [];
    const count = Math.max(1, Math.ceil(Math.max(allowed.length, denied.length) / RULES_PER_ITEM));
    return Array.from({ length: count }, (_, i) => {
      const part = (items: readonly RuleItem[]) =>
        items.slice(i * RULES_PER_ITEM, (i + 1) * RULES_PER_ITEM);
      return {
        kind: "list",
        list,
        isFirst: i === 0,
        hasAllow: allow.length > 0,
        allow: part(allowed),
        deny: part(denied),
      };
    });
  }

  /** A rule for each place and service; none where what it names is not there. */
  #ruleItems(rule: number, { target, services }: AccessRule, known: KnownNames): RuleItem[] {
    return this.#places(target, known).flatMap((place): RuleItem[] => {
      if (services.length === 0) {
        return [{ rule, ...place, protocol: ANY_PROTOCOL, first: 0, last: 0xffff }];
      }
      return services.map(({ protocol, ports }) => ({
        rule,
        ...place,
        protocol: PROTOCOLS[protocol],
        first: ports?.first ?? 0,
        last: ports?.last ?? 0xffff,
      }));
    });
  }

  #places(target: AccessTarget, { names, hosts }: KnownNames): Place[] {
    switch (target.kind) {
      case "network":
        return [{ kind: TargetKind.network, network: prefixWords(target.prefix) }];
      case "peer": {
        const id = names.get(target.name);
        return id === undefined ? [] : [{ kind: TargetKind.peer, target: id }];
      }
      case "group": {
        const number = this.#groups.get(target.name);
        return number === undefined ? [] : [{ kind: TargetKind.group, target: number }];
      }
      case "host": {
        const { addresses = [], isOwn = false } = hosts.get(target.name) ?? {};
        const kind = isOwn ? TargetKind.network : TargetKind.internetHost;
        return addresses.map((address) => ({ kind, network: prefixWords(hostPrefix(address)) }));
      }
      default:
        return [{ kind: PLACES[target.kind] }];
    }
  }

  #nextRule(): number {
    this.#lastRule = this.#lastRule % MAX_RULES + 1;
    return this.#lastRule;
  }

  #forgetRules(list: number): void {
    for (const number of this.#rules.get(list)?.values() ?? []) this.#ruleTexts.delete(number);
    this.#rules.delete(list);
  }
}

/** The prefix of one address. */
export function hostPrefix(address: HostAddress): Ipv4Prefix | Ipv6PrefixText {
  return isIpv6(address) ? `${address}/128` : { address, prefixLength: 32 };
}

/** In items that a message has room for each: a host may have thousands of addresses. */
function surroundingsItems({ inner, outer, lan }: AccessSurroundings): AccessItem[] {
  const longest = Math.max(1, inner.length, outer.length, lan.length);
  return Array.from({ length: Math.ceil(longest / PREFIXES_PER_ITEM) }, (_, part) => {
    const of = (all: readonly PrefixWords[]) =>
      all.slice(part * PREFIXES_PER_ITEM, (part + 1) * PREFIXES_PER_ITEM);
    const surroundings = { inner: of(inner), outer: of(outer), lan: of(lan) };
    return { kind: "surroundings", isFirst: part === 0, surroundings };
  });
}

/** Items in parts, for a message each: of so many bytes of JSON, or of one item that is longer. */
export function* accessParts(items: readonly AccessItem[], limit: number): Generator<AccessItem[]> {
  let part: AccessItem[] = [];
  let room = limit;
  for (const item of items) {
    const length = JSON.stringify(item).length + 1;
    if (length > room && part.length > 0) {
      yield part;
      part = [];
      room = limit;
    }
    part.push(item);
    room -= length;
  }
  if (part.length > 0) yield part;
}
