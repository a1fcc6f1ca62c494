/** Tests of lib/core/transport/paths.ts: which number names which path, and for how long. */
import { PATH_SIZE, PATH_SOURCE, pathsTo } from "../../../../ffi/sockets/datagram_batch.ts";
import { NO_PATH, Paths } from "../../../../lib/core/transport/paths.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { assert, assertEquals, assertNotEquals, assertThrows } from "../../../support/assert.ts";
import { ipv4 } from "../../../support/packets/simulated_device.ts";
import { Random } from "../../../support/random.ts";

const { udp, fakeTcp } = Transport;

/** The path of a stranger. */
function stranger(paths: Paths, number: number): number {
  return paths.intern(0x0b00_0000 + number, 666, 0, udp);
}

Deno.test("one endpoint has one number, and whatever differs has another", () => {
  const paths = new Paths({ holders: 8, unheld: 8 });
  const path = paths.intern(0xc000_0201, 51_820, 0xcb00_7105, udp);
  assertEquals(paths.intern(0xc000_0201 | 0, 51_820, 0xcb00_7105 | 0, udp), path);
  const others = [
    paths.intern(0xc000_0202, 51_820, 0xcb00_7105, udp),
    paths.intern(0xc000_0201, 51_821, 0xcb00_7105, udp),
    paths.intern(0xc000_0201, 51_820, 0, udp),
    paths.intern(0xc000_0201, 51_820, 0xcb00_7105, fakeTcp),
  ];
  assertEquals(new Set([path, ...others]).size, 5);
  assertEquals(paths.socketAddress(path), { address: 0xc000_0201, port: 51_820 });
  assertEquals([paths.source(path), paths.transport(path)], [0xcb00_7105, udp]);
  assertEquals(paths.transport(others[3]!), fakeTcp);
});

Deno.test("port 0 has no path, and what is read of none is zero", () => {
  const paths = new Paths({ holders: 1, unheld: 1 });
  assertEquals(paths.intern(0xc000_0201, 0, 0, udp), NO_PATH);
  assertEquals(paths.socketAddress(NO_PATH), { address: 0, port: 0 });
  paths.retain(NO_PATH);
  paths.release(NO_PATH);
  assertEquals(paths.size, 0);
});

Deno.test("a slot begins with the socket address as the kernel takes it, and has room for IPv6's", () => {
  const paths = new Paths({ holders: 1, unheld: 1 });
  const at = paths.intern(ipv4("192.0.2.1"), 0x1234, ipv4("203.0.113.5"), fakeTcp) * PATH_SIZE;
  const slot = paths.bytes.subarray(at, at + PATH_SIZE);
  assertEquals(slot.subarray(0, 8), Uint8Array.of(2, 0, 0x12, 0x34, 192, 0, 2, 1));
  assertEquals(slot.subarray(8, 28), new Uint8Array(20));
  assertEquals(
    slot.subarray(28, 45),
    Uint8Array.of(203, 0, 113, 5, ...new Uint8Array(12), fakeTcp),
  );
});

Deno.test("a slot is what the sockets take for a path", () => {
  const paths = new Paths({ holders: 1, unheld: 1 });
  const end = { address: ipv4("192.0.2.1"), port: 0x1234, source: ipv4("203.0.113.5") };
  const at = paths.intern(end.address, end.port, end.source, udp) * PATH_SIZE;
  const size = PATH_SOURCE + 4;
  const sockets = new Uint8Array(pathsTo([end]).paths.view.buffer);
  assertEquals(paths.bytes.subarray(at, at + size), sockets.subarray(0, size));
});

Deno.test("the path asked for last is found again, also after its slot has become another's", () => {
  const paths = new Paths({ holders: 0, unheld: 1 });
  const first = stranger(paths, 1);
  assertEquals(stranger(paths, 1), first);
  const second = stranger(paths, 2);
  assertEquals([paths.address(second), stranger(paths, 2)], [0x0b00_0002, second]);
  assertEquals(paths.address(stranger(paths, 1)), 0x0b00_0001);
});

