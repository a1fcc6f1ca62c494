/** TCP answer: a segment of the NAT's own to the sender of another one, without options and payload. */
import { finish, pseudoHeaderSum, sum } from "../../wire/checksum.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import type { Memory } from "../../wire/memory.ts";
import * as tcp from "../../wire/tcp.ts";

const SIZE = ipv4.MIN_HEADER_SIZE + tcp.MIN_HEADER_SIZE;
const TIME_TO_LIVE = 64;
/** Words that the header length is counted in, in the upper half of its byte. */
const DATA_OFFSET = tcp.MIN_HEADER_SIZE >> 2 << 4;

/**
 * Writes it, with all but its numbers, flags and window, which are 0, and its checksum, see `finishAnswer()`.
 *
 * @param at where it begins
 * @param packet what it answers, an IPv4 packet
 * @param transport offset of the TCP header in there
 * @returns offset of its TCP header
 */
export function beginAnswer(
  { bytes, view }: Memory,
  at: number,
  packet: number,
  transport: number,
): number {
  const segment = at + ipv4.MIN_HEADER_SIZE;
  bytes.fill(0, at, at + SIZE);
  view.setUint8(at, 0x45);
  view.setUint16(at + ipv4.TOTAL_LENGTH_OFFSET, SIZE);
  view.setUint16(at + ipv4.FLAGS_OFFSET, ipv4.FLAG_DONT_FRAGMENT);
  view.setUint8(at + ipv4.TIME_TO_LIVE_OFFSET, TIME_TO_LIVE);
  view.setUint8(at + ipv4.PROTOCOL_OFFSET, ipv4.PROTOCOL_TCP);
  const source = view.getInt32(packet + ipv4.DESTINATION_ADDRESS_OFFSET);
  view.setInt32(at + ipv4.SOURCE_ADDRESS_OFFSET, source);
  const destination = view.getInt32(packet + ipv4.SOURCE_ADDRESS_OFFSET);
  view.setInt32(at + ipv4.DESTINATION_ADDRESS_OFFSET, destination);
  view.setUint16(at + ipv4.HEADER_CHECKSUM_OFFSET, finish(sum(view, at, ipv4.MIN_HEADER_SIZE)));
  view.setUint16(segment + tcp.SOURCE_PORT_OFFSET, tcp.destinationPort(view, transport));
  view.setUint16(segment + tcp.DESTINATION_PORT_OFFSET, tcp.sourcePort(view, transport));
  view.setUint8(segment + tcp.DATA_OFFSET_OFFSET, DATA_OFFSET);
  return segment;
}

/** Writes the checksum of the answer that begins at `at`. */
export function finishAnswer({ view }: Memory, at: number): void {
  const source = view.getInt32(at + ipv4.SOURCE_ADDRESS_OFFSET);
  const destination = view.getInt32(at + ipv4.DESTINATION_ADDRESS_OFFSET);
  const segment = at + ipv4.MIN_HEADER_SIZE;
  const pseudo = pseudoHeaderSum(source, destination, ipv4.PROTOCOL_TCP, tcp.MIN_HEADER_SIZE);
  view.setUint16(
    segment + tcp.CHECKSUM_OFFSET,
    finish(sum(view, segment, tcp.MIN_HEADER_SIZE, pseudo)),
  );
}
