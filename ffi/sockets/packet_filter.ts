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

/**
 * Has a socket take only packets that a program lets through.
 *
 * @throws {SystemCallError}
 */
export function attachFilter(libc: Libc, fd: number, filter: readonly BpfInstruction[]): void {
  const program = new DataView(new ArrayBuffer(filter.length * SOCK_FILTER_SIZE));
  filter.forEach(({ code, jt, jf, k }, index) => {
    const at = index * SOCK_FILTER_SIZE;
    program.setUint16(at, code, true);
    program.setUint8(at + 2, jt);
    program.setUint8(at + 3, jf);
    program.setUint32(at + 4, k, true);
  });
  const instructions = new Uint8Array(program.buffer);
  // struct sock_fprog { unsigned short len; struct sock_filter *filter; }
  const header = new DataView(new ArrayBuffer(16));
  header.setUint16(0, filter.length, true);
  header.setBigUint64(
    8,
    Deno.UnsafePointer.value(Deno.UnsafePointer.of(instructions)),
    true,
  );
  const bytes = new Uint8Array(header.buffer);
  check(
    libc,
    libc.symbols.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, bytes, bytes.length),
    "attach the filter to a socket",
  );
}
