/**
 * Tests of lib/core/engine/fake_tcp_workers.ts and worker_fake_tcp_port.ts: connections in one thread, keys in others.
 */
import type { FakeTcpRings } from "../../../../lib/core/engine/fake_tcp_workers.ts";
import { WorkerFakeTcpPort } from "../../../../lib/core/engine/worker_fake_tcp_port.ts";
import { createRing, RingReader, RingWriter } from "../../../../lib/core/threads/record_ring.ts";
import { SendQueue } from "../../../../lib/core/transport/send_queue.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import type { Session } from "../../../../lib/core/transport/fake_tcp/session.ts";
import { GSO_SIZE_OFFSET } from "../../../../lib/core/offload/virtio_net_header.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { Ecn } from "../../../../lib/core/wire/ecn.ts";
import { createMemory } from "../../../../lib/core/wire/memory.ts";
import type { PacketPeer } from "../../../../lib/core/wireguard/packet_peer.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { connectedPorts, type PortEnd } from "../../../support/fake_tcp/port_ends.ts";
import { familyTest, MTU } from "../../../support/fake_tcp/world.ts";

const WORKERS = 2;
const RING_SIZE = 1 << 14;
const PEER = { index: 7 } as unknown as PacketPeer;
/** Of the device's thread, by tag. */
const PEER_OBJECT = {};
const TAG = 4711;
const SLOTS = 32;
const SLOT_SIZE = SendQueue.slotSize(MTU);

/** A worker's end, in memory of its own. */
class Worker {
  readonly memory = createMemory(SLOTS * SLOT_SIZE + WorkerFakeTcpPort.size);
  readonly queue = new SendQueue({ offset: 0, slots: SLOTS, slotSize: SLOT_SIZE });
  readonly port: WorkerFakeTcpPort;
  readonly toDevice: RingWriter;

  constructor(fromDevice: SharedArrayBuffer, toDevice: SharedArrayBuffer) {
    this.toDevice = new RingWriter(toDevice);
    this.port = new WorkerFakeTcpPort({
      memory: this.memory,
      offset: SLOTS * SLOT_SIZE,
      paths: this.queue.paths,
      fromDevice: new RingReader(fromDevice),
      toDevice: this.toDevice,
      tagOf: (index) => index === PEER.index ? TAG : 0,
    });
  }

  /** Takes what it was given: the receiver index and the bytes of each message; authentic ones are told. */
  receive(isAuthentic: (index: number) => boolean = () => true): { index: number; size: number }[] {
    const taken: { index: number; size: number }[] = [];
    for (let count = this.port.receive(); count > 0; count = this.port.receive()) {
      for (let i = 0; i < count; i++) {
        const { lengths, offsets } = this.port.messages;
        taken.push({ index: this.memory.view.getInt32(offsets[i]! + 4, true), size: lengths[i]! });
        if (isAuthentic(i)) this.port.authenticated(i, PEER);
      }
    }
    this.port.tell();
    return taken;
  }

  /** Sends a datagram of this many bytes, each of which is `first`, by a path. Returns whether it has left. */
  send(path: number, first: number, size: number): boolean {
    this.put(path, first, size);
    return this.flush();
  }

  /** Puts one into the queue. */
  put(path: number, first: number, size: number, ecn: number = Ecn.ect0): void {
    const at = this.queue.reserve();
    this.memory.bytes.fill(first, at, at + size);
    this.queue.commit(size, path);
    this.queue.setEcn(ecn);
  }

  flush(): boolean {
    const { head, tail } = this.queue;
    this.queue.sentUpTo(this.port.send(this.queue, head, tail));
    return this.queue.length === 0;
  }
}

interface Site {
  readonly client: PortEnd;
  readonly server: PortEnd;
  /** The server's connection. */
  readonly session: Session;
  readonly workers: Worker[];
  /** Has the client send transport messages of these sizes, to these indices. Returns the packets. */
  sendMessages(...messages: { index: number; size: number }[]): void;
  /** Has the server take what has arrived. Returns the messages that are left to its own engine. */
  receive(): number;
  /** Has the server take what workers tell, and send it. */
  takeWord(): void;
}

