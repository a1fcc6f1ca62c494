/** The reading of perf's samples. */
import { assertEquals } from "../support/assert.ts";
import { activityOf, functionName, isKernelCopy, parseSamples } from "./profile/classify.ts";

const SCRIPT = `worker-1 13143/13159 
\t          20d672 EVP_CIPHER_CTX_get_iv_length (/usr/lib/x86_64-linux-gnu/libcrypto.so.3)

V8 DefaultWorke 13172/13180 
\tffffffff8201c1f0 _copy_from_iter ([kernel.kallsyms])
\tffffffff81db5737 tun_chr_write_iter ([kernel.kallsyms])
\tffffffff816b774d vfs_writev ([kernel.kallsyms])
\tffffffff82103180 __x64_sys_writev ([kernel.kallsyms])
\t           fde9d __GI___writev (/usr/lib/x86_64-linux-gnu/libc.so.6)

worker-1 13172/13180 
\t    7fd19805049b JS:*'sum file:///srv/vpn/lib/wire/checksum.ts:13:24 (/tmp/perf-13172.map)
\t         35dd2bb [unknown] (/usr/lib/node_modules/deno/deno)

worker-1 13172/13180 
\t    7fd19805049b JS:+'#readTun file:///srv/vpn/lib/app/data_plane.ts:221:11 (/tmp/perf-13172.map)

worker-1 13172/13180 
\t    7fd19805049b Builtin:Call_ReceiverIsAny (/tmp/perf-13172.map)

worker-1 13172/13180 
\t         271cbdd [unknown] (/usr/lib/node_modules/deno/deno)

worker-1 13172/13180 
\t           fde9d __memmove_avx512_unaligned_erms (/usr/lib/x86_64-linux-gnu/libc.so.6)

worker-1 13172/13180 
\t           fde9d __strcmp_evex (/usr/lib/x86_64-linux-gnu/libc.so.6)

worker-1 13172/13180 
\tffffffff8201c1f0 schedule ([kernel.kallsyms])
\tffffffff81db5737 do_epoll_wait ([kernel.kallsyms])

`;

Deno.test("parseSamples() reads what perf script writes", () => {
  const samples = parseSamples(SCRIPT);
  assertEquals(samples.length, 9);
  assertEquals(samples.map(({ pid }) => pid).slice(0, 3), [13143, 13172, 13172]);
  assertEquals(samples[1]!.frames.length, 5);
  assertEquals(samples[1]!.frames[0], {
    symbol: "_copy_from_iter",
    object: "[kernel.kallsyms]",
  });
});

Deno.test("activityOf() goes by the code that ran, and by the system call in the kernel", () => {
  assertEquals(parseSamples(SCRIPT).map(activityOf), [
    "cipher",
    "system call: TUN write",
    "JavaScript: split, merge, checksums",
    "JavaScript: all else",
    "Deno and V8 (calls into C, builtins)",
    "Deno and V8 (calls into C, builtins)",
    "copies (libc)",
    "cipher",
    "system call: others",
  ]);
});

Deno.test("isKernelCopy() is about the innermost function of the kernel", () => {
  const copies = parseSamples(SCRIPT).map(isKernelCopy);
  assertEquals(copies, [false, true, false, false, false, false, false, false, false]);
});

Deno.test("functionName() leaves out the engine's marks and paths", () => {
  const names = parseSamples(SCRIPT).map(functionName);
  assertEquals(names[0], "EVP_CIPHER_CTX_get_iv_length (libcrypto.so.3)");
  assertEquals(names[1], "_copy_from_iter (kernel.kallsyms)");
  assertEquals(names[2], "sum (checksum.ts)");
  assertEquals(names[3], "#readTun (data_plane.ts)");
  assertEquals(names[5], "(deno)");
});
