/**
 * Relay: published services whose back ends are outside the tunnel, too. Their answers come back this way only if they
 * are answers to us: so what such a back end gets is from the gateway's address, and from a port that stands for the
 * flow there.
 *
 * The ports are apart from those of the NAT's clients: half of the range, so that neither takes from the other. One
 * stands for a flow to each back end.
 */
import { hash } from "../../wire/hash.ts";
import { DropReason } from "../../wire/drop_reason.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import type { PortRange } from "../../wire/port_range.ts";
import * as tcp from "../../wire/tcp.ts";
import { sourceAddress } from "../addresses.ts";
import type { Forwarder } from "../forwarder.ts";
import type { Fragments } from "../fragments/fragments.ts";
import type { Identifications } from "../fragments/identifications.ts";
import type { MappingTable } from "../mapping_table.ts";
import type { BackEnd, Mapping } from "../records.ts";
import { DESTINATION, SOURCE } from "../headers/headers.ts";
import {
  decrementTimeToLive,
  isAtomic,
  rewriteEndpoint,
  rewriteIdentification,
} from "../rewrite.ts";
import { isSharedPort } from "../shared_ports.ts";
import type { Memory } from "../../wire/memory.ts";
import { secondOf } from "../timer_wheel.ts";
import { Newcomers } from "./newcomers.ts";
import type { NatServices } from "./services.ts";
import { SynChallenge } from "./syn_challenge.ts";

/** Ports that are tried for a flow. */
const PROBES = 64;
const PROTOCOLS = [ipv4.PROTOCOL_TCP, ipv4.PROTOCOL_UDP] as const;

/** An address (signed) and a port. */
interface Ends {
  address: number;
  port: number;
}

export interface ServiceRelayOptions {
  readonly memory: Memory;
  readonly services: NatServices;
  readonly mappings: MappingTable;
  readonly forwarder: Forwarder;
  readonly fragments: Fragments;
  readonly identifications: Identifications;
  /** Of the NAT: its upper half is taken. */
  readonly ports: PortRange;
  /** Draws an unsigned 32-bit number. */
  readonly random: () => number;
}

export class Relay {
  readonly #options: ServiceRelayOptions;
  readonly #view: DataView;
  /** Random and secret: a port is not to be guessed (RFC 6056 section 3.3.3). */
  readonly #seed: number;
  readonly #newcomers: Newcomers;
  readonly #challenge: SynChallenge;
  readonly #ports: Uint16Array;
  /** By port less the first: its place, plus 1; 0 for one that is not ours. */
  readonly #places: Uint16Array;
  readonly #first: number;
  /** Where a packet goes on from, and to. */
  readonly #from: Ends = { address: 0, port: 0 };
  readonly #to: Ends = { address: 0, port: 0 };

  constructor(options: ServiceRelayOptions) {
    const { memory, mappings, services, forwarder, random, ports: { first, last } } = options;
    this.#options = options;
    this.#view = memory.view;
    this.#seed = random() | 0;
    const middle = this.#first = first + Math.ceil((last - first + 1) / 2);
    const ports: number[] = [];
    for (let port = middle; port <= last; port++) {
      if (isSharedPort(options.ports, port)) continue;
      const isFree = PROTOCOLS.every((protocol) => mappings.findExternal(protocol, port) === null);
      if (!isFree) continue;
      for (const protocol of PROTOCOLS) mappings.allocator(protocol).take(port);
      ports.push(port);
    }
    this.#ports = Uint16Array.from(ports);
    this.#places = new Uint16Array(Math.max(0, last - middle + 1));
    for (const [place, port] of ports.entries()) this.#places[port - middle] = place + 1;
    const { outside } = forwarder;
    const newcomers = new Newcomers({ outside, ports: ports.length, seed: random() });
    this.#newcomers = services.newcomers = newcomers;
    const secret = new Uint8Array(Uint32Array.from({ length: 4 }, random).buffer);
    this.#challenge = new SynChallenge({ memory, forwarder, newcomers, secret });
  }

