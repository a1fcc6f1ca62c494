/** Tests of `ffi/udp_socket.ts` over the loopback interface, and against a kernel that refuses. */
import { Arena } from "../../ffi/arena.ts";
import { EADDRINUSE, EAGAIN, EINTR, EIO, EMSGSIZE, ENOBUFS, EPERM } from "../../ffi/errno.ts";
import { SystemCallError } from "../../ffi/errno.ts";
import { type Libc, openLibc } from "../../ffi/libc.ts";
import { type DatagramBatch, UdpSocket, type UdpSocketOptions } from "../../ffi/udp_socket.ts";
import { assert, assertEquals, assertThrows } from "../support/assert.ts";

const BATCH = 8;
const LOOPBACK = 0x7f000001;
const MTU_SIZED = 1452;

const OPTIONS: UdpSocketOptions = {
  port: 0,
  mark: 0,
  offload: true,
  bufferSize: 4 * 1024 * 1024,
  batch: BATCH,
};

function openSocket(arena: Arena, options: Partial<UdpSocketOptions> = {}, libc = openLibc()) {
  return UdpSocket.bind(libc, arena, { ...OPTIONS, ...options });
}

/** A datagram as a test wants it sent. */
interface Outgoing {
  readonly length: number;
  readonly port: number;
  /** 127.0.0.1 if left out. */
  readonly address?: number;
  /** The kernel's choice if left out. */
  readonly source?: number;
}

/** Sockets in one arena; the content of a datagram says which it is. */
class Bench implements Disposable {
  readonly arena: Arena = new Arena(8 * 1024 * 1024);
  readonly #sockets: UdpSocket[] = [];

  open(options: Partial<UdpSocketOptions> = {}, libc?: Libc): UdpSocket {
    const socket = openSocket(this.arena, options, libc);
    this.#sockets.push(socket);
    return socket;
  }

  /** Lays datagrams out in the arena: datagram `i` consists of bytes `i`, `i + 1` and so on. */
  batch(datagrams: readonly Outgoing[]): DatagramBatch {
    const offsets = datagrams.map(({ length }, index) => {
      const offset = this.arena.allocate(length);
      this.arena.bytes.set(content(index, length), offset);
      return offset;
    });
    return {
      offsets: Int32Array.from(offsets),
      lengths: Int32Array.from(datagrams, ({ length }) => length),
      addresses: Uint32Array.from(datagrams, ({ address }) => address ?? LOOPBACK),
      ports: Uint16Array.from(datagrams, ({ port }) => port),
      sources: Uint32Array.from(datagrams, ({ source }) => source ?? 0),
    };
  }

  send(socket: UdpSocket, datagrams: readonly Outgoing[]): number {
    return socket.send(this.batch(datagrams), 0, datagrams.length);
  }

  /** All that has come to `socket`, message by message, each taken apart into its datagrams. */
  receive(socket: UdpSocket): { datagrams: Uint8Array[]; merged: number[] } {
    const datagrams: Uint8Array[] = [];
    const merged: number[] = [];
    for (let count = socket.receive(); count > 0; count = socket.receive()) {
      for (let i = 0; i < count; i++) {
        const start = socket.receivedOffsets[i]!;
        const length = socket.receivedLengths[i]!;
        const size = socket.receivedSegmentSizes[i]! || length;
        let inMessage = 0;
        for (let at = 0; inMessage === 0 || at < length; at += size) {
          const end = Math.min(at + size, length);
          datagrams.push(this.arena.bytes.slice(start + at, start + end));
          inMessage++;
        }
        merged.push(inMessage);
      }
    }
    return { datagrams, merged };
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket[Symbol.dispose]();
  }
}

function content(index: number, length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (index + i) & 0xff);
}

/** Fails unless `received` are the datagrams numbered by `indices`, with these lengths, in this order. */
function assertContents(
  received: readonly Uint8Array[],
  lengths: readonly number[],
  indices: readonly number[] = lengths.map((_, i) => i),
): void {
  assertEquals(received.map(({ length }) => length), [...lengths]);
  for (const [i, datagram] of received.entries()) {
    assertEquals(datagram, content(indices[i]!, lengths[i]!), `datagram ${i}`);
  }
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}

