/**
 * Handed packets: packets inside that gateways hand each other: those for a client at another gateway, and the client's
 * answers to that gateway's host, or to somebody outside by it.
 */
import { NO_GATEWAY } from "../../core/fleet/claim.ts";
import type { HandedPacket } from "../../core/engine/from_gateway.ts";
import { HandedFlows } from "../../core/access/handed_flows.ts";
import { type DropCounters, DropReason } from "../../core/wire/drop_reason.ts";
import * as ipv4 from "../../core/wire/ipv4.ts";
import * as ipv6 from "../../core/wire/ipv6.ts";
import type { Device } from "../../core/wireguard/device.ts";
import type { Peer } from "../../core/wireguard/peer.ts";
import type { MeshLink } from "./mesh_link.ts";

export interface HandedPacketsOptions {
  readonly view: DataView;
  /** 32 random bits. */
  readonly seed: number;
  readonly drops: DropCounters;
  /** The other gateway, which is there, that has a peer; `NO_GATEWAY` for none. */
  readonly gatewayOf: (peer: Peer) => number;
  /** The way to a gateway. */
  readonly wayTo: (gateway: number) => Peer | undefined;
  readonly link: () => MeshLink;
  readonly device: Device;
}

export class HandedPackets {
  readonly #options: HandedPacketsOptions;
  readonly #flows: HandedFlows;
  readonly #packet: HandedPacket = { offset: 0, length: 0, isAnswer: false };

  constructor(options: HandedPacketsOptions) {
    this.#options = options;
    this.#flows = new HandedFlows(options.view, options.seed);
  }

  /** Whether a peer that has no session here has it at another gateway, which is there. */
  hasElsewhere(peer: Peer): boolean {
    return this.#options.gatewayOf(peer) !== NO_GATEWAY;
  }

  /** Hands a packet for such a peer over to its gateway, or drops it. It counts for the peer that sent it, if any. */
  hand(peer: Peer, offset: number, length: number, now: number): void {
    const client = this.#senderOf(offset) ?? peer;
    this.#send(this.#options.gatewayOf(peer), client, offset, length, false, now);
  }

  #senderOf(packet: number): Peer | null {
    const { device: { allowedIps, allowedIps6 }, view } = this.#options;
    return ipv6.isIpv6(view, packet)
      ? allowedIps6.lookup(view, packet + ipv6.SOURCE_ADDRESS_OFFSET)
      : allowedIps.lookup(ipv4.sourceAddress(view, packet) | 0);
  }

  /** Takes note of what another gateway's host, or somebody outside by it, has sent to a peer here. */
  note({ index }: Peer, packet: number, gateway: number, now: number): void {
    this.#flows.note(index, packet, gateway, now);
  }

  /** Hands a peer's answer to that back; false where it is none. */
  handAnswer(peer: Peer, offset: number, length: number, now: number): boolean {
    const gateway = this.#flows.gatewayOf(peer.index, offset, now);
    if (gateway === NO_GATEWAY) return false;
    this.#send(gateway, peer, offset, length, true, now);
    return true;
  }

  #send(
    gateway: number,
    client: Peer,
    offset: number,
    length: number,
    isAnswer: boolean,
    now: number,
  ): void {
    const packet = this.#packet;
    packet.offset = offset;
    packet.length = length;
    packet.isAnswer = isAnswer;
    const { drops, link, wayTo } = this.#options;
    const way = wayTo(gateway);
    const isHanded = way !== undefined && link().handPacket(way, packet, client.index, now);
    if (!isHanded) drops.add(DropReason.peerElsewhere, length);
  }
}
