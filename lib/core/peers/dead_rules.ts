/** Dead rules: access rules that can never decide about a packet, and why. */
import type {
  AccessRule,
  AccessService,
  AccessTarget,
  Config,
  GroupConfig,
  PeerConfig,
} from "../config/config.ts";
import { formatAccessRule } from "../config/values/access_rules.ts";
import { isWithin } from "../config/values/networks.ts";
import { isMartian } from "../wire/ipv4.ts";
import { isWithin6 } from "../wire/ipv6_prefix.ts";

export interface DeadRule {
  /** Of the section. */
  readonly line: number;
  /** As in `[Peer] laptop: Allow = lan`. */
  readonly rule: string;
  readonly why: string;
}

type DeadRulesConfig = Pick<Config, "peers" | "groups"> & {
  readonly interface: Pick<Config["interface"], "clientToClient" | "egress" | "egressAllow">;
};

/** What is looked up for each rule: thousands of peers have rules that name others. */
interface Surroundings {
  readonly options: DeadRulesConfig["interface"];
  /** By their names; of several with one, the first. */
  readonly peers: ReadonlyMap<string, PeerConfig>;
  /** By the names of groups: how many peers are in it, and the last of them. */
  readonly groups: ReadonlyMap<string, { readonly count: number; readonly last: PeerConfig }>;
}

/** Those of all sections, in steps of one section each. */
export function* deadRules(config: DeadRulesConfig): Generator<void, DeadRule[]> {
  const surroundings = surroundingsOf(config);
  const dead: DeadRule[] = [];
  for (const peer of config.peers) {
    dead.push(...deadIn(surroundings, `[Peer] ${peer.name ?? `on line ${peer.line}`}`, peer, peer));
    yield;
  }
  for (const group of config.groups) {
    dead.push(...deadIn(surroundings, `[Group] ${group.name}`, group, null));
    yield;
  }
  return dead;
}

function surroundingsOf({ peers, interface: options }: DeadRulesConfig): Surroundings {
  const named = new Map<string, PeerConfig>();
  const groups = new Map<string, { readonly count: number; readonly last: PeerConfig }>();
  for (const peer of peers) {
    const { name } = peer;
    if (name !== null && !named.has(name)) named.set(name, peer);
    for (const group of new Set(peer.groups)) {
      groups.set(group, { count: (groups.get(group)?.count ?? 0) + 1, last: peer });
    }
  }
  return { options, peers: named, groups };
}

/** Those of one section; `self` is the peer whose it is. */
function deadIn(
  surroundings: Surroundings,
  header: string,
  section: Pick<GroupConfig, "allow" | "deny" | "line">,
  self: PeerConfig | null,
): DeadRule[] {
  const { allow, deny, line } = section;
  const dead: DeadRule[] = [];
  for (const [key, rules] of [["Deny", deny], ["Allow", allow]] as const) {
    for (const [i, rule] of rules.entries()) {
      const why = unreachable(surroundings, rule.target, self) ??
        covered(rule, deny.slice(0, key === "Deny" ? i : undefined), "Deny") ??
        (key === "Deny" ? null : covered(rule, allow.slice(0, i), "Allow"));
      if (why !== null) {
        dead.push({ line, rule: `${header}: ${key} = ${formatAccessRule(rule)}`, why });
      }
    }
  }
  return dead;
}

/** Why no packet goes there; null where one may. */
function unreachable(
  { peers, groups, options: { clientToClient, egress, egressAllow } }: Surroundings,
  target: AccessTarget,
  self: PeerConfig | null,
): string | null {
  const isOfPeers = target.kind === "peers" || target.kind === "peer" || target.kind === "group";
  if (isOfPeers && !clientToClient) return "ClientToClient = off keeps all peers from each other";
  switch (target.kind) {
    case "peer": {
      const peer = peers.get(target.name);
      if (peer === undefined) return "there is no such peer";
      return peer === self ? "it is the peer itself" : null;
    }
    case "group": {
      const members = groups.get(target.name);
      if (members === undefined) return "nobody is in that group";
      const { count, last } = members;
      return count === 1 && last === self ? "nobody else is in that group" : null;
    }
    case "internet":
      return egress === "off" ? "Egress = off leads nowhere" : null;
    case "lan":
      if (egress === "off") return "Egress = off leads nowhere";
      return egressAllow.length === 0 ? "EgressAllow opens none of these networks" : null;
    case "network": {
      const { prefix } = target;
      if (typeof prefix === "string" || prefix.prefixLength < 16) return null;
      return isMartian(prefix.address) ? "no packet to there is forwarded in any case" : null;
    }
    default:
      return null;
  }
}

/** Which of these rules holds wherever this one does; null for none. */
function covered(
  rule: AccessRule,
  others: readonly AccessRule[],
  key: "Allow" | "Deny",
): string | null {
  const other = others.find((each) =>
    coversTarget(each.target, rule.target) && coversServices(each.services, rule.services)
  );
  return other === undefined ? null : `${key} = ${formatAccessRule(other)} holds before it`;
}

function coversTarget(outer: AccessTarget, inner: AccessTarget): boolean {
  if (outer.kind === "any") return true;
  if (outer.kind === "peers") {
    return inner.kind === "peers" || inner.kind === "peer" || inner.kind === "group";
  }
  if (outer.kind === "network" && inner.kind === "network") {
    const [one, other] = [inner.prefix, outer.prefix];
    if (typeof one === "string") return typeof other === "string" && isWithin6(one, other);
    return typeof other !== "string" && isWithin(one, other);
  }
  if (outer.kind === "peer" || outer.kind === "group" || outer.kind === "host") {
    return inner.kind === outer.kind && inner.name === outer.name;
  }
  return outer.kind === inner.kind;
}

function coversServices(
  outer: readonly AccessService[],
  inner: readonly AccessService[],
): boolean {
  if (outer.length === 0) return true;
  return inner.length > 0 && inner.every((service) =>
    outer.some(({ protocol, ports }) => {
      if (protocol !== service.protocol) return false;
      if (ports === null) return true;
      const { ports: own } = service;
      return own !== null && own.first >= ports.first && own.last <= ports.last;
    })
  );
}
