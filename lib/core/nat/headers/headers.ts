/**
 * Headers: what the NAT reads and writes of a packet, by the family of its addresses. All else in this folder is the
 * same for both: mappings, sessions, quotas, times, filtering.
 *
 * An address is a number here: of IPv4 itself, signed (addresses.ts), of IPv6 its number in a table
 * (address_table.ts). Of protocols, ICMPv6 goes by ICMP's number, as what is kept of flows does.
 */
import type { HostAddress } from "../../wire/host_address.ts";
import type { AddressHolds } from "./address_table.ts";

/** Which end of a packet is meant. */
export const SOURCE = 0;
export const DESTINATION = 1;
export type End = typeof SOURCE | typeof DESTINATION;

/** Of an ICMP message. */
export const IcmpKind = { error: 0, echo: 1, echoReply: 2, other: 3 } as const;
export type IcmpKind = typeof IcmpKind[keyof typeof IcmpKind];

/** Why a packet is refused, for its sender to know. */
export const RefusedAs = {
  /** It is longer than the way takes: the error says how long it may be. */
  tooBig: 0,
  /** Its time to live, or hop limit, has come to an end. */
  expired: 1,
  /** Its protocol is not carried. */
  protocol: 2,
  /** There are no means left for it. */
  prohibited: 3,
} as const;
export type RefusedAs = typeof RefusedAs[keyof typeof RefusedAs];

/** All takes packets by their offset. What `check…()` of the family refuses is not to be offered. */
export interface Headers {
  /** What of addresses is held by flows. */
  readonly holds: AddressHolds;
  /** Bytes that every path takes: packets up to this need not be asked about. */
  readonly minPathMtu: number;
  /** Bytes of the IP and TCP headers without options: what the MSS leaves out of the MTU. */
  readonly mssOverhead: number;
  /** The bits that an identification has. */
  readonly identificationMask: number;

  // Addresses.

  /** The number of an address that is configured, held as long as the NAT is there; of null, that of none. */
  numberOf(address: HostAddress | null): number;
  /** To be called for a client's packet before all else, so that its addresses have numbers. */
  enter(packet: number): void;
  source(packet: number): number;
  destination(packet: number): number;
  /** A number that stands for the sender, whether or not its address is known. */
  senderKey(packet: number): number;
  /** Bytes from the start of the header to its addresses, which stand side by side, and of both. */
  readonly addressesOffset: number;
  readonly addressesSize: number;

  // Fields.

  /** Bytes of headers and payload. */
  totalLength(packet: number): number;
  /** The offset of the transport header; of a later fragment, of what stands there. */
  transport(packet: number): number;
  protocol(packet: number): number;
  hopLimit(packet: number): number;
  /** Whether this is a fragment other than the first: it has no transport header. */
  isLaterFragment(packet: number): boolean;
  /** Of a packet that is no later fragment: whether others of it follow. */
  isFirstFragment(packet: number): boolean;
  /** Whether a router may divide it: of IPv6, none. */
  mayBeDivided(packet: number): boolean;
  /** Whether it has an identification that means anything: it is a fragment, or may become some. */
  isIdentified(packet: number): boolean;
  /** Of a fragment; signed. */
  identification(packet: number): number;

  // Rewriting, in place, with the checksums; address `AS_IT_IS` leaves that end alone.

  /** Replaces an address, with the IP checksum and no other: all that there is to do in a later fragment. */
  rewriteAddress(packet: number, end: End, address: number): void;
  /**
   * Replaces an address and a port, or the id of an ICMP query, with all checksums.
   *
   * @param available bytes of the packet that are there: one quoted in an ICMP error may lack its transport checksum
   */
  rewriteEndpoint(
    packet: number,
    available: number,
    end: End,
    address: number,
    port: number,
  ): void;
  rewriteIdentification(packet: number, identification: number): void;
  decrementHopLimit(packet: number): void;

  // ICMP.

  icmpKind(message: number): IcmpKind;
  /** Whether an error goes through a router, rather than from one neighbour to another. */
  isRoutable(message: number): boolean;
  /**
   * Whether there is a packet at `quoted`, which ends at `end`, of a protocol that is translated, with so much of it
   * that its ports are there.
   */
  isQuotable(quoted: number, end: number): boolean;
  /** Whether the checksums of an error, and of the IP header that it quotes, are right. */
  isIntact(packet: number, message: number, quoted: number): boolean;
  /** Works out the checksum of a message that was changed. */
  writeIcmpChecksum(packet: number, message: number): void;
  /** Whether an error may be sent about a packet. */
  mayAnswer(packet: number): boolean;
  /**
   * Writes the error about `packet` to offset `at`, addressed to its sender.
   *
   * @param mtu bytes; of `RefusedAs.tooBig`, else 0
   * @param source number of the address that it is from
   */
  writeError(at: number, packet: number, refusal: RefusedAs, mtu: number, source: number): void;
}
