/**
 * Newcomers: who may begin a connection that takes a port of the gateway's, and a place among a back end's half-open
 * ones, before it has shown that it is at its address.
 *
 * A few may at any time; when more come, as in a flood of SYNs with forged addresses, the rest is asked to show it
 * (`syn_challenge.ts`). An address that has done so, or has had connections that went on, may begin some more: not any
 * number, as to guess what one of them was asked takes some 30,000 tries, and not for ever.
 */
import { hash } from "../../wire/hash.ts";
import * as tcp from "../../wire/tcp.ts";
import type { NatLink } from "../link.ts";
import { secondOf } from "../timer_wheel.ts";
import { MAX_SERVICES } from "./service_flows.ts";

/** Of the ports for flows to a back end, one in so many may be given at once to those that have shown nothing. */
const BURST_PART = 4;
/** The same in a second: so an opening connection has its port for 20 s at least, however many others are asked for. */
const RATE_PART = 20;
/** Addresses that are remembered, and places that each may have; powers of two. */
const PLACES = 1 << 14;
const WAYS = 4;
/** Seconds for which an address is remembered after its last success. */
const LIFETIME = 600;
/** Connections that an address may begin: for an answer to a challenge, for one that went on, at most. */
const FOR_ANSWER = 8;
const FOR_CONNECTION = 2;
const MAX_CREDIT = 64;

export interface NewcomersOptions {
  readonly outside: NatLink;
  /** Ports for flows to a back end. */
  readonly ports: number;
  /** Random and secret. */
  readonly seed: number;
}

export class Newcomers {
  readonly #outside: NatLink;
  readonly #seed: number;
  readonly #burst: number;
  /** In a ms. */
  readonly #rate: number;
  /** By service: how many may begin, and as of when, monotonic ms. */
  readonly #allowances: Float64Array;
  readonly #filledAt: Float64Array;
  /** By place. */
  readonly #remotes = new Int32Array(PLACES);
  readonly #seconds = new Int32Array(PLACES);
  /** 0 for an address that may begin no more, and for a place that is free. */
  readonly #credits = new Uint8Array(PLACES);
  #isRefused = false;

  constructor({ outside, ports, seed }: NewcomersOptions) {
    this.#outside = outside;
    this.#seed = seed | 0;
    this.#burst = Math.ceil(ports / BURST_PART);
    this.#rate = ports / RATE_PART / 1000;
    this.#allowances = new Float64Array(MAX_SERVICES).fill(this.#burst);
    this.#filledAt = new Float64Array(MAX_SERVICES);
  }

  /**
   * Whether a segment of a remote end (signed) may begin a connection to a service now, which counts as one. An RST
   * never does: it is an answer to a challenge, or to nothing.
   */
  mayBegin(service: number, remote: number, flags: number, now: number): boolean {
    // A client's of the tunnel, which is known.
    const isKnown = remote === this.#outside.address;
    this.#isRefused = !isKnown &&
      ((flags & tcp.FLAG_RST) !== 0 || !this.#take(service, remote, now));
    return !this.#isRefused;
  }

  /** Whether `mayBegin()` has refused the segment in hand, which is asked once. */
  takeRefusal(): boolean {
    const isRefused = this.#isRefused;
    this.#isRefused = false;
    return isRefused;
  }

  #take(service: number, remote: number, now: number): boolean {
    const place = this.#find(remote, secondOf(now));
    if (place >= 0) {
      this.#credits[place]--;
      return true;
    }
    const elapsed = Math.max(0, now - this.#filledAt[service]);
    const allowance = Math.min(this.#burst, this.#allowances[service] + elapsed * this.#rate);
    this.#filledAt[service] = now;
    this.#allowances[service] = allowance < 1 ? allowance : allowance - 1;
    return allowance >= 1;
  }

  /** Takes note that an address has answered a challenge. */
  noteAnswer(remote: number, now: number): void {
    this.#credit(remote, FOR_ANSWER, FOR_ANSWER, secondOf(now));
  }

  /** Takes note that a connection of an address goes on, which takes knowing what it was sent. */
  noteConnection(remote: number, now: number): void {
    this.#credit(remote, FOR_CONNECTION, MAX_CREDIT, secondOf(now));
  }

  #credit(remote: number, more: number, limit: number, second: number): void {
    const first = this.#bucket(remote);
    let best = first;
    for (let place = first; place < first + WAYS; place++) {
      if (this.#remotes[place] === remote && this.#isKnown(place, second)) {
        const credit = this.#credits[place];
        this.#credits[place] = Math.max(credit, Math.min(limit, credit + more));
        this.#seconds[place] = second;
        return;
      }
      if (!this.#isKnown(best, second)) continue;
      const isFree = !this.#isKnown(place, second);
      if (isFree || this.#seconds[place] < this.#seconds[best]) best = place;
    }
    this.#remotes[best] = remote;
    this.#credits[best] = more;
    this.#seconds[best] = second;
  }

  #find(remote: number, second: number): number {
    const first = this.#bucket(remote);
    for (let place = first; place < first + WAYS; place++) {
      if (this.#remotes[place] === remote && this.#isKnown(place, second)) return place;
    }
    return -1;
  }

  #isKnown(place: number, second: number): boolean {
    return this.#credits[place] !== 0 && second - this.#seconds[place] < LIFETIME;
  }

  #bucket(remote: number): number {
    return hash(remote, 0, this.#seed) & (PLACES - WAYS);
  }
}