for (const offload of [true, false]) {
  const title = offload ? "with segmentation" : "without segmentation";

  Deno.test(`UdpSocket carries equal datagrams in order ${title}`, () => {
    using bench = new Bench();
    const sender = bench.open({ offload });
    const receiver = bench.open({ offload });
    assertEquals([sender.segmentation, receiver.receiveOffload], [offload, offload]);
    const lengths = new Array<number>(200).fill(MTU_SIZED);
    const port = receiver.port;
    assertEquals(bench.send(sender, lengths.map((length) => ({ length, port }))), 200);
    const { datagrams, merged } = bench.receive(receiver);
    assertContents(datagrams, lengths);
    // 45 of them are as many as fit 65,507 bytes.
    if (offload) assert(merged.includes(45), `merged as ${merged}`);
    else assertEquals(merged, lengths.map(() => 1));
    assertEquals([sender.sendErrors, sender.blocked], [0, false]);
  });

  Deno.test(`UdpSocket keeps the boundaries of datagrams of all sizes ${title}`, () => {
    using bench = new Bench();
    const sender = bench.open({ offload });
    const receiver = bench.open({ offload });
    const { port } = receiver;
    // Falling, rising, equal with an odd last one, tiny, and the longest that UDP takes.
    const lengths = [300, 200, 100, 101, 102, 700, 700, 700, 33, 1, 1, 1, 5, 65507, 65507, 1];
    assertEquals(bench.send(sender, lengths.map((length) => ({ length, port }))), lengths.length);
    assertContents(bench.receive(receiver).datagrams, lengths);
    assertEquals(sender.sendErrors, 0);
  });

  Deno.test(`UdpSocket sends each datagram to its own destination ${title}`, () => {
    using bench = new Bench();
    const sender = bench.open({ offload });
    const receivers = [bench.open({ offload }), bench.open({ offload }), bench.open({ offload })];
    // Runs of one, two and three for the same destination.
    const order = [0, 1, 1, 2, 2, 2, 0, 2, 1, 0, 0, 0, 1, 2];
    const datagrams = order.map((to) => ({ length: 500, port: receivers[to]!.port }));
    assertEquals(bench.send(sender, datagrams), order.length);
    for (const [to, receiver] of receivers.entries()) {
      const indices = order.flatMap((other, index) => other === to ? [index] : []);
      assertContents(bench.receive(receiver).datagrams, indices.map(() => 500), indices);
    }
  });
}

Deno.test("UdpSocket merges equal datagrams and a shorter last one into one message", () => {
  using bench = new Bench();
  const sender = bench.open();
  const receiver = bench.open();
  const lengths = [1000, 1000, 1000, 1000, 400];
  bench.send(sender, lengths.map((length) => ({ length, port: receiver.port })));
  assertEquals(receiver.receive(), 1);
  assertEquals([receiver.receivedLengths[0], receiver.receivedSegmentSizes[0]], [4400, 1000]);
});

Deno.test("UdpSocket.receive() never cuts a message short", () => {
  using bench = new Bench();
  const sender = bench.open();
  const receiver = bench.open();
  const { port } = receiver;
  // The longest merged messages there are, and the longest single ones.
  const lengths = [...new Array<number>(64).fill(1023), ...new Array<number>(3).fill(65507)];
  bench.send(sender, lengths.map((length) => ({ length, port })));
  const seen: number[] = [];
  for (let count = receiver.receive(); count > 0; count = receiver.receive()) {
    seen.push(...receiver.receivedLengths.subarray(0, count));
  }
  assert(!seen.includes(-1), `lengths ${seen}`);
  assertEquals(sum(seen), sum(lengths));
});

Deno.test("UdpSocket.receive() returns EAGAIN when nothing is there", () => {
  using bench = new Bench();
  assertEquals(bench.open().receive(), -EAGAIN);
});

Deno.test("UdpSocket.receive() reports an empty datagram as one of length 0", () => {
  using bench = new Bench();
  const sender = bench.open();
  const receiver = bench.open();
  bench.send(sender, [{ length: 0, port: receiver.port }]);
  assertEquals([receiver.receive(), receiver.receivedLengths[0]], [1, 0]);
});

Deno.test("UdpSocket.receive() takes no more than a batch at a time", () => {
  using bench = new Bench();
  const sender = bench.open({ offload: false });
  const receiver = bench.open({ offload: false });
  const lengths = new Array<number>(BATCH * 2 + 3).fill(100);
  bench.send(sender, lengths.map((length) => ({ length, port: receiver.port })));
  const counts = [receiver.receive(), receiver.receive(), receiver.receive(), receiver.receive()];
  assertEquals(counts, [BATCH, BATCH, 3, -EAGAIN]);
});

Deno.test("UdpSocket.receive() tells where a datagram came from and where it was sent to", () => {
  using bench = new Bench();
  const sender = bench.open();
  const receiver = bench.open();
  const { port } = receiver;
  bench.send(sender, [
    { length: 10, port },
    { length: 20, port, address: 0x7f000203, source: 0x7f000909 },
  ]);
  assertEquals(receiver.receive(), 2);
  assertEquals([...receiver.receivedPorts.subarray(0, 2)], [sender.port, sender.port]);
  assertEquals([...receiver.receivedAddresses.subarray(0, 2)], [LOOPBACK, 0x7f000909]);
  assertEquals([...receiver.receivedSources.subarray(0, 2)], [LOOPBACK, 0x7f000203]);
});