function site(sealedRingSize = RING_SIZE): Site {
  const rings = Array.from({ length: WORKERS }, () => ({
    to: createRing(RING_SIZE),
    from: createRing(sealedRingSize),
  }));
  const ofDevice: FakeTcpRings = {
    toWorkers: rings.map(({ to }) => new RingWriter(to)),
    fromWorkers: rings.map(({ from }) => new RingReader(from)),
  };
  const { client, server } = connectedPorts({
    ...ofDevice,
    // Index 0x100 is nobody's.
    hasSession: (index) => index !== 0x100,
    peerOf: (tag) => tag === TAG ? PEER_OBJECT : null,
  });
  const [session] = server.port.connections.sessions;
  assert(session !== undefined);
  return {
    client,
    server,
    session,
    workers: rings.map(({ to, from }) => new Worker(to, from)),
    sendMessages(...messages) {
      for (const { index, size } of messages) {
        client.queue("\x04\0\0\0".padEnd(size, "."));
        const at = client.datagrams.offsets[client.datagrams.tail - 1]!;
        client.memory.view.setInt32(at + 4, index, true);
      }
      assert(client.send());
      server.wire.arriving.push(...client.wire.sent.splice(0));
    },
    receive() {
      let left = 0;
      for (let count = server.port.receive(); count > 0; count = server.port.receive()) {
        for (let i = 0; i < count; i++) if (server.port.take(i, 0)) left++;
      }
      return left;
    },
    takeWord() {
      const workers = server.workers!;
      while (workers.hasMore) {
        workers.take(server.datagrams, 0);
        if (server.datagrams.free === 0) assert(server.send());
      }
      assert(server.send());
    },
  };
}

/** Has each worker get a message. Returns the path by which it came, by the worker's own table. */
function pathsOfWorkers({ receive, sendMessages, takeWord, workers }: Site): number[] {
  sendMessages({ index: 0x10, size: 100 }, { index: 0x11, size: 60 });
  receive();
  const paths = workers.map((worker) => {
    worker.receive();
    return worker.port.messages.pathIds[0]!;
  });
  takeWord();
  return paths;
}

/** Room for what a worker's queue holds, however it is told. */
const WIDE_RING_SIZE = 1 << 18;

familyTest("what a connection brings goes to the worker that its receiver index names", () => {
  const { receive, sendMessages, server, workers } = site();
  sendMessages({ index: 0x10, size: 100 }, { index: 0x21, size: 201 }, { index: 0x30, size: 33 });
  assertEquals(receive(), 0);
  assertEquals(workers.map((worker) => worker.receive()), [
    [{ index: 0x10, size: 100 }, { index: 0x30, size: 33 }],
    [{ index: 0x21, size: 201 }],
  ]);
  assertEquals(server.drops.total, 0);
});

familyTest(
  "a handshake message, and what names no session, is left to the thread that has the connections",
  () => {
    const { client, receive, sendMessages, server, workers } = site();
    client.queue("\x01\0\0\0".padEnd(148, "."));
    assert(client.send());
    server.wire.arriving.push(...client.wire.sent.splice(0));
    sendMessages({ index: 0x100, size: 100 }, { index: 0x10, size: 31 });
    assertEquals(receive(), 3);
    assertEquals(workers.map((worker) => worker.receive()), [[], []]);
  },
);

familyTest("nothing is acknowledged before a worker has said that it was authentic", () => {
  const { receive, sendMessages, session, takeWord, workers } = site();
  const before = session.rcvMax;
  sendMessages({ index: 0x10, size: 100 });
  receive();
  takeWord();
  assertEquals([session.rcvMax, session.isProven], [before, false]);
  workers[0]!.receive();
  takeWord();
  assertEquals([session.rcvMax, session.isProven], [(before + 100) | 0, true]);
  assertEquals(session.unacknowledged, 100);
});

