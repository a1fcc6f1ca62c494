/** ARP filter: has the kernel take requests for some addresses, or answers for one, and nothing else. */
import type { BpfInstruction } from "../../../ffi/sockets/packet_filter.ts";
import {
  ETHER_TYPE,
  OPERATION_OFFSET,
  OPERATION_REPLY,
  OPERATION_REQUEST,
  SENDER_OFFSET,
  TARGET_OFFSET,
} from "../../core/wire/arp.ts";
import {
  JEQ,
  jump,
  LD_H_ABS,
  LD_W_ABS,
  RET,
  SKF_AD_PROTOCOL,
  statement,
  WHOLE_PACKET,
} from "./bpf.ts";

/** Requests for some addresses. @param addresses host order */
export function arpFilter(
  addresses: readonly number[],
  linkHeaderSize: number,
): BpfInstruction[] {
  return messagesOf(OPERATION_REQUEST, TARGET_OFFSET, addresses, linkHeaderSize);
}

/** Answers of those who have an address. @param address host order */
export function arpReplyFilter(address: number, linkHeaderSize: number): BpfInstruction[] {
  return messagesOf(OPERATION_REPLY, SENDER_OFFSET, [address], linkHeaderSize);
}

function messagesOf(
  operation: number,
  addressOffset: number,
  addresses: readonly number[],
  linkHeaderSize: number,
): BpfInstruction[] {
  return [
    statement(LD_H_ABS, SKF_AD_PROTOCOL),
    jump(JEQ, ETHER_TYPE, 1, 0),
    statement(RET, 0),
    statement(LD_H_ABS, linkHeaderSize + OPERATION_OFFSET),
    jump(JEQ, operation, 1, 0),
    statement(RET, 0),
    statement(LD_W_ABS, linkHeaderSize + addressOffset),
    ...addresses.flatMap((address) => [
      jump(JEQ, address >>> 0, 0, 1),
      statement(RET, WHOLE_PACKET),
    ]),
    statement(RET, 0),
  ];
}