Deno.test("UdpSocket.receive() goes on when a port that was sent to is closed", () => {
  using bench = new Bench();
  const sender = bench.open();
  const closed = openSocket(bench.arena);
  closed[Symbol.dispose]();
  // The ICMP error that comes back is no business of an unconnected socket.
  for (let i = 0; i < 3; i++) {
    assertEquals(bench.send(sender, [{ length: 10, port: closed.port }]), 1);
    assertEquals(sender.receive(), -EAGAIN);
  }
  assertEquals(sender.sendErrors, 0);
});

Deno.test("UdpSocket.send() lets the kernel choose when a source address is not the host's", () => {
  using bench = new Bench();
  const sender = bench.open();
  const receiver = bench.open();
  const { port } = receiver;
  const gone = 0xc0000263;
  const batch = bench.batch([
    { length: 100, port, source: 0x7f000909 },
    ...new Array<Outgoing>(20).fill({ length: 200, port, source: gone }),
    { length: 100, port, source: 0x7f000909 },
  ]);
  assertEquals(sender.send(batch, 0, 22), 22);
  const { datagrams } = bench.receive(receiver);
  assertContents(datagrams, [100, ...new Array<number>(20).fill(200), 100]);
  assertEquals(sender.refusedSource, gone);
  assertEquals([sender.sendErrors, sender.segmentation], [0, true]);
  // The other source address was left alone.
  assertEquals([...batch.sources], [0x7f000909, ...new Array<number>(20).fill(0), 0x7f000909]);
});

Deno.test("UdpSocket.send() sends the part of a batch that it is told to", () => {
  using bench = new Bench();
  const sender = bench.open();
  const receiver = bench.open();
  const datagrams = Array.from({ length: 10 }, () => ({ length: 50, port: receiver.port }));
  assertEquals(sender.send(bench.batch(datagrams), 3, 7), 7);
  assertContents(bench.receive(receiver).datagrams, [50, 50, 50, 50], [3, 4, 5, 6]);
  assertEquals(sender.send(bench.batch(datagrams), 5, 5), 5);
  assertEquals(receiver.receive(), -EAGAIN);
});

Deno.test("UdpSocket.bind() takes a free port for 0 and throws when a port is taken", () => {
  using bench = new Bench();
  const { port } = bench.open();
  assert(port > 0);
  const error = assertThrows(() => bench.open({ port }), SystemCallError);
  assertEquals(error.message, `Cannot bind UDP port ${port}: address already in use (EADDRINUSE)`);
  assertEquals(error.errno, EADDRINUSE);
});

Deno.test("UdpSocket frees its port when it is disposed of", () => {
  using bench = new Bench();
  const first = openSocket(bench.arena);
  first[Symbol.dispose]();
  assertEquals(bench.open({ port: first.port }).port, first.port);
});

// Errors that loopback never gives: a libc in front of the real one fails calls by a script.

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
  Deno.test(`UdpSocket.send() stops and loses nothing when the kernel says ${name}`, () => {
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

Deno.test("UdpSocket.send() goes on where the kernel stopped when it took part of a batch", () => {
  using bench = new Bench();
  const receiver = bench.open();
  const kernel = new RefusingKernel([{ take: 1 }, EINTR, { take: 2 }]);
  const sender = bench.open({ offload: false }, kernel.libc);
  assertEquals(bench.send(sender, twelve(receiver.port)), 12);
  assertContents(bench.receive(receiver).datagrams, TWELVE_LENGTHS);
  assertEquals(kernel.offered, [8, 8, 8, 8, 1]);
});

Deno.test("UdpSocket.send() sends singly for good when the kernel refuses to segment", () => {
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

Deno.test("UdpSocket.send() sends one run singly when that is longer than its path's MTU", () => {
  using bench = new Bench();
  const receiver = bench.open();
  const kernel = new RefusingKernel([EMSGSIZE]);
  const sender = bench.open({}, kernel.libc);
  assertEquals(bench.send(sender, twelve(receiver.port)), 12);
  assertContents(bench.receive(receiver).datagrams, TWELVE_LENGTHS);
  assertEquals([sender.segmentation, sender.fragmentation, sender.sendErrors], [true, true, 0]);
  // The next batch is tried in one message again.
  assertEquals(bench.send(sender, twelve(receiver.port)), 12);
  assertEquals(kernel.offered, [1, 8, 4, 1]);
});

Deno.test("UdpSocket.send() counts and skips what the kernel refuses, and sends the rest", () => {
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