  /** Whether a port outside stands for flows to back ends. */
  has(port: number): boolean {
    const at = port - this.#first;
    return at >= 0 && at < this.#places.length && this.#places[at] !== 0;
  }

  // To a back end.

  /**
   * Deals with a packet from outside that no back end was found for, if that is as it may not begin a connection now.
   *
   * @returns whether it is so; it was dropped, and perhaps answered
   */
  challenge(packet: number, transport: number, now: number): boolean {
    if (!this.#newcomers.takeRefusal()) return false;
    this.#challenge.take(packet, transport, now);
    this.#options.forwarder.drop(DropReason.sourceUnproven, packet);
    return true;
  }

  /**
   * Has a packet from outside, for a back end outside, as that is to get it; the rest of a packet in fragments follows.
   *
   * @param length bytes; of a super-packet, those of each packet that it stands for
   * @returns whether it goes on; if not, it was dropped
   */
  forward(
    packet: number,
    length: number,
    { backEnd, innerAddress, innerPort, protocol }: Mapping,
    remotePort: number,
    now: number,
  ): boolean {
    const { services: { flows }, forwarder: { outside } } = this.#options;
    const remote = sourceAddress(this.#view, packet);
    const flow = flows!.find(backEnd!.service.id, remote, remotePort, secondOf(now));
    const port = flow < 0 ? -1 : this.#portOf(flow, backEnd!, secondOf(now));
    if (port < 0) {
      this.#options.forwarder.drop(DropReason.natPortsExhausted, packet);
      return false;
    }
    this.#from.address = outside.address;
    this.#from.port = port;
    this.#to.address = innerAddress;
    this.#to.port = innerPort;
    return this.#pass(packet, length, protocol, now);
  }

  /**
   * The port of a flow, which is given one if it has none, that of one which can be spared if need be; -1 where none
   * was found.
   */
  #portOf(flow: number, backEnd: BackEnd, second: number): number {
    const flows = this.#options.services.flows!;
    const known = flows.portOf(flow);
    if (known >= 0) return this.#ports[known];
    const taken = backEnd.ports ??= new Int32Array(this.#ports.length);
    const count = this.#ports.length;
    if (count === 0) return -1;
    const start = hash(flows.remoteOf(flow), flows.remotePortOf(flow), this.#seed) & 0x7fffffff;
    let best = -1;
    let worth = Infinity;
    for (let probe = 0; probe < PROBES; probe++) {
      const place = (start + probe) % count;
      const other = taken[place] - 1;
      if (other < 0) {
        best = place;
        break;
      }
      // Or strangers with forged addresses, or one with many connections, would have all ports until these expire.
      if (!flows.isExpired(other, second) && !flows.isSpare(other, flow)) continue;
      const each = flows.worth(other, second);
      if (best >= 0 && each >= worth) continue;
      best = place;
      worth = each;
    }
    if (best < 0) return -1;
    if (taken[best] !== 0) flows.remove(taken[best] - 1);
    taken[best] = flow + 1;
    flows.setPort(flow, best);
    return this.#ports[best];
  }

  // From a back end.

  /**
   * Has a back end's packet to one of our ports as the other end of the flow is to get it.
   *
   * @returns whether it goes on; if not, it was dropped
   */
  back(
    packet: number,
    length: number,
    protocol: number,
    backEndPort: number,
    port: number,
    now: number,
  ): boolean {
    const { services, forwarder } = this.#options;
    const view = this.#view;
    const backEnd = services.outsideAt(protocol, sourceAddress(view, packet), backEndPort);
    const flow = this.#flowAt(backEnd, port, secondOf(now));
    if (flow < 0) {
      forwarder.drop(DropReason.natNoMapping, packet);
      return false;
    }
    const transport = packet + ipv4.headerSize(view, packet);
    const flags = protocol === ipv4.PROTOCOL_TCP ? tcp.flags(view, transport) : 0;
    const flows = services.flows!;
    const wentOn = flows.goesOn(flow);
    flows.noteOutbound(flow, flags, secondOf(now));
    if (!wentOn && flows.goesOn(flow)) this.#newcomers.noteConnection(flows.remoteOf(flow), now);
    this.#readEnds(backEnd!, flow);
    return this.#pass(packet, length, protocol, now);
  }

  #flowAt(backEnd: BackEnd | null, port: number, second: number): number {
    if (backEnd === null || backEnd.ports === null) return -1;
    const flow = backEnd.ports[this.#places[port - this.#first] - 1] - 1;
    return flow < 0 || this.#options.services.flows!.isExpired(flow, second) ? -1 : flow;
  }

  /** The service's end of a flow, and the other. */
  #readEnds({ service }: BackEnd, flow: number): void {
    const { services: { flows }, forwarder: { outside } } = this.#options;
    this.#from.address = service.address !== 0 ? service.address : outside.address;
    this.#from.port = service.port;
    this.#to.address = flows!.remoteOf(flow);
    this.#to.port = flows!.remotePortOf(flow);
  }

  // Both ways.

  #pass(packet: number, length: number, protocol: number, now: number): boolean {
    const { forwarder, fragments, identifications } = this.#options;
    const { outside } = forwarder;
    const view = this.#view;
    if (ipv4.timeToLive(view, packet) <= 1) {
      forwarder.refuseExpired(packet, outside, now);
      return false;
    }
    if (forwarder.refuseTooBig(packet, length, outside, outside, now)) return false;
    const isAlone = isAtomic(view, packet);
    const { address: source } = this.#from;
    const { address: destination } = this.#to;
    const identification = isAlone ? 0 : identifications.next(destination, protocol);
    const fate = ipv4.moreFragments(view, packet)
      ? { link: outside, source, destination, identification }
      : null;
    const waiting = fate === null ? null : fragments.decide(packet, fate, now);
    rewriteEndpoint(view, packet, length, SOURCE, source, this.#from.port);
    rewriteEndpoint(view, packet, length, DESTINATION, destination, this.#to.port);
    if (!isAlone) rewriteIdentification(view, packet, identification);
    decrementTimeToLive(view, packet);
    if (waiting !== null && fate !== null) fragments.follow(waiting, fate);
    return true;
  }

  // Errors.

  /**
   * Puts back what an error quotes that is about a packet to a back end: as its sender knows it.
   *
   * @param backEndPort and `port` as the quoted packet has them
   * @returns whether it is about a flow's
   */
  restoreForward(
    quoted: number,
    available: number,
    backEndPort: number,
    port: number,
    now: number,
  ): boolean {
    const view = this.#view;
    const protocol = ipv4.protocol(view, quoted);
    const address = view.getInt32(quoted + ipv4.DESTINATION_ADDRESS_OFFSET);
    const backEnd = this.#options.services.outsideAt(protocol, address, backEndPort);
    const flow = this.#flowAt(backEnd, port, secondOf(now));
    if (flow < 0) return false;
    this.#readEnds(backEnd!, flow);
    const { address: remote, port: remotePort } = this.#to;
    rewriteEndpoint(view, quoted, available, SOURCE, remote, remotePort);
    rewriteEndpoint(view, quoted, available, DESTINATION, this.#from.address, this.#from.port);
    return true;
  }

  /** The same of one about a packet of a back end's, which came by `port` of ours; false where it has none. */
  restoreBack(
    quoted: number,
    available: number,
    { backEnd, innerAddress, innerPort }: Mapping,
    remotePort: number,
    now: number,
  ): boolean {
    const { services: { flows }, forwarder: { outside } } = this.#options;
    const view = this.#view;
    const remote = view.getInt32(quoted + ipv4.DESTINATION_ADDRESS_OFFSET);
    const flow = flows!.find(backEnd!.service.id, remote, remotePort, secondOf(now));
    if (flow < 0 || flows!.portOf(flow) < 0) return false;
    rewriteEndpoint(view, quoted, available, SOURCE, innerAddress, innerPort);
    const port = this.#ports[flows!.portOf(flow)];
    rewriteEndpoint(view, quoted, available, DESTINATION, outside.address, port);
    return true;
  }
}
