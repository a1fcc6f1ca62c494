/**
 * Router: where an inner packet goes: to a peer, to this host, to the world outside, or nowhere.
 *
 * The order is that of lib/core/nat/README.md, "Routing inside": the gateway's own inner addresses before the peers',
 * so that no peer's allowed IPs can take an address of the gateway; the peers before the outside, so that traffic from
 * one client to another never leaves.
 */
import type { EgressRule, EgressVerdict } from "../access/egress_rules.ts";
import { DropReason } from "../wire/drop_reason.ts";
import { AllowedIps } from "../wireguard/allowed_ips.ts";
import type { Peer } from "../wireguard/peer.ts";
import { type Ipv4Prefix, prefixMask } from "../wire/ipv4_text.ts";

/** Where a packet goes. */
export const Verdict = { drop: 0, peer: 1, host: 2, external: 3 } as const;
export type Verdict = (typeof Verdict)[keyof typeof Verdict];

export interface RouterOptions {
  readonly allowedIps: AllowedIps<Peer>;
  /** A gateway forwards between its peers and outwards; a client hands all that it receives to its host. */
  readonly isGateway: boolean;
  /** This end's inner addresses with their networks. */
  readonly addresses: readonly Ipv4Prefix[];
  /** Whether one client may reach another. */
  readonly clientToClient: boolean;
  /** What happens to a gateway's packets for the outside: the NAT's, the host's kernel's, or nobody's concern. */
  readonly egress: "nat" | "kernel" | "off";
  /** Which addresses outside peers reach, and how. */
  readonly egressRules: readonly EgressRule[];
}

/** What an egress rule comes to. */
interface Exit {
  readonly verdict: Verdict;
  /** Of a drop. */
  readonly reason: DropReason;
}

export class Router {
  /** The peer of the last `Verdict.peer`. */
  peer: Peer | null = null;
  /** The reason of the last `Verdict.drop`. */
  reason: DropReason = DropReason.none;

  readonly #allowedIps: AllowedIps<Peer>;
  readonly #isGateway: boolean;
  #clientToClient: boolean;
  readonly #egress: RouterOptions["egress"];
  readonly #hostAddresses: Uint32Array;
  readonly #inside: Networks;
  #exits = new AllowedIps<Exit>();

  constructor(options: RouterOptions) {
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
  }

  /** Judges by these rules from now on. */
  setEgressRules(rules: readonly EgressRule[]): void {
    const exits: Readonly<Record<EgressVerdict, Exit>> = {
      pass: { verdict: this.#outside(), reason: DropReason.none },
      host: { verdict: Verdict.host, reason: DropReason.none },
      private: { verdict: Verdict.drop, reason: DropReason.privateDestination },
      denied: { verdict: Verdict.drop, reason: DropReason.egressDenied },
      nowhere: { verdict: Verdict.drop, reason: DropReason.noEgress },
    };
    const table = new AllowedIps<Exit>();
    table.insert(0, 0, exits.pass);
    for (const { address, prefixLength, verdict } of rules) {
      table.insert(address, prefixLength, exits[verdict]);
    }
    this.#exits = table;
  }

  /** Judges a packet that this host sends into the tunnel. */
  fromHost(destination: number): Verdict {
    this.peer = this.#allowedIps.lookup(destination);
    return this.peer !== null ? Verdict.peer : this.#drop(DropReason.noRoute);
  }

  /** Judges a packet that came from a peer, whose source address is already known to be that peer's. */
  fromPeer(source: Peer, destination: number): Verdict {
    if (!this.#isGateway || this.#isHostAddress(destination)) return Verdict.host;
    const owner = this.#allowedIps.lookup(destination);
    if (owner !== null) {
      // Back to where it came from is a routing loop between the two ends.
      if (owner === source) return this.#drop(DropReason.noRoute);
      if (!this.#clientToClient) return this.#drop(DropReason.clientToClientOff);
      this.peer = owner;
      return Verdict.peer;
    }
    if (this.#inside.contain(destination)) return this.#drop(DropReason.noRoute);
    if (this.#egress === "off") return this.#drop(DropReason.noEgress);
    const exit = this.#exits.lookup(destination)!;
    this.reason = exit.reason;
    return exit.verdict;
  }

  /** Whether clients may not go to an address outside by themselves. */
  refuses(address: number): boolean {
    return this.#exits.lookup(address)!.verdict === Verdict.drop;
  }

  /** Whether packets for outside are the host's to forward, and come back from it. */
  get isForwardedByHost(): boolean {
    return this.#egress === "kernel";
  }

  /** Whether an address (either sign) is inside, a peer's or this end's: nothing from outside may claim to come from there. */
  isInside(address: number): boolean {
    return this.#inside.contain(address) || this.#allowedIps.lookup(address) !== null;
  }

  #outside(): Verdict {
    return this.#egress === "kernel" ? Verdict.host : Verdict.external;
  }

  #drop(reason: DropReason): Verdict {
    this.reason = reason;
    return Verdict.drop;
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
