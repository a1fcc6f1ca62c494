/** Tests of lib/core/transport/paths.ts: which number names which path, and for how long. */
import { PATH_SIZE, PATH_SOURCE, pathsTo } from "../../../../ffi/sockets/datagram_batch.ts";
import { NO_PATH, Paths } from "../../../../lib/core/transport/paths.ts";
import { PeerEndpoint } from "../../../../lib/core/transport/peer_endpoint.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { assert, assertEquals, assertNotEquals } from "../../../support/assert.ts";
import { ipv4 } from "../../../support/packets/simulated_device.ts";
import { Random } from "../../../support/random.ts";

const { udp, fakeTcp } = Transport;

/** The path of a stranger, by its own guess or by one that is given. */
function stranger(paths: Paths, number: number, guess?: number): number {
  return paths.intern(0x0b00_0000 + number, 666, 0, udp, guess);
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

Deno.test("a guess is found where it is right, and changes nothing where it is wrong, or of another's slot by now", () => {
  const paths = new Paths({ holders: 1, unheld: 2 });
  const [first, second] = [stranger(paths, 1), stranger(paths, 2)];
  for (const guess of [first, second, NO_PATH]) {
    assertEquals(stranger(paths, 1, guess), first);
    assertEquals(stranger(paths, 2, guess), second);
  }
  assertEquals(stranger(paths, 3, first), first, "the slot of the one unused for longest");
  assertEquals(stranger(paths, 1, first), second);
  const name = new DataView(paths.bytes.slice(0, PATH_SIZE).buffer);
  name.setUint16(0, 0x0a00);
  name.setUint16(2, 666);
  name.setUint8(8, 0x20);
  const six = paths.internName6(name, 0, -1, udp);
  for (const guess of [six, second, NO_PATH]) {
    assertEquals(paths.internName6(name, 0, -1, udp, guess), six);
  }
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

Deno.test("a path that was asked for again is not the next to go, however long it has been known", () => {
  const paths = new Paths({ holders: 0, unheld: 3 });
  const [first, second] = [1, 2, 3].map((number) => stranger(paths, number));
  assertEquals(stranger(paths, 1), first);
  assertEquals(stranger(paths, 4), second);
  assertEquals(paths.address(first!), 0x0b00_0001);
});

Deno.test("a path that was held for long is not the next to go once it is released", () => {
  const paths = new Paths({ holders: 1, unheld: 3 });
  const path = stranger(paths, 1);
  paths.retain(path);
  const [second] = [2, 3].map((number) => stranger(paths, number));
  paths.release(path);
  // As a goodbye does while the other datagrams of its message are still to be taken: each names the path.
  assertEquals([stranger(paths, 4), paths.address(path)], [second, 0x0b00_0001]);
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

Deno.test("where all paths are held or pinned, another endpoint has none, until one is let go of", () => {
  const paths = new Paths({ holders: 1, unheld: 1 });
  const held = stranger(paths, 1);
  paths.retain(held);
  const pinned = stranger(paths, 2);
  paths.pin(pinned);
  assertEquals(stranger(paths, 3), NO_PATH);
  assertEquals([stranger(paths, 1), stranger(paths, 2)], [held, pinned]);
  paths.unpinAll();
  assertEquals(stranger(paths, 3), pinned);
});

Deno.test("who roams has a path also while all holders have one and every datagram of a full queue another", () => {
  const [holders, slots] = [64, 16];
  const paths = new Paths({ holders, unheld: 2 * slots });
  const endpoints = Array.from({ length: holders }, (_, i) => {
    const endpoint = new PeerEndpoint(paths);
    endpoint.moveTo(stranger(paths, i));
    return endpoint;
  });
  for (let i = 0; i < slots; i++) paths.pin(stranger(paths, 1_000 + i));
  for (let round = 0; round < 10; round++) {
    endpoints.forEach((endpoint, i) => {
      stranger(paths, 100_000 + round * holders + i);
      endpoint.moveTo(stranger(paths, 10_000 + round * holders + i));
      assertNotEquals(endpoint.path, NO_PATH);
      endpoint.setTransport(round % 2 === 0 ? fakeTcp : udp);
      assertNotEquals(endpoint.path, NO_PATH);
    });
  }
  endpoints.forEach(({ address, port, transport }, i) => {
    assertEquals([address, port, transport], [0x0b00_0000 + 10_000 + 9 * holders + i, 666, udp]);
  });
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

interface Known {
  readonly number: number;
  readonly path: number;
  holds: number;
  pinned: boolean;
}

/** A table of paths as slow and obvious as can be: every known path in one list, the one unused for longest first. */
class SlowPaths {
  readonly known: Known[] = [];
  #made = 1;

  constructor(readonly holders: number, readonly unheld: number) {}

  intern(number: number): number {
    const entry = this.known.find((one) => one.number === number);
    if (entry !== undefined) return this.#touch(entry).path;
    const path = this.#place();
    if (path !== NO_PATH) this.known.push({ number, path, holds: 0, pinned: false });
    return path;
  }

  #place(): number {
    const unheld = this.known.filter(({ holds }) => holds === 0);
    const all = 1 + this.holders + this.unheld;
    if (unheld.length >= this.unheld || this.#made === all) {
      for (const one of unheld) {
        if (one.pinned) this.#touch(one);
        else return this.known.splice(this.known.indexOf(one), 1)[0]!.path;
      }
    }
    return this.#made === all ? NO_PATH : this.#made++;
  }

  #touch(entry: Known): Known {
    this.known.splice(this.known.indexOf(entry), 1);
    this.known.push(entry);
    return entry;
  }

  release(entry: Known): void {
    if (--entry.holds === 0) this.#touch(entry);
  }
}

Deno.test("asking, holding, releasing and pinning at random do what a slow and obvious table does", () => {
  const random = new Random(11);
  const below = (limit: number): number => random.uint32() % limit;
  for (let world = 0; world < 60; world++) {
    const [holders, unheld] = [below(40), 1 + below(90)];
    const paths = new Paths({ holders, unheld });
    paths.seedWith(random.uint32());
    const slow = new SlowPaths(holders, unheld);
    let pins = 0;
    for (let round = 0; round < 1_000; round++) {
      const number = below(2 * (holders + unheld));
      const path = stranger(paths, number, [below(paths.size + 1), undefined][below(2)]);
      assertEquals(path, slow.intern(number), `round ${round} of world ${world}`);
      if (path !== NO_PATH) assertEquals(paths.address(path), 0x0b00_0000 + number);
      const entry = slow.known[below(slow.known.length)]!;
      const held = slow.known.filter(({ holds }) => holds > 0).length;
      const choice = below(8);
      if (choice < 3 && (entry.holds > 0 || held < holders)) {
        paths.retain(entry.path);
        entry.holds++;
      } else if (choice < 5 && entry.holds > 0) {
        paths.release(entry.path);
        slow.release(entry);
      } else if (choice === 5 && (entry.pinned || pins < unheld)) {
        if (!entry.pinned) pins++;
        paths.pin(entry.path);
        entry.pinned = true;
      } else if (choice === 6 && below(6) === 0) {
        paths.unpinAll();
        for (const one of slow.known) one.pinned = false;
        pins = 0;
      }
    }
    for (const { number, path } of slow.known) {
      assertEquals(paths.socketAddress(path), { address: 0x0b00_0000 + number, port: 666 });
    }
  }
});
