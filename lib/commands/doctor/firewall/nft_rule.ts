/** Rules of nftables: what a rule, as the kernel lists it, does with a supposed packet. */
import {
  NFTA_DATA_VALUE,
  NFTA_EXPR_DATA,
  NFTA_EXPR_NAME,
} from "../../../../ffi/netlink/nftables/attributes.ts";
import {
  type ListedExpression,
  type ListedRule,
  type ListedSet,
  readBe32,
} from "../../../../ffi/netlink/nftables/nftables_listing.ts";
import type { Attributes } from "../../../../ffi/netlink/message.ts";
import {
  type Field,
  host32,
  type LinkIndexes,
  META_MARK,
  metaField,
  pathField,
  readHost32,
  routeField,
  trackingField,
} from "./nft_fields.ts";
import { lookUp, setOf } from "./nft_sets.ts";
import { isInverted, numberOf, refuses, verdictOf } from "./nft_verdict.ts";
import type { SupposedPacket } from "./packet.ts";
import { Registers } from "./registers.ts";
import {
  type Action,
  both,
  type FirewallRule,
  type Match,
  matchOfKnown,
  matchOfParticular,
  type Opinion,
  type WalkState,
} from "./walk.ts";
import { applyTarget, leaveUntracked, matchOfXtables, targetOfXtables } from "./xtables.ts";

// include/uapi/linux/netfilter/nf_tables.h; in each kind of expression, attributes are counted from 1.
const [CMP_EQ, CMP_NEQ, CMP_LT, CMP_LTE, CMP_GT, CMP_GTE] = [0, 1, 2, 3, 4, 5];
const PAYLOAD_NETWORK = 1;
const PAYLOAD_TRANSPORT = 2;
const NAT_DESTINATION = 1;
const DYNSET_DELETE = 2;
const [DYNSET_OPERATION, DYNSET_EXPRESSION, DYNSET_FLAGS, DYNSET_EXPRESSIONS] = [3, 7, 9, 10];
/** Named objects that count up to a limit: NFT_OBJECT_QUOTA, NFT_OBJECT_LIMIT, NFT_OBJECT_CONNLIMIT. */
const LIMITING_OBJECTS: ReadonlySet<number> = new Set([2, 4, 5]);
/** Bytes, as many as a key may have that is looked up. */
const LONGEST_VALUE = 16;

/** Expressions that look at nothing and decide nothing. */
const NEUTRAL: ReadonlySet<string> = new Set([
  ...["counter", "log", "masq", "dup", "flow_offload", "last", "synproxy"],
]);

/** Expressions whose second attribute says where they put what they give; that of others is the first. */
const SECOND_TARGET: ReadonlySet<string> = new Set(["socket", "tunnel", "hash"]);

/** What an expression leaves: the rule goes on, ends without a match, or has acted. */
interface Judgement {
  readonly match: Match;
  readonly action?: Action;
}

const YES: Judgement = { match: "yes" };

/** What rules refer to. */
export interface RuleContext {
  readonly sets: readonly ListedSet[];
  readonly links: LinkIndexes;
}

/** A rule to walk by. */
export function nftRule(rule: ListedRule, context: RuleContext): FirewallRule {
  const { table, chain, handle } = rule;
  return {
    title: `rule ${handle} of ${table.family} ${table.name} ${chain}`,
    judge: (packet, state) => new Evaluation(rule, context, { packet, state }).run(),
  };
}

class Evaluation {
  readonly #rule: ListedRule;
  readonly #context: RuleContext;
  readonly #packet: SupposedPacket;
  readonly #state: WalkState;
  readonly #registers = new Registers();
  /** Whether the rule looks at a named limit, of which the listing does not say which side of it is meant. */
  #isLimited = false;

  constructor(
    rule: ListedRule,
    context: RuleContext,
    { packet, state }: { readonly packet: SupposedPacket; readonly state: WalkState },
  ) {
    this.#rule = rule;
    this.#context = context;
    this.#packet = packet;
    this.#state = state;
  }

