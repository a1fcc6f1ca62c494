/** A WireGuard client of a load, without timers, device or TUN: it makes one handshake, and seals packets. */
import type { Arena } from "../../../ffi/arena.ts";
import { openLibcrypto } from "../../../ffi/crypto/libcrypto.ts";
import { openX25519 } from "../../../ffi/crypto/libcrypto_x25519.ts";
import type { DatagramBatch } from "../../../ffi/sockets/datagram_batch.ts";
import type { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { decodeKey } from "../../../lib/core/config/values/key_text.ts";
import type { AeadKey, AeadProvider } from "../../../lib/core/noise/aead.ts";
import { createBuiltinAead } from "../../../lib/core/noise/aead_builtin.ts";
import { CookieGenerator } from "../../../lib/core/noise/cookie.ts";
import { Initiator } from "../../../lib/core/noise/handshake.ts";
import type { X25519Provider } from "../../../lib/core/noise/key_pair.ts";
import { encodeTai64n } from "../../../lib/core/noise/tai64n.ts";
import { builtinX25519 } from "../../../lib/core/noise/x25519.ts";
import {
  COOKIE_REPLY_SIZE,
  INITIATION_EPHEMERAL_OFFSET,
  INITIATION_SENDER_OFFSET,
  INITIATION_SIZE,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  MESSAGE_TRANSPORT,
  MESSAGE_TYPE_OFFSET,
  messageType,
  RESPONSE_EPHEMERAL_OFFSET,
  RESPONSE_MAC1_OFFSET,
  RESPONSE_SENDER_OFFSET,
  RESPONSE_SIZE,
  TRANSPORT_COUNTER_OFFSET,
  TRANSPORT_OVERHEAD,
  TRANSPORT_PACKET_OFFSET,
  TRANSPORT_RECEIVER_OFFSET,
} from "../../../lib/core/wire/messages.ts";
import { sleep } from "./worker_scope.ts";

const PROLOGUE = new TextEncoder().encode("WireGuard v1 zx2c4 Jason@zx2c4.com");
const NO_PRESHARED_KEY = new Uint8Array(32);

/** ms that an answer to an initiation is waited for, ms between two looks for it, and initiations in all. */
const ANSWER_TIMEOUT = 200;
const INTERVAL = 0.3;
const ATTEMPTS = 50;

/** What the libraries do for all clients. */
export interface ClientTools {
  readonly arena: Arena;
  readonly aead: AeadProvider;
  readonly x25519: X25519Provider;
}

export class BenchClient {
  readonly #tools: ClientTools;
  readonly #secret: Uint8Array;
  readonly #serverKey: Uint8Array;
  readonly #index: number;
  readonly #cookies: CookieGenerator;
  #initiator: Initiator | null = null;
  #sending: AeadKey | null = null;
  #receiving: AeadKey | null = null;
  #serverIndex = 0;
  #counter = 0;

  /** @param index of its sessions; keys are base64 */
  constructor(
    tools: ClientTools,
    keys: { readonly privateKey: string; readonly serverKey: string; readonly index: number },
  ) {
    this.#tools = tools;
    this.#secret = decodeKey(keys.privateKey)!;
    this.#serverKey = decodeKey(keys.serverKey)!;
    this.#index = keys.index;
    this.#cookies = new CookieGenerator(this.#serverKey);
  }

  /** Whether there is a session. */
  get isConnected(): boolean {
    return this.#sending !== null;
  }

  /** Writes an initiation of `INITIATION_SIZE` bytes to the arena; one made before is given up. */
  initiate(offset: number, now: number): void {
    const { arena: { bytes, view }, aead, x25519 } = this.#tools;
    this.#initiator?.destroy();
    const localStatic = x25519.keyPair(this.#secret);
    const ephemeral = x25519.keyPair(crypto.getRandomValues(new Uint8Array(32)));
    const initiator = new Initiator({
      aead,
      prologue: PROLOGUE,
      localStatic,
      remoteStatic: this.#serverKey,
      ephemeral,
    });
    view.setUint32(offset + MESSAGE_TYPE_OFFSET, MESSAGE_INITIATION, true);
    view.setUint32(offset + INITIATION_SENDER_OFFSET, this.#index, true);
    const fields = initiator.writeMessage1(encodeTai64n(Date.now()))!;
    bytes.set(fields, offset + INITIATION_EPHEMERAL_OFFSET);
    this.#cookies.addMacs(bytes.subarray(offset, offset + INITIATION_SIZE), now);
    this.#initiator = initiator;
  }

  /** Gives the initiation at `offset` the cookie that has come since. */
  addCookie(offset: number, now: number): void {
    const { bytes } = this.#tools.arena;
    this.#cookies.addMacs(bytes.subarray(offset, offset + INITIATION_SIZE), now);
  }

  /** Takes what the server has answered, a response or a cookie; anything else is left alone. */
  takeAnswer(offset: number, length: number, now: number): void {
    const { arena: { bytes, view }, aead } = this.#tools;
    const type = messageType(view, offset);
    if (type === MESSAGE_COOKIE_REPLY && length === COOKIE_REPLY_SIZE) {
      this.#cookies.consumeReply(bytes.subarray(offset, offset + length), now);
    }
    if (type !== MESSAGE_RESPONSE || length !== RESPONSE_SIZE) return;
    const fields = bytes.slice(offset + RESPONSE_EPHEMERAL_OFFSET, offset + RESPONSE_MAC1_OFFSET);
    if ((this.#initiator?.readMessage2(fields, NO_PRESHARED_KEY) ?? null) === null) return;
    const keys = this.#initiator!.split()!;
    this.#sending = aead.key(keys.sending);
    this.#receiving = aead.key(keys.receiving);
    this.#serverIndex = view.getUint32(offset + RESPONSE_SENDER_OFFSET, true);
  }

  /**
   * Seals a packet as the session's next message.
   *
   * @param offset of the message, a multiple of 4; the packet is copied there first
   * @returns bytes of the message
   */
  seal(offset: number, packet: Uint8Array): number {
    const { bytes, view } = this.#tools.arena;
    const counter = this.#counter++;
    view.setUint32(offset + MESSAGE_TYPE_OFFSET, MESSAGE_TRANSPORT, true);
    view.setUint32(offset + TRANSPORT_RECEIVER_OFFSET, this.#serverIndex, true);
    view.setUint32(offset + TRANSPORT_COUNTER_OFFSET, counter, true);
    view.setUint32(offset + TRANSPORT_COUNTER_OFFSET + 4, 0, true);
    const at = offset + TRANSPORT_PACKET_OFFSET;
    bytes.set(packet, at);
    if (!this.#sending!.seal(at, at, packet.length, counter, 0)) throw new Error("Cannot seal");
    return packet.length + TRANSPORT_OVERHEAD;
  }

  /**
   * Opens a transport message where it lies, at a multiple of 4.
   *
   * @returns the offset of the packet; -1 for what is none of this session
   */
  open(offset: number, length: number): number {
    const { view } = this.#tools.arena;
    if (length < TRANSPORT_OVERHEAD || messageType(view, offset) !== MESSAGE_TRANSPORT) return -1;
    if (view.getUint32(offset + TRANSPORT_RECEIVER_OFFSET, true) !== this.#index) return -1;
    const low = view.getUint32(offset + TRANSPORT_COUNTER_OFFSET, true);
    const high = view.getUint32(offset + TRANSPORT_COUNTER_OFFSET + 4, true);
    const at = offset + TRANSPORT_PACKET_OFFSET;
    return this.#receiving!.open(at, at, length - TRANSPORT_OVERHEAD, low, high) ? at : -1;
  }
}

/** By the host's libcrypto where there is one. */
export function openTools(arena: Arena): ClientTools {
  const libcrypto = openLibcrypto(arena);
  return {
    arena,
    aead: libcrypto ?? createBuiltinAead(arena),
    x25519: (libcrypto && openX25519(arena, libcrypto.name)) ?? builtinX25519,
  };
}

/**
 * Gives a client its session.
 *
 * @param by `path`: its number among `paths`; `scratch`: room for an initiation
 */
export function connect(
  client: BenchClient,
  socket: UdpSocket,
  by: {
    readonly paths: DatagramBatch["paths"];
    readonly path: number;
    readonly scratch: number;
  },
): void {
  const batch = {
    offsets: Int32Array.of(by.scratch),
    lengths: Int32Array.of(INITIATION_SIZE),
    pathIds: Int32Array.of(by.path),
    paths: by.paths,
  };
  for (let attempt = 0; !client.isConnected; attempt++) {
    if (attempt === ATTEMPTS) throw new Error("Cannot connect to the server: it does not answer");
    client.initiate(by.scratch, performance.now());
    socket.send(batch, 0, 1);
    const start = performance.now();
    for (let now = start; now - start < ANSWER_TIMEOUT; now = performance.now()) {
      const count = socket.receive();
      for (let i = 0; i < count; i++) {
        client.takeAnswer(socket.receivedOffsets[i]!, socket.receivedLengths[i]!, now);
      }
      if (count > 0) break;
      sleep(INTERVAL);
    }
  }
}
