/** What a NAT is made from. */
import type { PortRange } from "../wire/port_range.ts";
import type { Memory } from "../wire/memory.ts";
import type { DropCounters } from "../wire/drop_reason.ts";
import type { NatSlice } from "./slices/owners.ts";

/** An external port that always leads to one client's service. */
export interface NatForward {
  readonly protocol: "tcp" | "udp";
  readonly externalPort: number;
  /** The client's inner address, host order. */
  readonly address: number;
  readonly port: number;
}

export interface NatOptions {
  readonly memory: Memory;
  readonly drops: DropCounters;
  /** Offset of `Nat.generatedSize()` bytes of the memory for packets that the NAT itself makes. */
  readonly generated: number;
  /** The gateway's address outside and inside, host order. */
  readonly externalAddress: number;
  readonly innerAddress: number;
  /** Bytes. */
  readonly externalMtu: number;
  readonly innerMtu: number;
  /** External ports, and ids of ICMP queries, that may be used. */
  readonly ports: PortRange;
  /** `endpoint`: anybody may answer to a mapping (RFC 4787 section 5); `address`: only who was written to. */
  readonly filtering: "endpoint" | "address";
  readonly forwards: readonly NatForward[];
  /**
   * Whether one client may reach another by its external endpoint; left out, it may. Forwarded ports are for everybody.
   */
  readonly clientToClient?: boolean;
  /** Ports of each protocol that one client may hold. */
  readonly clientQuota: number;
  /** Is told whose packet was refused because it had no room left: what `clientOf` names it. */
  readonly onRefusal?: (identity: unknown) => void;
  /**
   * Whose an inner address (signed) is: a peer with a network behind it is one client. Left out, each address is a
   * client of its own.
   */
  readonly clientOf?: (address: number) => unknown;
  /** Bytes that the path to an inner address (signed) takes; left out, the inner MTU. */
  readonly mtuOf?: (address: number) => number;
  /** Draws an unsigned 32-bit number. */
  readonly random: () => number;
  /** Where this is one of several workers' that have the external address together; left out, it has all by itself. */
  readonly slice?: NatSlice | null;
}