  run(): Opinion {
    let match: Match = "yes";
    for (const expression of this.#rule.expressions) {
      const judgement = this.#judge(expression, match);
      match = both(match, judgement.match);
      if (match === "no") return { match, action: null };
      const { action = null } = judgement;
      if (action === null) continue;
      // Who refuses by a limit refuses what is beyond it.
      if (this.#isLimited && refuses(action)) match = "unlikely";
      return { match, action };
    }
    return { match, action: null };
  }

  #judge({ name, data }: ListedExpression, match: Match): Judgement {
    if (NEUTRAL.has(name)) return YES;
    switch (name) {
      case "payload":
        return this.#payload(data);
      case "meta":
        return this.#meta(data, match);
      case "ct":
        return this.#ct(data);
      case "fib":
        return this.#give(data, routeField(data, this.#packet));
      case "rt":
        return this.#give(data, pathField(numberOf(data, 2)));
      case "cmp":
        return this.#compare(data);
      case "range":
        return this.#range(data);
      case "bitwise":
        return this.#bitwise(data);
      case "byteorder":
        return this.#byteorder(data);
      case "lookup":
        return this.#lookup(data);
      case "immediate":
        return this.#immediate(data);
      case "reject":
        return { match: "yes", action: { kind: "decide", fate: "rejected" } };
      case "nat":
        return numberOf(data, 1) === NAT_DESTINATION ? REDIRECTED : YES;
      case "redir":
      case "tproxy":
      case "fwd":
        return REDIRECTED;
      case "queue":
        return { match: "yes", action: { kind: "decide", fate: "queued" } };
      case "limit":
        // Not used up; `over` matches what is beyond.
        return { match: isInverted(data, 5) ? "unlikely" : "yes" };
      case "quota":
      case "connlimit":
        return { match: isInverted(data, 2) ? "unlikely" : "yes" };
      case "objref":
        this.#isLimited ||= data.bytes(1) === null || LIMITING_OBJECTS.has(numberOf(data, 1));
        return YES;
      case "dynset":
        return this.#update(data, match);
      case "notrack":
        if (match !== "unlikely") leaveUntracked(this.#state);
        return YES;
      case "match":
        return { match: matchOfXtables(data, this.#packet, this.#state) };
      case "target":
        if (match !== "unlikely") applyTarget(data, this.#state);
        return { match: "yes", action: targetOfXtables(data) };
      default:
        return this.#forgetTarget(name, data);
    }
  }

  #payload(data: Attributes): Judgement {
    const [target, base, offset, length] = [1, 2, 3, 4].map((type) => numberOf(data, type));
    // Without a destination it writes to the packet.
    if (data.bytes(1) === null) return YES;
    const { network, transport } = this.#packet;
    const header = base === PAYLOAD_NETWORK
      ? network
      : base === PAYLOAD_TRANSPORT
      ? transport
      : null;
    this.#registers.load(target!, length!, header, offset!);
    return YES;
  }

  #meta(data: Attributes, match: Match): Judgement {
    const key = numberOf(data, 2);
    if (data.bytes(1) === null) {
      // It writes: only the mark is looked at later.
      if (key === META_MARK && match !== "unlikely") {
        const { bytes, known } = this.#registers.at(numberOf(data, 3), 4);
        this.#state.mark = known.every(Boolean) ? readHost32(bytes) : null;
      }
      return YES;
    }
    const { mark } = this.#state;
    return this.#give(
      data,
      key !== META_MARK
        ? metaField(key, this.#packet, this.#context.links)
        : mark === null
        ? null
        : host32(mark),
    );
  }

  #ct(data: Attributes): Judgement {
    if (data.bytes(1) === null) return YES;
    return this.#give(data, trackingField(numberOf(data, 2), this.#packet, this.#state));
  }

  /** Puts a field where the first attribute says. */
  #give(data: Attributes, field: Field): Judgement {
    if (field === "absent") return { match: "no" };
    this.#registers.put(numberOf(data, 1), field);
    return YES;
  }

