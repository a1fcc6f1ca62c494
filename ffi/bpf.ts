/** bpf(2): loads a program of the kernel's extended BPF that looks at a packet and returns a number. */
import { check } from "./errno.ts";
import type { Libc } from "./libc.ts";
import { MACHINE } from "./machine.ts";

// include/uapi/linux/bpf.h
const BPF_PROG_LOAD = 5;
const BPF_PROG_TYPE_SOCKET_FILTER = 1;
/** `struct bpf_insn { u8 code; u8 dst_reg:4, src_reg:4; s16 off; s32 imm; }` */
const INSTRUCTION_SIZE = 8;
/** `union bpf_attr` up to `prog_flags`, the fields that Linux 4.4 has; what is left out counts as 0. */
const ATTRIBUTES_SIZE = 48;
/** Asked for by some functions that programs may call; ours call none. */
const LICENSE = "GPL";

/** One instruction (Documentation/bpf/standardization/instruction-set.rst). */
export interface EbpfInstruction {
  readonly code: number;
  /** Registers: 0 has the result, 1 the packet at the start, 6 what the loads from a packet go by. */
  readonly destination: number;
  readonly source: number;
  /** Of jumps. */
  readonly offset: number;
  /** An int32. */
  readonly immediate: number;
}

/**
 * Loads a program of type "socket filter".
 *
 * @returns a descriptor; whatever takes the program keeps it, so that it can be closed then
 * @throws {SystemCallError} `isUnavailable`: EPERM without CAP_BPF (CAP_SYS_ADMIN before Linux 5.8) where
 * kernel.unprivileged_bpf_disabled is not 0 or a container's rules forbid it, ENOSYS without the call; EACCES or
 * EINVAL also for a program that the kernel's verifier refuses
 */
export function loadSocketFilter(libc: Libc, program: readonly EbpfInstruction[]): number {
  const words = new DataView(new ArrayBuffer(program.length * INSTRUCTION_SIZE));
  program.forEach(({ code, destination, source, offset, immediate }, index) => {
    const at = index * INSTRUCTION_SIZE;
    words.setUint8(at, code);
    words.setUint8(at + 1, destination | source << 4);
    words.setInt16(at + 2, offset, true);
    words.setInt32(at + 4, immediate, true);
  });
  const instructions = new Uint8Array(words.buffer);
  const license = new TextEncoder().encode(`${LICENSE}\0`);
  const attributes = new DataView(new ArrayBuffer(ATTRIBUTES_SIZE));
  attributes.setUint32(0, BPF_PROG_TYPE_SOCKET_FILTER, true);
  attributes.setUint32(4, program.length, true);
  attributes.setBigUint64(8, addressOf(instructions), true);
  attributes.setBigUint64(16, addressOf(license), true);
  const bytes = new Uint8Array(attributes.buffer);
  const { bpf } = libc.symbols;
  return check(
    libc,
    bpf(BigInt(MACHINE.NR_BPF), BPF_PROG_LOAD, bytes, bytes.length),
    "load a BPF program",
  );
}

function addressOf(bytes: Uint8Array<ArrayBuffer>): bigint {
  return Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
}
