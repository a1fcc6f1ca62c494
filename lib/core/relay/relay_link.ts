/** Relay link: the fake-TCP end of a relay: its connections, and the queue between them and the sockets. */
import { FakeTcpPort, type SegmentPort } from "../engine/fake_tcp_port.ts";
import type { FakeTcpEndpoints } from "../transport/fake_tcp/endpoints.ts";
import { FakeTcp } from "../transport/fake_tcp/fake_tcp.ts";
import { addressPair, headersSizeOf, localAddressOf } from "../transport/fake_tcp/four_tuple.ts";
import { SegmentQueue } from "../transport/fake_tcp/segment_queue.ts";
import type { Session } from "../transport/fake_tcp/session.ts";
import type { Paths } from "../transport/paths.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import type { HostAddress } from "../wire/host_address.ts";
import type { Memory } from "../wire/memory.ts";

/** Slots of the queue: what a few full receives of UDP bring. */
const SLOTS = 512;
/** Those of them that datagrams leave to the segments that acknowledge, open and end. */
const OWN_SEGMENTS = 64;

export interface RelayLinkOptions {
  readonly segments: SegmentPort;
  readonly paths: Paths;
  /** Offset of `RelayLink.queueSize()` bytes of the memory. */
  readonly queueOffset: number;
  /** Without a remote, connections are accepted; with one, they are made to it. */
  readonly endpoints: FakeTcpEndpoints;
  /** Looks up our address on the path to the remote; null without a path. */
  readonly findLocalAddress: () => HostAddress | null;
  readonly drops: DropCounters;
  /** Of the path, in bytes. */
  readonly mtu: number;
  /** Draws an unsigned 32-bit number that nobody can guess. */
  readonly random: () => number;
  /** 16 random bytes, for SYN cookies. */
  readonly secret: Uint8Array;
}

export class RelayLink {
  readonly port: FakeTcpPort;
  readonly connections: FakeTcp;
  /** Whether there is no room for more segments: the loop is woken when there is. */
  isFull = false;
  readonly #memory: Memory;
  readonly #queue: SegmentQueue;
  readonly #drops: DropCounters;
  readonly #remote: FakeTcpEndpoints["remote"];
  readonly #findLocalAddress: () => HostAddress | null;
  #localAddress: HostAddress | null;

  /** Bytes of memory for the segments that wait. */
  static queueSize(mtu: number): number {
    return SLOTS * SegmentQueue.slotSize(mtu);
  }

  constructor(memory: Memory, options: RelayLinkOptions) {
    const { endpoints, drops, mtu, random, secret } = options;
    const listenPort = endpoints.remote === null ? endpoints.ports.first : null;
    this.#memory = memory;
    this.#drops = drops;
    this.#remote = endpoints.remote;
    this.#findLocalAddress = options.findLocalAddress;
    this.#localAddress = options.findLocalAddress();
    const queue = this.#queue = new SegmentQueue({
      offset: options.queueOffset,
      slots: SLOTS,
      slotSize: SegmentQueue.slotSize(mtu),
    });
    this.connections = new FakeTcp({
      memory,
      queue,
      drops,
      mtu,
      random,
      secret,
      listenPort,
      clientPorts: endpoints.remote === null ? null : endpoints.ports,
      authenticates: false,
    });
    this.port = new FakeTcpPort({
      memory,
      paths: options.paths,
      connections: this.connections,
      queue,
      segments: options.segments,
      listenPort,
      drops,
    });
  }

  /** Opens a connection to the remote; null where there is no path, or no port left. */
  connect(now: number): Session | null {
    const remote = this.#remote;
    const localAddress = this.#localAddress;
    if (remote === null || localAddress === null) return null;
    return this.connections.connect(
      { addresses: addressPair(remote.address, localAddress), remotePort: remote.port },
      now,
    );
  }

  /** Sends a copy of a datagram, at least 1 byte long. */
  send(session: Session, from: number, length: number, now: number): void {
    if (length > session.maxPayload) {
      this.#drops.add(DropReason.tooBig, length);
      return;
    }
    const queue = this.#queue;
    if (queue.free <= OWN_SEGMENTS && !this.flush(now)) {
      this.#drops.add(DropReason.sendQueueFull, length);
      return;
    }
    const at = queue.reserve() + headersSizeOf(session);
    this.#memory.bytes.copyWithin(at, from, from + length);
    this.connections.send(session, at, length, now);
  }

  /** Sends what waits; false, with `isFull` set, where there is no room for it. */
  flush(now: number): boolean {
    const hasLeft = this.port.flush(now);
    if (!hasLeft || this.isFull) this.port.awaitRoom(!hasLeft);
    this.isFull = !hasLeft;
    return hasLeft;
  }

  /** Takes note that interfaces, addresses or routes have changed. */
  networkChanged(): void {
    this.#localAddress = this.#findLocalAddress();
  }

  /** Whether a connection is from an address by which the remote is no longer reached. */
  isStranded(session: Session): boolean {
    return this.#localAddress !== null && session.isClient &&
      localAddressOf(session) !== this.#localAddress;
  }

  /** Ends all connections, as this end closes. */
  close(now: number): void {
    this.connections.closeAll();
    this.flush(now);
  }
}
