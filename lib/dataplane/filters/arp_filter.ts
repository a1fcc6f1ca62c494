/** ARP filter: has the kernel take requests for some addresses, and nothing else. */
import type { BpfInstruction } from "../../../ffi/sockets/packet_filter.ts";
import {
  ETHER_TYPE,
  OPERATION_OFFSET,
  OPERATION_REQUEST,
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

/** @param addresses host order */
export function arpFilter(
  addresses: readonly number[],
  linkHeaderSize: number,
): BpfInstruction[] {
  return [
    statement(LD_H_ABS, SKF_AD_PROTOCOL),
    jump(JEQ, ETHER_TYPE, 1, 0),
    statement(RET, 0),
    statement(LD_H_ABS, linkHeaderSize + OPERATION_OFFSET),
    jump(JEQ, OPERATION_REQUEST, 1, 0),
    statement(RET, 0),
    statement(LD_W_ABS, linkHeaderSize + TARGET_OFFSET),
    ...addresses.flatMap((address) => [
      jump(JEQ, address >>> 0, 0, 1),
      statement(RET, WHOLE_PACKET),
    ]),
    statement(RET, 0),
  ];
}
