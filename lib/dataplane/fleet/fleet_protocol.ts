/** Fleet protocol: what the main thread and the data plane say to each other of the gateways of a fleet. */
import type { TermEntry } from "../../core/fleet/mesh/term_entry.ts";
import type { SocketAddress } from "../../core/wire/socket_address.ts";

/** What the data plane of a gateway needs to know of its fleet at the start. */
export interface FleetConfig {
  /** Secret of the gateway's own key, 32 bytes. */
  readonly nodeKey: Uint8Array;
  /** What all gateways of the fleet have, 32 bytes. */
  readonly presharedKey: Uint8Array;
  /** UDP port for the other gateways. */
  readonly port: number;
  /** The virtual address, host order. */
  readonly virtual: number;
}

/** A gateway of the fleet, this one included. */
export interface FleetGateway {
  readonly number: number;
  /** In base64. */
  readonly publicKey: string;
  readonly endpoint: SocketAddress;
}

export type FleetCommand =
  /** These are the gateways of the fleet from now on, and this one among them. */
  | {
    readonly kind: "fleet-members";
    readonly self: number;
    readonly gateways: readonly FleetGateway[];
  }
  /** This gateway is none of the fleet's any more. */
  | { readonly kind: "fleet-left" }
  /** Whether the store answers. */
  | { readonly kind: "fleet-store"; readonly isReached: boolean }
  /** What the store says of who has the address. */
  | { readonly kind: "fleet-term"; readonly entry: TermEntry | null; readonly revision: number }
  /** Answers `fleet-write-term`; null where another was first, or nobody knows. */
  | { readonly kind: "fleet-term-written"; readonly id: number; readonly revision: number | null }
  /** The address is on this host now, for neighbours on this interface (an index). */
  | { readonly kind: "fleet-address-held"; readonly link: number }
  /** Give the address to another gateway, and take it only where nobody else can; or be as the others again. */
  | { readonly kind: "fleet-drain"; readonly isDraining: boolean };

/** How the fleet is, as this gateway sees it. */
export interface FleetView {
  readonly self: number;
  /** Who has the virtual address; null for nobody. */
  readonly holder: number | null;
  readonly term: number;
  readonly isDraining: boolean;
  /** Whether the others could not go on if this gateway ended now. */
  readonly isNeeded: boolean;
  /** Whether it has the address, or is heard by the gateway that has it. */
  readonly isKnown: boolean;
  /** Those of the others that are heard. */
  readonly heard: readonly HeardGateway[];
}

/** Another gateway, as its heartbeats show it. */
export interface HeardGateway {
  readonly number: number;
  readonly isDraining: boolean;
  /** ms by which its clock is ahead of ours; null before its first heartbeat. */
  readonly skew: number | null;
}

export type FleetReport =
  | {
    readonly kind: "fleet-write-term";
    readonly id: number;
    readonly entry: TermEntry;
    /** The revision that the entry has; 0 for none. */
    readonly expected: number;
  }
  /** Put the address on this host, to be answered by `fleet-address-held`; or take it away. */
  | { readonly kind: "fleet-address"; readonly holds: boolean; readonly reason: string }
  /** Of the flows through the NAT of the gateway that had the address before, how many go on here. */
  | { readonly kind: "fleet-flows"; readonly kept: number; readonly lost: number }
  | { readonly kind: "fleet-view"; readonly view: FleetView };
