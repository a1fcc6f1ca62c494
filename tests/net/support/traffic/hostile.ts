/**
 * Hostile datagrams: a flood of handshake initiations, as from somebody who knows the server's public key and nothing
 * else, and plain junk.
 */
import { pathsTo } from "../../../../ffi/sockets/datagram_batch.ts";
import { Arena } from "../../../../ffi/arena.ts";
import type { UdpSocket } from "../../../../ffi/sockets/udp_socket.ts";
import { decodeKey } from "../../../../lib/core/config/values/key_text.ts";
import { createBuiltinAead } from "../../../../lib/core/noise/aead_builtin.ts";
import { CookieGenerator } from "../../../../lib/core/noise/cookie.ts";
import { Initiator } from "../../../../lib/core/noise/handshake.ts";
import { encodeTai64n } from "../../../../lib/core/noise/tai64n.ts";
import { keyPair } from "../../../../lib/core/noise/x25519.ts";
import { parseIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import {
  INITIATION_EPHEMERAL_OFFSET,
  INITIATION_SENDER_OFFSET,
  INITIATION_SIZE,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_INITIATION,
  MESSAGE_TYPE_OFFSET,
  messageType,
} from "../../../../lib/core/wire/messages.ts";
import { type TestNamespace } from "../../../support/net.ts";
import { eventually } from "../../../support/time/patience.ts";
import { ARENA_SIZE, openSocket } from "./sockets.ts";
import { delay } from "../wire.ts";

const IDENTIFIER = new TextEncoder().encode("WireGuard v1 zx2c4 Jason@zx2c4.com");
/** Initiations that differ; more would only take longer to make. */
const VARIANTS = 64;

export interface FloodOptions {
  /** The server's public key, in base64. */
  readonly publicKey: string;
  readonly address: string;
  readonly port: number;
  /** Initiations sent at once. */
  readonly burst: number;
  /** ms between two bursts. */
  readonly interval: number;
}

/** Sends until disposed of. What it sends costs the server a Diffie-Hellman each, unless it asks for cookies. */
export class HandshakeFlood implements AsyncDisposable {
  /** Cookie replies that came back. */
  cookieReplies = 0;
  readonly #socket: UdpSocket;
  readonly #arena: Arena;
  readonly #sending: Promise<void>;
  #stopped = false;

  constructor(namespace: TestNamespace, options: FloodOptions) {
    this.#arena = new Arena(ARENA_SIZE);
    this.#socket = openSocket(namespace, this.#arena);
    this.#sending = this.#flood(options, this.#makeMessages(options.publicKey));
  }

  /** Waits until the server asks for cookies, now and not some time before, which shows that it is under load. */
  async waitForCookie(): Promise<void> {
    const before = this.cookieReplies;
    await eventually(() => this.cookieReplies > before || null, { what: "a server under load" });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stopped = true;
    await this.#sending;
    this.#socket[Symbol.dispose]();
  }

  async #flood(options: FloodOptions, messages: Int32Array): Promise<void> {
    const { burst } = options;
    const batch = {
      offsets: Int32Array.from({ length: burst }, (_, i) => messages[i % VARIANTS]!),
      lengths: new Int32Array(burst).fill(INITIATION_SIZE),
      ...pathsTo(
        new Array(burst).fill({ address: parseIpv4(options.address)!, port: options.port }),
      ),
    };
    while (!this.#stopped) {
      this.#socket.send(batch, 0, burst);
      await delay(options.interval);
      this.#countReplies();
    }
  }

  #countReplies(): void {
    const { receivedOffsets, receivedLengths } = this.#socket;
    for (let count = this.#socket.receive(); count > 0; count = this.#socket.receive()) {
      for (let i = 0; i < count; i++) {
        const isReply = receivedLengths[i]! >= 4 &&
          messageType(this.#arena.view, receivedOffsets[i]!) === MESSAGE_COOKIE_REPLY;
        if (isReply) this.cookieReplies++;
      }
    }
  }

  /** Initiations from an unknown key, all of them well-formed. Returns their offsets. */
  #makeMessages(publicKey: string): Int32Array {
    const remoteStatic = decodeKey(publicKey)!;
    const localStatic = keyPair(randomBytes(32));
    const aead = createBuiltinAead(this.#arena);
    const offsets = new Int32Array(VARIANTS);
    for (let i = 0; i < VARIANTS; i++) {
      const initiator = new Initiator({
        aead,
        prologue: IDENTIFIER,
        localStatic,
        remoteStatic,
        ephemeral: keyPair(randomBytes(32)),
      });
      const offset = this.#arena.allocate(INITIATION_SIZE);
      const message = this.#arena.bytes.subarray(offset, offset + INITIATION_SIZE);
      this.#arena.view.setUint32(offset + MESSAGE_TYPE_OFFSET, MESSAGE_INITIATION, true);
      this.#arena.view.setUint32(offset + INITIATION_SENDER_OFFSET, i, true);
      message.set(initiator.writeMessage1(encodeTai64n(Date.now()))!, INITIATION_EPHEMERAL_OFFSET);
      new CookieGenerator(remoteStatic).addMacs(message, 0);
      offsets[i] = offset;
    }
    return offsets;
  }
}

/** Sends random datagrams to `address`, of every length up to 300, most of them with a message type in front. */
export function sendJunk(namespace: TestNamespace, address: string, port: number): void {
  const count = 300;
  const arena = new Arena(ARENA_SIZE);
  using socket = openSocket(namespace, arena);
  const offset = arena.allocate(count);
  const batch = {
    offsets: new Int32Array([offset]),
    lengths: new Int32Array(1),
    ...pathsTo([{ address: parseIpv4(address)!, port: port }]),
  };
  for (let length = 0; length < count; length++) {
    arena.bytes.set(randomBytes(length), offset);
    if (length % 6 > 0) arena.bytes.set([length % 6, 0, 0, 0], offset);
    batch.lengths[0] = length;
    socket.send(batch, 0, 1);
  }
}

function randomBytes(length: number): Uint8Array<ArrayBuffer> {
  return crypto.getRandomValues(new Uint8Array(length));
}
