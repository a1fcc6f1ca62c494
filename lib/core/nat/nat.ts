/**
 * NAT: packets of clients on their way out and the answers on their way in, rewritten in place.
 *
 * Endpoint-independent mapping and, by default, filtering (RFC 4787), TCP by RFC 5382 and 7857, ICMP by RFC 5508,
 * quotas by RFC 6888. No I/O and no clock: packets are offsets in the packet memory, what becomes of them is left in
 * two queues, `outside` and `inside`, which the caller drains after each call.
 *
 * Whatever comes from outside, forged or not, makes no mapping and no session, and keeps none alive.
 */
import type { HostAddress } from "../wire/host_address.ts";
import type { PacketQueue } from "../wire/packet_queue.ts";
import {
  ICMP_ERROR_RECEIVERS_INSIDE,
  ICMP_ERROR_RECEIVERS_OUTSIDE,
  SWEEP_INTERVAL,
} from "./constants.ts";
import { Flows } from "./flows.ts";
import { Forwarder } from "./forwarder.ts";
import { Fragments } from "./fragments/fragments.ts";
import { IcmpTranslator } from "./icmp/icmp_translation.ts";
import { Identifications } from "./fragments/identifications.ts";
import type { Headers } from "./headers/headers.ts";
import { Ipv4Headers } from "./headers/ipv4_headers.ts";
import { Inbound, type MergedTo } from "./inbound.ts";
import { NatLink } from "./link.ts";
import type { NatOptions, NatService } from "./nat_options.ts";
import { Outbound } from "./outbound.ts";
import { PacketSlots } from "./fragments/packet_slots.ts";
import { Origin } from "./slices/hand_over.ts";
import { type NatSlice, Owners } from "./slices/owners.ts";
import { PathLimits } from "./path_limits.ts";
import { Relay } from "./services/relay.ts";
import { ReplicatedFlows } from "./replicas/replicated_flows.ts";
import { Resets } from "./replicas/resets.ts";
import type { BackEndFigures } from "./services/services.ts";
import type { Mapping, NatUsage } from "./records.ts";

export class Nat {
  /** Packets for the raw socket. */
  readonly outside: PacketQueue;
  /** Packets for clients, by their destination address. */
  readonly inside: PacketQueue;

  readonly #options: NatOptions;
  readonly #headers: Headers;
  readonly #outside: NatLink;
  readonly #inside: NatLink;
  readonly #forwarder: Forwarder;
  readonly #flows: Flows;
  readonly #resets: Resets;
  readonly #icmp: IcmpTranslator;
  /** Of clients, and from outside. */
  readonly #outboundFragments: Fragments;
  readonly #inboundFragments: Fragments;
  readonly #outbound: Outbound;
  readonly #inbound: Inbound;
  readonly #slice: NatSlice | null;
  #sweepAt = -Infinity;

