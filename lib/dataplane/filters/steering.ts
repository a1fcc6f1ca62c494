/**
 * Steering: which of several workers gets what, so that all that belongs together meets in one of them: a session's
 * messages, a destination's packets, a mapping's answers. Each rule stands here as a program for the kernel.
 */
import type { EbpfInstruction } from "../../../ffi/bpf.ts";
import type { BpfInstruction } from "../../../ffi/sockets/packet_filter.ts";
import { LANES } from "../../core/fleet/mesh/lanes.ts";
import { type HostAddress, ipv6Bytes, isIpv6 } from "../../core/wire/host_address.ts";
import * as icmp from "../../core/wire/icmp.ts";
import * as icmpv6 from "../../core/wire/icmpv6.ts";
import * as ipv4 from "../../core/wire/ipv4.ts";
import * as ipv6 from "../../core/wire/ipv6.ts";
import { MESSAGE_TRANSPORT, TRANSPORT_RECEIVER_OFFSET } from "../../core/wire/messages.ts";
import { GROUP } from "../../core/nat/slices/port_slice.ts";
import type { PortRange } from "../../core/wire/port_range.ts";
import * as tcp from "../../core/wire/tcp.ts";
import { WORKER_MASK } from "../../core/wireguard/workers/sharing.ts";
import { assemble, at, type BpfLine, go, goIf } from "./assembler.ts";
import {
  ADD_K,
  ADD_X,
  AND,
  JEQ,
  JGE,
  JGT,
  JSET,
  jump,
  LD_B_ABS,
  LD_B_IND,
  LD_H_ABS,
  LD_H_IND,
  LD_LEN,
  LD_W_ABS,
  LDX_B_MSH,
  LSH,
  MOD,
  RET,
  RET_A,
  RSH,
  statement,
  TAX,
  TXA,
} from "./bpf.ts";
import * as ebpf from "./ebpf.ts";

/** As many workers as the bits can name, but for one: there is a thread besides them that has the handshakes. */
export const MAX_WORKERS = WORKER_MASK;

/** The sockets of the workers, among those of a group: `count` of them, the first one's number `first`. */
export interface WorkerSockets {
  readonly first: number;
  /** 1 to `MAX_WORKERS`. */
  readonly count: number;
}

/**
 * Which worker, from 0 on, a transport message goes to whose receiver index is this: what `datagramSteering()` has the
 * kernel do. Who makes up an index puts the worker's number into these bits.
 */
export function workerOfIndex(receiverIndex: number, count: number): number {
  return (receiverIndex & WORKER_MASK) % count;
}

/**
 * Makes the program for the group of sockets of the tunnel's port, see `steerGroup()`: a transport message to the
 * worker that its receiver index names, all else, handshakes above all, to socket 0.
 *
 * A worker gets a message of another kind all the same where the kernel has merged it behind a transport message.
 */
export function datagramSteering({ first, count }: WorkerSockets): readonly BpfInstruction[] {
  return [
    statement(LD_W_ABS, 0),
    jump(JEQ, MESSAGE_TRANSPORT << 24, 1, 0),
    statement(RET, 0),
    // The index is little-endian.
    statement(LD_B_ABS, TRANSPORT_RECEIVER_OFFSET),
    statement(AND, WORKER_MASK),
    statement(MOD, count),
    statement(ADD_K, first),
    statement(RET_A, 0),
  ];
}

/**
 * The same for a port whose few sessions are known by their receiver indices, as those between the gateways of a fleet:
 * all that anybody else can have sent goes to socket 0, a session's message to the one of its lane, of which the first
 * one's is socket 1.
 */
export function sessionSteering(receiverIndices: readonly number[]): readonly BpfInstruction[] {
  return [
    statement(LD_W_ABS, 0),
    jump(JEQ, MESSAGE_TRANSPORT << 24, 1, 0),
    statement(RET, 0),
    statement(LD_LEN, 0),
    statement(AND, LANES - 1),
    statement(ADD_K, 1),
    statement(TAX, 0),
    statement(LD_W_ABS, TRANSPORT_RECEIVER_OFFSET),
    ...receiverIndices.flatMap((index) => [
      jump(JEQ, swapped(index), 0, 2),
      statement(TXA, 0),
      statement(RET_A, 0),
    ]),
    statement(RET, 0),
  ];
}

/** What stands little-endian in a message, as the program loads it. */
function swapped(word: number): number {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, word, true);
  return view.getUint32(0);
}

/**
 * 2^32 divided by the golden ratio: its multiples, and the multiples of these, lie evenly over all of 32 bits (Knuth,
 * The Art of Computer Programming, volume 3, section 6.4). So do addresses in a row or at a distance, of which each
 * worker has one part of the whole. By their lowest bits, all networks of four addresses would be at one worker.
 */
