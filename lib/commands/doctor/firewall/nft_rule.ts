/** Rules of nftables: what a rule, as the kernel lists it, does with a supposed packet. */
import {
  NF_ACCEPT,
  NF_DROP,
  NFTA_DATA_VALUE,
  NFTA_DATA_VERDICT,
  NFTA_VERDICT_CODE,
  RTN_LOCAL,
} from "../../../../ffi/netlink/nftables/attributes.ts";
import {
  type ListedExpression,
  type ListedRule,
  type ListedSet,
  readBe32,
} from "../../../../ffi/netlink/nftables/nftables_listing.ts";
import type { Attributes } from "../../../../ffi/netlink/message.ts";
import { ETH_P_IP } from "../../../../ffi/socket_constants.ts";
import { lookUp, setOf } from "./nft_sets.ts";
import type { PartlyKnown, SupposedPacket } from "./packet.ts";
import type { Action, Match, Opinion, Rule, WalkState } from "./walk.ts";
import { matchOfXtables, targetOfXtables } from "./xtables.ts";

// include/uapi/linux/netfilter/nf_tables.h; in each kind of expression, attributes are counted from 1.
const NFTA_VERDICT_CHAIN = 2;
const NFT_JUMP = -3;
const NFT_GOTO = -4;
const NFT_RETURN = -5;
const [CMP_EQ, CMP_NEQ, CMP_LT, CMP_LTE, CMP_GT, CMP_GTE] = [0, 1, 2, 3, 4, 5];
const PAYLOAD_NETWORK = 1;
const PAYLOAD_TRANSPORT = 2;
const META_PROTOCOL = 1;
const META_MARK = 3;
const META_IIFNAME = 6;
const META_OIFNAME = 7;
const META_NFPROTO = 15;
const META_L4PROTO = 16;
const CT_STATE = 0;
const CT_STATUS = 2;
const CT_MARK = 3;
const CT_PROTO_DST = 12;
const FIB_RESULT_ADDRTYPE = 3;
const FIB_DADDR = 2;
const NAT_DESTINATION = 1;
const NFPROTO_IPV4 = 2;
const STATE_ESTABLISHED = 2;
export const STATE_NEW = 8;
/** `IPS_CONFIRMED | IPS_SEEN_REPLY | IPS_ASSURED` and nothing of NAT's: what a tracked connection has. */
const STATUS_ESTABLISHED = 0xe;
const IFNAME_SIZE = 16;
/** Four registers of 16 bytes, which are sixteen of 4 as well. */
const REGISTERS_SIZE = 64;
const FIRST_SHORT_REGISTER = 8;

/** Expressions that look at nothing and decide nothing. */
const NEUTRAL: ReadonlySet<string> = new Set([
  ...["counter", "log", "notrack", "objref", "masq", "dup", "flow_offload", "last", "synproxy"],
]);

/** What an expression leaves: the rule goes on, ends without a match, or has acted. */
interface Judgement {
  readonly match: Match;
  readonly action?: Action;
}

const YES: Judgement = { match: "yes" };

/** A rule to walk by. */
export function nftRule(rule: ListedRule, sets: readonly ListedSet[]): Rule {
  const { table, chain, handle } = rule;
  return {
    title: `rule ${handle} of ${table.family} ${table.name} ${chain}`,
    judge: (packet, state) => new Evaluation(rule, { sets, packet, state }).run(),
  };
}

/** All that a rule may do with what it matches, maps of verdicts included. */
export function actionsOf(
  { table, expressions }: ListedRule,
  sets: readonly ListedSet[],
): Action[] {
  return expressions.flatMap(({ name, data }) => {
    if (name === "reject") return [{ kind: "decide", fate: "rejected" }];
    if (name === "target") return [targetOfXtables(data)];
    if (name === "immediate") return [verdictOf(data.nested(2))];
    if (name !== "lookup" || data.bytes(3) === null) return [];
    const set = setOf(sets, table, data.string(1) ?? "");
    return set?.elements.map((element) => verdictOf(element.data)) ?? [];
  });
}

