/**
 * Router of IPv6: where an inner packet goes: to a peer, to this host, outside by the NAT, or nowhere. In the order of
 * `Router`.
 */
import type { EgressRule } from "../access/egress_rules.ts";
import { DropReason } from "../wire/drop_reason.ts";
import { type Ipv6Text, isIpv6 } from "../wire/host_address.ts";
import { addressOf6, formatCidr6, type Ipv6PrefixText } from "../wire/ipv6_prefix.ts";
import * as ipv6 from "../wire/ipv6.ts";
import { AllowedIps6 } from "../wireguard/allowed_ips6.ts";
import type { PacketPeer } from "../wireguard/packet_peer.ts";
import { NO_COUNT } from "../wireguard/prefix_trie.ts";
import { type Exit, exitsOf } from "./exits.ts";
import { NO_ERROR, quotedPacket6 } from "./icmp_quote.ts";
import { RoutingVerdict } from "./routing_verdict.ts";

export interface Router6Options {
  readonly allowedIps6: AllowedIps6<PacketPeer>;
  readonly isGateway: boolean;
  /** This end's inner addresses with their networks; one at least. */
  readonly addresses6: readonly Ipv6PrefixText[];
  readonly clientToClient: boolean;
  /** Whether what is for outside is the NAT's; left out, the host's to forward. */
  readonly isTranslated6?: boolean;
}

/** What is to be known of an address is whether it is there. */
const THERE = {};

export class Router6 {
  /** The first of this end's addresses. */
  readonly ownAddress: Ipv6Text;
  readonly #allowedIps: AllowedIps6<PacketPeer>;
  readonly #isGateway: boolean;
  readonly #isTranslated: boolean;
  #clientToClient: boolean;
  readonly #hostAddresses = new AllowedIps6<typeof THERE>();
  readonly #inside = new AllowedIps6<typeof THERE>();
  /** Where nothing is, nothing goes outside. */
  #exits = new AllowedIps6<Exit>();
  /** The words of the last destination that was nobody's inside, its verdict and its time, as in `Router`. */
  #word0 = 0;
  #word1 = 0;
  #word2 = 0;
  #word3 = 0;
  #outsideVerdict: number = -DropReason.noEgress;
  #outsideAsOf: number = NO_COUNT;

  constructor(options: Router6Options) {
    this.ownAddress = addressOf6(options.addresses6[0]!);
    this.#allowedIps = options.allowedIps6;
    this.#isGateway = options.isGateway;
    this.#isTranslated = options.isTranslated6 ?? false;
    this.#clientToClient = options.clientToClient;
    for (const prefix of options.addresses6) {
      this.#hostAddresses.insert(`${addressOf6(prefix)}/128`, THERE);
      this.#inside.insert(prefix, THERE);
    }
  }

  /** Whether one client may reach another, from now on. */
  setClientToClient(clientToClient: boolean): void {
    this.#clientToClient = clientToClient;
  }

  /** Judges by those of these rules that are of IPv6 from now on. */
  setEgressRules(rules: readonly EgressRule[]): void {
    const exits = exitsOf(this.#isTranslated ? RoutingVerdict.outside : RoutingVerdict.host);
    const table = new AllowedIps6<Exit>();
    for (const { address, prefixLength, verdict } of rules) {
      if (isIpv6(address)) table.insert(formatCidr6({ address, prefixLength }), exits[verdict]);
    }
    this.#exits = table;
    this.#outsideAsOf = NO_COUNT;
  }

  /** The peer that a packet from this host, or from outside, is for; null for none. */
  fromHost(view: DataView, packet: number): PacketPeer | null {
    return this.#allowedIps.lookup(view, packet + ipv6.DESTINATION_ADDRESS_OFFSET);
  }

  /** Whether a checked packet of a peer's is an ICMPv6 error about what was not on its way to that peer. */
  isForeignError(source: PacketPeer, view: DataView, packet: number): boolean {
    if (!this.#isGateway) return false;
    const quoted = quotedPacket6(view, packet);
    if (quoted <= NO_ERROR) return quoted < NO_ERROR;
    return this.#allowedIps.lookup(view, quoted + ipv6.DESTINATION_ADDRESS_OFFSET) !== source;
  }

  /**
   * Judges a packet that came from a peer, whose source address is already known to be that peer's.
   *
   * @returns the index of the peer that it is for, `RoutingVerdict.host`, `RoutingVerdict.outside`, or minus the reason
   * for which it is dropped
   */
  fromPeer(source: PacketPeer, view: DataView, packet: number): number {
    const destination = packet + ipv6.DESTINATION_ADDRESS_OFFSET;
    if (this.#isLastOutside(view, destination)) return this.#outsideVerdict;
    if (!this.#isGateway || this.#hostAddresses.lookup(view, destination) !== null) {
      return RoutingVerdict.host;
    }
    const owner = this.#allowedIps.lookup(view, destination);
    if (owner !== null) {
      // Back to where it came from is a routing loop between the two ends.
      if (owner === source) return -DropReason.noRoute;
      return this.#clientToClient ? owner.index : -DropReason.clientToClientOff;
    }
    if (this.#inside.lookup(view, destination) !== null) return -DropReason.noRoute;
    this.#word0 = view.getInt32(destination);
    this.#word1 = view.getInt32(destination + 4);
    this.#word2 = view.getInt32(destination + 8);
    this.#word3 = view.getInt32(destination + 12);
    this.#outsideVerdict = this.#exits.lookup(view, destination)?.verdict ?? -DropReason.noEgress;
    this.#outsideAsOf = this.#allowedIps.changes;
    return this.#outsideVerdict;
  }

  #isLastOutside(view: DataView, at: number): boolean {
    return this.#outsideAsOf === this.#allowedIps.changes &&
      view.getInt32(at + 12) === this.#word3 && view.getInt32(at + 8) === this.#word2 &&
      view.getInt32(at + 4) === this.#word1 && view.getInt32(at) === this.#word0;
  }

  /** Whether the address at `at` is inside: nothing from outside may claim to come from there. */
  isInside(view: DataView, at: number): boolean {
    return this.#inside.lookup(view, at) !== null || this.#allowedIps.lookup(view, at) !== null;
  }
}