familyTest(
  "a worker's word acknowledges what was authentic, and no forged bytes that came behind that",
  () => {
    const { receive, sendMessages, session, takeWord, workers } = site();
    const before = session.rcvMax;
    sendMessages({ index: 0x10, size: 100 }, { index: 0x20, size: 500 });
    receive();
    workers[0]!.receive((i) => i === 0);
    // What came last was no message of a worker's, but a forged one.
    sendMessages({ index: 0x100, size: 700 });
    assertEquals(receive(), 1);
    takeWord();
    assertEquals([session.rcvMax, session.unacknowledged], [(before + 100) | 0, 100]);
  },
);

familyTest("the words of a turn are one, and those of two workers each count", () => {
  const { receive, sendMessages, server, session, takeWord, workers } = site();
  const before = session.rcvMax;
  sendMessages({ index: 0x10, size: 100 }, { index: 0x10, size: 50 }, { index: 0x11, size: 40 });
  receive();
  // The later one's first.
  workers[1]!.receive();
  workers[0]!.receive();
  let words = 0;
  for (; server.workers!.hasMore; words++) server.workers!.take(server.datagrams, 0);
  assertEquals(words, 2);
  takeWord();
  assertEquals([session.rcvMax, session.unacknowledged], [(before + 190) | 0, 190]);
});

familyTest(
  "a word of a connection that is over, or about a peer that is gone, is for nobody",
  () => {
    const { receive, sendMessages, server, session, takeWord, workers } = site();
    const before = session.rcvMax;
    sendMessages({ index: 0x10, size: 100 }, { index: 0x11, size: 100 });
    receive();
    workers[0]!.port.receive();
    workers[0]!.port.authenticated(0, { index: 8 } as unknown as PacketPeer);
    workers[0]!.port.tell();
    takeWord();
    assertEquals(session.isProven, false);
    workers[1]!.receive();
    server.port.connections.close(session);
    takeWord();
    assertEquals([session.rcvMax, session.isProven], [before, false]);
  },
);

familyTest("merged datagrams stay one message, with the size of each", () => {
  const { client, receive, sendMessages, server, workers } = site();
  sendMessages({ index: 0x10, size: 100 });
  const { arriving } = server.wire;
  assertEquals([arriving.length, client.drops.total], [1, 0]);
  assertEquals(server.port.receive(), 1);
  server.memory.view.setUint16(server.wire.offsets[0]! + GSO_SIZE_OFFSET, 40, true);
  assertEquals(server.port.take(0, 0), false);
  assertEquals(receive(), 0);
  const { port } = workers[0]!;
  assertEquals(port.receive(), 1);
  assertEquals([port.messages.lengths[0], port.messages.segmentSizes[0]], [100, 40]);
});

familyTest(
  "what a worker has no room for is dropped and counted, and the other worker's arrives",
  () => {
    const { receive, sendMessages, server, workers } = site();
    const size = 1_400;
    const count = Math.ceil(RING_SIZE / size);
    for (let i = 0; i < count; i++) {
      sendMessages({ index: 0x10, size });
      receive();
    }
    sendMessages({ index: 0x11, size });
    assertEquals(receive(), 0);
    const arrived = workers[0]!.receive().length;
    assert(arrived > 0 && arrived < count, `${arrived}`);
    assertEquals(server.drops.counts[DropReason.sendQueueFull], count - arrived);
    assertEquals(workers[1]!.receive().length, 1);
  },
);

familyTest(
  "what workers have sealed leaves by their connection, in the order of each, and the word gets through where it fills the ring",
  () => {
    const all = site();
    const { client, receive, sendMessages, server, session, takeWord, workers } = all;
    const paths = pathsOfWorkers(all);
    const [first, second] = workers as [Worker, Worker];
    let queued = 0;
    while (first.send(paths[0]!, queued, 1_000)) queued++;
    assert(queued > 5, `${queued}`);
    assert(second.send(paths[1]!, 200, 77));
    sendMessages({ index: 0x10, size: 100 });
    receive();
    const before = session.rcvMax;
    first.receive();
    takeWord();
    assertEquals(session.rcvMax, (before + 100) | 0);
    // What had no room is still there, and leaves now.
    assert(first.flush());
    takeWord();
    const texts = client.receive(server.wire.sent.splice(0));
    const ofFirst = texts.filter((text) => text.length === 1_000);
    assertEquals(ofFirst.length, queued + 1);
    ofFirst.forEach((text, i) => assertEquals(text.charCodeAt(0), i));
    assertEquals(texts.filter((text) => text.length === 77).length, 1);
    assertEquals(client.drops.total, 0);
    assertEquals(server.drops.total, 0);
  },
);

