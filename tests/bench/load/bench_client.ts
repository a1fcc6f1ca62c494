/** A WireGuard client of a load, without timers, device or TUN: it shakes hands once, and seals packets beforehand. */
import type { Arena } from "../../../ffi/arena.ts";
import { decodeKey } from "../../../lib/core/config/values/key_text.ts";
import type { AeadKey, AeadProvider } from "../../../lib/core/noise/aead.ts";
import { CookieGenerator } from "../../../lib/core/noise/cookie.ts";
import { Initiator } from "../../../lib/core/noise/handshake.ts";
import type { X25519Provider } from "../../../lib/core/noise/key_pair.ts";
import { encodeTai64n } from "../../../lib/core/noise/tai64n.ts";
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

const PROLOGUE = new TextEncoder().encode("WireGuard v1 zx2c4 Jason@zx2c4.com");
const NO_PRESHARED_KEY = new Uint8Array(32);

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
}
