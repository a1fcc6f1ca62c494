/** Reading of perf's samples: what each one was busy with. */

/** What a sample can be busy with, in the order in which it is shown. */
export const ACTIVITIES = [
  "system call: TUN read",
  "system call: TUN write",
  "system call: UDP send",
  "system call: UDP receive",
  "system call: others",
  "cipher",
  "JavaScript: split, merge, checksums",
  "JavaScript: all else",
  "copies (libc)",
  "Deno and V8 (calls into C, builtins)",
  "other",
] as const;

export type Activity = (typeof ACTIVITIES)[number];

/** A sample of perf's, as `perf script -F comm,pid,tid,ip,sym,dso` writes it. */
export interface Sample {
  readonly pid: number;
  /** The innermost first. */
  readonly frames: readonly Frame[];
}

export interface Frame {
  readonly symbol: string;
  /** The file that the code is in. */
  readonly object: string;
}

/** Reads the output of `perf script`: a heading and a stack, an empty line between two samples. */
export function parseSamples(text: string): Sample[] {
  const samples: Sample[] = [];
  for (const block of text.split(/\n\n+/)) {
    const [heading, ...lines] = block.split("\n");
    const ids = /(\d+)\/\d+\s*$/.exec(heading);
    if (ids === null) continue;
    const frames = lines.flatMap((line) => {
      const match = /^\s*[0-9a-f]+ (.*) \((.*)\)\s*$/.exec(line);
      return match === null ? [] : [{ symbol: match[1], object: match[2] }];
    });
    if (frames.length > 0) samples.push({ pid: Number(ids[1]), frames });
  }
  return samples;
}

const KERNEL = /^\[kernel\.kallsyms\]|^\[guest\.kernel/;

/** Kernel functions that show, anywhere in the stack, which system call it is. */
const SYSTEM_CALLS: readonly (readonly [RegExp, Activity])[] = [
  [/^(do_readv|vfs_readv|__x64_sys_readv)$/, "system call: TUN read"],
  [/^(do_writev|vfs_writev|__x64_sys_writev)$/, "system call: TUN write"],
  [/^(__sys_sendmmsg|__x64_sys_sendmmsg)$/, "system call: UDP send"],
  [/^(__sys_recvmmsg|do_recvmmsg|__x64_sys_recvmmsg)$/, "system call: UDP receive"],
];

/** What the sample is counted as, by the code that ran; in the kernel, by the system call that led there. */
export function activityOf({ frames }: Sample): Activity {
  const { symbol, object } = frames[0];
  if (KERNEL.test(object)) {
    for (const frame of frames) {
      const call = SYSTEM_CALLS.find(([pattern]) => pattern.test(frame.symbol));
      if (call !== undefined) return call[1];
    }
    return "system call: others";
  }
  if (/libcrypto|libboringssl|libIPSec_MB/.test(object)) return "cipher";
  if (/\/libc\.so/.test(object)) {
    // libcrypto finds its parameters by comparing names; nothing else on the way of a packet compares strings.
    return /^_*str/.test(symbol) ? "cipher" : "copies (libc)";
  }
  if (/perf-\d+\.map/.test(object)) {
    if (!symbol.startsWith("JS:")) return "Deno and V8 (calls into C, builtins)";
    // There is one function of WebAssembly's: lib/core/wire/simd_sum.ts.
    return /\/lib\/offload\/|\/lib\/wire\/(checksum|simd_sum)\.ts|wasm-function/.test(symbol)
      ? "JavaScript: split, merge, checksums"
      : "JavaScript: all else";
  }
  return /\/deno$|\/vpn[^/]*$/.test(object) ? "Deno and V8 (calls into C, builtins)" : "other";
}

/** Whether the sample was copying packets in the kernel, to it or from it. */
export function isKernelCopy({ frames: [{ symbol, object }] }: Sample): boolean {
  return KERNEL.test(object) &&
    /^(_copy_(from|to)_iter|copy_user|rep_movs|memcpy|__memcpy|skb_copy_bits|csum_and_copy)/
      .test(symbol);
}

/** A function's name as it is shown: without the engine's marks and the path of the file. */
export function functionName({ frames: [{ symbol, object }] }: Sample): string {
  const script = /^JS:[*+^~']*(\S*) file:\/\/.*\/([^/]+\.ts)/.exec(symbol);
  if (script !== null) return `${script[1]} (${script[2]})`;
  const file = object.split("/").at(-1)!;
  return symbol === "[unknown]" ? `(${file})` : `${symbol} (${file.replace(/[[\]]/g, "")})`;
}
