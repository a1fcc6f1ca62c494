/**
 * Published services: what comes for them from outside, and who of their back ends gets it.
 *
 * A flow keeps its back end. A new one avoids those that are down or drained, and a connection that is asked for again,
 * as its SYN is repeated, is given to another then; one that is under way stays, as its back end may come back, and no
 * other knows of it.
 */
import { hash } from "../../wire/hash.ts";
import * as tcp from "../../wire/tcp.ts";
import { PROTOCOL_TCP, PROTOCOL_UDP } from "../../wire/ipv4.ts";
import type { MappingTable } from "../mapping_table.ts";
import type { NatBackEnd, NatService } from "../nat_options.ts";
import { BackEnd, type Mapping, type PublishedService } from "../records.ts";
import { secondOf } from "../timer_wheel.ts";
import type { Newcomers } from "./newcomers.ts";
import { Service } from "./service.ts";
import { ServiceFlows } from "./service_flows.ts";

const SYN_ACK = tcp.FLAG_SYN | tcp.FLAG_ACK;

/** What one back end has had to do; float64 numbers. */
export interface BackEndFigures {
  /** By the place of its service among those that were configured, and its own there. */
  readonly service: number;
  readonly backEnd: number;
  /** Flows that it has now, and that it was given in all; 0 where they are not counted, as there is no choice. */
  readonly open: number;
  readonly total: number;
}

export interface ServicesOptions {
  readonly mappings: MappingTable;
  /** As long as the process lives, these and no others: only their back ends may change. */
  readonly services: readonly NatService[];
  /** Secret, and as long the same as flows are to find their back end again: over a restart. */
  readonly choiceSeed: number;
  /** Random and secret. */
  readonly seed: number;
}

export class NatServices {
  /** Null while none of the services has a choice. */
  flows: ServiceFlows | null = null;
  /** Who may begin a connection to a back end outside; null where there is none such. */
  newcomers: Newcomers | null = null;
  readonly #all: readonly Service[];
  readonly #mappings: MappingTable;
  readonly #choiceSeed: number;
  readonly #seed: number;
  /** Those with an address of their own, and these addresses, signed. */
  readonly #virtual: readonly Service[];
  readonly #addresses: Int32Array;
  /** Back ends outside the tunnel. */
  #outside: readonly BackEnd[] = [];

