/**
 * BPF words: classic programs (include/uapi/linux/bpf_common.h, filter.h), as far as our filters use them.
 *
 * A load beyond the packet's end ends the program, and the packet is not taken. Conditional jumps reach 255
 * instructions.
 */
import type { BpfInstruction } from "../../../ffi/sockets/packet_filter.ts";

/** Load into the accumulator: 4, 2, 1 bytes at `k`; the same at `k` behind the index register. */
export const LD_W_ABS = 0x20;
export const LD_H_ABS = 0x28;
export const LD_B_ABS = 0x30;
export const LD_W_IND = 0x40;
export const LD_H_IND = 0x48;
export const LD_B_IND = 0x50;
/** Loads the packet's length into the accumulator. */
export const LD_LEN = 0x80;
/** Load into the index register: the accumulator; and the other way round. */
export const TAX = 0x07;
export const TXA = 0x87;
/** What is done to the accumulator: by `k`, or by the index register. */
export const ADD_K = 0x04;
export const ADD_X = 0x0c;
export const AND = 0x54;
export const LSH = 0x64;
export const RSH = 0x74;
export const MOD = 0x94;
/** Loads an IPv4 header's size, of the header at `k`, into the index register. */
export const LDX_B_MSH = 0xb1;
export const JA = 0x05;
export const JEQ = 0x15;
export const JGT = 0x25;
export const JGE = 0x35;
export const JSET = 0x45;
export const RET = 0x06;
/** Returns the accumulator. */
export const RET_A = 0x16;

/** Places to load from that are not in the packet: its protocol, its interface, whether it carries a VLAN's tag. */
export const SKF_AD_PROTOCOL = 0xfffff000;
export const SKF_AD_IFINDEX = 0xfffff008;
export const SKF_AD_VLAN_TAG_PRESENT = 0xfffff030;

/** What a program returns: all of the packet, or none. */
export const WHOLE_PACKET = 0xffff_ffff;
/** BPF_MAXINSNS: the kernel takes no more. */
export const MAX_INSTRUCTIONS = 4096;

/** An instruction without jumps. */
export function statement(code: number, k: number): BpfInstruction {
  return { code, jt: 0, jf: 0, k };
}

/** A conditional jump over `jt` instructions if true, `jf` if not. */
export function jump(code: number, k: number, jt: number, jf: number): BpfInstruction {
  return { code, jt, jf, k };
}
