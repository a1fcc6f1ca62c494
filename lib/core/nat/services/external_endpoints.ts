/** External endpoints: whom an address and a port outside stand for: a client's mapping, or a published service. */
import { DropReason } from "../../wire/drop_reason.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import * as tcp from "../../wire/tcp.ts";
import type { Forwarder } from "../forwarder.ts";
import type { Headers } from "../headers/headers.ts";
import type { NatLink } from "../link.ts";
import type { MappingTable } from "../mapping_table.ts";
import type { Mapping, PublishedService } from "../records.ts";
import type { NatSessionTable } from "../sessions.ts";
import type { NatServices } from "./services.ts";

export class ExternalEndpoints {
  readonly #view: DataView;
  readonly #headers: Headers;
  readonly #mappings: MappingTable;
  readonly #sessions: NatSessionTable;
  readonly #services: NatServices;
  readonly #forwarder: Forwarder;
  readonly #outside: NatLink;

  constructor(
    view: DataView,
    { headers, mappings, sessions, services, forwarder }: {
      readonly headers: Headers;
      readonly mappings: MappingTable;
      readonly sessions: NatSessionTable;
      readonly services: NatServices;
      readonly forwarder: Forwarder;
    },
  ) {
    this.#view = view;
    this.#headers = headers;
    this.#mappings = mappings;
    this.#sessions = sessions;
    this.#services = services;
    this.#forwarder = forwarder;
    this.#outside = forwarder.outside;
  }

  /**
   * The mapping that the destination of a packet, as its remote end has sent it, stands for towards that end; of a
   * published service, that of the back end which has the flow, or gets it now. Null for none.
   */
  findInbound(
    packet: number,
    protocol: number,
    port: number,
    remoteAddress: number,
    remotePort: number,
    now: number,
  ): Mapping | null {
    const destination = this.#headers.destination(packet);
    let service: PublishedService | null;
    if (destination === this.#outside.address) {
      const mapping = this.#mappings.findInbound(protocol, port, remoteAddress, remotePort);
      if (mapping === null) return null;
      service = mapping.service;
      if (service === null) {
        if (mapping.life === null || now < mapping.life.expiresAt) return mapping;
        this.#sessions.remove(mapping.life, now);
        return null;
      }
    } else service = this.#services.at(destination, protocol, port);
    if (service === null) return null;
    const flags = protocol === ipv4.PROTOCOL_TCP
      ? tcp.flags(this.#view, this.#headers.transport(packet))
      : 0;
    return this.#services.mappingFor(service, remoteAddress, remotePort, flags, now);
  }

  /** Drops a packet that `findInbound()` has found nothing for. */
  dropUnmapped(packet: number, protocol: number, port: number): void {
    const destination = this.#headers.destination(packet);
    const service = destination === this.#outside.address
      ? this.#mappings.findExternal(protocol, port)?.service ?? null
      : this.#services.at(destination, protocol, port);
    const reason = service === null ? DropReason.natNoMapping : DropReason.noBackEnd;
    this.#forwarder.drop(reason, packet);
  }

  /** The mapping that a packet with this source (address signed) has left by, to a remote end; null for none. */
  findSent(
    address: number,
    protocol: number,
    port: number,
    remoteAddress: number,
    remotePort: number,
    now: number,
  ): Mapping | null {
    let service: PublishedService | null;
    if (address === this.#outside.address) {
      const mapping = this.#mappings.findInbound(protocol, port, remoteAddress, remotePort);
      if (mapping === null || mapping.service === null) return mapping;
      service = mapping.service;
    } else service = this.#services.at(address, protocol, port);
    return service === null
      ? null
      : this.#services.mappingOf(service, remoteAddress, remotePort, now);
  }

  /** The address outside that a mapping's packets are from, signed. */
  addressOf({ externalAddress }: Mapping): number {
    return externalAddress !== 0 ? externalAddress : this.#outside.address;
  }

  /** Whether an address (signed) is the gateway's outside, or one of its services'. */
  isExternal(address: number): boolean {
    return address === this.#outside.address || this.#services.isVirtual(address);
  }
}
