/** Worker that sends handshake initiations and counts what comes back. */
import { Arena } from "../../../ffi/arena.ts";
import { Epoll, EPOLLIN } from "../../../ffi/epoll.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { inNamespace } from "../../../ffi/netns.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { type DatagramBatch, pathsTo } from "../../../ffi/sockets/datagram_batch.ts";
import { decodeKey } from "../../../lib/core/config/values/key_text.ts";
import { createBuiltinAead } from "../../../lib/core/noise/aead_builtin.ts";
import { CookieGenerator } from "../../../lib/core/noise/cookie.ts";
import { Initiator } from "../../../lib/core/noise/handshake.ts";
import { encodeTai64n } from "../../../lib/core/noise/tai64n.ts";
import { keyPair } from "../../../lib/core/noise/x25519.ts";
import {
  COOKIE_REPLY_RECEIVER_OFFSET,
  COOKIE_REPLY_SIZE,
  INITIATION_EPHEMERAL_OFFSET,
  INITIATION_SENDER_OFFSET,
  INITIATION_SIZE,
  MESSAGE_COOKIE_REPLY,
  MESSAGE_INITIATION,
  MESSAGE_RESPONSE,
  MESSAGE_TYPE_OFFSET,
  messageType,
  RESPONSE_RECEIVER_OFFSET,
  RESPONSE_SIZE,
} from "../../../lib/core/wire/messages.ts";
import type { HandshakeRequest, HandshakeResult } from "./handshake_load.ts";
import { peerOutside } from "./peer_address.ts";
import { answerRequests } from "./worker_scope.ts";

const IDENTIFIER = new TextEncoder().encode("WireGuard v1 zx2c4 Jason@zx2c4.com");
const BATCH = 32;
const SOCKET_SPACE = 3 * 1024 * 1024;
const BUFFER_SIZE = 4 * 1024 * 1024;
/** Initiations under way at any time: enough to keep a server busy, few enough for its queues. */
const WINDOW = 48;
/**
 * ms without any answer after which those under way count as refused. A busy server takes its time, and to send it more
 * meanwhile would measure its queue; from one address most are refused, and only those that follow keep it under load.
 */
const ANSWER_TIMEOUT = 300;
const REFUSAL_TIMEOUT = 10;

type Preparation = Extract<HandshakeRequest, { kind: "prepare" }>;

const NOTHING: HandshakeResult = { seconds: 0, sent: 0, responses: 0, cookieReplies: 0 };

/** What serves requests: a storm is prepared once, and run then. */
function createStorm(): (request: HandshakeRequest) => HandshakeResult {
  let storm: Storm | undefined;
  return (request) => {
    if (request.kind === "run") return storm!.run(request.seconds, request.oneAddress);
    storm = new Storm(request);
    return NOTHING;
  };
}

class Storm {
  readonly #arena: Arena;
  readonly #socket: UdpSocket;
  readonly #epoll: Epoll;
  readonly #serverKey: Uint8Array;
  readonly #clients: number;
  readonly #depth: number;
  /** The first of the initiations: those of the first turn of all clients, then those of the second. */
  readonly #messages: number;
  readonly #batch: DatagramBatch;
  #cookies: CookieGenerator[] = [];
  #responses = 0;
  #cookieReplies = 0;

