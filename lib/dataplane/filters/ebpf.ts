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
/** Loads from a packet leave it as it is. */
const KEPT = 7;

const MOVE_64_FROM_REGISTER = 0xbf;
const LOAD_WORD_FROM_PACKET = 0x20;
const LOAD_BYTE_FROM_PACKET = 0x30;
const XOR_32_WITH_REGISTER = 0xac;
const JUMP = 0x05;
const JUMP_IF_EQUAL = 0x15;
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

/** Loads one byte of the packet. */
export function loadByte(offset: number): EbpfInstruction {
  return { ...NOTHING, code: LOAD_BYTE_FROM_PACKET, immediate: offset };
}

/** Keeps the result beside the one that is loaded next. */
export function keepResult(): EbpfInstruction {
  return { ...NOTHING, code: MOVE_64_FROM_REGISTER, destination: KEPT, source: RESULT };
}

/** Joins what was kept to the result, by exclusive or. */
export function xorWithKept(): EbpfInstruction {
  return { ...NOTHING, code: XOR_32_WITH_REGISTER, destination: RESULT, source: KEPT };
}

/** Goes on behind the next `count` instructions where the result is `value`. */
export function skipIf(value: number, count: number): EbpfInstruction {
  return {
    ...NOTHING,
    code: JUMP_IF_EQUAL,
    destination: RESULT,
    offset: count,
    immediate: value,
  };
}

/** Goes on behind the next `count` instructions. */
export function skip(count: number): EbpfInstruction {
  return { ...NOTHING, code: JUMP, offset: count };
}

/** @param immediate an int32 */
export function operate(code: number, immediate: number): EbpfInstruction {
  return { ...NOTHING, code, destination: RESULT, immediate };
}

export function exit(): EbpfInstruction {
  return { ...NOTHING, code: EXIT };
}
