/** What a NAT is made from. */
import type { HostAddress } from "../wire/host_address.ts";
import type { PortRange } from "../wire/port_range.ts";
import type { Memory } from "../wire/memory.ts";
import type { DropCounters } from "../wire/drop_reason.ts";
import type { Headers } from "./headers/headers.ts";
import type { ServiceMethod } from "./services/service.ts";
import type { NatSlice } from "./slices/owners.ts";

/** An external port that always leads to one client's service. */
export interface NatForward<Address extends HostAddress = number> {
  readonly protocol: "tcp" | "udp";
  readonly externalPort: number;
  /** The client's inner address. */
  readonly address: Address;
  readonly port: number;
}

/** What is published outside: its port always leads to one of its back ends. */
export interface NatService {
  readonly protocol: "tcp" | "udp";
  /** Of its own, host order; null for the gateway's outside. */
  readonly externalAddress: number | null;
  readonly externalPort: number;
  readonly method: ServiceMethod;
  readonly backEnds: readonly NatBackEnd[];
}

export interface NatBackEnd {
  /** As it is configured, once in each service: by this it keeps its flows, whatever becomes of others. */
  readonly name: string;
  /** Host order; null where it has none now. */
  readonly address: number | null;
  readonly port: number;
  /** Reached by the uplink, not through the tunnel. */
  readonly isOutside: boolean;
  readonly isUp: boolean;
  readonly isDraining: boolean;
}

export interface NatOptions {
  readonly memory: Memory;
  /** Of the family that is translated; left out, IPv4's. */
  readonly headers?: Headers;
  readonly drops: DropCounters;
  /** Offset of `Nat.generatedSize()` bytes of the memory for packets that the NAT itself makes. */
  readonly generated: number;
  /** The gateway's address outside, null while there is none, and inside. */
  readonly externalAddress: HostAddress | null;
  readonly innerAddress: HostAddress;
  /** Bytes. */
  readonly externalMtu: number;
  readonly innerMtu: number;
  /** External ports, and ids of ICMP queries, that may be used. */
  readonly ports: PortRange;
  /** `endpoint`: anybody may answer to a mapping (RFC 4787 section 5); `address`: only who was written to. */
  readonly filtering: "endpoint" | "address";
  readonly forwards: readonly NatForward<HostAddress>[];
  /** Of IPv4 alone. Left out, there are none; nor may there be any where this is one of several workers'. */
  readonly services?: readonly NatService[];
  /** Secret, and the same after a restart: by this flows find their back ends again. Left out, a random one. */
  readonly serviceSeed?: number;
  /**
   * Whether one client may reach another by its external endpoint; left out, it may. Forwarded ports are for everybody.
   */
  readonly clientToClient?: boolean;
  /** Ports of each protocol that one client may hold. */
  readonly clientQuota: number;
  /** Is told whose packet was refused because it had no room left: what `clientOf` names it. */
  readonly onRefusal?: (identity: unknown) => void;
  /**
   * Whose an inner address (as `headers` numbers it) is: a peer with a network behind it is one client. Left out, each
   * address is a client of its own; not with IPv6, where a number may be another address's by and by.
   */
  readonly clientOf?: (address: number) => unknown;
  /** Bytes that the path to an inner address takes; left out, the inner MTU. */
  readonly mtuOf?: (address: number) => number;
  /** Draws an unsigned 32-bit number. */
  readonly random: () => number;
  /**
   * Of IPv4 alone: where this is one of several workers' that have the external address together; left out, it has all
   * by itself.
   */
  readonly slice?: NatSlice | null;
}
