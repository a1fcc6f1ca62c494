/**
 * Engine: one turn of the data plane's loop, against ports. What is ready is read, handed to the pipeline, and what
 * that left in its queues is handed to the ports before buffers are used again.
 *
 * Each call does a bounded amount of work, so that no port starves another. When a datagram port is full, neither the
 * TUN nor the capture is read until it has room: the kernel's queue on the TUN then fills and slows the senders down,
 * which is what a queue is for.
 */
import { VNET_HEADER_SIZE } from "../offload/virtio_net_header.ts";
import type { SendQueue } from "../transport/send_queue.ts";
import type { Transport } from "../transport/transport.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import type { Memory } from "../wire/memory.ts";
import type { PacketQueue } from "../wire/packet_queue.ts";
import type { PacketDevice } from "../wireguard/packet_peer.ts";
import type { ForOutsidePort } from "./for_outside.ts";
import type { HandedPacket } from "./from_gateway.ts";
import type { FromOutside } from "./from_outside.ts";
import type { HandedOverPort } from "./handed_over_port.ts";
import type { Pipeline } from "./pipeline.ts";
import type { CapturePort, DatagramPort, DatagramSource, SealedSource, TunPort } from "./ports.ts";
import { type Receiver, receiveRounds } from "./receive_rounds.ts";
import { TUN_WRITER_SCRATCH_SIZE, TunWriter } from "./tun_writer.ts";
import * as turn from "./turn_limits.ts";

/** The most datagrams that the kernel merges into one, and that UDP_SEGMENT takes. */
export const MAX_MERGED = 64;
/** A super-packet of 64 KiB, its virtio-net header, and room for padding behind it. */
const TUN_BUFFER_SIZE = VNET_HEADER_SIZE + 65536 + 64;
/** The virtio-net header has ten bytes: this far into the buffer, the packet behind it is aligned. */
const TUN_BUFFER_START = 6;
/** Where the buffer stands in the scratch: behind the writer's part, on a multiple of 64. */
const TUN_BUFFER_OFFSET = (TUN_WRITER_SCRATCH_SIZE + 63) & -64;

export const ENGINE_SCRATCH_SIZE: number = TUN_BUFFER_OFFSET + TUN_BUFFER_START + TUN_BUFFER_SIZE;

export interface EngineOptions {
  readonly memory: Memory;
  /** Offset of `ENGINE_SCRATCH_SIZE` bytes of the memory, a multiple of 64. */
  readonly scratch: number;
  readonly device: PacketDevice;
  readonly pipeline: Pipeline;
  readonly sendQueue: SendQueue;
  readonly hostQueue: PacketQueue;
  readonly drops: DropCounters;
  /** The network outside; null where nothing is translated. */
  readonly outside: CapturePort | null;
  /** The same of IPv6, beside IPv4's; left out, null. */
  readonly outside6?: CapturePort | null;
  /** Whether packets may be merged on their way into the TUN. */
  readonly offload: boolean;
}

/** A network outside, and what its packets go through. */
interface Outside {
  readonly port: CapturePort;
  readonly from: FromOutside;
  readonly receiver: Receiver<CapturePort>;
}

