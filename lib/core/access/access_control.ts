/**
 * Access control: whether a packet inside the tunnel may pass, by the rules of the peer that began its flow.
 *
 * Rules are for what a peer begins. What others begin with it is decided by their rules, and its answers pass: so a
 * flow that has passed once costs a look-up, in either direction. Only what is from a peer with rules, or for one, is
 * looked at. When rules or peers change, each flow is judged again at its next packet, and its answers end with it.
 *
 * Where several threads have the packets, each writes a table of its own and reads those of the others: the two
 * directions of a flow between peers may be in two of them. The one that has the beginner's packets knows that it was
 * begun; the other looks there before it judges an answer by the rules of its sender.
 */
import { DropReason } from "../wire/drop_reason.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import * as tcp from "../wire/tcp.ts";
import type { AllowedIps } from "../wireguard/allowed_ips.ts";
import type { AllowedIps6 } from "../wireguard/allowed_ips6.ts";
import type { PacketPeer } from "../wireguard/packet_peer.ts";
import { ACCESS_IDS, type AccessItem } from "./access_items.ts";
import { AccessTable } from "./access_table.ts";
import { FLOW_CAPACITY, FlowTable } from "./flow_table.ts";
import { PacketFacts } from "./packet_facts.ts";

// What is known of a flow: of each end a bit, that of the lower one first.
/** The rules let the end begin it, and it has. */
const BEGAN = 1 << 0;
/** The end may answer what the other began. */
const ANSWERS = 1 << 2;
/** The end was sending, and its rules do not let it any more. */
const CUT = 1 << 4;
/** An end has answered the other. */
const ANSWERED = 1 << 6;
/** A connection that is ending. */
const CLOSING = 1 << 7;
/** Where the number of the rule stands that has cost a packet's first fragment. */
const RULE_BITS = 8;

/** Seconds after its last packet in which a flow ends: RFC 4787 REQ-5, RFC 5382 REQ-5, RFC 5508 REQ-2. */
const TIMEOUT = 300;
const ICMP_TIMEOUT = 60;
const TCP_TIMEOUT = 7_440;
/** Of a connection that is opening or ending. */
const TCP_BRIEF_TIMEOUT = 240;
/** In which the fragments of a packet follow its first one (RFC 791 section 3.2: a receiver waits 15). */
const TRAIN_TIMEOUT = 30;

/** Flows that a peer has begun, and that others have begun with it, are counted to different owners. */
const OWNERS: number = 2 * ACCESS_IDS;

/** Knows which packets have come by a forwarded port. */
export interface Forwards {
  isForwarded(packet: number): boolean;
}

export interface AccessControlOptions {
  readonly view: DataView;
  readonly allowedIps: AllowedIps<PacketPeer>;
  /** Left out where nothing of IPv6 is carried. */
  readonly allowedIps6?: AllowedIps6<PacketPeer>;
  /** Random and secret. */
  readonly seed: number;
  readonly items: readonly AccessItem[];
  /** The memory of flow tables where several threads have the packets, by thread, and which one is this thread's. */
  readonly shared?: { readonly flows: readonly SharedArrayBuffer[]; readonly own: number };
}

export class AccessControl {
  readonly table: AccessTable;
  readonly #options: AccessControlOptions;
  readonly #facts = new PacketFacts();
  readonly #quoted = new PacketFacts();
  /** Null as long as there have been no rules. */
  #flows: FlowTable | null = null;
  #others: readonly FlowTable[] = [];
  /** Of rules and peers: what was found under an earlier one is judged again. */
  #generation = 0;
  /** Whether rules have changed since the start. */
  #hasChanged = false;
  /** Of the allowed IPs: by whom addresses are had. */
  #placed = 0;

  constructor(options: AccessControlOptions) {
    this.#options = options;
    this.table = new AccessTable();
    this.change(options.items);
    this.#hasChanged = false;
  }

