/** Local datagram sockets (AF_UNIX, SOCK_DGRAM), which the runtime does not have: sd_notify(3) goes over them. */
import { check, EAGAIN, SystemCallError } from "../errno.ts";
import type { Libc } from "../libc.ts";
import {
  AF_UNIX,
  MSG_NOSIGNAL,
  SO_SNDTIMEO,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
} from "../socket_constants.ts";
import { limitTime } from "../socket_options.ts";
import { unixAddress } from "./unix_address.ts";

/** The longest message that is received, in bytes; longer ones are cut off. */
const MAX_MESSAGE = 4096;

/** Sends to one address, which it was connected to: it goes on to do so from another network namespace as well. */
export class UnixDatagramSender implements Disposable {
  readonly #libc: Libc;
  readonly #fd: number;

  private constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.#fd = fd;
  }

  /**
   * @param name a path, or behind "@" a name in the abstract namespace (unix(7))
   * @param timeout seconds for which a message waits for a receiver that is busy
   * @throws {RangeError} for a name that no socket can have
   * @throws {SystemCallError} where nobody receives there
   */
  static connect(
    libc: Libc,
    name: string,
    { timeout }: { readonly timeout: number },
  ): UnixDatagramSender {
    const address = unixAddress(name);
    const fd = open(libc, 0);
    try {
      const limit = { option: SO_SNDTIMEO, milliseconds: timeout * 1000 };
      limitTime(libc, fd, limit, "set the time limit of a local socket");
      check(libc, libc.symbols.connect(fd, address, address.length), `connect to ${name}`);
    } catch (error) {
      libc.symbols.close(fd);
      throw error;
    }
    return new UnixDatagramSender(libc, fd);
  }

  /** @throws {SystemCallError} where the receiver has gone, or has had no room in time */
  send(message: Uint8Array<ArrayBuffer>): void {
    const { symbols } = this.#libc;
    const sent = symbols.send(this.#fd, message, BigInt(message.length), MSG_NOSIGNAL);
    check(this.#libc, sent, "send to a local socket");
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.#fd);
  }
}

/** Receives at an address of its own. The file of a path is the caller's to remove. */
export class UnixDatagramReceiver implements Disposable {
  readonly fd: number;
  readonly #libc: Libc;
  readonly #buffer = new Uint8Array(MAX_MESSAGE);

  private constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.fd = fd;
  }

  /**
   * @param name as `UnixDatagramSender.connect()` has it
   * @throws {RangeError} for a name that no socket can have
   * @throws {SystemCallError} EADDRINUSE where the name is taken
   */
  static bind(libc: Libc, name: string): UnixDatagramReceiver {
    const address = unixAddress(name);
    const fd = open(libc, SOCK_NONBLOCK);
    try {
      check(libc, libc.symbols.bind(fd, address, address.length), `bind to ${name}`);
    } catch (error) {
      libc.symbols.close(fd);
      throw error;
    }
    return new UnixDatagramReceiver(libc, fd);
  }

  /** The next message, which is a copy; null where there is none now. */
  receive(): Uint8Array<ArrayBuffer> | null {
    const { symbols } = this.#libc;
    const length = symbols.recv(this.fd, this.#buffer, BigInt(this.#buffer.length), 0);
    if (length >= 0) return this.#buffer.slice(0, length);
    const errno = this.#libc.errno();
    if (errno === EAGAIN) return null;
    throw new SystemCallError("receive from a local socket", errno);
  }

  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.fd);
  }
}

function open(libc: Libc, flags: number): number {
  const fd = libc.symbols.socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | flags, 0);
  return check(libc, fd, "open a local socket");
}
