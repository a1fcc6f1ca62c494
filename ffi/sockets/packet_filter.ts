/** Packet filter: a classic BPF program that the kernel runs on what a socket is to receive. */
import { check } from "../errno.ts";
import type { Libc } from "../libc.ts";
import { SOL_SOCKET } from "../socket_constants.ts";

const SO_ATTACH_FILTER = 26;
/** `struct sock_filter { u16 code; u8 jt; u8 jf; u32 k; }` */
const SOCK_FILTER_SIZE = 8;

/** One instruction of a classic BPF program (include/uapi/linux/filter.h). */
export interface BpfInstruction {
  readonly code: number;
  /** Instructions to skip if true, and if false. */
  readonly jt: number;
  readonly jf: number;
  readonly k: number;
}

/** An option of a socket whose value is a program. */
export interface ProgramOption {
  readonly level: number;
  readonly option: number;
}

/**
 * Has a socket take only packets that a program lets through.
 *
 * @throws {SystemCallError}
 */
export function attachFilter(libc: Libc, fd: number, filter: readonly BpfInstruction[]): void {
  const option = { level: SOL_SOCKET, option: SO_ATTACH_FILTER };
  setProgram(libc, fd, option, { program: filter, action: "attach the filter to a socket" });
}

/**
 * Gives a socket a program by one of its options.
 *
 * @param given `action`: what for, as the error says it
 * @throws {SystemCallError}
 */
export function setProgram(
  libc: Libc,
  fd: number,
  { level, option }: ProgramOption,
  given: { readonly program: readonly BpfInstruction[]; readonly action: string },
): void {
  const words = new DataView(new ArrayBuffer(given.program.length * SOCK_FILTER_SIZE));
  given.program.forEach(({ code, jt, jf, k }, index) => {
    const at = index * SOCK_FILTER_SIZE;
    words.setUint16(at, code, true);
    words.setUint8(at + 2, jt);
    words.setUint8(at + 3, jf);
    words.setUint32(at + 4, k, true);
  });
  const instructions = new Uint8Array(words.buffer);
  // struct sock_fprog { unsigned short len; struct sock_filter *filter; }
  const header = new DataView(new ArrayBuffer(16));
  header.setUint16(0, given.program.length, true);
  header.setBigUint64(
    8,
    Deno.UnsafePointer.value(Deno.UnsafePointer.of(instructions)),
    true,
  );
  const bytes = new Uint8Array(header.buffer);
  check(libc, libc.symbols.setsockopt(fd, level, option, bytes, bytes.length), given.action);
}
