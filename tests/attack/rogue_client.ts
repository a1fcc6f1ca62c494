/**
 * Hostile client: an authorized peer of a gateway whose every byte the attack chooses.
 *
 * It has a key, so it completes the handshake; what it then sends inside the tunnel, from which port, under which
 * session and with which outer source address is up to the attack.
 */
import { pathsTo } from "../../ffi/sockets/datagram_batch.ts";
import { Arena } from "../../ffi/arena.ts";
import type { UdpSocket } from "../../ffi/sockets/udp_socket.ts";
import { decodeKey } from "../../lib/core/config/values/key_text.ts";
import type { AeadKey } from "../../lib/core/noise/aead.ts";
import { createBuiltinAead } from "../../lib/core/noise/aead_builtin.ts";
import { CookieGenerator } from "../../lib/core/noise/cookie.ts";
import { Initiator } from "../../lib/core/noise/handshake.ts";
import { encodeTai64n } from "../../lib/core/noise/tai64n.ts";
import { keyPair } from "../../lib/core/noise/x25519.ts";
import { parseIpv4 } from "../../lib/core/wire/ipv4_text.ts";
import {
  INITIATION_EPHEMERAL_OFFSET,
  INITIATION_SIZE,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  MESSAGE_TRANSPORT,
  messageType,
  RESPONSE_EPHEMERAL_OFFSET,
  RESPONSE_MAC1_OFFSET,
  RESPONSE_SENDER_OFFSET,
  TAG_SIZE,
  TRANSPORT_COUNTER_OFFSET,
  TRANSPORT_MIN_SIZE,
  TRANSPORT_OVERHEAD,
  TRANSPORT_PACKET_OFFSET,
  TRANSPORT_RECEIVER_OFFSET,
} from "../../lib/core/wire/messages.ts";
import type { TestNamespace } from "../support/net.ts";
import { openSocket } from "../net/support/traffic/sockets.ts";
import { delay } from "../net/support/wire.ts";

const IDENTIFIER = new TextEncoder().encode("WireGuard v1 zx2c4 Jason@zx2c4.com");
const ARENA_SIZE = 24 * 1024 * 1024;
/** Messages of one send call. */
const BATCH = 256;
/** Bytes that one message of a batch may have. */
const SLOT = 2048;
const ANSWER_TIMEOUT_MS = 10_000;

/** The keys of one handshake. */
export interface RogueSession {
  readonly sending: AeadKey;
  readonly receiving: AeadKey;
  /** The gateway's index. */
  readonly remoteIndex: number;
  counter: number;
}

export interface RogueOptions {
  /** Base64. */
  readonly privateKey: string;
  readonly gatewayKey: string;
  /** Where the gateway listens. */
  readonly address: string;
  readonly port: number;
}

export class RogueClient implements Disposable {
  readonly #options: RogueOptions;
  readonly #namespace: TestNamespace;
  readonly #arena = new Arena(ARENA_SIZE);
  readonly #aead = createBuiltinAead(this.#arena);
  readonly #sockets: UdpSocket[] = [];
  readonly #slots: number;
  readonly #scratch: number;
  #index = 1;

  constructor(namespace: TestNamespace, options: RogueOptions) {
    this.#namespace = namespace;
    this.#options = options;
    this.#slots = this.#arena.allocate(BATCH * SLOT);
    this.#scratch = this.#arena.allocate(65_536);
    this.socket(0);
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket[Symbol.dispose]();
  }

  /** The socket with this number, each with a port of its own; the first one is used where nothing else is said. */
  socket(number: number): UdpSocket {
    while (this.#sockets.length <= number) {
      this.#sockets.push(openSocket(this.#namespace, this.#arena));
    }
    return this.#sockets[number]!;
  }

  /** Shakes hands from the first socket. The session is confirmed by the first message that is sent under it. */
  async handshake(): Promise<RogueSession> {
    const deadline = Date.now() + ANSWER_TIMEOUT_MS;
    while (Date.now() < deadline) {
      const initiator = this.#begin();
      const answer = await this.#find(
        (offset, length) =>
          length >= RESPONSE_MAC1_OFFSET &&
          messageType(this.#arena.view, offset) === MESSAGE_RESPONSE,
        1_000,
      );
      if (answer === null) continue;
      const noise = answer.subarray(RESPONSE_EPHEMERAL_OFFSET, RESPONSE_MAC1_OFFSET);
      if (initiator.readMessage2(noise, new Uint8Array(32)) === null) continue;
      const { sending, receiving } = initiator.split()!;
      return {
        sending: this.#aead.key(sending),
        receiving: this.#aead.key(receiving),
        remoteIndex: new DataView(answer.buffer, answer.byteOffset)
          .getUint32(RESPONSE_SENDER_OFFSET, true),
        counter: 0,
      };
    }
    throw new Error("Cannot complete the handshake: the gateway does not answer");
  }

