/** Outside family: what from_outside.ts does by the family of a captured packet. */
import type { InboundFlows } from "../access/inbound_flows.ts";
import type { Nat } from "../nat/nat.ts";
import type { Router } from "../routing/router.ts";
import type { Router6 } from "../routing/router6.ts";
import type { DropReason } from "../wire/drop_reason.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as ipv6 from "../wire/ipv6.ts";
import type { Memory } from "../wire/memory.ts";
import type { PacketPeer } from "../wireguard/packet_peer.ts";

export interface OutsideFamily {
  /** Whether a packet of `length` bytes may travel on. */
  check(packet: number, length: number): DropReason;
  totalLength(packet: number): number;
  /** Whether its source is inside: what comes from outside could pass for a client's, or the gateway's own answer. */
  isFromInside(packet: number): boolean;
  /** The peer that it is for; null for none. */
  peerFor(packet: number): PacketPeer | null;
  /** Takes note of a packet that a client gets, if it may be answered on that account. */
  note(packet: number, now: number): void;
}

export interface OutsideIpv4Options {
  readonly memory: Memory;
  readonly router: Router;
  readonly inboundFlows: InboundFlows;
  readonly nat: Nat;
}

export class OutsideIpv4 implements OutsideFamily {
  readonly #memory: Memory;
  readonly #view: DataView;
  readonly #router: Router;
  readonly #inboundFlows: InboundFlows;
  readonly #nat: Nat;

  constructor({ memory, router, inboundFlows, nat }: OutsideIpv4Options) {
    this.#memory = memory;
    this.#view = memory.view;
    this.#router = router;
    this.#inboundFlows = inboundFlows;
    this.#nat = nat;
  }

  check(packet: number, length: number): DropReason {
    return ipv4.checkIpv4(this.#memory, packet, length);
  }

  totalLength(packet: number): number {
    return ipv4.totalLength(this.#view, packet);
  }

  isFromInside(packet: number): boolean {
    return this.#router.isInside(ipv4.sourceAddress(this.#view, packet) | 0);
  }

  peerFor(packet: number): PacketPeer | null {
    return this.#router.fromHost(ipv4.destinationAddress(this.#view, packet) | 0);
  }

  /**
   * If its sender is one whom clients may only answer, and it has come by a forwarded port. By any other, the sender
   * may claim an address that the client would like to reach, and is refused.
   */
  note(packet: number, now: number): void {
    const source = ipv4.sourceAddress(this.#view, packet) | 0;
    if (!this.#router.refuses(source) || !this.#nat.isForwarded(packet)) return;
    this.#inboundFlows.note(packet, now);
  }
}

export class OutsideIpv6 implements OutsideFamily {
  readonly #view: DataView;
  readonly #router: Router6;

  constructor({ memory: { view }, router }: { readonly memory: Memory; readonly router: Router6 }) {
    this.#view = view;
    this.#router = router;
  }

  check(packet: number, length: number): DropReason {
    return ipv6.checkIpv6(this.#view, packet, length);
  }

  totalLength(packet: number): number {
    return ipv6.totalLength(this.#view, packet);
  }

  isFromInside(packet: number): boolean {
    return this.#router.isInside(this.#view, packet + ipv6.SOURCE_ADDRESS_OFFSET);
  }

  peerFor(packet: number): PacketPeer | null {
    return this.#router.fromHost(this.#view, packet);
  }

  /** Whom a client may not go to, it does not answer either. */
  note(): void {}
}
