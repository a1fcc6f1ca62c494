/**
 * Router: where an inner packet goes: to a peer, to this host, to the world outside, or nowhere.
 *
 * The order is that of lib/core/nat/README.md, "Routing inside": the gateway's own inner addresses before the peers',
 * so that no peer's allowed IPs can take an address of the gateway; the peers before the outside, so that traffic from
 * one client to another never leaves.
 */
import type { EgressRule } from "../access/egress_rules.ts";
import { DropReason } from "../wire/drop_reason.ts";
import { AllowedIps } from "../wireguard/allowed_ips.ts";
import type { PacketPeer } from "../wireguard/packet_peer.ts";
import { NO_COUNT } from "../wireguard/prefix_trie.ts";
import { isIpv6 } from "../wire/host_address.ts";
import * as ipv4 from "../wire/ipv4.ts";
import { type Ipv4Prefix, prefixMask } from "../wire/ipv4_text.ts";
import type { Ipv6PrefixText } from "../wire/ipv6_prefix.ts";
import type { AllowedIps6 } from "../wireguard/allowed_ips6.ts";
import { type Exit, exitsOf } from "./exits.ts";
import { NO_ERROR, quotedPacket } from "./icmp_quote.ts";
import { Router6 } from "./router6.ts";
import { RoutingVerdict } from "./routing_verdict.ts";

export interface RouterOptions {
  readonly allowedIps: AllowedIps<PacketPeer>;
  /** A gateway forwards between its peers and outwards; a client hands all that it receives to its host. */
  readonly isGateway: boolean;
  /** This end's inner addresses with their networks. */
  readonly addresses: readonly Ipv4Prefix[];
  /** The same of IPv6, and whose others are; without an address, none is carried. */
  readonly addresses6?: readonly Ipv6PrefixText[];
  readonly allowedIps6?: AllowedIps6<PacketPeer>;
  /** Whether one client may reach another. */
  readonly clientToClient: boolean;
  /** Whether IPv6 for the outside is the NAT's; left out, the host's kernel's. */
  readonly isTranslated6?: boolean;
  /** What happens to a gateway's packets for the outside: the NAT's, the host's kernel's, or nobody's concern. */
  readonly egress: "nat" | "kernel" | "off";
  /** Which addresses outside peers reach, and how. */
  readonly egressRules: readonly EgressRule[];
}

export class Router {
  /** Null where the tunnel carries no IPv6. */
  readonly ipv6: Router6 | null;
  readonly #allowedIps: AllowedIps<PacketPeer>;
  readonly #isGateway: boolean;
  #clientToClient: boolean;
  readonly #egress: RouterOptions["egress"];
  readonly #hostAddresses: Uint32Array;
  readonly #inside: Networks;
  #exits = new AllowedIps<Exit>();
  /**
   * The last destination (int32) that was nobody's inside, its verdict, and `AllowedIps.changes` at that time. Packets
   * come in runs: most have the destination of the one before, and no two walks through a trie to take.
   */
  #outside = 0;
  #outsideVerdict: number = RoutingVerdict.host;
  #outsideAsOf: number = NO_COUNT;

  constructor(options: RouterOptions) {
    const { addresses6 = [], allowedIps6 } = options;
    this.ipv6 = addresses6.length === 0 || allowedIps6 === undefined
      ? null
      : new Router6({ ...options, addresses6, allowedIps6 });
    this.#allowedIps = options.allowedIps;
    this.#isGateway = options.isGateway;
    this.#clientToClient = options.clientToClient;
    this.#egress = options.egress;
    this.#hostAddresses = Uint32Array.from(options.addresses, (prefix) => prefix.address);
    this.#inside = new Networks(options.addresses);
    this.setEgressRules(options.egressRules);
  }

  /** Whether one client may reach another, from now on. */
  setClientToClient(clientToClient: boolean): void {
    this.#clientToClient = clientToClient;
    this.ipv6?.setClientToClient(clientToClient);
  }