Deno.test("strangers share a few paths: a million of them leave those that are held, and make the table no longer", () => {
  const paths = new Paths({ holders: 4, unheld: 16 });
  const held = [1, 2, 3, 4].map((port) => paths.intern(ipv4("192.0.2.1"), port, 0, udp));
  for (const path of held) paths.retain(path);
  for (let number = 0; number < 1_000_000; number++) stranger(paths, number);
  assert(paths.size <= 20, `${paths.size} paths`);
  assertEquals([1, 2, 3, 4].map((port) => paths.intern(ipv4("192.0.2.1"), port, 0, udp)), held);
  assertEquals(paths.port(held[2]!), 3);
});

Deno.test("of the paths that nobody holds, the one unused for longest is used again first", () => {
  const paths = new Paths({ holders: 0, unheld: 3 });
  const [first, second, third] = [1, 2, 3].map((number) => stranger(paths, number));
  assertEquals([4, 5, 6].map((number) => stranger(paths, number)), [first, second, third]);
  assertEquals(paths.address(first!), 0x0b00_0004);
});

Deno.test("a released path is used again, but not before as many others as strangers share", () => {
  const paths = new Paths({ holders: 2, unheld: 2 });
  const path = stranger(paths, 1);
  paths.retain(path);
  paths.retain(path);
  for (let number = 2; number < 10; number++) stranger(paths, number);
  paths.release(path);
  for (let number = 10; number < 20; number++) stranger(paths, number);
  assertEquals(paths.address(path), 0x0b00_0001, "still held once");
  paths.release(path);
  assertEquals(stranger(paths, 1), path, "known until it is needed");
  for (let number = 20; number < 24; number++) stranger(paths, number);
  assertNotEquals(paths.address(path), 0x0b00_0001);
});

Deno.test("a path that a datagram waits to leave by stays, until the send queue has been empty", () => {
  const paths = new Paths({ holders: 0, unheld: 4 });
  const pinned = stranger(paths, 0);
  paths.pin(pinned);
  for (let number = 1; number < 50; number++) assertNotEquals(stranger(paths, number), pinned);
  paths.unpinAll();
  for (let number = 50; number < 60; number++) stranger(paths, number);
  assertNotEquals(paths.address(pinned), 0x0b00_0000);
});

Deno.test("more paths than can be kept are refused", () => {
  const paths = new Paths({ holders: 1, unheld: 1 });
  for (const number of [1, 2]) paths.pin(stranger(paths, number));
  assertThrows(() => stranger(paths, 3), RangeError, "Cannot keep a path: 2 are held");
});

Deno.test("paths keep their numbers and contents as the table grows", () => {
  const paths = new Paths({ holders: 1_000, unheld: 8 });
  const held = Array.from({ length: 1_000 }, (_, number) => {
    const path = stranger(paths, number);
    paths.retain(path);
    return path;
  });
  assertEquals(new Set(held).size, 1_000);
  held.forEach((path, number) => {
    assertEquals(paths.address(path), 0x0b00_0000 + number);
    assertEquals(stranger(paths, number), path);
  });
});

Deno.test("holding, releasing and asking at random agree with a map, whatever the order", () => {
  const random = new Random(11);
  const paths = new Paths({ holders: 32, unheld: 8 });
  const holds = new Map<number, { path: number; count: number }>();
  for (let round = 0; round < 20_000; round++) {
    const number = random.uint32() % 64;
    const path = stranger(paths, number);
    assertEquals(paths.address(path), 0x0b00_0000 + number);
    const known = holds.get(number);
    if (known !== undefined) assertEquals(path, known.path);
    if (random.uint32() % 2 === 0 && (known !== undefined || holds.size < 32)) {
      paths.retain(path);
      holds.set(number, { path, count: (known?.count ?? 0) + 1 });
    } else if (known !== undefined) {
      paths.release(path);
      if (--known.count === 0) holds.delete(number);
    }
  }
});
