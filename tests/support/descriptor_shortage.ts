/** Shortage of descriptors, made in this very process, so that something is short of them at one moment. */
import type { Libc } from "../../ffi/libc.ts";

const RLIMIT_NOFILE = 7;
/** `struct rlimit { u64 soft; u64 hard; }` */
const RLIMIT_SIZE = 16;

const SYMBOLS = {
  getrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  setrlimit: { parameters: ["i32", "buffer"], result: "i32" },
  dup: { parameters: ["i32"], result: "i32" },
} as const satisfies Deno.ForeignLibraryInterface;

/** Leaves this process so many descriptors until it is disposed of. */
export class DescriptorShortage implements Disposable {
  readonly #library = Deno.dlopen("libc.so.6", SYMBOLS);
  readonly #filler: number[] = [];
  readonly #before = new Uint8Array(RLIMIT_SIZE);
  readonly #libc: Libc;

  constructor(libc: Libc, left: number) {
    this.#libc = libc;
    const { getrlimit, setrlimit, dup } = this.#library.symbols;
    getrlimit(RLIMIT_NOFILE, this.#before);
    // The limit is of the numbers that descriptors have: those below are filled.
    const lower = this.#before.slice();
    const most = Math.max(...[...Deno.readDirSync("/proc/self/fd")].map(({ name }) => +name));
    new DataView(lower.buffer).setBigUint64(0, BigInt(most + 2 + left), true);
    setrlimit(RLIMIT_NOFILE, lower);
    for (let fd = dup(0); fd >= 0; fd = dup(0)) this.#filler.push(fd);
    for (let i = 0; i < left; i++) this.#libc.symbols.close(this.#filler.pop()!);
  }

  [Symbol.dispose](): void {
    this.#library.symbols.setrlimit(RLIMIT_NOFILE, this.#before);
    for (const fd of this.#filler) this.#libc.symbols.close(fd);
    this.#library.close();
  }
}
