/** Hearing of refusals: keeps what ICMP says of datagrams from a port until somebody asks why no answer has come. */
import { SystemCallError } from "../../ffi/errno.ts";
import { IcmpErrorSocket } from "../../ffi/sockets/icmp_errors.ts";
import { openLibc } from "../../ffi/libc.ts";
import { readRefusal, type Refusal } from "../core/wireguard/liveness/refusal.ts";
import type { SocketAddress } from "../core/wire/socket_address.ts";
import { refusalFilter } from "./filters/refusal_filter.ts";

/** Messages read at once: they may be a flood of forged ones, of which the socket keeps some. */
const MAX_MESSAGES = 64;
/** Bytes of the longest that is read: more than routers quote (RFC 1812 section 4.3.2.3). */
const MAX_SIZE = 2048;

export class Refusals implements Disposable {
  readonly #socket: IcmpErrorSocket;
  readonly #port: number;
  readonly #message = new Uint8Array(MAX_SIZE);
  readonly #view = new DataView(this.#message.buffer);

  private constructor(socket: IcmpErrorSocket, port: number) {
    this.#socket = socket;
    this.#port = port;
  }

  /** Hears of datagrams from this port from now on; null without CAP_NET_RAW. */
  static open(port: number): Refusals | null {
    try {
      return new Refusals(IcmpErrorSocket.open(openLibc(), refusalFilter(port)), port);
    } catch (error) {
      if (error instanceof SystemCallError) return null;
      throw error;
    }
  }

  /** The latest about a server since the last call; null for none. */
  latest(server: SocketAddress): Refusal | null {
    let found: Refusal | null = null;
    for (let i = 0; i < MAX_MESSAGES; i++) {
      const length = this.#socket.receive(this.#message);
      if (length === 0) break;
      found = readRefusal(this.#view, length, { port: this.#port, server }) ?? found;
    }
    return found;
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}
