/**
 * Ports: what the loop takes packets from and hands them to. In lib/dataplane they are made of system calls, in tests
 * of arrays.
 *
 * A port reads into the packet memory and names what came by offset and length; the arrays are valid until its next
 * read.
 */
import type { Paths } from "../transport/paths.ts";
import type { SendQueue } from "../transport/send_queue.ts";
import type { Transport } from "../transport/transport.ts";
import type { PacketPeer } from "../wireguard/packet_peer.ts";

/**
 * What the last `receive()` of a `DatagramSource` brought, index by index: datagrams, or several equal ones merged into
 * one.
 */
export interface ReceivedMessages {
  readonly offsets: Int32Array;
  /** Bytes; -1 for a message that the kernel cut short. */
  readonly lengths: Int32Array;
  /** Bytes of each merged datagram but the last; 0 for a single one. */
  readonly segmentSizes: Int32Array;
  /** By which path each came, and an answer to it goes; known once it is taken. `NO_PATH` where none can. */
  readonly pathIds: Int32Array;
  /** Of a port that looks for paths: where the peer that each seems to be from was last, which is looked at first. */
  readonly guesses?: Int32Array;
  /** ECN bits of the outer IP header. */
  readonly ecns: Uint8Array;
}

/** Datagrams to send, index by index. `SendQueue` is one. */
export interface Datagrams {
  readonly offsets: Int32Array;
  /** Bytes, at least 1. */
  readonly lengths: Int32Array;
  /** By which path each leaves, of `paths`. */
  readonly pathIds: Int32Array;
  readonly paths: Paths;
  /** ECN bits of the outer IP header. */
  readonly ecns: Uint8Array;
}

/** Where datagrams come from. */
export interface DatagramSource {
  /** The most messages that one `receive()` brings: fewer, and there are no more. */
  readonly batch: number;
  readonly messages: ReceivedMessages;
  /** Takes what has arrived, up to a batch. Returns the count of messages; 0 for none. */
  receive(): number;
  /**
   * Makes message `index` ready to be read from `messages`, one after the other; false where there is no datagram in
   * it.
   */
  take(index: number, now: number): boolean;
  /** Takes note that message `index`, the last one taken, has proved to be `peer`'s. */
  authenticated(index: number, peer: PacketPeer, now: number): void;
}

/** How datagrams travel: UDP is one, fake TCP another. */
export interface DatagramPort extends DatagramSource {
  readonly transport: Transport;
  /**
   * Sends datagrams `from` (inclusive) to `to` (exclusive). What is refused is counted, and skipped.
   *
   * @returns the index of the first that has not left: `to`, or less where there is no room for more
   */
  send(datagrams: Datagrams, from: number, to: number, now: number): number;
  /**
   * Sends datagram `index` as one that no router may divide; false where `send()` is to do it, as none of its may be.
   */
  probe(datagrams: Datagrams, index: number): boolean;
  /** Sends what the port has of its own, and what it took before; false where there is no room for it. */
  flush(now: number): boolean;
  /** Has the loop woken, or no more, when there is room again; may be said again while there is none. */
  awaitRoom(isAwaited: boolean): void;
}

/** What packet workers have for a transport of this thread's. */
export interface SealedSource {
  readonly hasMore: boolean;
  /**
   * Takes the next of it, a run of datagrams mostly, into the send queue, as far as that has room.
   *
   * @returns how many datagrams
   */
  take(queue: SendQueue, now: number): number;
}

/** The host's end of the tunnel. */
export interface TunPort {
  /** Whether super-packets of UDP may be written. */
  readonly mergesUdp: boolean;
  /**
   * Reads one packet, behind its virtio-net header, to `offset`.
   *
   * @returns bytes, the header included; 0 where there is none
   */
  read(offset: number, capacity: number): number;
  /**
   * Begins a packet to write; the pieces named by `addPiece()` follow one another in it, the virtio-net header first.
   */
  beginWrite(): void;
  addPiece(offset: number, length: number): void;
  /** Hands the packet over. Returns the bytes written, or minus the error number where it was refused. */
  endWrite(): number;
  /** Takes note that a super-packet of UDP was refused, with what `endWrite()` said. */
  refusedUdp(result: number): void;
  /** Has the loop woken, or not, when there is something to read. */
  awaitPackets(isAwaited: boolean): void;
}

/** The network outside of a gateway: answers are captured there, and what the NAT has translated is sent there. */
export interface CapturePort {
  /** The most packets that one `receive()` brings: fewer, and there are no more. */
  readonly batch: number;
  /** What the last `receive()` brought: the offset of each virtio-net header, the IP packet right behind it. */
  readonly offsets: Int32Array;
  /** Bytes, the header included; -1 when the kernel had to cut the packet short. */
  readonly lengths: Int32Array;
  /** Takes what has arrived, up to a batch. Returns the count of packets; 0 for none. */
  receive(): number;
  /** Sends what the NAT has for outside, or drops it; what this leads to for clients, the NAT has then. */
  flush(now: number): void;
  /** Has the loop woken, or not, when there is something to receive. */
  awaitPackets(isAwaited: boolean): void;
}
