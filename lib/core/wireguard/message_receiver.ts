/** Message receiver: transport messages as they arrive: the session that they name, and the opening. */
import { NO_PATH, type Paths } from "../transport/paths.ts";
import { DropReason } from "../wire/drop_reason.ts";
import type { Memory } from "../wire/memory.ts";
import {
  TRANSPORT_COUNTER_OFFSET,
  TRANSPORT_MIN_SIZE,
  TRANSPORT_RECEIVER_OFFSET,
} from "../wire/messages.ts";
import type { IndexTable } from "./handshake/index_table.ts";
import type { OpenedMessages } from "./opened_messages.ts";
import type { Arrived, Loadable } from "./packet_peer.ts";
import type { Peer } from "./peer.ts";
import type { PeerTable } from "./peer_table.ts";
import type { PeerSession } from "./session/peer_session.ts";
import { received, receivedOffset } from "./received.ts";
import type { TransportMessages } from "./session/transport_messages.ts";

export interface MessageReceiverOptions {
  readonly memory: Memory;
  readonly paths: Paths;
  readonly peers: PeerTable;
  readonly indices: IndexTable;
  readonly messages: TransportMessages;
  readonly opened: OpenedMessages;
}

export class MessageReceiver {
  readonly #view: DataView;
  readonly #paths: Paths;
  readonly #peers: PeerTable;
  readonly #indices: IndexTable;
  readonly #messages: TransportMessages;
  readonly #opened: OpenedMessages;
  /** Those of the messages that are prefetched, their peers, and what those asked for last. */
  readonly #sessions: (PeerSession | null)[] = [];
  readonly #senders: (Peer | null)[] = [];
  readonly #flows: (Loadable | null)[] = [];
  /** Of all that was loaded: without a use of it, the compiler would leave the loads out. */
  #loaded = 0;

  constructor(options: MessageReceiverOptions) {
    this.#view = options.memory.view;
    this.#paths = options.paths;
    this.#peers = options.peers;
    this.#indices = options.indices;
    this.#messages = options.messages;
    this.#opened = options.opened;
  }

  /**
   * Loads what `receive()` will need, see `PacketDevice.prefetch()`: step by step, as no load of a step waits for
   * another of it, and the processor has them under way at once.
   */
  prefetch({ offsets, guesses }: Arrived, count: number): void {
    const view = this.#view;
    const sessions = this.#sessions;
    const flows = this.#flows;
    const peers = this.#senders;
    for (let i = 0; i < count; i++) {
      const index = view.getInt32(offsets[i]! + TRANSPORT_RECEIVER_OFFSET, true);
      sessions[i] = this.#indices.session(index);
    }
    let loaded = this.#loaded;
    for (let i = 0; i < count; i++) {
      const session = sessions[i]!;
      if (session !== null) loaded ^= session.peerIndex ^ session.steadyPath;
    }
    for (let i = 0; i < count; i++) {
      const session = sessions[i]!;
      const peer = peers[i] = session === null ? null : this.#peers.byIndex(session.peerIndex);
      if (peer !== null) loaded ^= session!.prefetch() ^ peer.source;
    }
    for (let i = 0; i < count; i++) {
      const peer = peers[i]!;
      if (peer === null) continue;
      const session = sessions[i]!;
      const low = view.getUint32(offsets[i]! + TRANSPORT_COUNTER_OFFSET, true);
      loaded ^= session.replay.prefetch(low);
      let path = session.steadyPath;
      if (path === NO_PATH) {
        loaded ^= peer.prefetch() ^ Number(session.canReceive(0));
        path = peer.endpoint.path;
      }
      if (guesses !== undefined) guesses[i] = path;
      sessions[i] = null;
      flows[i] = peer.flow;
    }
    for (let i = 0; i < count; i++) {
      const peer = peers[i]!;
      if (peer === null) continue;
      if (guesses !== undefined) loaded ^= this.#paths.prefetch(guesses[i]!);
      loaded ^= flows[i]?.load() ?? 0;
      flows[i] = peers[i] = null;
    }
    this.#loaded = loaded;
  }

  /** Takes a transport message that came by a path, see `Device.receive()`; the caller counts a drop. */
  receive(offset: number, length: number, path: number, now: number): number {
    if (length < TRANSPORT_MIN_SIZE) return -DropReason.badMessageLength;
    const session = this.#indices.session(
      this.#view.getInt32(offset + TRANSPORT_RECEIVER_OFFSET, true),
    );
    if (session === null) return -DropReason.unknownIndex;
    const isSteady = session.isSteady(path, now);
    if (!isSteady && !session.canReceive(now)) return -DropReason.expiredKey;
    const packetLength = this.#messages.open(session, offset, length);
    if (packetLength < 0) return packetLength;
    const packet = receivedOffset(offset);
    if (isSteady && packetLength > 0 && this.#view.getUint8(packet) !== 0) {
      session.takeSteady(length, now);
      return received(session.peerIndex, packetLength);
    }
    const peer = this.#peers.byIndex(session.peerIndex)!;
    peer.endSteady();
    const isPacket = this.#opened.take(peer, session, length, packet, packetLength, path, now);
    if (isPacket) this.#opened.beginSteady(peer, session, path);
    return received(peer.index, isPacket ? packetLength : 0);
  }
}