  /** Judges by these rules from now on. */
  setEgressRules(rules: readonly EgressRule[]): void {
    const isKernels = this.#egress === "kernel";
    const exits = exitsOf(isKernels ? RoutingVerdict.host : RoutingVerdict.outside);
    const table = new AllowedIps<Exit>();
    table.insert(0, 0, exits.pass);
    for (const { address, prefixLength, verdict } of rules) {
      if (!isIpv6(address)) table.insert(address, prefixLength, exits[verdict]);
    }
    this.#exits = table;
    this.#outsideAsOf = NO_COUNT;
    this.ipv6?.setEgressRules(rules);
  }

  /** The peer that a packet from this host, or from outside, is for; null for none. */
  fromHost(destination: number): PacketPeer | null {
    return this.#allowedIps.lookup(destination);
  }

  /**
   * Whether a checked packet of a peer's is an ICMP error about what was not on its way to that peer. The kernel's NAT,
   * and its routes, go by what is quoted: a client could end the flows of others, or narrow their path.
   */
  isForeignError(source: PacketPeer, view: DataView, packet: number): boolean {
    if (!this.#isGateway) return false;
    const quoted = quotedPacket(view, packet);
    if (quoted <= NO_ERROR) return quoted < NO_ERROR;
    return this.#allowedIps.lookup(ipv4.destinationAddress(view, quoted) | 0) !== source;
  }

  /**
   * Judges a packet that came from a peer, whose source address is already known to be that peer's.
   *
   * @param destination int32
   * @returns the index of the peer that it is for, `RoutingVerdict.host`, `RoutingVerdict.outside`, or minus the reason
   * for which it is dropped
   */
  fromPeer(source: PacketPeer, destination: number): number {
    const { changes } = this.#allowedIps;
    if (destination === this.#outside && changes === this.#outsideAsOf) return this.#outsideVerdict;
    if (!this.#isGateway || this.#isHostAddress(destination)) return RoutingVerdict.host;
    const owner = this.#allowedIps.lookup(destination);
    if (owner !== null) {
      // Back to where it came from is a routing loop between the two ends.
      if (owner === source) return -DropReason.noRoute;
      return this.#clientToClient ? owner.index : -DropReason.clientToClientOff;
    }
    if (this.#inside.contain(destination)) return -DropReason.noRoute;
    if (this.#egress === "off") return -DropReason.noEgress;
    this.#outside = destination;
    this.#outsideVerdict = this.#exits.lookup(destination)!.verdict;
    this.#outsideAsOf = changes;
    return this.#outsideVerdict;
  }

  /** Whether clients may not go to an address outside by themselves. */
  refuses(address: number): boolean {
    return this.#exits.lookup(address)!.verdict < 0;
  }

  /** Whether packets for outside are the host's to forward, and come back from it. */
  get isForwardedByHost(): boolean {
    return this.#egress === "kernel";
  }

  /**
   * Whether an address (either sign) is inside, a peer's or this end's: nothing from outside may claim to come from
   * there.
   */
  isInside(address: number): boolean {
    return this.#inside.contain(address) || this.#allowedIps.lookup(address) !== null;
  }

  #isHostAddress(address: number): boolean {
    for (let i = 0; i < this.#hostAddresses.length; i++) {
      if (this.#hostAddresses[i] === address >>> 0) return true;
    }
    return false;
  }
}

/** A few networks, compared with an address one by one: there are as many as a host has addresses. */
class Networks {
  readonly #addresses: Uint32Array;
  readonly #masks: Uint32Array;

  constructor(prefixes: readonly Ipv4Prefix[]) {
    this.#masks = Uint32Array.from(prefixes, ({ prefixLength }) => prefixMask(prefixLength));
    this.#addresses = Uint32Array.from(
      prefixes,
      ({ address, prefixLength }) => address & prefixMask(prefixLength),
    );
  }

  contain(address: number): boolean {
    for (let i = 0; i < this.#addresses.length; i++) {
      if (((address & this.#masks[i]) >>> 0) === this.#addresses[i]) return true;
    }
    return false;
  }
}
