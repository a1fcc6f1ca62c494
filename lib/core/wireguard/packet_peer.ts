/**
 * What the way of a packet through the core needs of a peer and of a device, whether this thread has all of them, or
 * another thread has the handshakes.
 */
import type { RateLimit } from "../limits/rate_limit.ts";
import type { AllowedIps } from "./allowed_ips.ts";
import type { AllowedIps6 } from "./allowed_ips6.ts";
import type { PacketDirection } from "./packet_tap.ts";

export interface PacketPeer {
  /** Its number among the device's peers, from 1 on. */
  readonly index: number;
  /** Its number among those that access rules are about, from 1 on; 0 for none. */
  readonly accessId: number;
  /** Bytes of the longest packet inside that fits the path to it; at most the device's MTU. */
  readonly mtu: number;
  /** What bounds the rate of packets from the peer and to it; null without a limit. */
  readonly fromLimit: RateLimit<PacketPeer> | null;
  readonly toLimit: RateLimit<PacketPeer> | null;
  /** Whether it has used up its quota, and nothing passes any more. */
  readonly isSpent: boolean;
  /** Whether it is none of the device's peers any more: who holds on to it sends it nothing. */
  readonly isRemoved: boolean;
  /** The last source address (int32) that was found to be the peer's own, and `AllowedIps.changes` at that time. */
  source: number;
  sourceAsOf: number;
  /** What its last packet of a flow to outside asked for there; null for none. */
  flow: Loadable | null;
}

/** Datagrams that have come, index by index. */
export interface Arrived {
  readonly offsets: Int32Array;
  /** Guesses of the paths by which they came; left out where these are known. */
  readonly guesses?: Int32Array;
}

/** What another room keeps of a packet's flow. */
export interface Loadable {
  /** Loads it into the processor's cache, see `PacketDevice.prefetch()`. Returns a number made of all of it. */
  load(): number;
}

/** Watches packets, see `PacketTap`. */
export interface AnyPacketTap {
  take(peer: PacketPeer, direction: PacketDirection, offset: number, length: number): void;
}

export interface PacketDevice {
  readonly allowedIps: AllowedIps<PacketPeer>;
  readonly allowedIps6: AllowedIps6<PacketPeer>;
  readonly tap: AnyPacketTap | null;
  /** Handshake messages that were worth a Diffie-Hellman, since the start; an int32 that may wrap around. */
  readonly admittedHandshakes: number;
  /** The peer with this index, as results have it; null for none. */
  peerAt(index: number): PacketPeer | null;
  /**
   * Loads into the processor's cache what `receive()` will need for the first `count` of these datagrams, as far as
   * their headers tell, and writes down where the peer that each seems to be from was last. Whatever stands there,
   * nothing else follows from it.
   */
  prefetch(datagrams: Arrived, count: number): void;
  /** Takes one datagram, see `Device.receive()`. */
  receive(offset: number, length: number, path: number, now: number): number;
  /** Takes one that says that it is a transport message, as `receive()` would. */
  receiveTransport(offset: number, length: number, path: number, now: number): number;
  /** Seals a packet, see `Device.send()`. */
  send(peer: PacketPeer, offset: number, length: number, now: number): void;
  /** Whether a peer is another gateway's, see `Device.isElsewhere()`. */
  isElsewhere(peer: PacketPeer, now: number): boolean;
  /** Takes note of what another gateway has handed over, see `Device.noteHanded()`. */
  noteHanded(peer: PacketPeer, packet: number, gateway: number, now: number): void;
  /** Takes an answer to that back, see `Device.handAnswer()`. */
  handAnswer(peer: PacketPeer, offset: number, length: number, now: number): boolean;
  /** Counts a packet from or to `peer` that was dropped because of its limit. */
  noteLimited(peer: PacketPeer, now: number): void;
}