class Evaluation {
  readonly #rule: ListedRule;
  readonly #sets: readonly ListedSet[];
  readonly #packet: SupposedPacket;
  readonly #state: WalkState;
  readonly #registers: PartlyKnown = {
    bytes: new Uint8Array(REGISTERS_SIZE),
    known: new Uint8Array(REGISTERS_SIZE),
  };

  constructor(
    rule: ListedRule,
    { sets, packet, state }: {
      readonly sets: readonly ListedSet[];
      readonly packet: SupposedPacket;
      readonly state: WalkState;
    },
  ) {
    this.#rule = rule;
    this.#sets = sets;
    this.#packet = packet;
    this.#state = state;
  }

  run(): Opinion {
    let match: Match = "yes";
    for (const expression of this.#rule.expressions) {
      const judgement = this.#judge(expression, match);
      if (judgement.match === "no") return { match: "no", action: null };
      if (judgement.match === "unlikely" || match === "unlikely") match = "unlikely";
      else if (judgement.match === "likely") match = "likely";
      if (judgement.action !== undefined && judgement.action !== null) {
        return { match, action: judgement.action };
      }
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
        return this.#fib(data);
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
      case "queue":
        return REDIRECTED;
      case "limit":
        // Not used up; `over` matches what is beyond.
        return isInverted(data, 5) ? { match: "unlikely" } : YES;
      case "quota":
      case "connlimit":
        return isInverted(data, 2) ? { match: "unlikely" } : YES;
      case "dynset":
        return YES;
      case "match":
        return { match: matchOfXtables(data, this.#packet, this.#state) };
      case "target":
        return { match: "yes", action: targetOfXtables(data) };
      default:
        return this.#forgetTarget(data);
    }
  }

  #payload(data: Attributes): Judgement {
    const [target, base, offset, length] = [1, 2, 3, 4].map((type) => numberOf(data, type));
    // Without a destination it writes to the packet.
    if (data.bytes(1) === null) return YES;
    const header = base === PAYLOAD_NETWORK
      ? this.#packet.network
      : base === PAYLOAD_TRANSPORT
      ? this.#packet.transport
      : null;
    this.#load(target!, length!, header, offset!);
    return YES;
  }

  #meta(data: Attributes, match: Match): Judgement {
    const key = numberOf(data, 2);
    if (data.bytes(1) === null) {
      // It writes: only the mark is looked at later.
      if (key === META_MARK && match !== "unlikely") {
        const { bytes, known } = this.#at(numberOf(data, 3), 4);
        this.#state.mark = known.every(Boolean) ? readHost32(bytes) : null;
      }
      return YES;
    }
    const { options, protocol } = this.#packet;
    const value = key === META_PROTOCOL
      ? Uint8Array.of(ETH_P_IP >>> 8, ETH_P_IP & 0xff)
      : key === META_NFPROTO
      ? Uint8Array.of(NFPROTO_IPV4)
      : key === META_L4PROTO
      ? Uint8Array.of(protocol)
      : key === META_IIFNAME
      ? nameBytes(options.input)
      : key === META_OIFNAME
      ? nameBytes(options.output)
      : key === META_MARK
      ? this.#state.mark === null ? null : host32(this.#state.mark)
      : null;
    this.#put(numberOf(data, 1), value);
    return YES;
  }

  #ct(data: Attributes): Judgement {
    if (data.bytes(1) === null) return YES;
    const { isEstablished = false, destinationPort } = this.#packet.options;
    const key = numberOf(data, 2);
    const value = key === CT_STATE
      ? host32(isEstablished ? STATE_ESTABLISHED : STATE_NEW)
      : key === CT_STATUS
      ? host32(isEstablished ? STATUS_ESTABLISHED : 0)
      : key === CT_MARK
      ? host32(0)
      : key === CT_PROTO_DST && !isEstablished
      ? Uint8Array.of(destinationPort >>> 8, destinationPort & 0xff)
      : null;
    this.#put(numberOf(data, 1), value);
    return YES;
  }

  #fib(data: Attributes): Judgement {
    const isOfDestination = (numberOf(data, 3) & FIB_DADDR) !== 0;
    const isType = numberOf(data, 2) === FIB_RESULT_ADDRTYPE;
    const isKnown = isOfDestination && isType && this.#packet.options.isLocal;
    this.#put(numberOf(data, 1), isKnown ? host32(RTN_LOCAL) : null);
    return YES;
  }

  #compare(data: Attributes): Judgement {
    const operator = numberOf(data, 2);
    const wanted = data.nested(3)?.bytes(NFTA_DATA_VALUE) ?? new Uint8Array();
    const { bytes, known } = this.#at(numberOf(data, 1), wanted.length);
    if (known.every(Boolean)) {
      const order = compareBytes(bytes, wanted);
      const holds = operator === CMP_EQ
        ? order === 0
        : operator === CMP_NEQ
        ? order !== 0
        : operator === CMP_LT
        ? order < 0
        : operator === CMP_LTE
        ? order <= 0
        : operator === CMP_GT
        ? order > 0
        : operator === CMP_GTE && order >= 0;
      return { match: holds ? "yes" : "no" };
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
    const { bytes, known } = this.#at(numberOf(data, 1), from.length);
    const isOutside = numberOf(data, 2) === CMP_NEQ;
    if (!known.every(Boolean)) return { match: isOutside ? "likely" : "unlikely" };
    const isWithin = compareBytes(bytes, from) >= 0 && compareBytes(bytes, to) <= 0;
    return { match: isWithin !== isOutside ? "yes" : "no" };
  }

  #bitwise(data: Attributes): Judgement {
    const length = numberOf(data, 3);
    const target = numberOf(data, 2);
    const mask = data.nested(4)?.bytes(NFTA_DATA_VALUE) ?? null;
    const xor = data.nested(5)?.bytes(NFTA_DATA_VALUE) ?? null;
    if (numberOf(data, 6) !== 0 || mask === null || xor === null) {
      this.#put(target, null, length);
      return YES;
    }
    const { bytes, known } = this.#at(numberOf(data, 1), length);
    const to = this.#at(target, length);
    for (let i = 0; i < length; i++) {
      const isKnown = known[i] !== 0 || mask[i] === 0;
      to.bytes[i] = isKnown ? (bytes[i]! & mask[i]!) ^ xor[i]! : 0;
      to.known[i] = isKnown ? 0xff : 0;
    }
    return YES;
  }

  #byteorder(data: Attributes): Judgement {
    const [source, target, , length, size] = [1, 2, 3, 4, 5].map((type) => numberOf(data, type));
    const from = this.#at(source!, length!);
    const [bytes, known] = [from.bytes.slice(), from.known.slice()];
    const to = this.#at(target!, length!);
    for (let i = 0; i < length!; i++) {
      const swapped = i - i % size! + (size! - 1 - i % size!);
      to.bytes[i] = bytes[swapped]!;
      to.known[i] = known[swapped]!;
    }
    return YES;
  }

  #lookup(data: Attributes): Judgement {
    const set = setOf(this.#sets, this.#rule.table, data.string(1) ?? "");
    const isInverse = isInverted(data, 5);
    if (set === null) return { match: isInverse ? "likely" : "unlikely" };
    const length = set.elements.find(({ key }) => key.length > 0)?.key.length ?? 0;
    const { element, possible } = lookUp(set, this.#at(numberOf(data, 2), length));
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
      if (target !== null) this.#put(target, null, REGISTERS_SIZE / 4);
      return { match: "unlikely" };
    }
    if (isInverse) return { match: "no" };
    if (target === null) return YES;
    if (target === 0) return { match: "yes", action: verdictOf(element.data) };
    this.#put(target, element.data?.bytes(NFTA_DATA_VALUE) ?? null);
    return YES;
  }

  #immediate(data: Attributes): Judgement {
    const target = numberOf(data, 1);
    if (target === 0) return { match: "yes", action: verdictOf(data.nested(2)) };
    this.#put(target, data.nested(2)?.bytes(NFTA_DATA_VALUE) ?? null);
    return YES;
  }

  /** An expression that is not known here gives something that is not known; in most, the first attribute says where. */
  #forgetTarget(data: Attributes): Judgement {
    const target = data.bytes(1);
    if (target?.length !== 4) return { match: "unlikely" };
    const register = readBe32(target);
    if (register > 0 && register < FIRST_SHORT_REGISTER + REGISTERS_SIZE / 4) {
      this.#put(register, null);
    }
    return YES;
  }

  /** A view of registers. */
  #at(register: number, length: number): PartlyKnown {
    const offset = register < FIRST_SHORT_REGISTER
      ? (register - 1) * 16
      : (register - FIRST_SHORT_REGISTER) * 4;
    const { bytes, known } = this.#registers;
    return {
      bytes: bytes.subarray(offset, offset + length),
      known: known.subarray(offset, offset + length),
    };
  }

  #load(register: number, length: number, header: PartlyKnown | null, offset: number): void {
    this.#put(register, null, Math.max(length, 4));
    // A load clears what it does not fill of the last register.
    const to = this.#at(register, length);
    const padding = this.#at(register, Math.ceil(length / 4) * 4);
    padding.known.fill(0xff, length);
    if (header === null || offset + length > header.bytes.length) return;
    to.bytes.set(header.bytes.subarray(offset, offset + length));
    to.known.set(header.known.subarray(offset, offset + length));
  }

  /** Puts a value, or that nothing is known of it. */
  #put(register: number, value: Uint8Array | null, length = value?.length ?? 16): void {
    const to = this.#at(register, Math.ceil(length / 4) * 4);
    to.bytes.fill(0);
    to.known.fill(value === null ? 0 : 0xff);
    if (value !== null) to.bytes.set(value);
  }
}

