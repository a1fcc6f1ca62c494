/**
 * Two relays without a network between them: real sockets of UDP on loopback, segments passed on in memory, a fake
 * clock.
 */
import { Arena } from "../../../ffi/arena.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { pathsTo } from "../../../ffi/sockets/datagram_batch.ts";
import { UdpBuffers } from "../../../ffi/sockets/udp_buffers.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { RelayLink } from "../../../lib/core/relay/relay_link.ts";
import { RelayMover } from "../../../lib/core/relay/relay_mover.ts";
import type { RelayConfig } from "../../../lib/dataplane/relay/relay_protocol.ts";
import { UdpSockets } from "../../../lib/dataplane/relay/udp_sockets.ts";
import { IDLE_TIMEOUT, RelayFlows } from "../../../lib/core/relay/relay_flows.ts";
import { Paths } from "../../../lib/core/transport/paths.ts";
import { DROP_REASON_NAMES, DropCounters } from "../../../lib/core/wire/drop_reason.ts";
import {
  CLIENT_ADDRESS,
  CLIENT_PORTS,
  MTU,
  read,
  type Segment,
  SERVER_ADDRESS,
  SERVER_PORT,
} from "../fake_tcp/world.ts";
import { MemorySegments } from "../fake_tcp/memory_segments.ts";
import { FakeClock } from "../time/fake_clock.ts";
import { Random } from "../random.ts";

const LOOPBACK = 0x7f000001;
const BATCH = 16;

/** What has come to a socket. */
export interface Received {
  readonly text: string;
  readonly port: number;
}

/** A relay, less its thread. */
export class Relay implements Disposable {
  readonly wire: MemorySegments;
  readonly mover: RelayMover;
  readonly link: RelayLink;
  readonly flows: RelayFlows;
  /** What was told of the other end, in order. */
  readonly reached: boolean[] = [];
  /** Whether what comes by UDP wakes the loop. */
  isUdpAwaited = true;
  /** Where the path to the other end begins. */
  localAddress: number | null = CLIENT_ADDRESS >>> 0;
  readonly #drops = new DropCounters();
  readonly #random = new Random(3);
  readonly #sockets: UdpSockets;

  constructor(
    { udp, endpoints, capacity }: Pick<RelayConfig, "udp" | "endpoints"> & {
      readonly capacity: number;
    },
  ) {
    const queueSize = RelayLink.queueSize(MTU);
    const arena = new Arena(
      UdpSockets.arenaSize + queueSize + MemorySegments.size + 16 * 1024,
    );
    const paths = new Paths({ holders: capacity + 1, unheld: 64 });
    paths.seedWith(5);
    this.#sockets = new UdpSockets(openLibc(), arena, {
      udp,
      offload: true,
      bufferSize: 1024 * 1024,
      loop: { modify: (_, interest) => void (this.isUdpAwaited = interest !== 0) },
      paths,
      drops: this.#drops,
    });
    this.wire = new MemorySegments(arena, arena.allocate(MemorySegments.size));
    this.link = new RelayLink(arena, {
      segments: this.wire,
      paths,
      queueOffset: arena.allocate(queueSize),
      endpoints,
      findLocalAddress: () => this.localAddress,
      drops: this.#drops,
      mtu: MTU,
      random: () => this.#random.uint32(),
      secret: this.#random.bytes(16),
    });
    this.flows = new RelayFlows({ capacity, idleTimeout: IDLE_TIMEOUT, paths });
    this.mover = new RelayMover({
      link: this.link,
      ports: this.#sockets,
      flows: this.flows,
      paths,
      drops: this.#drops,
      onReach: (isReached) => void this.reached.push(isReached),
    });
  }

  /** A turn of the loop. */
  turn(now: number): void {
    this.mover.readLink(now);
    this.mover.readUdp(now);
    this.mover.poll(now);
  }

  /** What was dropped, by name. */
  get dropped(): Record<string, number> {
    const dropped: Record<string, number> = {};
    this.#drops.counts.forEach((count, reason) => {
      if (count > 0) dropped[DROP_REASON_NAMES[reason]!] = count;
    });
    return dropped;
  }

  [Symbol.dispose](): void {
    this.#sockets[Symbol.dispose]();
  }
}

/** Clients, a relay before them, a relay before a service, and that service. */
export class RelayWorld implements Disposable {
  readonly clock = new FakeClock();
  readonly near: Relay;
  readonly far: Relay;
  service: UdpSocket;
  /** All segments that have passed, by the near relay's view: sent, or received. */
  readonly passed: Segment[] = [];
  /** Whether segments are lost. */
  isCut = false;
  readonly #listenPort: number;
  readonly #arena = new Arena(2 * 1024 * 1024);
  readonly #buffers = new UdpBuffers(this.#arena, BATCH);
  readonly #space = this.#arena.allocate(65_536);
  readonly #resources = new DisposableStack();
  readonly #sockets = new Set<UdpSocket>();

