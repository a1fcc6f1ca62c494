/**
 * Refusals' filter: has the kernel keep all ICMP messages from us but those about datagrams from a port, see
 * `readRefusal()`.
 */
import type { BpfInstruction } from "../../../ffi/sockets/packet_filter.ts";
import * as icmp from "../../core/wire/icmp.ts";
import * as ipv4 from "../../core/wire/ipv4.ts";
import * as udp from "../../core/wire/udp.ts";
import { JEQ, jump, LD_B_IND, LD_H_IND, LDX_B_MSH, RET, statement, WHOLE_PACKET } from "./bpf.ts";

/** From the beginning of the message: the header that is quoted, without options as ours are, and what is behind it. */
const QUOTED = icmp.HEADER_SIZE;
const TRANSPORT = QUOTED + ipv4.MIN_HEADER_SIZE;

/** The program, for packets with an IP header in front, that quote a datagram of UDP from this port. */
export function refusalFilter(port: number): readonly BpfInstruction[] {
  return [
    statement(LDX_B_MSH, 0),
    statement(LD_B_IND, icmp.TYPE_OFFSET),
    jump(JEQ, icmp.TYPE_DESTINATION_UNREACHABLE, 0, 5),
    statement(LD_B_IND, QUOTED + ipv4.PROTOCOL_OFFSET),
    jump(JEQ, ipv4.PROTOCOL_UDP, 0, 3),
    statement(LD_H_IND, TRANSPORT + udp.SOURCE_PORT_OFFSET),
    jump(JEQ, port, 0, 1),
    statement(RET, WHOLE_PACKET),
    statement(RET, 0),
  ];
}
