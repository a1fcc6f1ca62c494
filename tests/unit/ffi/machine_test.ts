/**
 * Tests of `ffi/machine.ts`: the numbers of the kernel's headers for each machine, and that nothing else depends on
 * one.
 */
import { Arena } from "../../../ffi/arena.ts";
import { Epoll, EPOLLIN, EPOLLOUT } from "../../../ffi/epoll.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { type Architecture, machineOf } from "../../../ffi/machine.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";

const ROOT = new URL("../../../", import.meta.url);
const ARCHITECTURES: readonly Architecture[] = ["x86_64", "aarch64"];

Deno.test("O_DIRECTORY and O_NOFOLLOW are those of the machine's own header", () => {
  const flags = ARCHITECTURES.map(machineOf);
  assertEquals(flags.map(({ O_DIRECTORY }) => O_DIRECTORY), [0x10000, 0x4000]);
  assertEquals(flags.map(({ O_NOFOLLOW }) => O_NOFOLLOW), [0x20000, 0x8000]);
  // What one calls O_DIRECTORY and O_NOFOLLOW are O_DIRECT and O_LARGEFILE for the other, which guard against nothing.
  const [x86, arm] = flags as [typeof flags[0], typeof flags[0]];
  assertEquals((x86.O_DIRECTORY | x86.O_NOFOLLOW) & (arm.O_DIRECTORY | arm.O_NOFOLLOW), 0);
});

Deno.test("bpf(2) has the number of the machine's own table", () => {
  // arch/x86/entry/syscalls/syscall_64.tbl, include/uapi/asm-generic/unistd.h
  assertEquals(ARCHITECTURES.map(machineOf).map(({ NR_BPF }) => NR_BPF), [321, 280]);
});

/** A kernel of the given machine, as far as epoll goes: says of each descriptor given to it that it is ready. */
function epollKernel(architecture: Architecture, arena: Arena): Libc {
  const { size, data } = { x86_64: { size: 12, data: 4 }, aarch64: { size: 16, data: 8 } }[
    architecture
  ];
  const watched: Uint8Array[] = [];
  const symbols = {
    epoll_create1: () => 3,
    epoll_ctl(_set: number, _operation: number, fd: number, event: Uint8Array): number {
      assertEquals(event.length, size);
      assertEquals(new DataView(event.buffer).getInt32(data, true), fd);
      watched.push(event.slice());
      return 0;
    },
    epoll_wait(): number {
      // The arena's first allocation.
      watched.forEach((event, i) => arena.bytes.set(event, i * size));
      return watched.length;
    },
    close: () => 0,
  };
  return { symbols, errno: () => 0 } as unknown as Libc;
}

for (const architecture of ARCHITECTURES) {
  hostTest(`Epoll tells descriptors and bits apart in the events of ${architecture}`, () => {
    const arena = new Arena(4096);
    const libc = epollKernel(architecture, arena);
    using epoll = new Epoll(libc, arena, 4, machineOf(architecture).epollEvent);
    epoll.add(7, EPOLLIN);
    epoll.add(8, EPOLLOUT);
    epoll.add(0x12345, EPOLLIN | EPOLLOUT);
    const found = Array.from(
      { length: epoll.wait(0) },
      (_, i) => [epoll.descriptor(i), epoll.readiness(i)],
    );
    assertEquals(found, [[7, EPOLLIN], [8, EPOLLOUT], [0x12345, EPOLLIN | EPOLLOUT]]);
  });
}

async function sources(folder: string): Promise<string[]> {
  const found: string[] = [];
  for await (const entry of Deno.readDir(new URL(folder, ROOT))) {
    if (entry.isDirectory) found.push(...await sources(`${folder}${entry.name}/`));
    else if (entry.name.endsWith(".ts")) found.push(folder + entry.name);
  }
  return found;
}

hostTest("nothing but ffi/machine.ts asks on which machine it runs", async () => {
  const paths = [...await sources("lib/"), ...await sources("ffi/")];
  assert(paths.length > 100, `only ${paths.length} sources were found`);
  const asking: string[] = [];
  for (const path of paths) {
    const text = await Deno.readTextFile(new URL(path, ROOT));
    if (/\bDeno\.build\.arch\b|\bO_(?:DIRECTORY|NOFOLLOW|DIRECT|LARGEFILE) =/.test(text)) {
      asking.push(path);
    }
  }
  assertEquals(asking, ["ffi/machine.ts"]);
});