  /** @throws {RangeError} when two take one port */
  constructor({ mappings, services, choiceSeed, seed }: ServicesOptions) {
    this.#mappings = mappings;
    this.#choiceSeed = choiceSeed | 0;
    this.#seed = seed;
    this.#all = services.map(({ protocol, externalAddress, externalPort }, id) =>
      new Service(id, {
        protocol: protocol === "tcp" ? PROTOCOL_TCP : PROTOCOL_UDP,
        address: (externalAddress ?? 0) | 0,
        port: externalPort,
      })
    );
    this.#virtual = this.#all.filter(({ address }) => address !== 0);
    this.#addresses = Int32Array.from(new Set(this.#virtual.map(({ address }) => address)));
    for (const service of this.#all) {
      if (service.address === 0) mappings.createFront(service);
    }
    this.update(services);
  }

  /** Whether an address (signed) is that of services alone. */
  isVirtual(address: number): boolean {
    for (let i = 0; i < this.#addresses.length; i++) {
      if (this.#addresses[i] === address) return true;
    }
    return false;
  }

  /** The service at an address of its own (signed); null where there is none. */
  at(address: number, protocol: number, port: number): Service | null {
    for (let i = 0; i < this.#virtual.length; i++) {
      const service = this.#virtual[i];
      if (
        service.port === port && service.address === address && service.protocol === protocol
      ) return service;
    }
    return null;
  }

  /** The back end outside the tunnel at an endpoint (address signed); null where there is none. */
  outsideAt(protocol: number, address: number, port: number): BackEnd | null {
    for (let i = 0; i < this.#outside.length; i++) {
      const { mapping } = this.#outside[i];
      if (
        mapping.innerPort === port && mapping.innerAddress === address &&
        mapping.protocol === protocol
      ) return this.#outside[i];
    }
    return null;
  }

  // What changes.

  /** Takes the back ends as they are now; the services are those of the start, in their order. */
  update(services: readonly NatService[]): void {
    for (const [index, service] of this.#all.entries()) {
      const { method, backEnds } = services[index];
      service.method = method;
      this.#updateBackEnds(service, backEnds);
    }
    this.#outside = this.#all.flatMap(({ backEnds }) =>
      backEnds.filter(({ isOutside }) => isOutside)
    );
  }

  #updateBackEnds(service: Service, wanted: readonly NatBackEnd[]): void {
    const old = new Map(service.backEnds.map((backEnd) => [keyOf(backEnd), backEnd]));
    const kept = new Set(wanted.map(keyOfWanted));
    // First those that go: another may take over an endpoint.
    for (const [key, backEnd] of old) if (!kept.has(key)) this.#leave(backEnd);
    const backEnds = wanted.flatMap((each) => {
      const backEnd = old.get(keyOfWanted(each)) ?? this.#enter(service, each);
      if (backEnd === null) return [];
      backEnd.isUp = each.isUp;
      backEnd.isDraining = each.isDraining;
      return [backEnd];
    });
    service.setBackEnds(backEnds);
    if (service.keepsFlows) this.#keepFlows();
  }

  /** Null where it has no address now, or its endpoint is another's. */
  #enter(service: Service, { name, address, port, isOutside }: NatBackEnd): BackEnd | null {
    if (address === null) return null;
    const endpoint = { innerAddress: address | 0, innerPort: port, externalPort: service.port };
    const mapping = this.#mappings.createBackEnd(service, endpoint, isOutside);
    if (mapping === null) return null;
    const backEnd = new BackEnd(service, name, mapping, isOutside);
    mapping.backEnd = backEnd;
    this.flows?.enter(backEnd);
    return backEnd;
  }

  #leave(backEnd: BackEnd): void {
    this.flows?.leave(backEnd);
    this.#mappings.removeBackEnd(backEnd.mapping);
  }

  #keepFlows(): void {
    if (this.flows !== null) return;
    this.flows = new ServiceFlows(this.#seed);
    for (const { backEnds } of this.#all) {
      for (const backEnd of backEnds) this.flows.enter(backEnd);
    }
  }

  /** Removes what has expired; to be called every second. */
  sweep(now: number): void {
    this.flows?.sweep(secondOf(now));
  }

  /** Whether there is anything that may expire. */
  get isIdle(): boolean {
    return this.flows === null;
  }

  /** By service and back end, as `NatService` has them. */
  figures(services: readonly NatService[]): BackEndFigures[] {
    return services.flatMap(({ backEnds }, service) =>
      backEnds.map((wanted, index) => {
        const known = this.#all[service].backEnds.find((each) =>
          keyOf(each) === keyOfWanted(wanted)
        );
        return { service, backEnd: index, open: known?.open ?? 0, total: known?.total ?? 0 };
      })
    );
  }

  // Packets. `flags` are those of TCP, 0 of a datagram.

  /**
   * The flow of a packet from outside, which is given a back end if it has none; -1 where there is none to give, or the
   * packet may not begin one: then `newcomers` says so.
   */
  flowOf(
    service: PublishedService,
    remote: number,
    port: number,
    flags: number,
    now: number,
  ): number {
    const flows = this.flows!;
    const second = secondOf(now);
    let flow = flows.find(service.id, remote, port, second);
    const isNew = flow < 0;
    if (flow >= 0 && this.#mayMove(service, flow, flags)) {
      flows.remove(flow);
      flow = -1;
    }
    if (flow < 0) {
      const backEnd = service.choose(hash(remote, port, this.#choiceSeed));
      if (backEnd === null) return -1;
      if (isNew && backEnd.isOutside && !this.#mayBegin(service, remote, flags, now)) return -1;
      flow = flows.add(
        service.id,
        service.protocol === PROTOCOL_TCP,
        remote,
        port,
        backEnd,
        second,
      );
    }
    flows.noteInbound(flow, flags, second);
    return flow;
  }

  /** Whether a packet may begin a flow that takes a port of ours. What datagrams begin says nothing of who sends. */
  #mayBegin(
    { id, protocol }: PublishedService,
    remote: number,
    flags: number,
    now: number,
  ): boolean {
    if (protocol !== PROTOCOL_TCP || this.newcomers === null) return true;
    // A back end in the tunnel asks a service as well.
    if (this.isVirtual(remote)) return true;
    return this.newcomers.mayBegin(id, remote, flags, now);
  }

  /** Whether a flow is as good as new to another back end. */
  #mayMove({ protocol }: PublishedService, flow: number, flags: number): boolean {
    const flows = this.flows!;
    const backEnd = flows.backEndOf(flow);
    if (protocol !== PROTOCOL_TCP) return !backEnd.isUp;
    if ((flags & SYN_ACK) !== tcp.FLAG_SYN) return false;
    return flows.isClosed(flow) || !backEnd.isUp || (!flows.goesOn(flow) && !backEnd.isEligible);
  }

  /** The back end's mapping for a packet from outside; null where there is none to be had. */
  mappingFor(
    service: PublishedService,
    remote: number,
    port: number,
    flags: number,
    now: number,
  ): Mapping | null {
    if (!service.keepsFlows) return service.choose(0)?.mapping ?? null;
    const flow = this.flowOf(service, remote, port, flags, now);
    return flow < 0 ? null : this.flows!.backEndOf(flow).mapping;
  }

  /** The same of a flow that is there; null where it is not. Nothing is changed by it. */
  mappingOf(service: PublishedService, remote: number, port: number, now: number): Mapping | null {
    if (!service.keepsFlows) return service.choose(0)?.mapping ?? null;
    const flow = this.flows!.find(service.id, remote, port, secondOf(now));
    return flow < 0 ? null : this.flows!.backEndOf(flow).mapping;
  }

  /** Whether a back end has a flow with a remote end. */
  hasFlow({ service, id }: BackEnd, remote: number, port: number, now: number): boolean {
    if (!service.keepsFlows) return false;
    const flow = this.flows!.find(service.id, remote, port, secondOf(now));
    return flow >= 0 && this.flows!.backEndOf(flow).id === id;
  }

  /**
   * Takes note of a back end's packet to a remote end. Of a flow that is not known, as after a restart, the back end
   * knows.
   *
   * @returns whether it may go on: not where another has the flow by now
   */
  noteOutbound(
    backEnd: BackEnd,
    remote: number,
    port: number,
    flags: number,
    now: number,
  ): boolean {
    const { service } = backEnd;
    if (!service.keepsFlows) return true;
    const flows = this.flows!;
    const second = secondOf(now);
    let flow = flows.find(service.id, remote, port, second);
    if (flow < 0) {
      if ((flags & tcp.FLAG_RST) !== 0) return true;
      flow = flows.add(
        service.id,
        service.protocol === PROTOCOL_TCP,
        remote,
        port,
        backEnd,
        second,
      );
    } else if (flows.backEndOf(flow) !== backEnd) return false;
    flows.noteOutbound(flow, flags, second);
    return true;
  }
}

function keyOf({ name, isOutside, mapping }: BackEnd): string {
  return `${name} ${mapping.innerAddress} ${isOutside}`;
}

function keyOfWanted({ name, address, isOutside }: NatBackEnd): string {
  return `${name} ${(address ?? 0) | 0} ${isOutside}`;
}