  constructor(options: NatOptions) {
    const { memory, random, clientOf = (address: number) => address } = options;
    const headers = this.#headers = options.headers ?? new Ipv4Headers(memory);
    const slice = this.#slice = options.slice ?? null;
    this.#outside = new NatLink({
      mtu: options.externalMtu,
      address: headers.numberOf(options.externalAddress),
      errorReceivers: Math.ceil(ICMP_ERROR_RECEIVERS_OUTSIDE / (slice?.count ?? 1)),
    });
    this.#inside = new NatLink({
      mtu: options.innerMtu,
      address: headers.numberOf(options.innerAddress),
      errorReceivers: ICMP_ERROR_RECEIVERS_INSIDE,
    });
    this.outside = this.#outside.queue;
    this.inside = this.#inside.queue;
    const forwarder = new Forwarder({
      ...options,
      headers,
      outside: this.#outside,
      inside: this.#inside,
    });
    this.#forwarder = forwarder;
    this.#options = options;
    this.#resets = new Resets(memory, forwarder);
    const resets = this.#resets;
    this.#flows = new Flows({ ...options, clientOf }, { headers, forwarder, resets });
    const flows = this.#flows;
    const owners = slice === null ? null : new Owners(slice, flows.mappings, options.ports);
    const identifications = new Identifications(
      random(),
      slice ?? {},
      headers.identificationMask,
    );
    const fragments = (isOutbound: boolean) =>
      new Fragments(memory, { headers, forwarder, clientOf, isOutbound, seed: random() });
    this.#outboundFragments = fragments(true);
    this.#inboundFragments = fragments(false);
    const isRelayed = options.services?.some(({ backEnds }) =>
      backEnds.some(({ isOutside }) => isOutside)
    );
    const relay = !isRelayed ? null : new Relay({
      ...{ memory, forwarder, identifications, fragments: this.#inboundFragments },
      ...{ services: flows.services, mappings: flows.mappings },
      ports: options.ports,
      random,
    });
    this.#icmp = new IcmpTranslator(memory.view, {
      ...{ headers, forwarder, flows },
      ...{ clientOf, owners, relay },
    });
    const direction = {
      view: memory.view,
      headers,
      outside: this.#outside,
      inside: this.#inside,
      forwarder,
      flows,
      icmp: this.#icmp,
      owners,
      relay,
      resets,
      limits: new PathLimits(memory.view, {
        headers,
        inside: this.#inside,
        forwarder,
        mtuOf: options.mtuOf ?? (() => options.innerMtu),
      }),
    };
    this.#outbound = new Outbound(
      { ...direction, fragments: this.#outboundFragments },
      options.ports,
      identifications,
    );
    this.#inbound = new Inbound({ ...direction, fragments: this.#inboundFragments });
  }

  /** Bytes of packet memory that `NatOptions.generated` must name. `mtu` is the larger of the two. */
  static generatedSize(mtu: number): number {
    return PacketSlots.size(mtu);
  }

  /** Configured ones are counted by the first of several workers, which all have them. */
  get mappingCount(): number {
    const { mappings } = this.#flows;
    return this.#isFirst ? mappings.size : mappings.dynamicSize;
  }

  get sessionCount(): number {
    return this.#flows.sessions.size;
  }

  /** What a client holds; `identity` is what `clientOf` names it by. */
  usageOf(identity: unknown): NatUsage {
    const client = this.#flows.mappings.clients.get(identity);
    if (client === null) return { ports: 0, sessions: 0 };
    const { usage, forwards } = client;
    return this.#isFirst ? usage : { ...usage, ports: usage.ports - forwards };
  }

  get #isFirst(): boolean {
    return this.#slice === null || this.#slice.number === 0;
  }

  /** Whether one client may reach another by the external address, from now on. */
  set clientToClient(allowed: boolean) {
    this.#flows.clientToClient = allowed;
  }

  /** Whether a packet is for the gateway's address outside. */
  isForExternal(packet: number): boolean {
    return this.#headers.destination(packet) === this.#outside.address;
  }

  /**
   * Follows a change of the gateway's address outside. Mappings keep their ports, fragments on their way out are lost.
   */
  set externalAddress(address: HostAddress) {
    const before = this.#outside.address;
    this.#outside.address = this.#headers.numberOf(address);
    this.#headers.holds.release(before);
    this.#outboundFragments.clear();
  }

  /** Follows a change of what the link outside takes, as far as there is memory for packets of that length. */
  set externalMtu(mtu: number) {
    this.#outside.mtu = Math.min(mtu, this.#forwarder.maxCopySize);
  }

  /**
   * Tells the client whose packet has left the queue outside, and was refused there as too long for the link. To be
   * called before the next packet.
   */
  refuseSent(packet: number, now: number): void {
    const error = this.#forwarder.tooBigError(packet, this.#outside, now);
    if (error >= 0) this.#icmp.inbound(error, this.#headers.transport(error), false, now);
  }

  // Published services.

  /** Takes their back ends as they are now; the services are those of the start, in their order. */
  setServices(services: readonly NatService[]): void {
    this.#flows.services.update(services);
  }

  /** What their back ends have had to do. */
  serviceFigures(services: readonly NatService[]): BackEndFigures[] {
    return this.#flows.services.figures(services);
  }

  /** Whether a client's packet is a back end's, of a flow that it was given from outside. Not for later fragments. */
  answers(packet: number, now: number): boolean {
    return this.#outbound.answers(packet, now);
  }

  // From a client.

  /**
   * Takes on a client's packet to the gateway's own external address, for `outbound()`, or leaves it to the host: the
   * first fragment decides for those that follow, so that it is to be called once for each packet.
   *
   * @returns whether it is the NAT's concern
   */
  takeExternal(packet: number, now: number): boolean {
    return this.#outbound.takeExternal(packet, now);
  }

  /**
   * Takes a packet of a client that has passed the checks of its family.
   *
   * @param now monotonic ms
   * @param guess what this, or another NAT, has returned for a packet of the client's before; null for none
   * @returns what the next packet of its flow will ask for; null where there is no such thing
   */
  outbound(packet: number, now: number, guess: Mapping | null = null): Mapping | null {
    return this.#outbound.translate(packet, guess, now);
  }

  // From outside.

  /** Takes a packet captured outside, or handed over by another worker, that has passed the checks of its family. */
  inbound(packet: number, now: number, origin: Origin = Origin.outside): void {
    this.#inbound.translate(packet, origin, now);
  }

  /**
   * Hands over a super-packet captured outside, if it is for another worker's client.
   *
   * @param header offset of its virtio-net header
   * @returns whether it was
   */
  passMerged(packet: number, header: number): boolean {
    if (this.#slice === null) return false;
    const owner = this.#inbound.ownerOfMerged(packet);
    if (owner === this.#slice.number) return false;
    this.#forwarder.handOver(owner, Origin.captured, packet, header);
    return true;
  }

  /**
   * Takes a super-packet captured outside. Its checksums are left wrong: splitting works them out again.
   *
   * @param segmentLength bytes of each packet that it will be split into
   * @returns whether it may go on, to the client that its destination now names, or outside, by `sendCopy()`
   */
  inboundMerged(packet: number, segmentLength: number, now: number): MergedTo {
    return this.#inbound.translateMerged(packet, segmentLength, now);
  }

  /** Sends a packet outside whose memory is needed for the next one. */
  sendCopy(packet: number, length: number): void {
    this.#forwarder.forwardCopy(this.#outside, packet, length);
  }

  /** Whether a packet, as a client is to get it, has come by a forwarded port. False for later fragments. */
  isForwarded(packet: number): boolean {
    return this.#inbound.isForwarded(packet);
  }

  // Flows that another NAT goes on with.

  /** Has flows told of from now on, and those of others adopted. To be called once; of one that has all ports. */
  replicate(): ReplicatedFlows {
    const { ports, clientQuota: quota, filtering } = this.#options;
    const { mappings, sessions } = this.#flows;
    const resets = this.#resets;
    const isStrict = filtering === "address";
    return new ReplicatedFlows({ mappings, sessions, resets, ports, quota, isStrict });
  }

  // Clients and time.

  /** Takes all its mappings from a client that is gone; `identity` is what `clientOf` names it by. */
  releaseClient(identity: unknown, now: number): void {
    this.#flows.release(identity, now);
  }

  /** When `poll()` has something to do, monotonic ms. */
  pollAt(): number {
    const isIdle = this.#flows.isIdle &&
      this.#outboundFragments.size === 0 && this.#inboundFragments.size === 0;
    return isIdle ? Infinity : this.#sweepAt;
  }

  /** Removes what has expired. Costs one comparison when it is not time. */
  poll(now: number): void {
    if (now < this.#sweepAt) return;
    this.#sweepAt = now + SWEEP_INTERVAL;
    this.#flows.sweep(now);
    this.#outboundFragments.sweep(now);
    this.#inboundFragments.sweep(now);
    this.#headers.holds.tidy();
  }
}