  #compare(data: Attributes): Judgement {
    const operator = numberOf(data, 2);
    const wanted = data.nested(3)?.bytes(NFTA_DATA_VALUE) ?? new Uint8Array();
    const { bytes, known } = this.#registers.at(numberOf(data, 1), wanted.length);
    if (known.every(Boolean)) {
      return { match: matchOfKnown(compares(compareBytes(bytes, wanted), operator)) };
    }
    const differs = wanted.some((byte, i) => known[i] !== 0 && bytes[i] !== byte);
    if (operator === CMP_NEQ) return { match: differs ? "yes" : "likely" };
    if (operator === CMP_EQ && differs) return { match: "no" };
    // Nothing is below the least value, or above the greatest.
    if (operator === CMP_GTE && wanted.every((byte) => byte === 0)) return YES;
    if (operator === CMP_LTE && wanted.every((byte) => byte === 0xff)) return YES;
    return { match: "unlikely" };
  }

  #range(data: Attributes): Judgement {
    const from = data.nested(3)?.bytes(NFTA_DATA_VALUE) ?? new Uint8Array();
    const to = data.nested(4)?.bytes(NFTA_DATA_VALUE) ?? new Uint8Array();
    const { bytes, known } = this.#registers.at(numberOf(data, 1), from.length);
    const isOutside = numberOf(data, 2) === CMP_NEQ;
    if (!known.every(Boolean)) return { match: matchOfParticular(isOutside) };
    const isWithin = compareBytes(bytes, from) >= 0 && compareBytes(bytes, to) <= 0;
    return { match: matchOfKnown(isWithin !== isOutside) };
  }

  #bitwise(data: Attributes): Judgement {
    const length = numberOf(data, 3);
    const target = numberOf(data, 2);
    const mask = data.nested(4)?.bytes(NFTA_DATA_VALUE) ?? null;
    const xor = data.nested(5)?.bytes(NFTA_DATA_VALUE) ?? null;
    if (numberOf(data, 6) !== 0 || mask === null || xor === null) {
      this.#registers.put(target, null, length);
      return YES;
    }
    const { bytes, known } = this.#registers.at(numberOf(data, 1), length);
    const to = this.#registers.at(target, length);
    for (let i = 0; i < length; i++) {
      const isKnown = known[i] !== 0 || mask[i] === 0;
      to.bytes[i] = isKnown ? (bytes[i]! & mask[i]!) ^ xor[i]! : 0;
      to.known[i] = isKnown ? 0xff : 0;
    }
    return YES;
  }

  #byteorder(data: Attributes): Judgement {
    const [source, target, , length, size] = [1, 2, 3, 4, 5].map((type) => numberOf(data, type));
    const from = this.#registers.at(source!, length!);
    const [bytes, known] = [from.bytes.slice(), from.known.slice()];
    const to = this.#registers.at(target!, length!);
    for (let i = 0; i < length!; i++) {
      const swapped = i - i % size! + (size! - 1 - i % size!);
      to.bytes[i] = bytes[swapped]!;
      to.known[i] = known[swapped]!;
    }
    return YES;
  }

  #lookup(data: Attributes): Judgement {
    const set = setOf(this.#context.sets, this.#rule.table, data.string(1) ?? "");
    const isInverse = isInverted(data, 5);
    if (set === null) return { match: matchOfParticular(isInverse) };
    const length = set.elements.find(({ key }) => key.length > 0)?.key.length ?? 0;
    const { element, possible } = lookUp(set, this.#registers.at(numberOf(data, 2), length));
    const target = data.bytes(3) === null ? null : readBe32(data.bytes(3)!);
    if (element === null) {
      if (isInverse) return { match: possible.length > 0 ? "likely" : "yes" };
      const [first] = possible;
      if (first === undefined) return { match: "no" };
      // Of several that it may be, those that accept say most: they are what a rule is there for.
      const actions = possible.map((each) => verdictOf(each.data));
      const action = actions.find((each) => each?.kind === "decide" && each.fate === "accepted") ??
        actions[0];
      if (target === 0) return { match: "unlikely", action: action ?? null };
      if (target !== null) this.#registers.put(target, null, LONGEST_VALUE);
      return { match: "unlikely" };
    }
    if (isInverse) return { match: "no" };
    if (target === null) return YES;
    if (target === 0) return { match: "yes", action: verdictOf(element.data) };
    this.#registers.put(target, element.data?.bytes(NFTA_DATA_VALUE) ?? null);
    return YES;
  }

  #immediate(data: Attributes): Judgement {
    const target = numberOf(data, 1);
    if (target === 0) return { match: "yes", action: verdictOf(data.nested(2)) };
    this.#registers.put(target, data.nested(2)?.bytes(NFTA_DATA_VALUE) ?? null);
    return YES;
  }

  /**
   * A set that fills as packets come: its expressions say of each element, as a limit does, whether the rule goes on.
   */
  #update(data: Attributes, match: Match): Judgement {
    if (isInverted(data, DYNSET_FLAGS) || numberOf(data, DYNSET_OPERATION) === DYNSET_DELETE) {
      return { match: "unlikely" };
    }
    const single = data.nested(DYNSET_EXPRESSION);
    const expressions = single === null ? data.list(DYNSET_EXPRESSIONS) : [single];
    return {
      match: expressions.reduce((sum: Match, each) => {
        const inner = each.nested(NFTA_EXPR_DATA);
        const name = each.string(NFTA_EXPR_NAME) ?? "";
        return inner === null ? sum : both(sum, this.#judge({ name, data: inner }, match).match);
      }, "yes"),
    };
  }

  /** An expression that is not known here gives something that is not known. */
  #forgetTarget(name: string, data: Attributes): Judgement {
    const target = data.bytes(SECOND_TARGET.has(name) ? 2 : 1);
    // Without a target it writes to the packet, as `tcp option maxseg size set` does.
    if (target === null && name === "exthdr") return YES;
    if (target?.length !== 4) return { match: "unlikely" };
    const register = readBe32(target);
    if (Registers.has(register)) this.#registers.put(register, null);
    return YES;
  }
}

const REDIRECTED: Judgement = { match: "yes", action: { kind: "decide", fate: "redirected" } };

/** Whether an order, as of `compareBytes`, is the one that an operator wants. */
function compares(order: number, operator: number): boolean {
  switch (operator) {
    case CMP_EQ:
      return order === 0;
    case CMP_NEQ:
      return order !== 0;
    case CMP_LT:
      return order < 0;
    case CMP_LTE:
      return order <= 0;
    case CMP_GT:
      return order > 0;
    default:
      return operator === CMP_GTE && order >= 0;
  }
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < b.length; i++) {
    const difference = (a[i] ?? 0) - b[i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
