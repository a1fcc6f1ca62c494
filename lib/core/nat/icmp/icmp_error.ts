/** ICMP errors that the gateway sends as a router (RFC 792, RFC 1812 section 4.3.2), and when it may not. */
import { finish, sum } from "../../wire/checksum.ts";
import * as icmp from "../../wire/icmp.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import type { Memory } from "../../wire/memory.ts";
import { sourceAddress } from "../addresses.ts";
import { ICMP_ERRORS_PER_SECOND } from "../constants.ts";

/** Codes of `icmp.TYPE_DESTINATION_UNREACHABLE`. */
export const CODE_PROTOCOL_UNREACHABLE = 2;
export const CODE_FRAGMENTATION_NEEDED = 4;
export const CODE_ADMINISTRATIVELY_PROHIBITED = 13;
/** Code of `icmp.TYPE_TIME_EXCEEDED`. */
export const CODE_TIME_TO_LIVE = 0;

/** RFC 1812 section 4.3.2.3: as much of the packet as fits 576 bytes. */
const MAX_ERROR_SIZE = 576;
const HEADERS_SIZE = ipv4.MIN_HEADER_SIZE + icmp.HEADER_SIZE;
const TIME_TO_LIVE = 64;
/** Precedence 6, "internetwork control", for errors (RFC 1812 section 4.3.2.5). */
const TYPE_OF_SERVICE = 0xc0;

export interface IcmpError {
  readonly type: number;
  readonly code: number;
  /** Bytes; for `CODE_FRAGMENTATION_NEEDED`, else 0. */
  readonly nextHopMtu: number;
  /** The gateway's address on the side of the sender, signed. */
  readonly source: number;
}

/**
 * Whether an error may be sent about a packet (RFC 1122 section 3.2.2): not about errors, nor about later fragments.
 */
export function mayAnswer(view: DataView, packet: number): boolean {
  if (ipv4.fragmentOffset(view, packet) !== 0) return false;
  if (ipv4.protocol(view, packet) !== ipv4.PROTOCOL_ICMP) return true;
  return !icmp.isError(icmp.type(view, packet + ipv4.headerSize(view, packet)));
}

/**
 * Writes the error about `packet` to offset `at`, addressed to its sender.
 *
 * @returns its length in bytes, at most 576
 */
export function writeIcmpError(
  { bytes, view }: Memory,
  at: number,
  packet: number,
  error: IcmpError,
): number {
  const quoted = Math.min(ipv4.totalLength(view, packet), MAX_ERROR_SIZE - HEADERS_SIZE);
  const length = HEADERS_SIZE + quoted;
  const message = at + ipv4.MIN_HEADER_SIZE;
  bytes.fill(0, at, at + HEADERS_SIZE);
  bytes.copyWithin(at + HEADERS_SIZE, packet, packet + quoted);

  view.setUint8(at, 0x45);
  view.setUint8(at + ipv4.TYPE_OF_SERVICE_OFFSET, TYPE_OF_SERVICE);
  view.setUint16(at + ipv4.TOTAL_LENGTH_OFFSET, length);
  view.setUint16(at + ipv4.FLAGS_OFFSET, ipv4.FLAG_DONT_FRAGMENT);
  view.setUint8(at + ipv4.TIME_TO_LIVE_OFFSET, TIME_TO_LIVE);
  view.setUint8(at + ipv4.PROTOCOL_OFFSET, ipv4.PROTOCOL_ICMP);
  view.setInt32(at + ipv4.SOURCE_ADDRESS_OFFSET, error.source);
  view.setInt32(at + ipv4.DESTINATION_ADDRESS_OFFSET, sourceAddress(view, packet));
  view.setUint16(
    at + ipv4.HEADER_CHECKSUM_OFFSET,
    finish(sum(view, at, ipv4.MIN_HEADER_SIZE)),
  );

  view.setUint8(message + icmp.TYPE_OFFSET, error.type);
  view.setUint8(message + icmp.CODE_OFFSET, error.code);
  view.setUint16(message + icmp.NEXT_HOP_MTU_OFFSET, error.nextHopMtu);
  view.setUint16(
    message + icmp.CHECKSUM_OFFSET,
    finish(sum(view, message, icmp.HEADER_SIZE + quoted)),
  );
  return length;
}

/** Counts the errors sent to each address, second by second. */
export class IcmpErrorLimiter {
  readonly #counts = new Map<number, number>();
  readonly #maxReceivers: number;
  readonly #perSecond: number;
  #secondStart = -Infinity;

  /**
   * @param maxReceivers addresses that get errors within one second: others get none, however many are forged
   * @param perSecond errors for each
   */
  constructor(maxReceivers: number, perSecond: number = ICMP_ERRORS_PER_SECOND) {
    this.#maxReceivers = maxReceivers;
    this.#perSecond = perSecond;
  }

  /** Whether one more error may go to `address` (signed). */
  allow(address: number, now: number): boolean {
    if (now - this.#secondStart >= 1000) {
      this.#secondStart = now;
      this.#counts.clear();
    }
    const count = this.#counts.get(address) ?? 0;
    if (count >= this.#perSecond) return false;
    if (count === 0 && this.#counts.size >= this.#maxReceivers) return false;
    this.#counts.set(address, count + 1);
    return true;
  }
}
