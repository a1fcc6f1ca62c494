/**
 * Fake-TCP port: joins the connections of `FakeTcp` to the loop: captured segments are its messages, datagrams leave as
 * segments. The sockets are a port of their own.
 */
import {
  FLAG_DATA_VALID,
  FLAG_NEEDS_CHECKSUM,
  FLAGS_OFFSET,
  GSO_SIZE_OFFSET,
  VNET_HEADER_SIZE,
} from "../offload/virtio_net_header.ts";
import type { FakeTcp } from "../transport/fake_tcp/fake_tcp.ts";
import { headersSizeOf, isTuple6 } from "../transport/fake_tcp/four_tuple.ts";
import { payloadOffset, payloadSize, setSegmentEcn } from "../transport/fake_tcp/segment.ts";
import type { SegmentQueue } from "../transport/fake_tcp/segment_queue.ts";
import type { Session } from "../transport/fake_tcp/session.ts";
import {
  PATH_ADDRESS6_OFFSET,
  PATH_ADDRESS_OFFSET,
  PATH_SLOT_SIZE,
  PATH_SOURCE_OFFSET,
} from "../transport/path_slot.ts";
import { NO_PATH, type Paths } from "../transport/paths.ts";
import { Transport } from "../transport/transport.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import { ecnOf } from "../wire/ecn.ts";
import type { Memory } from "../wire/memory.ts";
import type { FakeTcpWorkers } from "./fake_tcp_workers.ts";
import type { DatagramPort, Datagrams, ReceivedMessages } from "./ports.ts";

/** The kernel, or the interface, has checked the checksum; or it never left this host, and is not complete. */
const FLAGS_CHECKSUM_IS_RIGHT = FLAG_NEEDS_CHECKSUM | FLAG_DATA_VALID;

/** Where segments are captured, and sent by. */
export interface SegmentPort {
  /** The most packets that one `receive()` brings: fewer, and there are no more. */
  readonly batch: number;
  /** What the last `receive()` brought: the offset of each virtio-net header, the IP packet right behind it. */
  readonly offsets: Int32Array;
  /** Bytes, the header included; -1 when the kernel had to cut the packet short. */
  readonly lengths: Int32Array;
  /** Takes what has arrived, up to a batch. Returns the count of packets; 0 for none. */
  receive(): number;
  /**
   * Sends segments `from` (inclusive) to `to` (exclusive). What is refused is counted, and skipped.
   *
   * @returns the index of the first that has not left: `to`, or less where there is no room for more
   */
  send(segments: SegmentQueue, from: number, to: number, now: number): number;
  /** Has the loop woken, or no more, when there is room again; may be said again while there is none. */
  awaitRoom(isAwaited: boolean): void;
}

export interface FakeTcpPortOptions {
  readonly memory: Memory;
  /** Where paths have their numbers from. */
  readonly paths: Paths;
  readonly connections: FakeTcp;
  /** That of `connections`. */
  readonly queue: SegmentQueue;
  readonly segments: SegmentPort;
  /** The port at which connections are accepted; null for a client's end. */
  readonly listenPort: number | null;
  readonly drops: DropCounters;
  /** Who opens transport messages; null where the engine of this port does, left out as well. */
  readonly workers?: FakeTcpWorkers | null;
}

export class FakeTcpPort implements DatagramPort {
  readonly transport: Transport = Transport.fakeTcp;
  readonly batch: number;
  readonly messages: ReceivedMessages;
  readonly connections: FakeTcp;
  /** A client's connection, by which all datagrams leave; null while it needs none. */
  session: Session | null = null;
  readonly #view: DataView;
  readonly #paths: Paths;
  readonly #queue: SegmentQueue;
  readonly #segments: SegmentPort;
  readonly #listenPort: number | null;
  readonly #drops: DropCounters;
  readonly #workers: FakeTcpWorkers | null;
  /** By message. */
  readonly #sessions: (Session | null)[];
  /** Of the send queue, how many datagrams the segment queue has taken without having sent them all. */
  #taken = 0;

