/**
 * Program for network tests that becomes another, given by its arguments, on a kernel without nftables: by seccomp,
 * netlink's sockets for netfilter are EPROTONOSUPPORT, as where the kernel was built without.
 */
import { cString } from "../../../../ffi/libc.ts";

const NETLINK_NETFILTER = 12n;
const AF_NETLINK = 16n;
const EPROTONOSUPPORT = 93;
const IS_ARM = Deno.build.arch === "aarch64";
const NR_SECCOMP = IS_ARM ? 277n : 317n;
const NR_SOCKET = IS_ARM ? 198 : 41;
const SECCOMP_SET_MODE_FILTER = 1n;
/** All threads of the process. */
const SECCOMP_FILTER_FLAG_TSYNC = 1n;
const SECCOMP_RET_ALLOW = 0x7fff0000;
const SECCOMP_RET_ERRNO = 0x00050000;
/** `struct seccomp_data { int nr; __u32 arch; __u64 instruction_pointer; __u64 args[6]; }` */
const NR = 0;
const FIRST_ARGUMENT = 16;

/** Instructions of classic BPF: code, jump if true, jump if false, constant. */
const PROGRAM: readonly (readonly [number, number, number, number])[] = [
  [0x20, 0, 0, NR],
  [0x15, 0, 5, NR_SOCKET],
  [0x20, 0, 0, FIRST_ARGUMENT],
  [0x15, 0, 3, Number(AF_NETLINK)],
  [0x20, 0, 0, FIRST_ARGUMENT + 16],
  [0x15, 0, 1, Number(NETLINK_NETFILTER)],
  [0x06, 0, 0, SECCOMP_RET_ERRNO | EPROTONOSUPPORT],
  [0x06, 0, 0, SECCOMP_RET_ALLOW],
];

function main(command: readonly string[]): never {
  const libc = Deno.dlopen("libc.so.6", {
    syscall: { parameters: ["i64", "i64", "i64", "buffer"], result: "i64" },
    execvp: { parameters: ["buffer", "buffer"], result: "i32" },
  });
  const instructions = new DataView(new ArrayBuffer(PROGRAM.length * 8));
  for (const [index, [code, jt, jf, k]] of PROGRAM.entries()) {
    instructions.setUint16(index * 8, code, true);
    instructions.setUint8(index * 8 + 2, jt);
    instructions.setUint8(index * 8 + 3, jf);
    instructions.setUint32(index * 8 + 4, k, true);
  }
  // struct sock_fprog { unsigned short len; struct sock_filter *filter; }
  const program = new DataView(new ArrayBuffer(16));
  program.setUint16(0, PROGRAM.length, true);
  program.setBigUint64(8, addressOf(new Uint8Array(instructions.buffer)), true);
  const result = libc.symbols.syscall(
    NR_SECCOMP,
    SECCOMP_SET_MODE_FILTER,
    SECCOMP_FILTER_FLAG_TSYNC,
    new Uint8Array(program.buffer),
  );
  if (result !== 0n) throw new Error("Cannot filter system calls: it takes root");
  const words = command.map(cString);
  const pointers = new BigUint64Array(words.length + 1);
  words.forEach((word, index) => pointers[index] = addressOf(word));
  libc.symbols.execvp(words[0]!, new Uint8Array(pointers.buffer));
  throw new Error(`Cannot run ${command[0]}`);
}

function addressOf(bytes: Uint8Array<ArrayBuffer>): bigint {
  return Deno.UnsafePointer.value(Deno.UnsafePointer.of(bytes));
}

if (import.meta.main) main(Deno.args);
