/** Tests of `ffi/sockets/reuseport_group.ts`, and of shared ports, over the loopback interface. */
import { EADDRINUSE, EINVAL, SystemCallError } from "../../../../ffi/errno.ts";
import { openLibc } from "../../../../ffi/libc.ts";
import { pathsTo } from "../../../../ffi/sockets/datagram_batch.ts";
import { steerGroup } from "../../../../ffi/sockets/reuseport_group.ts";
import type { UdpSocket } from "../../../../ffi/sockets/udp_socket.ts";
import { datagramSteering, workerOfIndex } from "../../../../lib/dataplane/filters/steering.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import { Bench, LOOPBACK } from "../../../bench/udp_bench.ts";
import { hostTest } from "../../../support/permissions.ts";

/** One for handshakes, and three workers. */
const WORKERS = 3;

/** Opens sockets that share a port. */
function openGroup(bench: Bench): UdpSocket[] {
  const first = bench.open({ sharesPort: true });
  const { port } = first;
  const others = Array.from({ length: WORKERS }, () => bench.open({ port, sharesPort: true }));
  return [first, ...others];
}

interface Message {
  readonly type: number;
  readonly index: number;
  readonly length: number;
}

function send(bench: Bench, from: UdpSocket, port: number, messages: readonly Message[]): void {
  const offsets = messages.map(({ type, index, length }) => {
    const offset = bench.arena.allocate(length);
    bench.arena.view.setUint32(offset, type, true);
    bench.arena.view.setUint32(offset + 4, index, true);
    return offset;
  });
  const batch = {
    offsets: Int32Array.from(offsets),
    lengths: Int32Array.from(messages, ({ length }) => length),
    ...pathsTo(messages.map(() => ({ address: LOOPBACK, port }))),
  };
  assertEquals(from.send(batch, 0, messages.length), messages.length);
}

/** The types and indices that a socket has received. */
function received(bench: Bench, socket: UdpSocket): [type: number, index: number][] {
  return bench.receive(socket).datagrams.map((bytes) => {
    const view = new DataView(bytes.buffer, bytes.byteOffset);
    return [view.getUint32(0, true), view.getUint32(4, true)];
  });
}

hostTest("steerGroup() has the kernel choose the socket of each datagram by a program", () => {
  using bench = new Bench();
  const group = openGroup(bench);
  steerGroup(openLibc(), group[1]!.fd, datagramSteering({ first: 1, count: WORKERS }));
  const messages = Array.from({ length: 120 }, (_, i) => ({
    type: 1 + i % 4,
    index: i * 2_654_435_761 >>> 0,
    length: 100,
  }));
  // From several ports: by a hash of these, they would come anywhere.
  const senders = Array.from({ length: 4 }, () => bench.open({ offload: false }));
  for (const [i, from] of senders.entries()) {
    send(bench, from, group[0]!.port, messages.slice(i * 30, i * 30 + 30));
  }
  const pairs = messages.map(({ type, index }): [number, number] => [type, index]);
  assertEquals(received(bench, group[0]!), pairs.filter(([type]) => type !== 4));
  for (let worker = 0; worker < WORKERS; worker++) {
    const own = pairs.filter(([type, index]) =>
      type === 4 && workerOfIndex(index, WORKERS) === worker
    );
    assert(own.length > 0);
    assertEquals(received(bench, group[1 + worker]!), own);
  }
});

hostTest("datagrams that come merged all go where the first one goes", () => {
  using bench = new Bench();
  const group = openGroup(bench);
  steerGroup(openLibc(), group[0]!.fd, datagramSteering({ first: 1, count: WORKERS }));
  const from = bench.open();
  assert(from.segmentation && group[2]!.receiveOffload);
  send(bench, from, group[0]!.port, [
    { type: 4, index: 1, length: 1000 },
    { type: 4, index: 2, length: 1000 },
    { type: 1, index: 9, length: 148 },
  ]);
  assertEquals(group.map((socket) => received(bench, socket)), [
    [],
    [],
    [[4, 1], [4, 2], [1, 9]],
    [],
  ]);
});

hostTest("a port is shared only where every socket says so", () => {
  using bench = new Bench();
  const { port } = bench.open();
  const shared = assertThrows(() => bench.open({ port, sharesPort: true }), SystemCallError);
  assertEquals(shared.errno, EADDRINUSE);
  const group = openGroup(bench);
  const alone = assertThrows(() => bench.open({ port: group[0]!.port }), SystemCallError);
  assertEquals(alone.errno, EADDRINUSE);
});

hostTest("steerGroup() throws what can be done without where a socket is alone", () => {
  using bench = new Bench();
  const program = datagramSteering({ first: 0, count: 1 });
  const error = assertThrows(
    () => steerGroup(openLibc(), bench.open().fd, program),
    SystemCallError,
    "Cannot choose among the sockets of a port",
  );
  assertEquals([error.errno, error.isUnavailable], [EINVAL, true]);
});
