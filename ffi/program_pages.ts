/** Program pages: gives pages of the running program's own file back to the kernel. */
import { openLibc } from "./libc.ts";

/** <asm-generic/mman-common.h>. */
const MADV_DONTNEED = 4;

/** A part of the address space: where it begins, and its length and what of it is resident in bytes. */
interface AddressRange {
  readonly address: bigint;
  readonly length: number;
  readonly resident: number;
}

/**
 * Unmaps all pages of the program's file that nobody can have written to. What is used again is mapped again out of the
 * page cache (a minor fault), where the pages stay until the kernel wants their room.
 *
 * @returns the bytes that were resident
 * @throws {Deno.errors.NotCapable | Deno.errors.NotFound} where /proc cannot be read
 */
export function releaseProgramPages(): number {
  const program = Deno.readLinkSync("/proc/self/exe");
  const { symbols } = openLibc();
  let released = 0;
  for (const mapping of mappingsOf(program, Deno.readTextFileSync("/proc/self/smaps"))) {
    const { address, length, resident } = mapping;
    const start = Deno.UnsafePointer.create(address);
    if (symbols.madvise(start, BigInt(length), MADV_DONTNEED) === 0) released += resident;
  }
  return released;
}

/**
 * The program's mappings that are its file and nothing else: read-only, with no page of their own. A relocated page
 * (RELRO) is read-only too, and would come back as the file has it: it counts as anonymous.
 *
 * Libraries are left out: a thread may be loading one, whose mapping is not as it will be.
 *
 * @param program as /proc/self/exe has it
 * @param smaps the text of /proc/self/smaps (proc(5))
 */
export function mappingsOf(
  program: string,
  smaps: string,
): readonly AddressRange[] {
  return smaps.split(/^(?=[0-9a-f]+-[0-9a-f]+ )/m).flatMap((text) => {
    const [, from, to, mode, name] = HEADER.exec(text) ?? [];
    if (name !== program || !mode!.startsWith("r") || mode![1] !== "-") return [];
    const own = bytesOf(text, "Anonymous");
    const resident = bytesOf(text, "Rss");
    if (own !== 0 || resident === null) return [];
    const address = BigInt(`0x${from}`);
    return [{ address, length: Number(BigInt(`0x${to}`) - address), resident }];
  });
}

/** Addresses, mode, offset, device, inode, name. */
const HEADER = /^([0-9a-f]+)-([0-9a-f]+) (\S{4}) [0-9a-f]+ \S+ \d+ +(.+)$/m;

/** Null where it is not said. */
function bytesOf(text: string, field: string): number | null {
  const kilobytes = new RegExp(`^${field}: +(\\d+) kB$`, "m").exec(text)?.[1];
  return kilobytes === undefined ? null : Number(kilobytes) * 1024;
}
