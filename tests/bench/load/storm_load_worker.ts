/**
 * Worker that has many clients send their initiations at the same moment, and measures what that does to the pings of a
 * peer whose session stands. All of them are one thread, which sleeps until something comes, or the next ping is due: a
 * busy one would keep the server from a core of two.
 */
import { Arena } from "../../../ffi/arena.ts";
import { Epoll, EPOLLIN } from "../../../ffi/epoll.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { inNamespace } from "../../../ffi/netns.ts";
import { type DatagramBatch, pathsTo } from "../../../ffi/sockets/datagram_batch.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import {
  INITIATION_SIZE,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_RESPONSE,
  messageType,
} from "../../../lib/core/wire/messages.ts";
import { buildIcmp } from "../../support/packets/packet_builder.ts";
import { BenchClient, connect, openTools } from "./bench_client.ts";
import { peerOutside } from "./peer_address.ts";
import type { StormRequest, StormResult } from "./storm_load.ts";
import { answerRequests } from "./worker_scope.ts";

/** ms from a look at what has come to the end of sending a ping, above which something else has run meanwhile. */
const HELD_UP = 0.3;
/** ms between two pings, and the most that one is waited for. */
const PING_INTERVAL = 1;
const PING_TIMEOUT = 2000;
/** Pings before each storm, and bytes of one. */
const QUIET_PINGS = 200;
const PING_SIZE = 84;
/** ms after which the clients that have no answer are given up: they would ask again after five seconds. */
const STORM_TIMEOUT = 4000;
const BATCH = 32;
const SOCKET_SPACE = 4 * 1024 * 1024;
const BUFFER_SIZE = 8 * 1024 * 1024;
const SLOT = 256;
/** Where in an ICMP echo behind an IPv4 header the sequence number stands. */
const SEQUENCE_OFFSET = 26;

class Storm {
  readonly #arena: Arena;
  readonly #socket: UdpSocket;
  readonly #epoll: Epoll;
  readonly #peer: BenchClient;
  readonly #clients: BenchClient[];
  /** Slots: the initiations, then one for pings. */
  readonly #slots: number;
  readonly #batch: DatagramBatch;
  readonly #single: DatagramBatch;
  readonly #request: StormRequest;
  #isAnswered: boolean[] = [];
  #waiting = 0;
  /** When each ping left, by its number; 0 for one that has been answered. */
  readonly #sentAt: number[] = [];
  #nextPingAt = 0;
  /** How many handshakes had been answered then, of all; NaN where this thread was held up meanwhile. */
  readonly #answeredAt: number[] = [];
  #answered = 0;
  /** Where round trips go, and the handshakes meanwhile. */
  #roundTrips: number[] = [];
  #handshakes: number[] = [];

