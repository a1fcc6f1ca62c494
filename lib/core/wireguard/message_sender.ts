/**
 * Message sender: what leaves for peers in sessions, in the order in which a packet meets it: whether it may leave,
 * whether it waits for a handshake, the sealing; then keepalives, control messages and probes of the path, which nobody
 * inside asked for.
 */
import { NO_PATH } from "../transport/paths.ts";
import type { SendQueue } from "../transport/send_queue.ts";
import type { Transport } from "../transport/transport.ts";
import { type DropCounters, DropReason } from "../wire/drop_reason.ts";
import type { Memory } from "../wire/memory.ts";
import { paddedSize, TRANSPORT_OVERHEAD, TRANSPORT_PACKET_OFFSET } from "../wire/messages.ts";
import { MAX_STAGED_PACKETS } from "./constants.ts";
import type { DeviceEventKind } from "./device_events.ts";
import type { Elsewhere } from "./elsewhere.ts";
import { Software } from "./liveness/recognition.ts";
import { PacketDirection, type PacketTap } from "./packet_tap.ts";
import { writeProbe } from "./path/path_mtu.ts";
import type { Peer } from "./peer.ts";
import { meter } from "./metering.ts";
import type { Keypair } from "./session/keypair.ts";
import type { StagedPackets } from "./session/staged_packets.ts";
import type { TransportMessages } from "./session/transport_messages.ts";
import { NEVER } from "./timers.ts";

export interface MessageSenderOptions {
  readonly memory: Memory;
  readonly sendQueue: SendQueue;
  readonly drops: DropCounters;
  /** Inner MTU in bytes. */
  readonly mtu: number;
  readonly staged: StagedPackets;
  readonly messages: TransportMessages;
  /** Where other gateways answer under this key as well. */
  readonly elsewhere?: Elsewhere;
  /** Asks for a handshake. */
  readonly initiate: (peer: Peer, now: number) => void;
  readonly report: (kind: DeviceEventKind, peer: Peer) => void;
}

export class MessageSender {
  /** Watches the packets; null for nobody. */
  tap: PacketTap | null = null;
  readonly #memory: Memory;
  readonly #sendQueue: SendQueue;
  readonly #drops: DropCounters;
  readonly #mtu: number;
  readonly #staged: StagedPackets;
  readonly #messages: TransportMessages;
  readonly #elsewhere: Elsewhere | null;
  readonly #initiate: (peer: Peer, now: number) => void;
  readonly #report: (kind: DeviceEventKind, peer: Peer) => void;

  constructor(options: MessageSenderOptions) {
    this.#memory = options.memory;
    this.#sendQueue = options.sendQueue;
    this.#drops = options.drops;
    this.#mtu = options.mtu;
    this.#staged = options.staged;
    this.#messages = options.messages;
    this.#elsewhere = options.elsewhere ?? null;
    this.#initiate = options.initiate;
    this.#report = options.report;
  }

  // Packets.

  /** Seals a packet for `peer` into the send queue, see `Device.send()`. */
  send(
    peer: Peer,
    offset: number,
    length: number,
    now: number,
    padded: number = paddedSize(length, peer.mtu),
  ): void {
    if (length > this.#mtu) {
      this.#drops.add(DropReason.tooBig, length);
      return;
    }
    const session = peer.current;
    if (session === null || peer.endpoint.path === NO_PATH || !session.canSend(now)) {
      this.#sendLater(peer, offset, length, now);
      return;
    }
    this.#sendData(peer, session, offset, length, now, padded);
  }