const REDIRECTED: Judgement = { match: "yes", action: { kind: "decide", fate: "redirected" } };

/** What a verdict does; null for one that goes on. */
function verdictOf(data: Attributes | null): Action {
  const verdict = data?.nested(NFTA_DATA_VERDICT) ?? null;
  if (verdict === null) return null;
  const code = numberOf(verdict, NFTA_VERDICT_CODE) | 0;
  const chain = verdict.string(NFTA_VERDICT_CHAIN) ?? "";
  if (code === NF_ACCEPT) return { kind: "decide", fate: "accepted" };
  if (code === NF_DROP) return { kind: "decide", fate: "dropped" };
  if (code === NFT_JUMP) return { kind: "jump", chain };
  if (code === NFT_GOTO) return { kind: "goto", chain };
  if (code === NFT_RETURN) return { kind: "return" };
  return null;
}

/** 0 where there is no such attribute. */
function numberOf(data: Attributes, type: number): number {
  const bytes = data.bytes(type);
  if (bytes === null) return 0;
  return bytes.length === 4 ? readBe32(bytes) : bytes[0] ?? 0;
}

function isInverted(data: Attributes, type: number): boolean {
  return (numberOf(data, type) & 1) !== 0;
}

function nameBytes(name: string | null): Uint8Array | null {
  if (name === null) return null;
  const bytes = new Uint8Array(IFNAME_SIZE);
  bytes.set(new TextEncoder().encode(name).subarray(0, IFNAME_SIZE - 1));
  return bytes;
}

function host32(value: number): Uint8Array {
  return new Uint8Array(Uint32Array.of(value).buffer);
}

function readHost32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, 4).getUint32(0, true);
}

function compareBytes(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < b.length; i++) {
    const difference = (a[i] ?? 0) - b[i]!;
    if (difference !== 0) return difference;
  }
  return 0;
}