  constructor(request: StormRequest) {
    this.#request = request;
    const { clientKeys, peerKey, serverKey, address, port } = request;
    const count = clientKeys.length;
    this.#arena = new Arena(SOCKET_SPACE + (count + 2) * SLOT);
    this.#socket = inNamespace(request.namespace, () =>
      UdpSocket.bind(openLibc(), this.#arena, {
        port: 0,
        mark: 0,
        offload: false,
        bufferSize: BUFFER_SIZE,
        batch: BATCH,
      }));
    this.#epoll = new Epoll(openLibc(), this.#arena);
    this.#epoll.add(this.#socket.fd, EPOLLIN);
    const tools = openTools(this.#arena);
    this.#clients = clientKeys.map((privateKey, index) =>
      new BenchClient(tools, { privateKey, serverKey, index })
    );
    this.#peer = new BenchClient(tools, { privateKey: peerKey, serverKey, index: count });
    this.#slots = this.#arena.allocate((count + 1) * SLOT);
    const indices = Int32Array.from({ length: count + 1 }, (_, i) => i);
    const { paths } = pathsTo(
      Array.from(indices, (index) => ({ address, port, source: peerOutside(index) })),
    );
    this.#batch = {
      offsets: indices.map((i) => this.#slots + i * SLOT),
      lengths: new Int32Array(count + 1).fill(INITIATION_SIZE),
      pathIds: indices,
      paths,
    };
    this.#single = {
      offsets: new Int32Array(1),
      lengths: new Int32Array(1),
      pathIds: new Int32Array(1),
      paths,
    };
    connect(this.#peer, this.#socket, {
      paths,
      path: count,
      scratch: this.#slots + count * SLOT,
    });
  }

  run(): StormResult {
    const before: number[] = [];
    const during: number[] = [];
    const handshakes: number[] = [];
    const durations: number[] = [];
    // Until both ends' code is warm.
    this.#pingFor(1000, () => false);
    for (let storm = 0; storm < this.#request.storms; storm++) {
      this.#roundTrips = before;
      this.#handshakes = [];
      this.#pingFor(QUIET_PINGS, () => false);
      this.#roundTrips = during;
      this.#handshakes = handshakes;
      const now = performance.now();
      this.#clients.forEach((client, index) => client.initiate(this.#batch.offsets[index]!, now));
      this.#isAnswered = this.#clients.map(() => false);
      this.#waiting = this.#clients.length;
      const start = performance.now();
      this.#nextPingAt = start;
      this.#socket.send(this.#batch, 0, this.#clients.length);
      this.#pingFor(
        Infinity,
        () => this.#waiting === 0 || performance.now() - start > STORM_TIMEOUT,
      );
      durations.push(performance.now() - start);
    }
    const lost = this.#sentAt.filter((at) => at > 0).length;
    return { before, during, handshakes, lost, answered: this.#answered, durations };
  }

  /** Sends pings, as many or until told to stop, and takes what comes until all are answered. */
  #pingFor(count: number, isOver: () => boolean): void {
    const first = this.#sentAt.length;
    this.#nextPingAt = Math.max(this.#nextPingAt, performance.now());
    for (let sent = 0; sent < count && !isOver();) {
      // What has come already is not what a ping waits for.
      const looked = performance.now();
      while (this.#receive() === BATCH);
      const now = performance.now();
      if (now < this.#nextPingAt) {
        this.#epoll.wait(Math.ceil(this.#nextPingAt - now));
        continue;
      }
      this.#ping(now);
      if (performance.now() - looked > HELD_UP) this.#answeredAt[this.#answeredAt.length - 1] = NaN;
      this.#nextPingAt += PING_INTERVAL;
      sent++;
    }
    const end = performance.now();
    while (
      performance.now() - end < PING_TIMEOUT && this.#sentAt.slice(first).some((at) => at > 0)
    ) {
      this.#epoll.wait(PING_INTERVAL);
      this.#receive();
    }
  }

  #ping(now: number): void {
    const { from, to } = this.#request;
    const packet = buildIcmp({
      source: from,
      destination: to,
      sequenceNumber: this.#sentAt.length & 0xffff,
      payload: new Uint8Array(PING_SIZE - 28),
    });
    const offset = this.#batch.offsets.at(-1)!;
    this.#send(offset, this.#peer.seal(offset, packet), this.#clients.length);
    this.#sentAt.push(now);
    this.#answeredAt.push(this.#answered);
  }

  #send(offset: number, length: number, path: number): void {
    this.#single.offsets[0] = offset;
    this.#single.lengths[0] = length;
    this.#single.pathIds[0] = path;
    this.#socket.send(this.#single, 0, 1);
  }

  #receive(): number {
    const socket = this.#socket;
    const count = socket.receive();
    const now = performance.now();
    for (let i = 0; i < count; i++) {
      this.#take(socket.receivedOffsets[i]!, socket.receivedLengths[i]!, now);
    }
    return count;
  }

  #take(offset: number, length: number, now: number): void {
    const { view } = this.#arena;
    const type = messageType(view, offset);
    if (type === MESSAGE_RESPONSE || type === MESSAGE_COOKIE_REPLY) {
      // The client's own index: behind the sender's in a response.
      const client = view.getUint32(offset + (type === MESSAGE_RESPONSE ? 8 : 4), true);
      if (this.#isAnswered[client] !== false) return;
      if (type === MESSAGE_RESPONSE) {
        this.#isAnswered[client] = true;
        this.#answered++;
        this.#waiting--;
        return;
      }
      this.#clients[client]!.takeAnswer(offset, length, now);
      const initiation = this.#batch.offsets[client]!;
      this.#clients[client]!.addCookie(initiation, now);
      this.#send(initiation, INITIATION_SIZE, client);
      return;
    }
    const packet = this.#peer.open(offset, length);
    if (packet < 0) return;
    const number = view.getUint16(packet + SEQUENCE_OFFSET);
    const last = this.#sentAt.length - 1;
    const index = last - ((last - number) & 0xffff);
    const sentAt = this.#sentAt[index] ?? 0;
    if (sentAt === 0) return;
    this.#roundTrips.push(now - sentAt);
    const handshakes = this.#answered - this.#answeredAt[index]!;
    if (!Number.isNaN(handshakes)) this.#handshakes.push(handshakes);
    this.#sentAt[index] = 0;
  }
}

answerRequests((request: StormRequest) => new Storm(request).run());
