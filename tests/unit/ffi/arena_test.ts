/** Tests of `ffi/arena.ts`: its pointers are judged by the kernel, which reads and writes through them. */
import { Arena } from "../../../ffi/arena.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { createWakeChannel } from "../../../ffi/sockets/wake_channel.ts";
import { assert, assertEquals, assertStrictEquals, assertThrows } from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";

hostTest("Arena.allocate() returns aligned regions that do not overlap", () => {
  const arena = new Arena(4096);
  const offsets = [
    arena.allocate(1),
    arena.allocate(100),
    arena.allocate(3, 4),
    arena.allocate(8, 8),
  ];
  assertEquals(offsets, [0, 64, 164, 168]);
});

hostTest(
  "Arena.allocate() throws when there is no room and can be used up to the last byte",
  () => {
    const arena = new Arena(256);
    assertEquals(arena.allocate(200), 0);
    const error = assertThrows(() => arena.allocate(1), RangeError);
    assertEquals(error.message, "Cannot allocate 1 bytes: 0 of 256 are left");
    assertThrows(() => arena.allocate(57, 4), RangeError);
    assertEquals(arena.allocate(56, 4), 200);
    assertThrows(() => arena.allocate(1, 1), RangeError);
  },
);

hostTest("Arena.pointer() names the byte at the offset whatever its alignment", () => {
  const arena = new Arena(300);
  for (let offset = 0; offset < 300; offset++) arena.bytes[offset] = offset & 0xff;
  for (const offset of [0, 1, 2, 3, 4, 7, 100, 255, 299]) {
    const view = new Deno.UnsafePointerView(arena.pointer(offset));
    assertEquals(view.getUint8(), offset & 0xff);
  }
});

hostTest(
  "Arena.pointer() tells offsets of one KB apart, and those of the next, asked for in turn",
  () => {
    const arena = new Arena(4096);
    for (let offset = 0; offset < 4096; offset++) arena.bytes[offset] = (offset * 7) >> 3;
    const offsets = [0, 4, 1020, 1021, 1024, 0, 1028, 4, 1024, 3, 2048, 1021, 4092, 4095, 0];
    for (let round = 0; round < 3; round++) {
      for (const offset of offsets) {
        const pointer = arena.pointer(offset);
        assertEquals(
          Deno.UnsafePointer.value(pointer) - Deno.UnsafePointer.value(arena.pointer(0)),
          BigInt(offset),
        );
        assertEquals(new Deno.UnsafePointerView(pointer).getUint8(), arena.bytes[offset]);
      }
    }
  },
);

hostTest("Arena.pointer() keeps the pointer of an offset that is a multiple of four", () => {
  const arena = new Arena(64);
  for (const offset of [0, 4, 60, 64]) {
    const pointer = arena.pointer(offset);
    arena.pointer(offset ^ 8);
    assertStrictEquals(arena.pointer(offset), pointer);
  }
});

hostTest("Arena.writePointer() writes the address that pointer() names", () => {
  const arena = new Arena(1 << 20);
  for (const target of [0, 1, 63, 4096, 65_537, (1 << 20) - 1]) {
    arena.writePointer(8, target);
    const address = Deno.UnsafePointer.value(arena.pointer(target));
    assertEquals(arena.view.getBigUint64(8, true), address);
  }
});

hostTest("Arena.writePointer() lets the kernel gather and scatter bytes of the arena", () => {
  const libc = openLibc();
  const arena = new Arena(8192);
  const vectors = arena.allocate(3 * 16);
  const source = arena.allocate(3000, 1);
  const target = arena.allocate(3000, 1);
  for (let i = 0; i < 3000; i++) arena.bytes[source + i] = (i * 7) & 0xff;
  const describe = (pieces: readonly (readonly [offset: number, length: number])[]) => {
    for (const [index, [offset, length]] of pieces.entries()) {
      arena.writePointer(vectors + 16 * index, offset);
      arena.view.setUint32(vectors + 16 * index + 8, length, true);
    }
  };
  const { sender, receiver } = createWakeChannel(libc);
  try {
    // Written in one order and with odd lengths, read back in others.
    describe([[source + 2001, 999], [source, 1000], [source + 1000, 1001]]);
    assertEquals(libc.symbols.writev(sender, arena.pointer(vectors), 3), 3000);
    describe([[target + 2001, 999], [target, 1], [target + 1, 2000]]);
    assertEquals(libc.symbols.readv(receiver, arena.pointer(vectors), 3), 3000);
  } finally {
    libc.symbols.close(sender);
    libc.symbols.close(receiver);
  }
  const { bytes } = arena;
  assertEquals(bytes.slice(target, target + 3000), bytes.slice(source, source + 3000));
});

hostTest("Arena stays where it is when much else is allocated", () => {
  const arena = new Arena(1024);
  const before = Deno.UnsafePointer.value(arena.pointer(512));
  const others: Uint8Array[] = [];
  for (let i = 0; i < 200; i++) others.push(new Uint8Array(1 << 20));
  assert(others.length === 200);
  arena.writePointer(0, 512);
  assertEquals(arena.view.getBigUint64(0, true), before);
  assertEquals(Deno.UnsafePointer.value(Deno.UnsafePointer.of(arena.bytes)), before - 512n);
});

hostTest("Arena keeps pointers of what has been named, not a place for each of its bytes", () => {
  const size = 32 << 20;
  const before = Deno.memoryUsage().heapUsed;
  const arena = new Arena(size);
  for (let offset = 0; offset < size; offset += 1 << 16) arena.pointer(offset);
  const grown = Deno.memoryUsage().heapUsed - before;
  assert(grown < size / 8, `${grown} bytes of the heap for an arena of ${size}`);
  assertStrictEquals(arena.pointer(1 << 16), arena.pointer(1 << 16));
});
