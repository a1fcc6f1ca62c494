/** Ping: an ICMP echo (RFC 792), one request at a time, each answer checked and timed. */
import { IcmpSocket } from "../../../ffi/sockets/icmp_socket.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { finish, sum } from "../../core/wire/checksum.ts";
import * as icmp from "../../core/wire/icmp.ts";
import * as ipv4 from "../../core/wire/ipv4.ts";

/** Bytes behind the ICMP header, as `ping` has it. */
const PAYLOAD_SIZE = 56;
const REQUEST_SIZE = icmp.HEADER_SIZE + PAYLOAD_SIZE;
/** The request with an IP header of any length in front. */
const RECEIVE_SIZE = 60 + REQUEST_SIZE;

export interface PingOptions {
  /** IPv4, host order. */
  readonly address: number;
  readonly count: number;
  /** ms to wait for each answer. */
  readonly timeout: number;
}

/**
 * Sends echo requests from the thread's network namespace and waits for each answer; the thread sleeps meanwhile.
 *
 * @returns the round trip of each that was answered, in ms
 * @throws {SystemCallError} EPERM without CAP_NET_RAW, ENETUNREACH and the like where there is no way
 */
export function ping(libc: Libc, { address, count, timeout }: PingOptions): number[] {
  using socket = IcmpSocket.connect(libc, address);
  const random = crypto.getRandomValues(new Uint8Array(2 + PAYLOAD_SIZE));
  const identifier = random[0]! << 8 | random[1]!;
  const payload = random.subarray(2);
  const received = new Uint8Array(RECEIVE_SIZE);
  const times: number[] = [];
  for (let sequenceNumber = 1; sequenceNumber <= count; sequenceNumber++) {
    const request = echoRequest({ identifier, sequenceNumber, payload });
    const sentAt = performance.now();
    socket.send(request);
    for (;;) {
      const left = sentAt + timeout - performance.now();
      if (left <= 0) break;
      const length = socket.receive(received, left);
      if (isReply(received.subarray(0, length), request)) {
        times.push(performance.now() - sentAt);
        break;
      }
    }
  }
  return times;
}

/** An echo request: type 8, code 0, with its checksum. */
export function echoRequest(
  { identifier, sequenceNumber, payload }: {
    readonly identifier: number;
    readonly sequenceNumber: number;
    readonly payload: Uint8Array;
  },
): Uint8Array<ArrayBuffer> {
  const message = new Uint8Array(icmp.HEADER_SIZE + payload.length);
  const view = new DataView(message.buffer);
  view.setUint8(icmp.TYPE_OFFSET, icmp.TYPE_ECHO);
  view.setUint16(icmp.IDENTIFIER_OFFSET, identifier);
  view.setUint16(icmp.SEQUENCE_NUMBER_OFFSET, sequenceNumber);
  message.set(payload, icmp.HEADER_SIZE);
  view.setUint16(icmp.CHECKSUM_OFFSET, finish(sum(view, 0, message.length)));
  return message;
}

/**
 * Whether a packet, IP header included, answers the request: the same identifier, sequence number and payload. A socket
 * of this kind sees the answers to everybody's requests, and the requests from the other side.
 */
export function isReply(packet: Uint8Array, request: Uint8Array): boolean {
  const view = new DataView(packet.buffer, packet.byteOffset, packet.length);
  if (packet.length < ipv4.MIN_HEADER_SIZE) return false;
  const start = ipv4.headerSize(view, 0);
  if (packet.length - start !== request.length) return false;
  if (icmp.type(view, start) !== icmp.TYPE_ECHO_REPLY) return false;
  if (finish(sum(view, start, request.length)) !== 0) return false;
  return request.subarray(icmp.IDENTIFIER_OFFSET)
    .every((byte, i) => byte === packet[start + icmp.IDENTIFIER_OFFSET + i]);
}
