/**
 * Service flows: which back end has a flow from outside, for as long as it lives, whatever becomes of the others.
 *
 * Strangers begin these flows, and their addresses may be forged: so the table has a fixed size, and takes no memory as
 * it fills. A flow has eight places by a secret hash. Where all are taken, one that is over gives way first, then one
 * that its back end has not gone on with, which takes knowing what it sent; then one of datagrams, as an answer to a
 * forged address proves nothing; of these, one of an address that has many, then the oldest. A flow that was pushed out
 * so is chosen for again, by consistent hashing with the same result as long as its back end may be chosen.
 */
import { hash } from "../../wire/hash.ts";
import * as tcp from "../../wire/tcp.ts";
import { TCP_ESTABLISHED_TIMEOUT, TCP_TRANSITORY_TIMEOUT, UDP_TIMEOUT } from "../constants.ts";
import type { BackEnd } from "../records.ts";

/** Flows of all services, and places that each may have; powers of two. */
export const SERVICE_FLOWS: number = 1 << 17;
const WAYS = 8;
/** Places looked at in one call of `sweep()`: with one each second, all of them in half a minute. */
const SWEPT = SERVICE_FLOWS / 32;
/** Addresses are counted together by so many hashes, and in steps of so many flows: what is below is nobody's flood. */
const SOURCES = 1 << 14;
const SHARE = 64;
const NONE = -1;
/** NatServices are told apart by so many bits. */
const SERVICE_BITS = 10;
export const MAX_SERVICES: number = 1 << SERVICE_BITS;

// What has been seen of a flow.
const IS_TCP = 1;
/** The back end has gone on behind its first answer; of datagrams, has answered. */
const GOES_ON = 2;
const FIN_IN = 4;
const FIN_OUT = 8;
const RST_IN = 16;
const RST_OUT = 32;
const FIN_BOTH = FIN_IN | FIN_OUT;
const RST = RST_IN | RST_OUT;

/** Seconds for which a flow is kept after its last packet. */
const ESTABLISHED = TCP_ESTABLISHED_TIMEOUT / 1000;
const TRANSITORY = TCP_TRANSITORY_TIMEOUT / 1000;
const DATAGRAMS = UDP_TIMEOUT / 1000;
/** Of datagrams that nobody has answered. */
const UNANSWERED = 60;

// What a flow is worth: one of a higher rank more, whatever its share and its age are.
const RANK = 2 ** 32;
const RANK_OPENING = 1;
const RANK_DATAGRAMS = 2;
const RANK_ESTABLISHED = 3;

export class ServiceFlows {
  /** By their numbers; that of one that has gone is nobody's. */
  readonly #backEnds: (BackEnd | null)[] = [];
  readonly #seed: number;
  /** By place. Addresses are signed. */
  readonly #remotes = new Int32Array(SERVICE_FLOWS);
  /** The remote port above the number of the service. */
  readonly #keys = new Int32Array(SERVICE_FLOWS);
  readonly #owners = new Int16Array(SERVICE_FLOWS).fill(NONE);
  readonly #states = new Uint8Array(SERVICE_FLOWS);
  readonly #seconds = new Int32Array(SERVICE_FLOWS);
  /** Of one to a back end outside, the place of its port, plus 1. */
  readonly #ports = new Uint16Array(SERVICE_FLOWS);
  /** Flows by the hash of their remote address. */
  readonly #sources = new Int32Array(SOURCES);
  #swept = 0;

  /** @param seed random and secret, or strangers could have their flows push out others' */
  constructor(seed: number) {
    this.#seed = seed | 0;
  }

  // Back ends.

  /** Gives a back end its number. */
  enter(backEnd: BackEnd): void {
    const free = this.#backEnds.indexOf(null);
    backEnd.id = free < 0 ? this.#backEnds.length : free;
    this.#backEnds[backEnd.id] = backEnd;
  }