  constructor(request: Preparation) {
    const { clientKeys, depth, namespace, port } = request;
    this.#clients = clientKeys.length;
    this.#depth = depth;
    this.#serverKey = decodeKey(request.serverKey)!;
    const bytes = this.#clients * depth * INITIATION_SIZE;
    this.#arena = new Arena(SOCKET_SPACE + bytes);
    this.#epoll = new Epoll(openLibc(), this.#arena);
    this.#socket = inNamespace(namespace, () =>
      UdpSocket.bind(openLibc(), this.#arena, {
        port: 0,
        mark: 0,
        offload: false,
        bufferSize: BUFFER_SIZE,
        batch: BATCH,
      }));
    this.#epoll.add(this.#socket.fd, EPOLLIN);
    this.#messages = this.#arena.allocate(bytes);
    this.#batch = {
      offsets: new Int32Array(1),
      lengths: new Int32Array([INITIATION_SIZE]),
      ...pathsTo(
        Array.from({ length: this.#clients }, (_, client) => ({
          address: request.address,
          port,
          source: peerOutside(client),
        })),
      ),
    };
    this.#makeMessages(clientKeys);
  }

  run(seconds: number, oneAddress: boolean): HandshakeResult {
    this.#cookies = Array.from(
      { length: this.#clients },
      () => new CookieGenerator(this.#serverKey),
    );
    const total = this.#clients * this.#depth;
    const timeout = oneAddress ? REFUSAL_TIMEOUT : ANSWER_TIMEOUT;
    let next = 0;
    let outstanding = 0;
    let start = performance.now();
    let startedWith = 0;
    let now = start;
    this.#responses = this.#cookieReplies = 0;
    while (next < total && (next <= this.#clients || now - start < seconds * 1000)) {
      for (; outstanding < WINDOW && next < total; outstanding++) {
        if (next === this.#clients) {
          // Everybody has had a turn: the cookies are there, and the code is warm.
          start = now;
          startedWith = next;
          this.#responses = this.#cookieReplies = 0;
        }
        this.#send(next++, oneAddress, now);
      }
      const answers = this.#epoll.wait(timeout) > 0 ? this.#receive(now) : outstanding;
      outstanding = Math.max(0, outstanding - answers);
      now = performance.now();
    }
    return {
      seconds: (now - start) / 1000,
      sent: next - startedWith,
      responses: this.#responses,
      cookieReplies: this.#cookieReplies,
    };
  }

  #send(index: number, oneAddress: boolean, now: number): void {
    const client = index % this.#clients;
    const offset = this.#messages + index * INITIATION_SIZE;
    const message = this.#arena.bytes.subarray(offset, offset + INITIATION_SIZE);
    this.#cookies[client].addMacs(message, now);
    this.#batch.offsets[0] = offset;
    this.#batch.pathIds[0] = oneAddress ? 0 : client;
    this.#socket.send(this.#batch, 0, 1);
  }

  /** Takes what has come; returns how many answers there were. */
  #receive(now: number): number {
    const socket = this.#socket;
    const count = Math.max(0, socket.receive());
    for (let i = 0; i < count; i++) {
      this.#take(socket.receivedOffsets[i], socket.receivedLengths[i], now);
    }
    return count;
  }

  #take(offset: number, length: number, now: number): void {
    const { bytes, view } = this.#arena;
    const type = messageType(view, offset);
    if (type === MESSAGE_RESPONSE && length === RESPONSE_SIZE) {
      if (view.getUint32(offset + RESPONSE_RECEIVER_OFFSET, true) < this.#clients) {
        this.#responses++;
      }
    } else if (type === MESSAGE_COOKIE_REPLY && length === COOKIE_REPLY_SIZE) {
      const client = view.getUint32(offset + COOKIE_REPLY_RECEIVER_OFFSET, true);
      const reply = bytes.subarray(offset, offset + COOKIE_REPLY_SIZE);
      if (this.#cookies[client].consumeReply(reply, now)) this.#cookieReplies++;
    }
  }

  #makeMessages(clientKeys: readonly string[]): void {
    const { bytes, view } = this.#arena;
    const aead = createBuiltinAead(this.#arena);
    const now = Date.now();
    clientKeys.forEach((key, client) => {
      const localStatic = keyPair(decodeKey(key)!);
      const staticStatic = new Uint8Array(32);
      localStatic.agree(this.#serverKey, staticStatic);
      for (let turn = 0; turn < this.#depth; turn++) {
        const initiator = new Initiator({
          aead,
          prologue: IDENTIFIER,
          localStatic,
          remoteStatic: this.#serverKey,
          staticStatic,
          ephemeral: keyPair(crypto.getRandomValues(new Uint8Array(32))),
        });
        const offset = this.#messages + (turn * this.#clients + client) * INITIATION_SIZE;
        view.setUint32(offset + MESSAGE_TYPE_OFFSET, MESSAGE_INITIATION, true);
        view.setUint32(offset + INITIATION_SENDER_OFFSET, client, true);
        // A server takes only a timestamp later than the last.
        const fields = initiator.writeMessage1(encodeTai64n(now + turn * 1000))!;
        bytes.set(fields, offset + INITIATION_EPHEMERAL_OFFSET);
      }
    });
  }
}

answerRequests(createStorm());
