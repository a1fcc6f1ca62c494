/**
 * Path claims' filter: has the kernel keep all ICMP messages from us but those that could be claims, see `PathClaim`,
 * which checks the rest.
 */
import type { BpfInstruction } from "../../../ffi/sockets/packet_filter.ts";
import * as icmp from "../../core/wire/icmp.ts";
import * as icmpv6 from "../../core/wire/icmpv6.ts";
import * as ipv4 from "../../core/wire/ipv4.ts";
import * as ipv6 from "../../core/wire/ipv6.ts";
import { MESSAGE_TRANSPORT } from "../../core/wire/messages.ts";
import * as udp from "../../core/wire/udp.ts";
import {
  JEQ,
  jump,
  LD_B_ABS,
  LD_B_IND,
  LD_H_ABS,
  LD_H_IND,
  LD_W_ABS,
  LD_W_IND,
  LDX_B_MSH,
  RET,
  statement,
  WHOLE_PACKET,
} from "./bpf.ts";

/** The type and code of "fragmentation needed", as one number. */
const FRAGMENTATION_NEEDED = 0x0304;
/** From the beginning of the message: the header that is quoted, without options as ours are, and what is behind it. */
const QUOTED = icmp.HEADER_SIZE;
const TRANSPORT = QUOTED + ipv4.MIN_HEADER_SIZE;
const PAYLOAD = TRANSPORT + udp.HEADER_SIZE;

/** The program, for packets with an IP header in front, that quote a transport message from this port. */
export function pathClaimFilter(port: number): readonly BpfInstruction[] {
  return [
    statement(LDX_B_MSH, 0),
    statement(LD_H_IND, icmp.TYPE_OFFSET),
    jump(JEQ, FRAGMENTATION_NEEDED, 0, 7),
    statement(LD_B_IND, QUOTED + ipv4.PROTOCOL_OFFSET),
    jump(JEQ, ipv4.PROTOCOL_UDP, 0, 5),
    statement(LD_H_IND, TRANSPORT + udp.SOURCE_PORT_OFFSET),
    jump(JEQ, port, 0, 3),
    // Its type and three zeros; a quote of 8 bytes ends before.
    statement(LD_W_IND, PAYLOAD),
    jump(JEQ, MESSAGE_TRANSPORT << 24, 0, 1),
    statement(RET, WHOLE_PACKET),
    statement(RET, 0),
  ];
}

/** The same for messages of ICMPv6, "packet too big", without an IP header in front. */
export function pathClaimFilter6(port: number): readonly BpfInstruction[] {
  const transport = icmpv6.HEADER_SIZE + ipv6.HEADER_SIZE;
  return [
    statement(LD_H_ABS, icmpv6.TYPE_OFFSET),
    jump(JEQ, icmpv6.TYPE_PACKET_TOO_BIG << 8, 0, 7),
    statement(LD_B_ABS, icmpv6.HEADER_SIZE + ipv6.NEXT_HEADER_OFFSET),
    jump(JEQ, ipv4.PROTOCOL_UDP, 0, 5),
    statement(LD_H_ABS, transport + udp.SOURCE_PORT_OFFSET),
    jump(JEQ, port, 0, 3),
    statement(LD_W_ABS, transport + udp.HEADER_SIZE),
    jump(JEQ, MESSAGE_TRANSPORT << 24, 0, 1),
    statement(RET, WHOLE_PACKET),
    statement(RET, 0),
  ];
}