  /** Forgets a back end and its flows. */
  leave(backEnd: BackEnd): void {
    for (let flow = 0; flow < SERVICE_FLOWS; flow++) {
      if (this.#owners[flow] === backEnd.id) this.remove(flow);
    }
    this.#backEnds[backEnd.id] = null;
  }

  // Flows, each by its place.

  /** The flow of a service with a remote end; -1 where there is none. */
  find(service: number, remote: number, port: number, second: number): number {
    const key = port << SERVICE_BITS | service;
    const first = this.#bucket(key, remote);
    for (let flow = first; flow < first + WAYS; flow++) {
      if (this.#keys[flow] !== key || this.#remotes[flow] !== remote) continue;
      if (this.#owners[flow] === NONE) continue;
      return second - this.#seconds[flow] < this.#timeout(flow) ? flow : NONE;
    }
    return NONE;
  }

  /** Takes note of a flow that was not found, and has a back end now. Returns its place. */
  add(
    service: number,
    isTcp: boolean,
    remote: number,
    port: number,
    backEnd: BackEnd,
    second: number,
  ): number {
    const key = port << SERVICE_BITS | service;
    const flow = this.#room(key, remote, second);
    if (this.#owners[flow] !== NONE) this.remove(flow);
    this.#remotes[flow] = remote;
    this.#keys[flow] = key;
    this.#owners[flow] = backEnd.id;
    this.#states[flow] = isTcp ? IS_TCP : 0;
    this.#seconds[flow] = second;
    this.#sources[this.#sourceOf(remote)]++;
    backEnd.open++;
    backEnd.total++;
    return flow;
  }

  remove(flow: number): void {
    const backEnd = this.backEndOf(flow);
    if (!this.isOver(flow)) backEnd.open--;
    if (this.#ports[flow] !== 0) backEnd.ports![this.#ports[flow] - 1] = 0;
    this.#ports[flow] = 0;
    this.#owners[flow] = NONE;
    this.#sources[this.#sourceOf(this.#remotes[flow])]--;
  }

  backEndOf(flow: number): BackEnd {
    return this.#backEnds[this.#owners[flow]]!;
  }

  /** The remote end. */
  remoteOf(flow: number): number {
    return this.#remotes[flow];
  }

  remotePortOf(flow: number): number {
    return this.#keys[flow] >>> SERVICE_BITS & 0xffff;
  }

  /** The place of the port that it has outside; -1 for none. */
  portOf(flow: number): number {
    return this.#ports[flow] - 1;
  }

  setPort(flow: number, place: number): void {
    this.#ports[flow] = place + 1;
  }

  /** Whether both ends have closed it, or one has reset it. */
  isOver(flow: number): boolean {
    return (this.#states[flow] & FIN_BOTH) === FIN_BOTH || (this.#states[flow] & RST) !== 0;
  }

  /** The same, but for a reset by the remote end alone: anybody can forge one. */
  isClosed(flow: number): boolean {
    return (this.#states[flow] & FIN_BOTH) === FIN_BOTH || (this.#states[flow] & RST_OUT) !== 0;
  }

  /** Whether its back end has gone on behind a first answer; of datagrams, whether it has answered. */
  goesOn(flow: number): boolean {
    return (this.#states[flow] & GOES_ON) !== 0;
  }

  isExpired(flow: number, second: number): boolean {
    return second - this.#seconds[flow] >= this.#timeout(flow);
  }

  /** Takes note of a packet from outside; `flags` are those of TCP, 0 of a datagram. */
  noteInbound(flow: number, flags: number, second: number): void {
    this.#seconds[flow] = second;
    const state = this.#states[flow];
    let seen = state;
    if ((flags & tcp.FLAG_FIN) !== 0) seen |= FIN_IN;
    if ((flags & tcp.FLAG_RST) !== 0) seen |= RST_IN;
    if (seen !== state) this.#become(flow, seen);
  }

  /** Takes note of a packet of its back end. */
  noteOutbound(flow: number, flags: number, second: number): void {
    this.#seconds[flow] = second;
    const state = this.#states[flow];
    let seen = state;
    if ((flags & tcp.FLAG_RST) !== 0) seen |= RST_OUT;
    else {
      // It goes on: what came was forged, or it did not take it.
      seen &= ~RST;
      if ((flags & tcp.FLAG_SYN) === 0) seen |= GOES_ON;
      if ((flags & tcp.FLAG_FIN) !== 0) seen |= FIN_OUT;
    }
    if (seen !== state) this.#become(flow, seen);
  }

  #become(flow: number, state: number): void {
    const wasOver = this.isOver(flow);
    this.#states[flow] = state;
    const isOver = this.isOver(flow);
    if (isOver === wasOver) return;
    if (isOver) this.backEndOf(flow).open--;
    else this.backEndOf(flow).open++;
  }

  /** Removes some of what has expired: the counts of open flows are late by half a minute at most. */
  sweep(second: number): void {
    for (let i = 0; i < SWEPT; i++) {
      const flow = this.#swept;
      this.#swept = (flow + 1) & (SERVICE_FLOWS - 1);
      if (this.#owners[flow] !== NONE && this.isExpired(flow, second)) this.remove(flow);
    }
  }

  /** The place for one more: a free one, or that of the one which can be spared first. */
  #room(key: number, remote: number, second: number): number {
    const first = this.#bucket(key, remote);
    let best = first;
    let worth = Infinity;
    for (let flow = first; flow < first + WAYS; flow++) {
      // One of the same ends, which has expired, would be found in place of the new one.
      if (this.#keys[flow] === key && this.#remotes[flow] === remote) return flow;
    }
    for (let flow = first; flow < first + WAYS; flow++) {
      if (this.#owners[flow] === NONE) return flow;
      const each = this.worth(flow, second);
      if (each < worth) {
        worth = each;
        best = flow;
      }
    }
    return best;
  }

  /**
   * Whether a flow may give way to another: all but a connection that its back end has gone on with, of an address that
   * has no more than the other's.
   */
  isSpare(flow: number, other: number): boolean {
    return this.isOver(flow) || !this.goesOn(flow) || (this.#states[flow] & IS_TCP) === 0 ||
      this.#shareOf(flow) > this.#shareOf(other);
  }

  /** The less, the sooner it gives way: what it is, then how many its address has, then when it was last used. */
  worth(flow: number, second: number): number {
    if (this.isExpired(flow, second)) return -Infinity;
    const age = second - this.#seconds[flow];
    if (this.isClosed(flow)) return -age;
    const isOpening = !this.goesOn(flow) || this.isOver(flow);
    const isTcp = (this.#states[flow] & IS_TCP) !== 0;
    const rank = isOpening ? RANK_OPENING : isTcp ? RANK_ESTABLISHED : RANK_DATAGRAMS;
    return rank * RANK - this.#shareOf(flow) * 2 * ESTABLISHED - age;
  }

  #shareOf(flow: number): number {
    return Math.floor(this.#sources[this.#sourceOf(this.#remotes[flow])] / SHARE);
  }

  #sourceOf(remote: number): number {
    return hash(remote, 0, this.#seed) & (SOURCES - 1);
  }

  #timeout(flow: number): number {
    const state = this.#states[flow];
    const isOpen = (state & GOES_ON) !== 0 && !this.isOver(flow);
    if ((state & IS_TCP) !== 0) return isOpen ? ESTABLISHED : TRANSITORY;
    return isOpen ? DATAGRAMS : UNANSWERED;
  }

  #bucket(key: number, remote: number): number {
    return hash(remote, key, this.#seed) & (SERVICE_FLOWS - WAYS);
  }
}
