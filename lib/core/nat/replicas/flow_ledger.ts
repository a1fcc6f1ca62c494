/**
 * Flow ledger: the flows that another NAT is to know of, from those that are new to those that are told again and
 * again. A flow enters it when it is made; no packet after that pays for it.
 */
import { PROTOCOL_ICMP, PROTOCOL_TCP } from "../../wire/ipv4.ts";
import type { NatSession } from "../records.ts";
import { isOpen } from "../tcp_state.ts";

/** Flows that are told of; those beyond begin again at another gateway. */
const MAX_FLOWS = 65_536;

/** Flows that were made between two looks. */
interface Generation {
  readonly sessions: readonly NatSession[];
  /** Monotonic ms. */
  readonly madeBefore: number;
}

export class FlowLedger {
  #new: NatSession[] = [];
  #young: Generation[] = [];
  /** Those that were told of, in no order; what has ended leaves when its turn comes. */
  readonly #told: NatSession[] = [];
  #next = 0;
  #size = 0;

  /** Flows in it, some of which may have ended. */
  get size(): number {
    return this.#size;
  }

  /** Those of them that were told of. */
  get toldSize(): number {
    return this.#told.length;
  }

  /** Takes a flow that has just been made. */
  add(session: NatSession): void {
    const { protocol, isStatic } = session.mapping;
    // An echo gets another id at the next one; what is configured is so at all gateways.
    if (protocol === PROTOCOL_ICMP || isStatic || this.#size >= MAX_FLOWS) return;
    this.#size++;
    this.#new.push(session);
  }

  /** Hands over those that have come to be `age` ms old since the last call. */
  takeYoung(age: number, now: number, take: (session: NatSession) => void): void {
    if (this.#new.length > 0) this.#young.push({ sessions: this.#new, madeBefore: now });
    this.#new = [];
    const old = this.#young.filter(({ madeBefore }) => now - madeBefore >= age);
    if (old.length === 0) return;
    this.#young = this.#young.slice(old.length);
    for (const session of old.flatMap(({ sessions }) => sessions)) {
      if (hasEnded(session)) this.#size--;
      else {
        this.#told.push(session);
        if (isWorthTelling(session)) take(session);
      }
    }
  }

  /** Hands over the next `count` of those that were told of, from the first again after the last. */
  takeAgain(count: number, take: (session: NatSession) => void): void {
    const told = this.#told;
    for (let i = Math.min(count, told.length); i > 0 && told.length > 0; i--) {
      if (this.#next >= told.length) this.#next = 0;
      const session = told[this.#next]!;
      if (hasEnded(session)) {
        const last = told.pop()!;
        if (this.#next < told.length) told[this.#next] = last;
        this.#size--;
      } else {
        this.#next++;
        if (isWorthTelling(session)) take(session);
      }
    }
  }
}

/** It is in no list of its client's any more. */
function hasEnded({ list }: NatSession): boolean {
  return list === null;
}

/** Connections that are open; of UDP, what is more than questions to DNS. */
function isWorthTelling({ mapping, seen }: NatSession): boolean {
  return mapping.protocol === PROTOCOL_TCP ? isOpen(seen) : seen !== 0;
}