  /**
   * Keeps a packet for a peer without a session until there is one, unless the peer has one with another gateway: a
   * handshake of ours would draw it from there.
   */
  #sendLater(peer: Peer, offset: number, length: number, now: number): void {
    const elsewhere = this.#elsewhere;
    if (peer.isRemoved) {
      // A super-packet may be under way to a peer that is removed meanwhile.
      this.#drops.add(DropReason.noRoute, length);
    } else if (elsewhere !== null && elsewhere.takePacket(peer, offset, length, now)) {
      return;
    } else if (peer.endpoint.path === NO_PATH) {
      this.#drops.add(DropReason.noEndpoint, length);
    } else {
      this.#staged.add(peer, this.#memory.bytes.subarray(offset, offset + length));
      this.#initiate(peer, now);
    }
  }

  /** Pads a packet with zeros and seals it. */
  #sendData(
    peer: Peer,
    keypair: Keypair,
    offset: number,
    length: number,
    now: number,
    padded: number,
  ): void {
    if (!peer.proof.spend(padded + TRANSPORT_OVERHEAD)) {
      this.#awaitProof(peer, offset, length);
      return;
    }
    // Before it is sealed, which may be in place; a packet for which the queue has no room leaves no trace.
    if (this.tap !== null && this.#sendQueue.free > 0) {
      this.tap.take(peer, PacketDirection.outbound, offset, length);
    }
    const { path } = peer.endpoint;
    const sealed = this.#messages.sealPacket(keypair, offset, length, padded, path);
    if (sealed < 0) {
      this.#drops.add(-sealed as DropReason, padded);
      return;
    }
    peer.endSteady();
    peer.timers.dataSent(now);
    if (peer.unansweredSince === NEVER) this.#awaitAnswer(peer, now);
    this.#sealed(peer, keypair, sealed, now);
  }

  /**
   * Keeps a packet until the peer has shown that it is where it seems to be; the first are kept, as TCP sends the
   * others again.
   */
  #awaitProof(peer: Peer, offset: number, length: number): void {
    if (peer.staged.length < MAX_STAGED_PACKETS) {
      this.#staged.add(peer, this.#memory.bytes.subarray(offset, offset + length));
    } else this.#drops.add(DropReason.endpointUnproven, length);
  }

  /** The packet just sent has an answer, unless the peer is gone. */
  #awaitAnswer(peer: Peer, now: number): void {
    peer.unansweredSince = now;
    peer.timers.watchBy(peer.watch?.nextAt(peer) ?? NEVER);
  }

  #sealed(peer: Peer, keypair: Keypair, length: number, now: number): void {
    peer.endSteady();
    peer.sentBytes += length;
    meter(peer, this.#report);
    peer.lastSentAt = now;
    peer.timers.authenticatedSent(now);
    if (keypair.isStaleForSending(now)) this.#initiate(peer, now);
  }

  /**
   * Another thread has sealed messages for `peer`, the last one at `at`.
   *
   * @param isData whether there was a packet in one of them
   */
  sentElsewhere(peer: Peer, bytes: number, at: number, isData: boolean, now: number): void {
    peer.sentBytes += bytes;
    meter(peer, this.#report);
    if (at > peer.lastSentAt) peer.lastSentAt = at;
    // What has come since is an answer, and has to be answered itself.
    if (at >= peer.lastReceivedAt) {
      if (isData) {
        peer.timers.dataSent(at);
        if (peer.unansweredSince === NEVER) this.#awaitAnswer(peer, at);
      }
      peer.timers.authenticatedSent(at);
    }
    if (peer.current?.isStaleForSending(now)) this.#initiate(peer, now);
  }

  /** Sends the packets that wait for `peer`, if there is a session by now. */
  sendStaged(peer: Peer, now: number): void {
    const session = peer.current;
    if (peer.staged.length === 0 || session === null || !session.canSend(now)) return;
    for (const packet of this.#staged.take(peer)) {
      const slot = this.#sendQueue.reserve();
      if (slot < 0) {
        this.#drops.add(DropReason.sendQueueFull, packet.length);
        continue;
      }
      // Staged packets lie outside the packet memory, so they are sealed where they are sent from.
      const at = slot + TRANSPORT_PACKET_OFFSET;
      this.#memory.bytes.set(packet, at);
      this.#sendData(peer, session, at, packet.length, now, paddedSize(packet.length, peer.mtu));
    }
  }

  // What is no packet.

  /** Sends an empty packet, which tells the peer and the NATs on the path that we are here. */
  sendKeepalive(peer: Peer, now: number): void {
    if (peer.endpoint.path === NO_PATH) return;
    const session = peer.current;
    if (session === null || !session.canSend(now)) {
      this.#initiate(peer, now);
      return;
    }
    if (!peer.proof.spend(TRANSPORT_OVERHEAD)) return;
    const sealed = this.#messages.seal(session, 0, 0, peer.endpoint.path);
    if (sealed < 0) this.#drops.add(-sealed as DropReason);
    else this.#sealed(peer, session, sealed, now);
  }

  /**
   * Seals a control message, which asks for no answer of WireGuard's, written where it is sent from.
   *
   * @returns false where there is no session, or no room
   */
  sendControl(
    peer: Peer,
    write: (at: number) => number,
    now: number,
    path: number = peer.endpoint.path,
  ): boolean {
    const session = peer.current;
    const slot = this.#sendQueue.reserve();
    if (peer.endpoint.path === NO_PATH || session === null || !session.canSend(now) || slot < 0) {
      return false;
    }
    const at = slot + TRANSPORT_PACKET_OFFSET;
    const length = write(at);
    // By another transport goes an answer that is no longer than its question, or a probe to an endpoint that we chose.
    if (path === peer.endpoint.path && !peer.proof.spend(length + TRANSPORT_OVERHEAD)) return false;
    const sealed = this.#messages.seal(session, at, length, path);
    if (sealed < 0) {
      this.#drops.add(-sealed as DropReason, length);
      return false;
    }
    this.#sealed(peer, session, sealed, now);
    return true;
  }

  /** Sends a probe of the path to `peer`, see `Device.sendProbe()`. */
  sendProbe(peer: Peer, length: number, now: number, transport: Transport): boolean {
    const software = peer.watch?.recognition.software ?? Software.ours;
    if (software === Software.unknown) return false;
    // Nor is it before the first packet of the session has come: another program may run there by now.
    if (software === Software.stock || peer.watch?.recognition.hasReceived === false) {
      return this.#sendBlindProbe(peer, length, now);
    }
    const { endpoint } = peer;
    const path = transport === endpoint.transport
      ? endpoint.path
      : this.#sendQueue.paths.withTransport(endpoint.path, transport);
    return this.sendControl(peer, (at) => writeProbe(this.#memory, at, length), now, path);
  }

  #sendBlindProbe(peer: Peer, length: number, now: number): boolean {
    const { current: session, endpoint, proof } = peer;
    if (endpoint.path === NO_PATH || session === null || !session.canSend(now)) return false;
    if (!proof.spend(length + TRANSPORT_OVERHEAD)) return false;
    return this.#messages.putBlind(session.remoteIndex, length, endpoint.path);
  }
}
