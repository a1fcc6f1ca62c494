/** Tests of `ffi/sockets/udp_socket.ts` over the loopback interface. */
import {
  EADDRINUSE,
  EADDRNOTAVAIL,
  EAGAIN,
  ECONNREFUSED,
  SystemCallError,
} from "../../../../ffi/errno.ts";
import { UdpBuffers } from "../../../../ffi/sockets/udp_buffers.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import {
  assertContents,
  BATCH,
  Bench,
  LOOPBACK,
  openSocket,
  type Outgoing,
} from "../../../bench/udp_bench.ts";
import { hostTest } from "../../../support/permissions.ts";

const MTU_SIZED = 1452;

for (const offload of [true, false]) {
  const title = offload ? "with segmentation" : "without segmentation";

  hostTest(`UdpSocket carries equal datagrams in order ${title}`, () => {
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

  hostTest(`UdpSocket keeps the boundaries of datagrams of all sizes ${title}`, () => {
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

  hostTest(`UdpSocket sends each datagram to its own destination ${title}`, () => {
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

hostTest("UdpSocket merges equal datagrams and a shorter last one into one message", () => {
  using bench = new Bench();
  const sender = bench.open();
  const receiver = bench.open();
  const lengths = [1000, 1000, 1000, 1000, 400];
  bench.send(sender, lengths.map((length) => ({ length, port: receiver.port })));
  assertEquals(receiver.receive(), 1);
  assertEquals([receiver.receivedLengths[0], receiver.receivedSegmentSizes[0]], [4400, 1000]);
});

hostTest("UdpSocket.receive() never cuts a message short", () => {
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

hostTest("UdpSocket.receive() returns EAGAIN when nothing is there", () => {
  using bench = new Bench();
  assertEquals(bench.open().receive(), -EAGAIN);
});

hostTest("UdpSocket.receive() reports an empty datagram as one of length 0", () => {
  using bench = new Bench();
  const sender = bench.open();
  const receiver = bench.open();
  bench.send(sender, [{ length: 0, port: receiver.port }]);
  assertEquals([receiver.receive(), receiver.receivedLengths[0]], [1, 0]);
});

hostTest(
  "UdpSocket.drops() counts what the kernel drops where the buffer is full, and nothing that was received",
  () => {
    using bench = new Bench();
    const sender = bench.open({ offload: false });
    const receiver = bench.open({ offload: false });
    const { port } = receiver;
    assertEquals(receiver.drops(), 0);
    const batch = bench.batch(Array.from({ length: 40 }, () => ({ length: 20_000, port })));
    let sent = 0;
    for (; sent < 20_000 && receiver.drops() === 0; sent += 40) sender.send(batch, 0, 40);
    const { datagrams } = bench.receive(receiver);
    assert(datagrams.length > 0);
    assertEquals(receiver.drops(), sent - datagrams.length);
  },
);

hostTest("UdpSocket.receive() takes no more than a batch at a time", () => {
  using bench = new Bench();
  const sender = bench.open({ offload: false });
  const receiver = bench.open({ offload: false });
  const lengths = new Array<number>(BATCH * 2 + 3).fill(100);
  bench.send(sender, lengths.map((length) => ({ length, port: receiver.port })));
  const counts = [receiver.receive(), receiver.receive(), receiver.receive(), receiver.receive()];
  assertEquals(counts, [BATCH, BATCH, 3, -EAGAIN]);
});

hostTest("UdpSocket.receive() tells where a datagram came from and where it was sent to", () => {
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

hostTest("UdpSocket.receive() goes on when a port that was sent to is closed", () => {
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

hostTest("UdpSocket.send() lets the kernel choose when a source address is not the host's", () => {
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
  const count = receiver.receive();
  assertEquals([...receiver.receivedLengths.subarray(0, count)], [100, 20 * 200, 100]);
  // The other source address is left alone.
  const sources = [...receiver.receivedAddresses.subarray(0, count)];
  assertEquals(sources, [0x7f000909, LOOPBACK, 0x7f000909]);
  assertEquals(sender.refusedSource, gone | 0);
  assertEquals([sender.sendErrors, sender.segmentation], [0, true]);
});

hostTest("UdpSocket.send() sends the part of a batch that it is told to", () => {
  using bench = new Bench();
  const sender = bench.open();
  const receiver = bench.open();
  const datagrams = Array.from({ length: 10 }, () => ({ length: 50, port: receiver.port }));
  assertEquals(sender.send(bench.batch(datagrams), 3, 7), 7);
  assertContents(bench.receive(receiver).datagrams, [50, 50, 50, 50], [3, 4, 5, 6]);
  assertEquals(sender.send(bench.batch(datagrams), 5, 5), 5);
  assertEquals(receiver.receive(), -EAGAIN);
});

hostTest("UdpSocket.bind() takes a free port for 0 and throws when a port is taken", () => {
  using bench = new Bench();
  const { port } = bench.open();
  assert(port > 0);
  const error = assertThrows(() => bench.open({ port }), SystemCallError);
  assertEquals(error.message, `Cannot bind UDP port ${port}: address already in use (EADDRINUSE)`);
  assertEquals(error.errno, EADDRINUSE);
});

hostTest("UdpSocket.bind() takes a port of one address, and of none that is not the host's", () => {
  using bench = new Bench();
  const elsewhere = LOOPBACK + 1;
  const socket = bench.open({ address: LOOPBACK });
  const other = bench.open({ address: elsewhere, port: socket.port });
  const { port } = socket;
  bench.send(bench.open(), [{ length: 10, port }, { length: 20, port, address: elsewhere }]);
  assertEquals(bench.receive(socket).datagrams.map(({ length }) => length), [10]);
  assertEquals(bench.receive(other).datagrams.map(({ length }) => length), [20]);
  // TEST-NET-3 of RFC 5737.
  const error = assertThrows(() => bench.open({ address: 0xcb007101 }), SystemCallError);
  assertEquals(error.errno, EADDRNOTAVAIL);
});

hostTest("UdpSocket with a remote receives from that alone, and learns that nobody listens", () => {
  using bench = new Bench();
  const [there, stranger] = [bench.open(), bench.open()];
  const remote = { address: LOOPBACK, port: there.port };
  const socket = bench.open({ remote });
  bench.send(stranger, [{ length: 10, port: socket.port }]);
  bench.send(there, [{ length: 20, port: socket.port }]);
  assertEquals(bench.receive(socket).datagrams.map(({ length }) => length), [20]);
  bench.send(socket, [{ length: 30, port: remote.port }]);
  assertEquals(bench.receive(there).datagrams.map(({ length }) => length), [30]);
  const closed = openSocket(bench.arena);
  closed[Symbol.dispose]();
  const lost = bench.open({ remote: { address: LOOPBACK, port: closed.port } });
  bench.send(lost, [{ length: 10, port: closed.port }]);
  assertEquals([lost.receive(), lost.receive()], [-ECONNREFUSED, -EAGAIN]);
});

hostTest(
  "UdpSocket.send() keeps the source address of a message whose place had other control messages",
  () => {
    using bench = new Bench();
    const sender = bench.open();
    const { port } = bench.open();
    // ECN and a segment size, then a source address and ECN: the header of the second is where the first had its type.
    const merged = { ...bench.batch([{ length: 9, port }, { length: 9, port }]) };
    assertEquals(sender.send({ ...merged, ecns: Uint8Array.of(1, 1) }, 0, 2), 2);
    const single = { ...bench.batch([{ length: 9, port, source: LOOPBACK }]) };
    assertEquals(sender.send({ ...single, ecns: Uint8Array.of(1) }, 0, 1), 1);
    assertEquals([sender.refusedSource, sender.sendErrors], [0, 0]);
  },
);

hostTest("UdpSockets that take turns can share their buffers", () => {
  using bench = new Bench();
  const buffers = new UdpBuffers(bench.arena, BATCH);
  const sockets = Array.from({ length: 100 }, () => bench.open({ buffers }));
  for (const [i, socket] of sockets.entries()) {
    const { port } = sockets[(i + 1) % sockets.length]!;
    assertEquals(bench.send(socket, [{ length: i + 1, port }, { length: i + 1, port }]), 2);
  }
  for (const [i, socket] of sockets.entries()) {
    const length = (i + 99) % 100 + 1;
    assertContents(bench.receive(socket).datagrams, [length, length]);
  }
});

hostTest("UdpSocket frees its port when it is disposed of", () => {
  using bench = new Bench();
  const first = openSocket(bench.arena);
  first[Symbol.dispose]();
  assertEquals(bench.open({ port: first.port }).port, first.port);
});

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
