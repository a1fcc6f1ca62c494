/** Tests of lib/core/transport/paths.ts and path_slots.ts with IPv6 endpoints beside those of IPv4. */
import { PATH_SIZE, pathsTo, sourceDigest } from "../../../../ffi/sockets/datagram_batch.ts";
import { NO_PATH, Paths } from "../../../../lib/core/transport/paths.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { ipv6Bytes } from "../../../../lib/core/wire/host_address.ts";
import { assert, assertEquals, assertNotEquals } from "../../../support/assert.ts";
import { ipv4 } from "../../../support/packets/simulated_device.ts";

const { udp, fakeTcp } = Transport;

/** A received `sockaddr_in6` with a flow label, and our own address behind it. */
function name6(
  { address, port, source = "::", scope = 0 }: {
    address: string;
    port: number;
    source?: string;
    scope?: number;
  },
): DataView {
  const bytes = new Uint8Array(64).fill(0xee);
  const view = new DataView(bytes.buffer);
  view.setUint16(8, 10, true);
  view.setUint16(10, port);
  bytes.set(ipv6Bytes(address), 16);
  view.setUint32(32, scope, true);
  bytes.set(ipv6Bytes(source), 40);
  return view;
}

/** Its path. */
function path6(paths: Paths, end: Parameters<typeof name6>[0]): number {
  return paths.internName6(name6(end), 8, 40, udp);
}

Deno.test("an IPv6 endpoint has one number, and whatever differs has another", () => {
  const paths = new Paths({ holders: 8, unheld: 16 });
  const end = { address: "2001:db8::7", port: 51_820, source: "2001:db8::1" };
  const path = path6(paths, end);
  const four = paths.intern(ipv4("192.0.2.1"), 51_820, 0, udp);
  const others = [
    path6(paths, { ...end, address: "2001:db8::8" }),
    path6(paths, { ...end, address: "2001:db9::7" }),
    path6(paths, { ...end, port: 51_821 }),
    path6(paths, { ...end, source: "2001:db8::2" }),
    path6(paths, { ...end, scope: 3 }),
    paths.internName6(name6(end), 8, -1, udp),
    paths.internName6(name6(end), 8, 40, fakeTcp),
  ];
  assertEquals(new Set([path, four, ...others]).size, 9);
  assertEquals(path6(paths, end), path);
  assertEquals(paths.intern(ipv4("192.0.2.1"), 51_820, 0, udp), four);
  assertEquals(paths.socketAddress(path), { address: "2001:db8::7", port: 51_820 });
  assertEquals([paths.isIpv6(path), paths.isIpv6(four)], [true, false]);
  assertEquals(path6(paths, { ...end, port: 0 }), NO_PATH);
});

Deno.test("an IPv6 slot is what the sockets take for a path, without the flow label that came", () => {
  const paths = new Paths({ holders: 1, unheld: 1 });
  // A slot that IPv4 has had before.
  paths.intern(ipv4("192.0.2.1"), 1, ipv4("192.0.2.2"), fakeTcp);
  const end = { address: "2001:db8::7", port: 0x1234, source: "2001:db8:1:2:3:4:5:6" };
  const at = path6(paths, end) * PATH_SIZE;
  const { paths: { view } } = pathsTo([
    { ...end, address: ipv6Bytes(end.address), source: ipv6Bytes(end.source) },
  ]);
  assertEquals(paths.bytes.subarray(at, at + PATH_SIZE), new Uint8Array(view.buffer));
  assertEquals(paths.sourceDigest(at / PATH_SIZE), sourceDigest(view, 0));
  assertNotEquals(sourceDigest(view, 0), 0);
  // Back to IPv4: nothing of the longer address stays.
  const path = paths.intern(ipv4("192.0.2.1"), 1, 0, udp);
  assertEquals(
    paths.bytes.subarray(path * PATH_SIZE + 8, path * PATH_SIZE + 44),
    new Uint8Array(36),
  );
});

Deno.test("the digest of a source address is 0 for none alone", () => {
  const paths = new Paths({ holders: 1, unheld: 8 });
  const end = { address: "2001:db8::7", port: 1 };
  const digest = (source: string) => paths.sourceDigest(path6(paths, { ...end, source }));
  assertEquals(digest("::"), 0);
  // Its parts cancel each other out.
  assertNotEquals(digest("2001:db8:2001:db8::"), 0);
  assertEquals(paths.sourceDigest(paths.intern(1, 1, 0xc000_0201, udp)) >>> 0, 0xc000_0201);
});

Deno.test("an end by value has the path that its socket address has, from the kernel's address", () => {
  const paths = new Paths({ holders: 1, unheld: 8 });
  const end = { address: "2001:db8::7", port: 51_820 };
  const path = paths.internEnd(end, udp);
  assertEquals(path, paths.internName6(name6(end), 8, -1, udp));
  const known = path6(paths, { ...end, source: "2001:db8::1" });
  assert(paths.isSameEnd(path, known));
  assertEquals(paths.withTransport(known, udp), path);
  const four = { address: ipv4("192.0.2.1"), port: 7 };
  assertEquals(paths.socketAddress(paths.internEnd(four, udp)), four);
});

Deno.test("a /64 of IPv6 is one party, and each address of IPv4", () => {
  const paths = new Paths({ holders: 1, unheld: 16 });
  paths.seedWith(12_345);
  const of6 = (address: string) => path6(paths, { address, port: 1 });
  const [one, neighbour, other] = [
    of6("2001:db8:0:7::1"),
    of6("2001:db8:0:7:ffff::2"),
    of6("2001:db8:0:8::1"),
  ];
  assertEquals(paths.partyKey(one), paths.partyKey(neighbour));
  assertNotEquals(paths.partyKey(one), paths.partyKey(other));
  assertNotEquals(paths.addressKey(one), paths.addressKey(neighbour));
  const four = paths.intern(ipv4("192.0.2.1"), 1, 0, udp);
  assertEquals([paths.partyKey(four) >>> 0, paths.addressKey(four) >>> 0], [
    0xc000_0201,
    0xc000_0201,
  ]);
});

Deno.test("what a cookie is bound to is address and port in network order, 6 bytes or 18", () => {
  const paths = new Paths({ holders: 1, unheld: 4 });
  const written = (path: number, size: number) => {
    const into = new Uint8Array(size);
    paths.writeEnd(path, new DataView(into.buffer));
    return into;
  };
  assertEquals(
    written(paths.intern(ipv4("192.0.2.1"), 0x1234, 0, udp), 6),
    Uint8Array.of(192, 0, 2, 1, 0x12, 0x34),
  );
  assertEquals(
    written(path6(paths, { address: "2001:db8::7", port: 0x1234 }), 18),
    Uint8Array.of(...ipv6Bytes("2001:db8::7"), 0x12, 0x34),
  );
});

Deno.test("paths of both families are found again however many there are", () => {
  const paths = new Paths({ holders: 1, unheld: 1_000 });
  paths.seedWith(99);
  const ends = Array.from({ length: 500 }, (_, i) => `2001:db8::${(i + 1).toString(16)}`);
  const six = ends.map((address) => path6(paths, { address, port: 9 }));
  const four = ends.map((_, i) => paths.intern(i + 1, 9, 0, udp));
  assertEquals(ends.map((address) => path6(paths, { address, port: 9 })), six);
  assertEquals(ends.map((_, i) => paths.intern(i + 1, 9, 0, udp)), four);
  assertEquals(new Set([...six, ...four]).size, 1_000);
});
