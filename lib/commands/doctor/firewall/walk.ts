/**
 * Walk of a packet through chains of rules, to where it is decided on; rules of nftables and of iptables are walked
 * alike.
 */
import type { SupposedPacket } from "./packet.ts";

/**
 * What becomes of a packet. `redirected`: it goes on to another address or port than it was sent to. `queued`: a
 * program decides, by rules that only that program knows.
 */
export type Fate = "accepted" | "dropped" | "rejected" | "redirected" | "queued";

/** What a rule does with what it matches; null for nothing that decides. */
export type Action =
  | { readonly kind: "decide"; readonly fate: Fate }
  | { readonly kind: "jump" | "goto"; readonly chain: string }
  | { readonly kind: "return" }
  | null;

/**
 * Whether a rule matches. `unlikely`: only a packet that has something particular which we do not know of, such as a
 * source that the rule names; `likely`: any but such a packet.
 */
export type Match = "yes" | "likely" | "unlikely" | "no";

/** What a rule has to say of a packet. */
export interface Opinion {
  readonly match: Match;
  readonly action: Action;
}

export interface FirewallRule {
  /** As in `rule 7 of inet fw input`. */
  readonly title: string;
  readonly judge: (packet: SupposedPacket, state: WalkState) => Opinion;
}

/** What chains and rules change of a packet on its path. */
export interface WalkState {
  /** Its mark; null where it may be anything. */
  mark: number | null;
  /**
   * `before`: connection tracking has not seen it yet, and rules find it invalid. `untracked`: a rule keeps it from
   * being seen.
   */
  tracking: "before" | "tracked" | "untracked";
}

/** Where packets come in, with all chains that it may lead to. */
export interface FirewallEntry {
  /** As in `inet fw input`. */
  readonly title: string;
  readonly chain: string;
  readonly chains: ReadonlyMap<string, readonly FirewallRule[]>;
  /** What becomes of what no rule decides on. */
  readonly policy: "accepted" | "dropped";
}

/** How a packet fares at an entry. */
export interface Decision {
  readonly fate: Fate;
  /** The rule, or the policy, that decides. */
  readonly by: string;
  /** What rules would do with a packet of particular sources, or at particular times. */
  readonly exceptions: readonly { readonly fate: Fate; readonly by: string }[];
}

interface Walk {
  readonly entry: FirewallEntry;
  readonly packet: SupposedPacket;
  readonly state: WalkState;
  readonly exceptions: { fate: Fate; by: string }[];
}

interface Decided {
  readonly fate: Fate;
  readonly by: string;
}

/** Chains within chains: the kernel has no loops, and 16 levels (NFT_JUMP_STACK_SIZE). */
const MAX_DEPTH = 16;

/**
 * How a condition holds that asks for something which only particular packets have, such as a source that a rule names.
 *
 * @param isInverted whether it asks for all others
 */
export function matchOfParticular(isInverted: boolean): Match {
  return isInverted ? "likely" : "unlikely";
}

/** How a condition holds of which everything is known. */
export function matchOfKnown(holds: boolean): Match {
  return holds ? "yes" : "no";
}

/** How conditions hold together. */
export function both(one: Match, other: Match): Match {
  if (one === "no" || other === "no") return "no";
  if (one === "unlikely" || other === "unlikely") return "unlikely";
  return one === "likely" || other === "likely" ? "likely" : "yes";
}

/** Walks a packet through the chains of an entry. */
export function walk(entry: FirewallEntry, packet: SupposedPacket, state: WalkState): Decision {
  const exceptions: Walk["exceptions"] = [];
  const decided = walkChain(entry.chain, { entry, packet, state, exceptions }, 0);
  const { fate, by } = decided ?? { fate: entry.policy, by: `the policy of ${entry.title}` };
  return { fate, by, exceptions: exceptions.filter((exception) => exception.fate !== fate) };
}

/** Null where the chain's end is reached. */
function walkChain(name: string, walk: Walk, depth: number): Decided | null {
  if (depth > MAX_DEPTH) return null;
  for (const { title, judge } of walk.entry.chains.get(name) ?? []) {
    const { match, action } = judge(walk.packet, walk.state);
    if (match === "no" || action === null) continue;
    if (action.kind === "return") {
      if (match !== "unlikely") return null;
      continue;
    }
    const { mark } = walk.state;
    const decided = action.kind === "decide"
      ? { fate: action.fate, by: title }
      : walkChain(action.chain, walk, depth + 1);
    if (match === "unlikely") {
      walk.state.mark = mark;
      if (decided !== null) walk.exceptions.push(decided);
    } else if (decided !== null) return decided;
    else if (action.kind === "goto") return null;
  }
  return null;
}
