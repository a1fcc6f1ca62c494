/**
 * Tests of `ffi/sockets/udp_socket.ts` against a kernel that refuses: errors that loopback never gives. A libc in front
 * of the real one fails calls by a script.
 */
import { EAGAIN, EINTR, EIO, EMSGSIZE, ENOBUFS, EPERM } from "../../../../ffi/errno.ts";
import { type Libc, openLibc } from "../../../../ffi/libc.ts";
import { assertEquals } from "../../../support/assert.ts";
import { assertContents, Bench, type Outgoing } from "../../../bench/udp_bench.ts";
import { hostTest } from "../../../support/permissions.ts";

/** Fails the calls of `sendmmsg` as the script says, by number of the call; others reach the kernel. */
class RefusingKernel {
  /** How many messages each call of `sendmmsg` offered. */
  readonly offered: number[] = [];
  readonly libc: Libc;
  #errno = 0;

  /** @param script the error of each call, or `{ take }` for the count of messages that the kernel is shown of it */
  constructor(script: readonly (number | { readonly take: number })[]) {
    const real = openLibc();
    const steps = [...script];
    const sendmmsg: typeof real.symbols.sendmmsg = (fd, messages, count, flags) => {
      this.offered.push(count);
      const step = steps.shift();
      if (typeof step === "number") {
        this.#errno = step;
        return -1;
      }
      const result = real.symbols.sendmmsg(fd, messages, step?.take ?? count, flags);
      this.#errno = real.errno();
      return result;
    };
    this.libc = { symbols: { ...real.symbols, sendmmsg }, errno: () => this.#errno };
  }
}

/** Twelve datagrams of the same size for one destination: one message with segmentation, two calls without. */
function twelve(port: number): Outgoing[] {
  return Array.from({ length: 12 }, () => ({ length: 300, port }));
}
const TWELVE_LENGTHS = new Array<number>(12).fill(300);

for (const [name, errno] of [["EAGAIN", EAGAIN], ["ENOBUFS", ENOBUFS]] as const) {
  hostTest(`UdpSocket.send() stops and loses nothing when the kernel says ${name}`, () => {
    using bench = new Bench();
    const receiver = bench.open();
    const kernel = new RefusingKernel([{ take: 3 }, errno]);
    const sender = bench.open({ offload: false }, kernel.libc);
    const batch = bench.batch(twelve(receiver.port));
    assertEquals(sender.send(batch, 0, 12), 3);
    assertEquals([sender.blocked, sender.sendErrors], [true, 0]);
    assertEquals(sender.send(batch, 3, 12), 12);
    assertEquals(sender.blocked, false);
    assertContents(bench.receive(receiver).datagrams, TWELVE_LENGTHS);
  });
}

hostTest("UdpSocket.send() goes on where the kernel stopped when it took part of a batch", () => {
  using bench = new Bench();
  const receiver = bench.open();
  const kernel = new RefusingKernel([{ take: 1 }, EINTR, { take: 2 }]);
  const sender = bench.open({ offload: false }, kernel.libc);
  assertEquals(bench.send(sender, twelve(receiver.port)), 12);
  assertContents(bench.receive(receiver).datagrams, TWELVE_LENGTHS);
  assertEquals(kernel.offered, [8, 8, 8, 8, 1]);
});

hostTest("UdpSocket.send() stops segmenting for good when the kernel refuses it", () => {
  using bench = new Bench();
  const receiver = bench.open();
  const kernel = new RefusingKernel([EIO]);
  const sender = bench.open({}, kernel.libc);
  for (let round = 0; round < 2; round++) {
    assertEquals(bench.send(sender, twelve(receiver.port)), 12);
    assertContents(bench.receive(receiver).datagrams, TWELVE_LENGTHS);
  }
  assertEquals([sender.segmentation, sender.sendErrors], [false, 0]);
  assertEquals(kernel.offered, [1, 8, 4, 8, 4]);
});

hostTest("UdpSocket.send() does not segment a run that is longer than its path's MTU", () => {
  using bench = new Bench();
  const receiver = bench.open();
  const kernel = new RefusingKernel([EMSGSIZE]);
  const sender = bench.open({}, kernel.libc);
  assertEquals(bench.send(sender, twelve(receiver.port)), 12);
  assertContents(bench.receive(receiver).datagrams, TWELVE_LENGTHS);
  assertEquals([sender.segmentation, sender.sendErrors], [true, 0]);
  // The next batch is tried in one message again.
  assertEquals(bench.send(sender, twelve(receiver.port)), 12);
  assertEquals(kernel.offered, [1, 8, 4, 1]);
});

hostTest("UdpSocket.send() counts and skips what the kernel refuses, and sends the rest", () => {
  using bench = new Bench();
  const [one, other] = [bench.open(), bench.open()];
  const kernel = new RefusingKernel([EPERM]);
  const sender = bench.open({}, kernel.libc);
  const refused = Array.from({ length: 5 }, () => ({ length: 100, port: one.port }));
  const sent = Array.from({ length: 5 }, () => ({ length: 100, port: other.port }));
  assertEquals(bench.send(sender, [...refused, ...sent]), 10);
  assertEquals(one.receive(), -EAGAIN);
  assertContents(bench.receive(other).datagrams, [100, 100, 100, 100, 100], [5, 6, 7, 8, 9]);
  assertEquals([sender.sendErrors, sender.lastSendError], [5, EPERM]);
  assertEquals([sender.segmentation, sender.blocked], [true, false]);
});

hostTest("UdpSocket sets DF for a probe and for nothing else", () => {
  using bench = new Bench();
  const receiver = bench.open();
  const real = openLibc();
  const calls: string[] = [];
  const setsockopt: typeof real.symbols.setsockopt = (fd, level, option, value, length) => {
    // IP_MTU_DISCOVER of SOL_IP: 0 is "no DF", 2 is "DF, and nothing in fragments".
    if (level === 0 && option === 10) calls.push(`discover ${(value as Uint8Array)[0]}`);
    return real.symbols.setsockopt(fd, level, option, value, length);
  };
  const sendmmsg: typeof real.symbols.sendmmsg = (fd, messages, count, flags) => {
    calls.push(`send ${count}`);
    return real.symbols.sendmmsg(fd, messages, count, flags);
  };
  const libc = { symbols: { ...real.symbols, setsockopt, sendmmsg }, errno: () => real.errno() };
  const sender = bench.open({}, libc);
  const batch = bench.batch([{ length: 100, port: receiver.port }, {
    length: 1452,
    port: receiver.port,
  }]);
  sender.probe(batch, 1);
  sender.send(batch, 0, 1);
  assertEquals(calls, ["discover 5", "discover 3", "send 1", "discover 5", "send 1"]);
  assertContents(bench.receive(receiver).datagrams, [1452, 100], [1, 0]);
});

hostTest("UdpSocket.probe() takes it as it is when the kernel refuses", () => {
  using bench = new Bench();
  const receiver = bench.open();
  const kernel = new RefusingKernel([EMSGSIZE]);
  const sender = bench.open({}, kernel.libc);
  const batch = bench.batch([{ length: 1452, port: receiver.port }]);
  sender.probe(batch, 0);
  assertEquals([sender.sendErrors, sender.blocked], [0, false]);
  assertEquals(sender.send(batch, 0, 1), 1);
  assertContents(bench.receive(receiver).datagrams, [1452]);
});
