/** Local datagram sockets (AF_UNIX, SOCK_DGRAM), which the runtime does not have: what sd_notify(3) is spoken over. */
import { check, EAGAIN, SystemCallError } from "../errno.ts";
import type { Libc } from "../libc.ts";

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;
const SOL_SOCKET = 1;
const SO_SNDTIMEO = 21;
/** `struct sockaddr_un { u16 sun_family; char sun_path[108]; }` */
const SUN_PATH_OFFSET = 2;
const SUN_PATH_SIZE = 108;
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
    const address = addressOf(name);
    const fd = open(libc, 0);
    try {
      // struct timeval { long tv_sec; long tv_usec; }
      const time = new Uint8Array(BigInt64Array.of(BigInt(timeout), 0n).buffer);
      const set = libc.symbols.setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, time, time.length);
      check(libc, set, "set the time limit of a local socket");
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
    const address = addressOf(name);
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

function addressOf(name: string): Uint8Array<ArrayBuffer> {
  const isAbstract = name.startsWith("@");
  const path = new TextEncoder().encode(name);
  // An abstract name begins with a zero byte and ends where the address does; a path ends with one.
  if (isAbstract) path[0] = 0;
  const length = path.length + (isAbstract ? 0 : 1);
  if (path.length < 2 || length > SUN_PATH_SIZE || !(isAbstract || name.startsWith("/"))) {
    throw new RangeError(
      `Cannot use ${
        JSON.stringify(name)
      } as a local socket: it is a path from the root, or a name behind "@", ` +
        `of at most ${SUN_PATH_SIZE - 1} bytes`,
    );
  }
  const address = new Uint8Array(SUN_PATH_OFFSET + length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(path, SUN_PATH_OFFSET);
  return address;
}