const MULTIPLIER = 0x9e3779b1 | 0;
const HALF = 16;

/** Which worker, from 0 on, a packet from the host goes to whose destination is this: what `tunSteering()` does. */
export function workerOfDestination(address: number, count: number): number {
  return (Math.imul(address, MULTIPLIER) >>> HALF) * count >>> HALF;
}

/** The same for an address of either family: of IPv6, hosts may tell themselves apart by any of the four words. */
export function workerOfAddress(address: HostAddress, count: number): number {
  if (!isIpv6(address)) return workerOfDestination(address, count);
  const view = new DataView(ipv6Bytes(address).buffer);
  const folded = view.getInt32(0) ^ view.getInt32(4) ^ view.getInt32(8) ^ view.getInt32(12);
  return workerOfDestination(folded, count);
}

const VERSION_IPV6 = 6;

/**
 * Makes the program for a TUN of `count` queues, see `Tun.steer()`: all packets for one destination by one queue, so
 * that none overtakes another of its flow. What is shorter than its family's header goes to the first.
 */
export function tunSteering(count: number): readonly EbpfInstruction[] {
  const word = (i: number) => ebpf.loadWord(ipv6.DESTINATION_ADDRESS_OFFSET + 4 * i);
  const folded = [
    word(0),
    ...[1, 2, 3].flatMap((i) => [ebpf.keepResult(), word(i), ebpf.xorWithKept()]),
  ];
  return [
    ebpf.keepPacket(),
    ebpf.loadByte(0),
    ebpf.operate(ebpf.RSH, 4),
    ebpf.skipIf(VERSION_IPV6, 2),
    ebpf.loadWord(ipv4.DESTINATION_ADDRESS_OFFSET),
    ebpf.skip(folded.length),
    ...folded,
    ebpf.operate(ebpf.MUL, MULTIPLIER),
    ebpf.operate(ebpf.RSH, HALF),
    ebpf.operate(ebpf.MUL, count),
    ebpf.operate(ebpf.RSH, HALF),
    ebpf.exit(),
  ];
}

/** A port outside that leads to one client's service, and the number of the socket of that client's worker. */
export interface OwnedPort {
  /** TCP or UDP. */
  readonly protocol: number;
  readonly port: number;
  readonly socket: number;
}

/** Whose external ports are: those of a range are dealt out to `count` sockets as `sliceOf()` has it. */
export interface OutsidePorts {
  readonly range: PortRange;
  readonly count: number;
  /** These come before the range. */
  readonly forwards: readonly OwnedPort[];
}

/**
 * Makes the program for the group of sockets that capture what comes from outside, see `steerFanout()`: by the external
 * port of TCP and UDP, the identifier of an echo reply, and what an ICMP error quotes of one of them. What is nobody's
 * goes to socket 0, and so does every fragment, the first one too: the later ones have no port, and all of a packet has
 * to meet somewhere.
 *
 * @throws {RangeError} when there are more forwarded ports than a program can name
 */
export function outsideSteering(ports: OutsidePorts): readonly BpfInstruction[] {
  return assemble([
    statement(LD_H_ABS, ipv4.FLAGS_OFFSET),
    goIf(JSET, ipv4.FLAG_MORE_FRAGMENTS | ipv4.FRAGMENT_OFFSET_MASK, "nobody"),
    // From here on the index register is where the transport's header begins.
    statement(LDX_B_MSH, 0),
    statement(LD_B_ABS, ipv4.PROTOCOL_OFFSET),
    goIf(JEQ, ipv4.PROTOCOL_ICMP, "icmp"),
    ...PORT_PROTOCOLS.map((protocol) => goIf(JEQ, protocol, `to ${protocol}`)),
    go("nobody"),
    at("icmp"),
    statement(LD_B_IND, icmp.TYPE_OFFSET),
    goIf(JEQ, icmp.TYPE_ECHO_REPLY, "echo reply"),
    ...ERRORS.map((type) => goIf(JEQ, type, "error")),
    go("nobody"),
    at("error"),
    statement(LD_B_IND, icmp.HEADER_SIZE + ipv4.PROTOCOL_OFFSET),
    ...PROTOCOLS.map((protocol) => goIf(JEQ, protocol, `quotes ${protocol}`)),
    go("nobody"),
    ...PROTOCOLS.flatMap(quoted),
    at("nobody"),
    statement(RET, 0),
    at("echo reply"),
    statement(LD_H_IND, icmp.IDENTIFIER_OFFSET),
    ...ownerOf(ipv4.PROTOCOL_ICMP, ports),
    ...PORT_PROTOCOLS.flatMap((protocol) => [
      at(`to ${protocol}`),
      // UDP's ports stand where TCP's do.
      statement(LD_H_IND, tcp.DESTINATION_PORT_OFFSET),
      ...ownerOf(protocol, ports),
    ]),
  ]);
}