export class Engine {
  readonly #device: PacketDevice;
  readonly #pipeline: Pipeline;
  readonly #sendQueue: SendQueue;
  readonly #hostQueue: PacketQueue;
  readonly #drops: DropCounters;
  /** Of each family whose packets are translated, IPv4 first; where nothing of that is, nothing of IPv6 is. */
  readonly #outsides: readonly Outside[];
  readonly #tunWriter: TunWriter;
  readonly #tunBuffer: number;
  readonly #fromNetwork: Receiver<DatagramSource> = {
    beginBatch: ({ messages }, count) => this.#device.prefetch(messages, count),
    take: (port, index, now) => this.#takeMessage(port, index, now),
    endBatch: () => this.#endMessages(),
  };
  readonly #fromWorkers: Receiver<HandedOverPort> = {
    take: (port, _index, now) => this.#takeHandedOver(port, now),
    endBatch: (now) => this.#endCaptured(now),
  };
  readonly #fromOpened: Receiver<ForOutsidePort> = {
    take: (port, index, now) => this.#takeForOutside(port, index, now),
    endBatch: (now) => this.#endForOutside(now),
  };
  #handshakesBefore = 0;
  /** When something was received last, and when the TUN was read last, monotonic ms. */
  #receivedAt = -Infinity;
  #tunReadAt = -Infinity;
  #tun: TunPort | null = null;
  /** By `Transport`. */
  readonly #ports: (DatagramPort | null)[] = [null, null];
  /** The port whose room is waited for. */
  #full: DatagramPort | null = null;

  constructor(options: EngineOptions) {
    const { memory, scratch } = options;
    this.#device = options.device;
    this.#pipeline = options.pipeline;
    options.pipeline.divider.onFull = (now) => this.flush(now);
    this.#sendQueue = options.sendQueue;
    this.#hostQueue = options.hostQueue;
    this.#drops = options.drops;
    const { fromOutside, fromOutside6 } = options.pipeline;
    this.#outsides = [
      ...this.#outsideOf(options.outside, fromOutside),
      ...this.#outsideOf(options.outside6 ?? null, fromOutside6),
    ];
    this.#tunWriter = new TunWriter(memory, {
      scratch,
      queue: options.hostQueue,
      drops: options.drops,
      offload: options.offload,
    });
    this.#tunBuffer = scratch + TUN_BUFFER_OFFSET + TUN_BUFFER_START;
  }

  #outsideOf(port: CapturePort | null, from: FromOutside | null): Outside[] {
    if (port === null || from === null) return [];
    const receiver: Receiver<CapturePort> = {
      take: (_, index, now) => this.#takeCaptured(port, from, index, now),
      endBatch: (now) => this.#endCaptured(now),
    };
    return [{ port, from, receiver }];
  }

  /** Begins to serve a TUN. */
  attachTun(tun: TunPort): void {
    this.#tun = tun;
    tun.awaitPackets(this.#full === null);
  }

  /** Begins to send by a port what travels as its datagrams do. */
  attach(port: DatagramPort): void {
    this.#ports[port.transport] = port;
  }

  // From the network to the TUN, to another peer, or outside.

  /** Takes what has come to a port. */
  receive(port: DatagramSource, now: number): void {
    const afterPause = now - this.#receivedAt > turn.PAUSE;
    this.#receivedAt = now;
    this.#handshakesBefore = this.#device.admittedHandshakes;
    receiveRounds(port, this.#fromNetwork, now);
    // What the host answers by itself, as it does a ping, stands there before the write to the TUN returns.
    if (afterPause) this.readTun(now);
  }

  /** The same for a port that brings handshakes alone, by itself and so one at a time: those behind stay there. */
  receiveHandshakes(port: DatagramPort, now: number): void {
    this.#handshakesBefore = this.#device.admittedHandshakes;
    receiveRounds(port, this.#fromNetwork, now, turn.HANDSHAKE_ROUNDS);
  }

  #takeMessage(port: DatagramSource, index: number, now: number): void {
    if (!port.take(index, now)) return;
    const peerIndex = this.#pipeline.fromNetwork.takeMessage(port.messages, index, now);
    const peer = this.#device.peerAt(peerIndex);
    if (peer !== null) port.authenticated(index, peer, now);
    if (this.#sendQueue.free < MAX_MERGED) this.flush(now);
    this.#flushOutside(now);
  }

  #endMessages(): boolean {
    this.#flushTun();
    return ((this.#device.admittedHandshakes - this.#handshakesBefore) | 0) < turn.HANDSHAKES;
  }

  #flushTun(): void {
    // A server may send before a connecting client has its TUN; the buffers are needed again all the same.
    if (this.#tun === null) this.#hostQueue.clear();
    else this.#tunWriter.flush(this.#tun);
  }

  // From another gateway to the network.

  /** Takes a packet that another gateway has handed over: for a peer here, or an answer of a peer there. */
  takeHanded({ offset, length, isAnswer }: HandedPacket, gateway: number, now: number): void {
    const { fromGateway, fromNetwork } = this.#pipeline;
    if (!isAnswer) fromGateway.take(offset, length, gateway, now);
    // Packet workers have the TUN and the NAT.
    else if (this.#tun === null) this.#drops.add(DropReason.peerElsewhere, length);
    else fromNetwork.takeAnswer(offset, length, now);
    if (this.#hostQueue.length > 0) this.#flushTun();
    this.#flushOutside(now);
    if (this.#sendQueue.free < MAX_MERGED) this.flush(now);
  }

  // From outside to the network.

  /** Takes what was captured outside, of IPv4 or of IPv6. */
  readCapture(now: number, isIpv6 = false): void {
    const outside = this.#outsides[isIpv6 ? 1 : 0];
    if (outside === undefined) return;
    this.#sendSplit(now);
    if (this.#full === null) receiveRounds(outside.port, outside.receiver, now);
    this.flush(now);
  }

  #takeCaptured(
    { offsets, lengths }: CapturePort,
    fromOutside: FromOutside,
    index: number,
    now: number,
  ): void {
    if (this.#pipeline.hasSplit) {
      // The port is full, and a super-packet waits already: the others of this batch are what a full queue drops.
      this.#drops.add(DropReason.sendQueueFull, lengths[index]);
      return;
    }
    fromOutside.takeCaptured(offsets[index], lengths[index], now);
    this.#sendSplit(now);
    if (fromOutside.hasManyOutside) this.#flushOutside(now);
    if (this.#sendQueue.free < MAX_MERGED) this.flush(now);
  }

  /** Takes what other workers have handed over to this one's part of the NAT. */
  receiveHandedOver(port: HandedOverPort, now: number): void {
    if (!port.hasMore) return;
    this.#sendSplit(now);
    if (this.#full === null) receiveRounds(port, this.#fromWorkers, now, turn.HANDED_OVER);
    this.flush(now);
  }

  #takeHandedOver({ offset, length, origin }: HandedOverPort, now: number): void {
    if (this.#pipeline.hasSplit) {
      this.#drops.add(DropReason.sendQueueFull, length);
      return;
    }
    this.#pipeline.fromOthers(offset)!.takeCaptured(offset, length, now, origin);
    this.#sendSplit(now);
    if (this.#sendQueue.free < MAX_MERGED) this.flush(now);
  }

  /** Takes packets of peers' for outside that other workers have opened. */
  receiveForOutside(port: ForOutsidePort, now: number): void {
    if (!port.hasMore) return;
    if (this.#full === null) receiveRounds(port, this.#fromOpened, now);
    this.flush(now);
  }

  #takeForOutside(port: ForOutsidePort, index: number, now: number): void {
    const peer = port.peerOf(index);
    if (peer.isRemoved) return;
    this.#pipeline.goOn(peer, port.offsets[index], port.lengths[index], now);
    if (this.#sendQueue.free < MAX_MERGED) this.flush(now);
  }

  #endForOutside(now: number): boolean {
    this.#flushTun();
    return this.#endCaptured(now);
  }

  /** Whether nothing is read, as a port has no room for what it would lead to. */
  get isFull(): boolean {
    return this.#full !== null;
  }

  #endCaptured(now: number): boolean {
    this.#flushOutside(now);
    return this.#full === null;
  }

  /** Sends what the NAT has for outside, and what that comes to for clients. */
  #flushOutside(now: number): void {
    const outsides = this.#outsides;
    for (let i = 0; i < outsides.length; i++) {
      const { port, from } = outsides[i];
      port.flush(now);
      from.sendRefusals(now);
    }
  }

  // From the TUN to the network.

  /** Takes what the host sent into the TUN. */
  readTun(now: number): void {
    const tun = this.#tun;
    if (tun === null) return;
    this.#sendSplit(now);
    const afterPause = now - this.#tunReadAt > turn.PAUSE;
    this.#tunReadAt = now;
    for (let reads = 0; reads < turn.TUN_READS && this.#full === null; reads++) {
      const length = tun.read(this.#tunBuffer, TUN_BUFFER_SIZE);
      if (length === 0) break;
      this.#pipeline.fromHost.takeRead(this.#tunBuffer, length, now);
      if (this.#hostQueue.length > 0) this.#tunWriter.flush(tun);
      this.#sendSplit(now);
      // What comes by itself, as a ping does, is not to wait until it is known that nothing follows.
      if (this.#sendQueue.free < MAX_MERGED || (afterPause && reads === 0)) this.flush(now);
    }
    this.flush(now);
  }

  /** Sends what is left of a super-packet that had more packets than the send queue had room for. */
  #sendSplit(now: number): void {
    while (this.#pipeline.hasSplit && this.#full === null) {
      this.flush(now);
      this.#pipeline.sendSplit(now);
    }
  }

  // What has waited for its peer's rate.

  /** When `release()` has something to do, monotonic ms; `Infinity` for never, or not before a port has room. */
  pollAt(): number {
    return this.#full === null ? this.#pipeline.shaping.at : Infinity;
  }

  /** Sends on what has waited long enough. */
  release(now: number): void {
    const { shaping } = this.#pipeline;
    if (now < shaping.at) return;
    for (let rounds = 0; rounds < turn.RELEASE_ROUNDS; rounds++) {
      this.flush(now);
      if (this.#full !== null) return;
      const hasMore = shaping.release(now);
      this.#flushTun();
      this.#flushOutside(now);
      this.flush(now);
      // Only what the port has no room for is left, in slots of its own.
      shaping.recycle();
      if (!hasMore) return;
    }
  }

  /**
   * Sends a probe of a path, by this transport: alone, so that the port can send it as one.
   *
   * @param write puts it into the send queue; false where it did not
   */
  sendProbe(write: () => boolean, transport: Transport, now: number): void {
    this.flush(now);
    // With the port full, there is nothing that a path could be asked.
    const queue = this.#sendQueue;
    if (this.#full !== null || !write()) return;
    if (this.#ports[transport]?.probe(queue, queue.head)) queue.sentUpTo(queue.head + 1);
    // The probe may have led to a handshake.
    this.flush(now);
  }

  /** Sends what packet workers have sealed; what a full port has no room for stays where it is. */
  sendSealed(source: SealedSource, now: number): void {
    const queue = this.#sendQueue;
    for (let left = turn.SEALED; left > 0 && this.#full === null && source.hasMore;) {
      left -= Math.max(1, source.take(queue, now));
      // So that a run is taken, and leaves, as a whole.
      if (queue.free < MAX_MERGED) this.flush(now);
    }
  }

  /** Goes on after a port was full. */
  resume(now: number): void {
    this.flush(now);
    this.#sendSplit(now);
  }

  /** Sends what the core has for peers: neighbours in the queue that travel alike, together. */
  flush(now: number): void {
    const queue = this.#sendQueue;
    let full = this.#flushPorts(now);
    while (queue.length > 0 && full === null) {
      const { head } = queue;
      const end = queue.runEnd();
      const port = this.#ports[queue.paths.transport(queue.pathIds[head])];
      const next = port === null ? this.#dropRun(head, end) : port.send(queue, head, end, now);
      queue.sentUpTo(next);
      if (next < end) full = port;
    }
    if (full !== null || this.#full !== null) this.#setFull(full);
  }

  /** Sends what ports have of their own. Returns one that is full. */
  #flushPorts(now: number): DatagramPort | null {
    for (let i = 0; i < this.#ports.length; i++) {
      const port = this.#ports[i];
      if (port !== null && !port.flush(now)) return port;
    }
    return null;
  }

  /** Drops datagrams that nothing is open for. */
  #dropRun(from: number, to: number): number {
    for (let i = from; i < to; i++) {
      this.#drops.add(DropReason.fakeTcpNoSession, this.#sendQueue.lengths[i]);
    }
    return to;
  }

  /** Waits until this port has room again, and reads nothing meanwhile that is sent by it; at null, goes on. */
  #setFull(full: DatagramPort | null): void {
    const last = this.#full;
    this.#full = full;
    if (last !== full) last?.awaitRoom(false);
    full?.awaitRoom(true);
    if ((last === null) === (full === null)) return;
    this.#tun?.awaitPackets(full === null);
    for (const { port } of this.#outsides) port.awaitPackets(full === null);
  }
}