  constructor(options: FakeTcpPortOptions) {
    const { batch } = options.segments;
    this.batch = batch;
    this.connections = options.connections;
    this.#view = options.memory.view;
    this.#paths = options.paths;
    this.#queue = options.queue;
    this.#segments = options.segments;
    this.#listenPort = options.listenPort;
    this.#drops = options.drops;
    this.#workers = options.workers ?? null;
    this.#sessions = new Array(batch).fill(null);
    this.messages = {
      offsets: new Int32Array(batch),
      lengths: new Int32Array(batch),
      segmentSizes: new Int32Array(batch),
      pathIds: new Int32Array(batch),
      ecns: new Uint8Array(batch),
    };
  }

  // From the network.

  receive(): number {
    return this.#segments.receive();
  }

  take(index: number, now: number): boolean {
    const header = this.#segments.offsets[index];
    const captured = this.#segments.lengths[index];
    if (captured < 0) {
      this.#drops.add(DropReason.truncatedDatagram);
      return false;
    }
    const view = this.#view;
    const { connections, messages } = this;
    const packet = header + VNET_HEADER_SIZE;
    const session = connections.receive(
      packet,
      captured - VNET_HEADER_SIZE,
      (view.getUint8(header + FLAGS_OFFSET) & FLAGS_CHECKSUM_IS_RIGHT) !== 0,
      now,
    );
    if (session === null) return false;
    const length = payloadSize(view, packet);
    const segmentSize = view.getUint16(header + GSO_SIZE_OFFSET, true);
    this.#sessions[index] = session;
    messages.offsets[index] = payloadOffset(view, packet);
    messages.lengths[index] = length;
    messages.segmentSizes[index] = segmentSize < length ? segmentSize : 0;
    messages.pathIds[index] = this.#pathOf(session);
    messages.ecns[index] = ecnOf(view, packet);
    return this.#workers === null || !this.#workers.give(session, messages, index);
  }

  #pathOf(session: Session): number {
    const { addresses, remotePort } = session;
    const hasSource = this.#listenPort !== null;
    if (isTuple6(session)) {
      return this.#paths.internWords6(addresses, remotePort, hasSource, Transport.fakeTcp);
    }
    const source = hasSource ? addresses[1] : 0;
    return this.#paths.intern(addresses[0], remotePort, source, Transport.fakeTcp);
  }

  /** The connection that message `index`, which was taken, came by. */
  sessionOf(index: number): Session {
    return this.#sessions[index]!;
  }

  authenticated(index: number, peer: object, now: number): void {
    this.connections.authenticated(this.sessionOf(index), peer, now);
  }

  // To the network.

  /** The connection that is a path's; a client has only one. */
  sessionTo(path: number): Session | null {
    if (this.#listenPort === null) return this.session;
    const paths = this.#paths;
    const at = path * PATH_SLOT_SIZE;
    const isIpv6 = paths.isIpv6(path);
    return this.connections.find(
      paths.view,
      at + (isIpv6 ? PATH_ADDRESS6_OFFSET : PATH_ADDRESS_OFFSET),
      at + PATH_SOURCE_OFFSET,
      isIpv6 ? 16 : 4,
      paths.port(path),
      this.#listenPort,
    );
  }

  send(datagrams: Datagrams, from: number, to: number, now: number): number {
    const { offsets, lengths, pathIds, ecns } = datagrams;
    // Neighbours mostly travel by the same path, and no connection ends here.
    let path = NO_PATH;
    let session: Session | null = null;
    for (let i = Math.max(from, this.#taken); i < to; i++) {
      if (session === null || pathIds[i] !== path) session = this.sessionTo(path = pathIds[i]);
      if (session === null) this.#drops.add(DropReason.fakeTcpNoSession, lengths[i]);
      else if (this.connections.send(session, offsets[i], lengths[i], now)) {
        // Into the header that stands before the datagram now; of one that waits, which was copied, it says nothing.
        setSegmentEcn(this.#view, offsets[i] - headersSizeOf(session), ecns[i]);
      }
    }
    // The segments stand where the datagrams do: those stay in their queue until all have left.
    const haveLeft = this.flush(now);
    this.#taken = haveLeft ? 0 : to;
    return haveLeft ? to : from;
  }

  /** All segments have DF. */
  probe(): boolean {
    return false;
  }

  flush(now: number): boolean {
    const queue = this.#queue;
    if (queue.length === 0) return true;
    queue.sentUpTo(this.#segments.send(queue, queue.head, queue.tail, now));
    return queue.length === 0;
  }

  awaitRoom(isAwaited: boolean): void {
    this.#segments.awaitRoom(isAwaited);
  }
}