  /**
   * A transport message with this inside, under the next counter of the session. Our control messages have no padding.
   */
  seal(session: RogueSession, inside: Uint8Array): Uint8Array<ArrayBuffer> {
    const { view, bytes } = this.#arena;
    const at = this.#scratch;
    const padded = inside[0] === 0 ? inside.length : (inside.length + 15) & -16;
    view.setUint32(at, MESSAGE_TRANSPORT, true);
    view.setUint32(at + TRANSPORT_RECEIVER_OFFSET, session.remoteIndex, true);
    const counter = session.counter++;
    view.setUint32(at + TRANSPORT_COUNTER_OFFSET, counter, true);
    view.setUint32(at + TRANSPORT_COUNTER_OFFSET + 4, 0, true);
    const packet = at + TRANSPORT_PACKET_OFFSET;
    bytes.fill(0, packet, packet + padded);
    bytes.set(inside, packet);
    session.sending.seal(packet, packet, padded, counter, 0);
    return bytes.slice(at, at + padded + TRANSPORT_OVERHEAD);
  }

  /** Sends packets through the tunnel. */
  send(session: RogueSession, ...packets: readonly Uint8Array[]): void {
    this.sendRaw(0, ...packets.map((packet) => this.seal(session, packet)));
  }

  /** Sends datagrams as they are, from a socket. */
  sendRaw(socketNumber: number, ...datagrams: readonly Uint8Array[]): void {
    const socket = this.socket(socketNumber);
    for (let first = 0; first < datagrams.length; first += BATCH) {
      const part = datagrams.slice(first, first + BATCH);
      part.forEach((datagram, i) => this.#arena.bytes.set(datagram, this.#slots + i * SLOT));
      const batch = {
        offsets: Int32Array.from(part, (_, i) => this.#slots + i * SLOT),
        lengths: Int32Array.from(part, ({ length }) => length),
        ...pathsTo(
          new Array(part.length).fill({
            address: parseIpv4(this.#options.address)!,
            port: this.#options.port,
          }),
        ),
      };
      socket.send(batch, 0, part.length);
    }
  }

  /** The first packet out of the tunnel that `wanted` picks; null when none has come in time. */
  async receive(
    session: RogueSession,
    wanted: (packet: Uint8Array) => boolean,
    timeout = ANSWER_TIMEOUT_MS,
  ): Promise<Uint8Array | null> {
    let found: Uint8Array | null = null;
    await this.#find((offset, length) => {
      const packet = this.#open(session, offset, length);
      if (packet === null || !wanted(packet)) return false;
      found = packet;
      return true;
    }, timeout);
    return found;
  }

  #open(session: RogueSession, offset: number, length: number): Uint8Array | null {
    const { view, bytes } = this.#arena;
    if (length < TRANSPORT_MIN_SIZE || messageType(view, offset) !== MESSAGE_TRANSPORT) return null;
    const size = length - TRANSPORT_PACKET_OFFSET - TAG_SIZE;
    const low = view.getUint32(offset + TRANSPORT_COUNTER_OFFSET, true);
    // Sessions of ours do not begin at 0: lib/core/wireguard/EXTENSIONS.md.
    const high = view.getUint32(offset + TRANSPORT_COUNTER_OFFSET + 4, true);
    const at = offset + TRANSPORT_PACKET_OFFSET;
    return session.receiving.open(this.#scratch, at, size, low, high)
      ? bytes.slice(this.#scratch, this.#scratch + size)
      : null;
  }

  #begin(): Initiator {
    const { privateKey, gatewayKey } = this.#options;
    const remoteStatic = decodeKey(gatewayKey)!;
    const initiator = new Initiator({
      aead: this.#aead,
      prologue: IDENTIFIER,
      localStatic: keyPair(decodeKey(privateKey)!),
      remoteStatic,
      ephemeral: keyPair(crypto.getRandomValues(new Uint8Array(32))),
    });
    const message = new Uint8Array(INITIATION_SIZE);
    const view = new DataView(message.buffer);
    view.setUint32(0, MESSAGE_INITIATION, true);
    view.setUint32(4, this.#index++, true);
    message.set(initiator.writeMessage1(encodeTai64n(Date.now()))!, INITIATION_EPHEMERAL_OFFSET);
    new CookieGenerator(remoteStatic).addMacs(message, 0);
    this.sendRaw(0, message);
    return initiator;
  }

  /** The first datagram that has come to the first socket and that `wanted` picks, copied. */
  async #find(
    wanted: (offset: number, length: number) => boolean,
    timeout: number,
  ): Promise<Uint8Array<ArrayBuffer> | null> {
    const socket = this.#sockets[0]!;
    const deadline = Date.now() + timeout;
    for (;;) {
      for (let count = socket.receive(); count > 0; count = socket.receive()) {
        for (let i = 0; i < count; i++) {
          const [offset, length] = [socket.receivedOffsets[i]!, socket.receivedLengths[i]!];
          if (wanted(offset, length)) return this.#arena.bytes.slice(offset, offset + length);
        }
      }
      if (Date.now() >= deadline) return null;
      await delay(2);
    }
  }
}