  /** @param capacity flows that the near relay has at most */
  constructor({ capacity = 15 }: { readonly capacity?: number } = {}) {
    this.service = this.socket();
    this.#listenPort = freePort();
    const ports = CLIENT_PORTS;
    const remote = { address: SERVER_ADDRESS >>> 0, port: SERVER_PORT };
    this.near = this.#resources.use(
      new Relay({
        udp: { role: "listen", address: LOOPBACK, port: this.#listenPort },
        endpoints: { ports, remote },
        capacity,
      }),
    );
    this.far = this.#resources.use(this.#far());
  }

  #far(): Relay {
    return new Relay({
      udp: { role: "connect", address: LOOPBACK, port: this.service.port },
      endpoints: { ports: { first: SERVER_PORT, last: SERVER_PORT }, remote: null },
      capacity: 100,
    });
  }

  /** A socket of a client's, or on this port. */
  socket(port = 0): UdpSocket {
    const socket = UdpSocket.bind(openLibc(), this.#arena, {
      port,
      address: LOOPBACK,
      mark: 0,
      offload: false,
      bufferSize: 1024 * 1024,
      batch: BATCH,
      buffers: this.#buffers,
    });
    this.#sockets.add(socket);
    return socket;
  }

  close(socket: UdpSocket): void {
    this.#sockets.delete(socket);
    socket[Symbol.dispose]();
  }

  /** Sends a text, or so many bytes, to the near relay, or to a port. */
  send(from: UdpSocket, content: string | number, port: number = this.#listenPort): void {
    const bytes = typeof content === "number"
      ? new Uint8Array(content)
      : new TextEncoder().encode(content);
    this.#arena.bytes.set(bytes, this.#space);
    const batch = {
      offsets: Int32Array.of(this.#space),
      lengths: Int32Array.of(bytes.length),
      ...pathsTo([{ address: LOOPBACK, port }]),
    };
    from.send(batch, 0, 1);
  }

  /** What has come to a socket. */
  received(socket: UdpSocket): Received[] {
    const received: Received[] = [];
    for (let count = socket.receive(); count > 0; count = socket.receive()) {
      for (let i = 0; i < count; i++) {
        const at = socket.receivedOffsets[i]!;
        const bytes = this.#arena.bytes.slice(at, at + socket.receivedLengths[i]!);
        received.push({
          text: new TextDecoder().decode(bytes),
          port: socket.receivedPorts[i]!,
        });
      }
    }
    return received;
  }

  /** Has both relays do what is to be done now, until nothing is left. */
  settle(): void {
    const { near, far } = this;
    let isBusy = true;
    while (isBusy) {
      near.turn(this.clock.now);
      far.turn(this.clock.now);
      const [up, down] = [near.wire.sent.splice(0), far.wire.sent.splice(0)];
      isBusy = up.length + down.length > 0;
      this.passed.push(...[...up, ...down].map((packet) => read(packet)));
      if (this.isCut) continue;
      far.wire.arriving.push(...up);
      near.wire.arriving.push(...down);
    }
  }

  /** Moves on in time, and does all that becomes due. */
  advance(ms: number): void {
    const end = this.clock.now + ms;
    for (;;) {
      const due = Math.min(this.near.mover.pollAt(), this.far.mover.pollAt());
      if (due > end) break;
      this.clock.advanceTo(Math.max(due, this.clock.now));
      this.settle();
    }
    this.clock.advanceTo(end);
    this.settle();
  }

  /** Carries a text there and another back; returns the port that the service saw. */
  exchange(client: UdpSocket, text: string): number | null {
    this.send(client, text);
    this.settle();
    const [question] = this.received(this.service);
    if (question === undefined) return null;
    this.send(this.service, `re: ${question.text}`, question.port);
    this.settle();
    const [answer] = this.received(client);
    return answer?.text === `re: ${text}` ? question.port : null;
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket[Symbol.dispose]();
    this.#resources.dispose();
  }
}

/** A port of UDP that nobody has. */
function freePort(): number {
  const arena = new Arena(2 * 1024 * 1024);
  using socket = UdpSocket.bind(openLibc(), arena, {
    port: 0,
    mark: 0,
    offload: false,
    bufferSize: 0,
    batch: 1,
  });
  return socket.port;
}