// Runs: short ones stand close together in the ring, long ones as they do in the queue, as one copy is cheaper then.
for (
  const [kind, sizeOf] of [
    ["short", (i: number) => 33 + i],
    ["long", (i: number) => i === SLOTS - 1 ? 40 : 1_400],
    ["mixed", (i: number) => i % 3 === 0 ? 1_400 : 32 + i],
  ] as const
) {
  familyTest(`a run of ${kind} datagrams is one record, and leaves as it was sealed`, () => {
    const all = site(WIDE_RING_SIZE);
    const { client, server, workers: [worker] } = all;
    const [path] = pathsOfWorkers(all);
    assert(worker !== undefined && path !== undefined);
    const { count } = worker.toDevice;
    for (let i = 0; i < SLOTS; i++) worker.put(path, 64 + i, sizeOf(i), i % 4);
    assert(worker.flush());
    assertEquals(worker.toDevice.count - count, 1);
    assertEquals(server.workers!.take(server.datagrams, 0), SLOTS);
    assert(!server.workers!.hasMore);
    const { ecns, tail } = server.datagrams;
    assertEquals(
      Array.from(ecns.subarray(0, tail)),
      Array.from({ length: SLOTS }, (_, i) => i % 4),
    );
    assert(server.send());
    assertEquals(
      client.receive(server.wire.sent.splice(0)),
      Array.from({ length: SLOTS }, (_, i) => String.fromCharCode(64 + i).repeat(sizeOf(i))),
    );
    assertEquals([client.drops.total, server.drops.total], [0, 0]);
  });
}

familyTest("a run that the queue has no room for is taken by parts, and none of it twice", () => {
  const all = site(WIDE_RING_SIZE);
  const { client, server, takeWord, workers: [first, second] } = all;
  const paths = pathsOfWorkers(all);
  assert(first !== undefined && second !== undefined);
  for (let i = 0; i < SLOTS; i++) first.put(paths[0]!, 64 + i, 1_400);
  for (let i = 0; i < SLOTS; i++) second.put(paths[1]!, 32 + i, 50);
  assert(first.flush() && second.flush());
  const { datagrams } = server;
  while (datagrams.free > 20) {
    datagrams.reserve();
    datagrams.commit(0, 0);
  }
  assertEquals(server.workers!.take(datagrams, 0), 20);
  assertEquals(server.workers!.take(datagrams, 0), 0);
  datagrams.sentUpTo(datagrams.tail - 20);
  assert(server.send());
  takeWord();
  const texts = client.receive(server.wire.sent.splice(0));
  const of = (length: number) =>
    texts.filter((text) => text.length === length).map((text) => text.charCodeAt(0));
  assertEquals(of(1_400), Array.from({ length: SLOTS }, (_, i) => 64 + i));
  assertEquals(of(50), Array.from({ length: SLOTS }, (_, i) => 32 + i));
});

familyTest("datagrams of different paths are in records of their own", () => {
  const all = site(WIDE_RING_SIZE);
  const { workers: [worker] } = all;
  const [path] = pathsOfWorkers(all);
  assert(worker !== undefined && path !== undefined);
  const elsewhere = worker.queue.paths.intern(0x0a000001, 4_000, 0, Transport.fakeTcp);
  const { count } = worker.toDevice;
  for (const by of [path, path, elsewhere, elsewhere, path]) worker.put(by, 64, 100);
  assert(worker.flush());
  assertEquals(worker.toDevice.count - count, 3);
});
