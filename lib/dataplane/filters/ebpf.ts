/**
 * eBPF words: programs of the kernel's extended BPF (Documentation/bpf/standardization/instruction-set.rst), as far as
 * ours use them. The result is in register 0, which is also what a packet is loaded into; a load beyond the packet's
 * end ends the program with 0.
 */
import type { EbpfInstruction } from "../../../ffi/bpf.ts";

const RESULT = 0;
const CONTEXT = 1;
/** Where loads from a packet look for it. */
const PACKET = 6;

const MOVE_64_FROM_REGISTER = 0xbf;
const LOAD_WORD_FROM_PACKET = 0x20;
const EXIT = 0x95;

/** What is done to the result, in 32 bits and unsigned, by a number. */
export const MUL = 0x24;
export const RSH = 0x74;

const NOTHING: EbpfInstruction = { code: 0, destination: 0, source: 0, offset: 0, immediate: 0 };

/** Comes before loads from the packet. */
export function keepPacket(): EbpfInstruction {
  return { ...NOTHING, code: MOVE_64_FROM_REGISTER, destination: PACKET, source: CONTEXT };
}

/** Loads four bytes of the packet, in network order. */
export function loadWord(offset: number): EbpfInstruction {
  return { ...NOTHING, code: LOAD_WORD_FROM_PACKET, immediate: offset };
}

/** @param immediate an int32 */
export function operate(code: number, immediate: number): EbpfInstruction {
  return { ...NOTHING, code, destination: RESULT, immediate };
}

export function exit(): EbpfInstruction {
  return { ...NOTHING, code: EXIT };
}