  /** Makes these changes of the rules, at once: what is denied by them ends with the next packet. */
  change(items: readonly AccessItem[]): void {
    this.table.change(items);
    this.#generation = (this.#generation + 1) | 0;
    this.#hasChanged = true;
    if (!this.table.isUsed || this.#flows !== null) return;
    const { seed, shared } = this.#options;
    const tableIn = (memory?: SharedArrayBuffer) =>
      new FlowTable({
        capacity: FLOW_CAPACITY,
        owners: OWNERS,
        seed,
        ...(memory && { memory }),
      });
    this.#flows = tableIn(shared?.flows[shared.own]);
    this.#others = shared?.flows.filter((_, i) => i !== shared.own).map(tableIn) ?? [];
  }

  /**
   * Judges a packet that a peer has sent; it has passed the checks of its family.
   *
   * @param to whose the destination is; null for no peer's
   */
  fromPeer(peer: PacketPeer, to: PacketPeer | null, packet: number, now: number): DropReason {
    const { hasRules } = this.table;
    const from = peer.accessId;
    const toId = to === null ? 0 : to.accessId;
    if ((hasRules[from] | hasRules[toId]) === 0) return DropReason.none;
    const facts = this.#facts;
    const packetEnd = facts.read(this.#options.view, packet);
    const second = this.#begin(now);
    const owner = 2 * from + 1;
    let isAllowed: boolean;
    if (facts.isLater) isAllowed = this.#follows(from, toId, second);
    else if (facts.isIcmpError) isAllowed = this.#isAbout(from, toId, packetEnd, second);
    else {
      facts.nameFlow();
      isAllowed = this.#isKnown(this.#flows!.find(facts.key), second) ||
        this.#judge(from, toId, owner, true, second);
      if (facts.isFragment && hasRules[from] !== 0) this.#noteTrain(owner, isAllowed, second);
    }
    if (isAllowed) return DropReason.none;
    this.table.countDenial(from);
    return DropReason.accessDenied;
  }

  /**
   * Judges a packet from the host or from outside for a peer, and takes note of it: the peer may answer.
   *
   * @param nat by which a packet from outside has come; null for one from the host
   */
  toPeer(peer: PacketPeer, packet: number, nat: Forwards | null, now: number): DropReason {
    const to = peer.accessId;
    if (this.table.hasRules[to] === 0) return DropReason.none;
    const facts = this.#facts;
    facts.read(this.#options.view, packet);
    if (facts.isLater || facts.isIcmpError) return DropReason.none;
    const second = this.#begin(now);
    facts.nameFlow();
    if (this.#isKnown(this.#flows!.find(facts.key), second)) return DropReason.none;
    // By any other port, the sender may claim an address that the peer may not go to: it answers, and begins nothing.
    const mayBegin = nat === null || nat.isForwarded(packet);
    const isAllowed = this.#judge(0, to, 2 * to, mayBegin, second);
    return isAllowed ? DropReason.none : DropReason.accessDenied;
  }

  /** Takes note of peers that have changed. Returns the time in seconds. */
  #begin(now: number): number {
    const { allowedIps, allowedIps6 } = this.#options;
    const changes = (allowedIps.changes + (allowedIps6 === undefined ? 0 : allowedIps6.changes)) |
      0;
    if (changes !== this.#placed) {
      this.#placed = changes;
      this.#generation = (this.#generation + 1) | 0;
    }
    return (now / 1000) | 0;
  }

  /** Whether a packet is one of a flow that passes as things are. */
  #isKnown(flow: number, second: number): boolean {
    if (flow === 0) return false;
    const flows = this.#flows!;
    if (flows.generation(flow) !== this.#generation || second >= flows.end(flow)) return false;
    const { asksForConnection, flags, isFromLower, protocol } = this.#facts;
    const state = flows.state(flow);
    const end = isFromLower ? 0 : 1;
    const isCut = (state & (CUT | CUT << 1)) !== 0;
    if (isCut || asksForConnection || ((state >> end) & (BEGAN | ANSWERS)) === 0) return false;
    const seen = seenState(state, flags, end);
    if (seen !== state) flows.setState(flow, seen);
    flows.use(flow, second + timeoutOf(protocol, seen));
    return true;
  }

  /** Judges a packet whose flow is not known, or not as things are now. */
  #judge(from: number, to: number, owner: number, mayBegin: boolean, second: number): boolean {
    const facts = this.#facts;
    const flows = this.#flows!;
    const end = facts.isFromLower ? 0 : 1;
    const other = 1 - end;
    let flow = this.#live(facts, second);
    let state = flow === 0
      ? this.#fromOthers(facts, from, to, second)
      : this.#revised(flow, facts, from, to);
    const isOthers = flow === 0 && (state & BEGAN << other) !== 0;
    const asks = facts.asksForConnection;
    const isAllowed = this.table.allows(from, to, facts);
    const isAnswer = !asks && ((state >> end) & ANSWERS) !== 0 && (state & CUT << other) === 0;
    if (!isAnswer) {
      if (!isAllowed) {
        // It stays cut off as long as it goes on.
        if ((state & CUT << end) !== 0 && flow !== 0) this.#put(flow, state, second);
        return false;
      }
      // Where rules have cut one end off, the other does not go on: only with a connection of its own.
      if (!asks && (state & CUT << other) !== 0) {
        // Nor does it take what is cut off for one of its own once that has been silent for long.
        if (flow !== 0) this.#put(flow, state, second);
        return false;
      }
      if (!mayBegin) return true;
      if (asks) state &= BEGAN << other;
      state = state & ~(CUT << end) | BEGAN << end;
      // What is in the middle of a connection may go on with one that was cut, once anything can have been.
      const isBeginning = facts.protocol !== ipv4.PROTOCOL_TCP || asks ||
        !this.#hasChanged;
      if (isBeginning) state |= ANSWERS << other;
    }
    if (flow === 0) flow = flows.add(facts.key, isOthers ? ownerOf(to, from) : owner);
    this.#put(flow, seenState(state, facts.flags, end), second);
    return true;
  }

  /** The flow of a packet, if it has not ended; 0 for none. */
  #live(facts: PacketFacts, second: number): number {
    const flows = this.#flows!;
    const flow = flows.find(facts.key);
    if (flow === 0 || second < flows.end(flow)) return flow;
    flows.remove(flow);
    return 0;
  }

  #put(flow: number, state: number, second: number): void {
    const flows = this.#flows!;
    flows.setGeneration(flow, this.#generation);
    flows.use(flow, second + timeoutOf(this.#facts.protocol, state));
    flows.setState(flow, state);
  }

  /** What is known of a flow, by the rules as they are now. */
  #revised(flow: number, facts: PacketFacts, from: number, to: number): number {
    const flows = this.#flows!;
    const state = flows.state(flow);
    if (flows.generation(flow) === this.#generation) return state;
    const end = facts.isFromLower ? 0 : 1;
    const ofSender = this.#revisedEnd(state, facts, end, from, to);
    facts.turnRound();
    const revised = this.#revisedEnd(ofSender, facts, 1 - end, to, from);
    facts.turnRound();
    flows.setGeneration(flow, this.#generation);
    flows.setState(flow, revised);
    return revised;
  }

  #revisedEnd(state: number, facts: PacketFacts, end: number, from: number, to: number): number {
    if (((state >> end) & (BEGAN | CUT)) === 0) return state;
    const isCut = ((state >> end) & CUT) !== 0;
    if (this.table.allows(from, to, facts) !== isCut) return state;
    return state ^ (BEGAN << end | CUT << end);
  }

  /** What another thread knows of what the other end has begun, by the rules as they are now; 0 for nothing. */
  #fromOthers(facts: PacketFacts, from: number, to: number, second: number): number {
    const end = facts.isFromLower ? 0 : 1;
    const other = 1 - end;
    for (let i = 0; i < this.#others.length; i++) {
      const state = this.#others[i].look(facts.key, second);
      if (((state >> other) & (BEGAN | CUT)) === 0) continue;
      const known = state &
        (BEGAN << other | ANSWERS << end | CUT << other | ANSWERED | CLOSING);
      facts.turnRound();
      const revised = this.#revisedEnd(known, facts, other, to, from);
      facts.turnRound();
      return revised;
    }
    return 0;
  }

  // Fragments.

  /** Whether a later fragment passes, as its first one did. One that is ahead of it is judged without ports. */
  #follows(from: number, to: number, second: number): boolean {
    const { table } = this;
    if (table.hasRules[from] === 0) return true;
    const facts = this.#facts;
    const flows = this.#flows!;
    facts.nameTrain();
    const train = flows.find(facts.key);
    const isDecided = train !== 0 && second < flows.end(train) &&
      flows.generation(train) === this.#generation;
    if (!isDecided) return table.allows(from, to, facts);
    const state = flows.state(train);
    table.decidedBy = state >> RULE_BITS;
    return (state & BEGAN) !== 0;
  }

  #noteTrain(owner: number, isAllowed: boolean, second: number): void {
    const facts = this.#facts;
    const flows = this.#flows!;
    facts.nameTrain();
    const train = flows.find(facts.key) || flows.add(facts.key, owner);
    flows.setGeneration(train, this.#generation);
    flows.use(train, second + TRAIN_TIMEOUT);
    flows.setState(train, isAllowed ? BEGAN : this.table.decidedBy << RULE_BITS | CUT);
  }

  // ICMP errors.

  /**
   * Whether an ICMP error is about a flow that passes, or the rules let its sender send it all the same. It is about
   * what was on the way to its sender: of flows of others, nobody says anything, and they are not judged by its rules.
   */
  #isAbout(from: number, to: number, end: number, second: number): boolean {
    const { table } = this;
    if (table.hasRules[from] === 0) return true;
    const facts = this.#facts;
    const quoted = this.#quoted;
    if (
      quoted.readQuoted(this.#options.view, facts.quoted, end) &&
      isSame(quoted.source, facts.destination) && this.#isFor(from, facts.quoted)
    ) {
      quoted.nameFlow();
      const flow = this.#live(quoted, second);
      let state = flow === 0 ? 0 : this.#revised(flow, quoted, to, from);
      if (state === 0) {
        quoted.turnRound();
        state = this.#fromOthers(quoted, from, to, second);
      }
      const isCut = (state & (CUT | CUT << 1)) !== 0;
      if (!isCut && (state & (BEGAN | BEGAN << 1)) !== 0) return true;
    }
    return table.allows(from, to, facts);
  }

  /** Whether the packet at `packet`, whose addresses are there, is for this peer. */
  #isFor(id: number, packet: number): boolean {
    const { view, allowedIps, allowedIps6 } = this.#options;
    const peer = ipv6.isIpv6(view, packet)
      ? allowedIps6?.lookup(view, packet + ipv6.DESTINATION_ADDRESS_OFFSET)
      : allowedIps.lookup(ipv4.destinationAddress(view, packet) | 0);
    return peer?.accessId === id;
  }
}

/** To whom a flow is counted that `from` began with `to`, by access id; 0 is no peer. */
function ownerOf(from: number, to: number): number {
  return from === 0 ? 2 * to : 2 * from + 1;
}

/** What is known of a flow after a packet from this end of it. */
function seenState(state: number, flags: number, end: number): number {
  const isAnswer = (state & BEGAN << (1 - end)) !== 0;
  const isLast = (flags & (tcp.FLAG_FIN | tcp.FLAG_RST)) !== 0;
  return state | (isAnswer ? ANSWERED : 0) | (isLast ? CLOSING : 0);
}

function timeoutOf(protocol: number, state: number): number {
  if (protocol === ipv4.PROTOCOL_ICMP) return ICMP_TIMEOUT;
  if (protocol !== ipv4.PROTOCOL_TCP) return TIMEOUT;
  return (state & (ANSWERED | CLOSING)) === ANSWERED ? TCP_TIMEOUT : TCP_BRIEF_TIMEOUT;
}

function isSame(one: Int32Array, other: Int32Array): boolean {
  return one[0] === other[0] && one[1] === other[1] && one[2] === other[2] && one[3] === other[3];
}
