/**
 * Tests of `ffi/sockets/udp_socket.ts` with both families in one socket, over the loopback interface. Those of IPv6 are
 * left out on a host without it.
 */
import { EAFNOSUPPORT, EAGAIN } from "../../../../ffi/errno.ts";
import { type Libc, openLibc } from "../../../../ffi/libc.ts";
import { AF_INET6 } from "../../../../ffi/socket_constants.ts";
import type { UdpSocket } from "../../../../ffi/sockets/udp_socket.ts";
import { ipv6At, ipv6Bytes } from "../../../../lib/core/wire/host_address.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { assertContents, Bench, LOOPBACK } from "../../../bench/udp_bench.ts";
import { hostTest, whereAllowed } from "../../../support/permissions.ts";

const LOOPBACK6 = ipv6Bytes("::1");
const BOTH = { bothFamilies: true };
/** Of this host's own; the kernel's list has the loopback address where IPv6 is there and on. */
const hasIpv6 = whereAllowed(() => {
  try {
    return Deno.readTextFileSync("/proc/net/if_inet6").startsWith(
      "00000000000000000000000000000001",
    );
  } catch {
    return false;
  }
});

function ipv6Test(name: string, fn: () => void): void {
  hostTest({ name, fn, ignore: !hasIpv6 });
}

/** Who sent message `index`, and where to, in words. */
function ends(socket: UdpSocket, { arena: { view } }: Bench, index: number): (string | number)[] {
  const name = socket.receivedNames6[index]!;
  if (name < 0) return [socket.receivedAddresses[index]!, socket.receivedSources[index]!];
  return [ipv6At(view, name + 8), ipv6At(view, socket.receivedSources6[index]!)];
}

ipv6Test("UdpSocket of both families carries segmented datagrams of each", () => {
  using bench = new Bench();
  const [sender, receiver] = [bench.open(BOTH), bench.open(BOTH)];
  assertEquals([sender.hasIpv6, sender.segmentation, receiver.receiveOffload], [true, true, true]);
  const { port } = receiver;
  for (const address of [LOOPBACK6, LOOPBACK]) {
    const lengths = new Array<number>(100).fill(1_432);
    bench.send(sender, lengths.map((length) => ({ length, port, address })));
    const { datagrams, merged } = bench.receive(receiver);
    assertContents(datagrams, lengths);
    assert(merged.includes(45), `merged as ${merged}`);
  }
  assertEquals(sender.sendErrors, 0);
});

ipv6Test(
  "UdpSocket of both families tells where a datagram came from and was sent to, IPv4 as IPv4",
  () => {
    using bench = new Bench();
    const [sender, receiver] = [bench.open(BOTH), bench.open(BOTH)];
    const { port } = receiver;
    bench.send(sender, [
      { length: 10, port, address: LOOPBACK6 },
      { length: 20, port, address: 0x7f000203, source: 0x7f000109 },
      { length: 30, port, address: LOOPBACK6, source: LOOPBACK6 },
    ]);
    assertEquals(receiver.receive(), 3);
    assertEquals(ends(receiver, bench, 0), ["::1", "::1"]);
    assertEquals(ends(receiver, bench, 1), [0x7f000109, 0x7f000203]);
    assertEquals(ends(receiver, bench, 2), ["::1", "::1"]);
    assertEquals([...receiver.receivedPorts.subarray(0, 3)], new Array(3).fill(sender.port));
  },
);

ipv6Test("UdpSocket carries ECN in both families", () => {
  using bench = new Bench();
  const [sender, receiver] = [bench.open(BOTH), bench.open(BOTH)];
  const { port } = receiver;
  const batch = bench.batch([
    { length: 10, port, address: LOOPBACK6 },
    { length: 10, port, address: LOOPBACK },
    { length: 10, port, address: LOOPBACK6 },
  ]);
  sender.send({ ...batch, ecns: Uint8Array.of(1, 2, 3) }, 0, 3);
  assertEquals(receiver.receive(), 3);
  assertEquals([...receiver.receivedEcns.subarray(0, 3)], [1, 2, 3]);
});

ipv6Test("UdpSocket lets the kernel choose when an IPv6 source address is not the host's", () => {
  using bench = new Bench();
  const [sender, receiver] = [bench.open(BOTH), bench.open(BOTH)];
  const gone = {
    length: 10,
    port: receiver.port,
    address: LOOPBACK6,
    source: ipv6Bytes("2001:db8::9"),
  };
  bench.send(sender, [gone, gone]);
  const { datagrams } = bench.receive(receiver);
  assertContents(datagrams, [10, 10]);
  assertEquals([sender.sendErrors, sender.refusedSource !== 0], [0, true]);
});

ipv6Test("UdpSocket.probe() sends one that is not divided, in each family", () => {
  using bench = new Bench();
  const [sender, receiver] = [bench.open(BOTH), bench.open(BOTH)];
  const { port } = receiver;
  sender.probe(bench.batch([{ length: 1_400, port, address: LOOPBACK6 }]), 0);
  sender.probe(bench.batch([{ length: 1_400, port, address: LOOPBACK }]), 0);
  // The loopback interface takes 65,536 bytes with the headers.
  sender.probe(bench.batch([{ length: 65_500, port, address: LOOPBACK6 }]), 0);
  assertEquals(receiver.receive(), 2);
  assertEquals([...receiver.receivedLengths.subarray(0, 2)], [1_400, 1_400]);
  assertEquals(bench.send(sender, [{ length: 65_500, port, address: LOOPBACK6 }]), 1);
  assertEquals(receiver.receive(), 1);
});

ipv6Test(
  "UdpSocket of one IPv6 address receives at that alone, and from one place if told so",
  () => {
    using bench = new Bench();
    const receiver = bench.open({ address: LOOPBACK6 });
    const { port } = receiver;
    const sender = bench.open({ remote: { address: LOOPBACK6, port } });
    bench.send(sender, [{ length: 10, port, address: LOOPBACK6 }]);
    assertEquals(receiver.receive(), 1);
    const answer = { length: 20, port: sender.port, address: LOOPBACK6 };
    bench.send(bench.open(BOTH), [answer]);
    assertEquals(sender.receive(), -EAGAIN);
    bench.send(receiver, [answer]);
    assertEquals(sender.receive(), 1);
  },
);

hostTest("UdpSocket of both families is one of IPv4 where the kernel has no IPv6", () => {
  using bench = new Bench();
  const real = openLibc();
  let errno = 0;
  const socket: typeof real.symbols.socket = (family, type, protocol) => {
    if (family === AF_INET6) {
      errno = EAFNOSUPPORT;
      return -1;
    }
    return real.symbols.socket(family, type, protocol);
  };
  const libc: Libc = {
    symbols: { ...real.symbols, socket },
    errno: () => errno === 0 ? real.errno() : errno,
  };
  const sender = bench.open(BOTH, libc);
  errno = 0;
  assertEquals(sender.hasIpv6, false);
  const receiver = bench.open();
  const { port } = receiver;
  bench.send(sender, [{ length: 10, port }, { length: 20, port, address: LOOPBACK6 }, {
    length: 30,
    port,
  }]);
  assertContents(bench.receive(receiver).datagrams, [10, 30], [0, 2]);
  // What only IPv6 could carry is counted, and holds up nothing.
  assertEquals([sender.sendErrors, sender.lastSendError], [1, EAFNOSUPPORT]);
});