/**
 * The same of IPv6: what has extension headers, of which fragments are most, goes to socket 0. So does what is for a
 * forwarded port: a client's worker is that of its address of IPv4, as a rule, which the kernel cannot tell.
 */
export function outsideSteering6(
  { range, count }: Omit<OutsidePorts, "forwards">,
): readonly BpfInstruction[] {
  const ports = { range, count, forwards: [] };
  const quotedPacket = ipv6.HEADER_SIZE + icmpv6.HEADER_SIZE;
  const quotedTransport = quotedPacket + ipv6.HEADER_SIZE;
  return assemble([
    statement(LD_B_ABS, ipv6.NEXT_HEADER_OFFSET),
    goIf(JEQ, ipv6.PROTOCOL_ICMPV6, "icmp"),
    ...PORT_PROTOCOLS.map((protocol) => goIf(JEQ, protocol, `to ${protocol}`)),
    go("nobody"),
    at("icmp"),
    statement(LD_B_ABS, ipv6.HEADER_SIZE + icmpv6.TYPE_OFFSET),
    goIf(JEQ, icmpv6.TYPE_ECHO_REPLY, "echo reply"),
    // Errors have the types below.
    goIf(JGE, icmpv6.TYPE_ECHO, "nobody"),
    statement(LD_B_ABS, quotedPacket + ipv6.NEXT_HEADER_OFFSET),
    goIf(JEQ, ipv6.PROTOCOL_ICMPV6, "quotes a query"),
    ...PORT_PROTOCOLS.map((protocol) => goIf(JEQ, protocol, `quotes ${protocol}`)),
    at("nobody"),
    statement(RET, 0),
    at("quotes a query"),
    statement(LD_H_ABS, quotedTransport + icmp.IDENTIFIER_OFFSET),
    go(`owner ${ipv4.PROTOCOL_ICMP}`),
    ...PORT_PROTOCOLS.flatMap((protocol) => [
      at(`quotes ${protocol}`),
      statement(LD_H_ABS, quotedTransport + tcp.SOURCE_PORT_OFFSET),
      go(`owner ${protocol}`),
    ]),
    at("echo reply"),
    statement(LD_H_ABS, ipv6.HEADER_SIZE + icmp.IDENTIFIER_OFFSET),
    ...ownerOf(ipv4.PROTOCOL_ICMP, ports),
    ...PORT_PROTOCOLS.flatMap((protocol) => [
      at(`to ${protocol}`),
      statement(LD_H_ABS, ipv6.HEADER_SIZE + tcp.DESTINATION_PORT_OFFSET),
      ...ownerOf(protocol, ports),
    ]),
  ]);
}

const PORT_PROTOCOLS = [ipv4.PROTOCOL_TCP, ipv4.PROTOCOL_UDP];
const PROTOCOLS = [...PORT_PROTOCOLS, ipv4.PROTOCOL_ICMP];
/** The types of ICMP message that quote a packet. */
const ERRORS = Array.from({ length: 256 }, (_, type) => type).filter(icmp.isError);

/** Loads the external port of the quoted packet, which we have sent: so it is the source port. */
function quoted(protocol: number): BpfLine[] {
  const offset = protocol === ipv4.PROTOCOL_ICMP ? icmp.IDENTIFIER_OFFSET : tcp.SOURCE_PORT_OFFSET;
  return [
    at(`quotes ${protocol}`),
    // The size of the quoted header, which is not where LDX_B_MSH looks for one.
    statement(LD_B_IND, icmp.HEADER_SIZE),
    statement(AND, 15),
    statement(LSH, 2),
    statement(ADD_X, 0),
    statement(TAX, 0),
    statement(LD_H_IND, icmp.HEADER_SIZE + offset),
    go(`owner ${protocol}`),
  ];
}

/** Returns the number of the socket whose port the accumulator holds. */
function ownerOf(protocol: number, { range, count, forwards }: OutsidePorts): BpfLine[] {
  return [
    at(`owner ${protocol}`),
    ...forwards.filter((forward) => forward.protocol === protocol).flatMap(({ port, socket }) => [
      jump(JEQ, port, 0, 1),
      statement(RET, socket),
    ]),
    jump(JGE, range.first, 0, 1),
    jump(JGT, range.last, 0, 1),
    statement(RET, 0),
    statement(ADD_K, -range.first >>> 0),
    statement(RSH, Math.log2(GROUP)),
    statement(MOD, count),
    statement(RET_A, 0),
  ];
}
