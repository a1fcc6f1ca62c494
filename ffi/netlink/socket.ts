/**
 * Netlink socket: requests with their acknowledgement, dumps, subscriptions, and the exception that the kernel's
 * refusal becomes. It serves any netlink protocol; `rtnetlink.ts` is built on it.
 *
 * A socket belongs for life to the network namespace its thread was in when it was opened.
 */
import { check, EAGAIN, EINTR, EMSGSIZE, EPERM, SystemCallError } from "../errno.ts";
import { struct } from "../layout.ts";
import type { Libc } from "../libc.ts";
import { setOption, type SocketOption } from "../socket_options.ts";
import {
  AF_NETLINK,
  MSG_TRUNC,
  SO_RCVBUF,
  SO_RCVBUFFORCE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_NETLINK,
  SOL_SOCKET,
} from "../socket_constants.ts";
import {
  Attributes,
  type MessageBuilder,
  type NetlinkMessage,
  NLM_F_ACK,
  NLM_F_ACK_TLVS,
  NLM_F_CAPPED,
  NLM_F_DUMP,
  NLM_F_DUMP_INTR,
  NLM_F_REQUEST,
  NLMSG_DONE,
  NLMSG_ERROR,
  NLMSGHDR,
  readMessages,
} from "./message.ts";

export const NETLINK_ROUTE = 0;
export const NETLINK_NETFILTER = 12;

const NETLINK_ADD_MEMBERSHIP = 1;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;

/** In the acknowledgement: the kernel's own words about what is wrong. */
const NLMSGERR_ATTR_MSG = 1;

/** The kernel gives at most 32 KiB to one part of a dump; notifications are far smaller. */
const RECEIVE_SIZE = 65536;
/** What the kernel may hold for us: a burst of route changes must not be lost while we are busy. */
const RECEIVE_QUEUE_SIZE = 4 * 1024 * 1024;
/** How often a dump is restarted when the table changed meanwhile. */
const DUMP_ATTEMPTS = 20;

/** ```c struct sockaddr_nl { __u16 nl_family; __u16 nl_pad; __u32 nl_pid; __u32 nl_groups; }; ``` */
const SOCKADDR_NL = struct({ family: "u16", pad: "u16", pid: "u32", groups: "u32" });
/** ```c struct nlmsgerr { int error; struct nlmsghdr msg; }; ``` and, unless capped, the request's payload. */
const NLMSGERR = struct({
  error: "i32",
  length: "u32",
  type: "u16",
  flags: "u16",
  sequence: "u32",
  port: "u32",
});

/** The kernel's refusal of a netlink request. */
export class NetlinkError extends SystemCallError {
  /** The kernel's explanation (extended acknowledgement), or an empty string. */
  readonly explanation: string;

  /**
   * @param action what was tried, as in `add route 10.0.0.0/8`
   * @param errno the positive error number
   * @param explanation the kernel's words, empty where it gave none
   */
  constructor(action: string, errno: number, explanation: string) {
    super(action, errno);
    this.explanation = explanation;
    if (explanation !== "") this.message += `: ${explanation}`;
    if (errno === EPERM) this.message += "; it requires CAP_NET_ADMIN (root has it)";
  }
}

/** How a netlink socket is opened. */
export interface NetlinkSocketOptions {
  /** As in `NETLINK_ROUTE`. */
  readonly protocol: number;
  /** Whether `receive()` returns null, rather than waits, when nothing has come. Only for notifications. */
  readonly nonBlocking?: boolean;
  /** Bytes that the kernel may hold for us; 4 MiB if left out. */
  readonly receiveQueueSize?: number;
}

/** One of the requests that are made together. */
export interface BatchedRequest {
  readonly message: MessageBuilder;
  /** What is tried, for the error: as in `add chain "output"`. */
  readonly action: string;
}

/** Requests between the two messages that mark a batch, which are not acknowledged. */
export interface Batch {
  readonly begin: MessageBuilder;
  readonly requests: readonly BatchedRequest[];
  readonly end: MessageBuilder;
}

/** What the manager of nftables uses of a socket. */
export type BatchChannel = Pick<NetlinkSocket, "batch" | "dump">;

/** What the managers of links, addresses, routes and rules use of a socket. */
export type RequestChannel = Pick<NetlinkSocket, "request" | "dump">;

export class NetlinkSocket implements Disposable {
  /** The descriptor, for an epoll set. */
  readonly fd: number;
  readonly #libc: Libc;
  readonly #buffer = new Uint8Array(RECEIVE_SIZE);
  #sequence = 0;
  #closed = false;

  private constructor(libc: Libc, fd: number) {
    this.#libc = libc;
    this.fd = fd;
  }

  /**
   * Opens a socket in the thread's network namespace, connected to the kernel: nobody else's messages reach it.
   *
   * @throws {SystemCallError}
   */
  static open(libc: Libc, options: NetlinkSocketOptions): NetlinkSocket {
    const type = SOCK_RAW | SOCK_CLOEXEC | (options.nonBlocking === true ? SOCK_NONBLOCK : 0);
    const fd = check(
      libc,
      libc.symbols.socket(AF_NETLINK, type, options.protocol),
      "open netlink socket",
    );
    const socket = new NetlinkSocket(libc, fd);
    try {
      const kernel = new Uint8Array(SOCKADDR_NL.size);
      SOCKADDR_NL.write(kernel, 0, { family: AF_NETLINK });
      check(libc, libc.symbols.connect(fd, kernel, kernel.length), "connect netlink socket");
      // Kernels before 4.12 lack these two; without them an error only has less to say.
      socket.setOption({ level: SOL_NETLINK, option: NETLINK_EXT_ACK, value: 1 });
      socket.setOption({ level: SOL_NETLINK, option: NETLINK_CAP_ACK, value: 1 });
      // The forced form passes net.core.rmem_max but wants CAP_NET_ADMIN; the other is cut to the maximum.
      const value = options.receiveQueueSize ?? RECEIVE_QUEUE_SIZE;
      const queue = { level: SOL_SOCKET, value };
      socket.setOption({ ...queue, option: SO_RCVBUFFORCE }) ||
        socket.setOption({ ...queue, option: SO_RCVBUF });
      return socket;
    } catch (error) {
      socket[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Makes one request and waits for its acknowledgement.
   *
   * @param action what is tried, for the error: as in `add route 10.0.0.0/8`
   * @returns the messages that answered it, none for most requests
   * @throws {NetlinkError} when the kernel refuses
   */
  request(message: MessageBuilder, action: string): NetlinkMessage[] {
    const sequence = this.#send(message, { flags: NLM_F_REQUEST | NLM_F_ACK, action });
    const answers: NetlinkMessage[] = [];
    for (;;) {
      for (const answer of this.#receiveAnswers(sequence, action)) {
        if (answer.type !== NLMSG_ERROR) {
          answers.push(answer);
          continue;
        }
        throwIfRefused(answer, action);
        return answers;
      }
    }
  }

  /**
   * Makes several requests, of which the kernel carries out all or none, and waits for their acknowledgements.
   *
   * @throws {NetlinkError} for the first that the kernel refuses; without an action of its own, the first one's
   */
  batch({ begin, requests, end }: Batch): void {
    const actions = new Map<number, string>();
    const first = this.#nextSequence();
    const parts = [begin.finish(first, NLM_F_REQUEST)];
    for (const { message, action } of requests) {
      const sequence = this.#nextSequence();
      actions.set(sequence, action);
      parts.push(message.finish(sequence, NLM_F_REQUEST | NLM_F_ACK));
    }
    parts.push(end.finish(this.#nextSequence(), NLM_F_REQUEST));
    const wholeAction = requests[0]?.action ?? "make no request";
    this.#sendBytes(concatenate(parts), wholeAction);
    while (actions.size > 0) {
      for (const answer of this.receive() ?? []) {
        const { sequence } = answer;
        // What is wrong with all of it, such as a missing privilege, the kernel says of the message that begins it.
        const action = sequence === first ? wholeAction : actions.get(sequence);
        if (answer.type !== NLMSG_ERROR || action === undefined) continue;
        throwIfRefused(answer, action);
        actions.delete(sequence);
      }
    }
  }

  /**
   * Reads a whole table. A dump during which the table changed (`NLM_F_DUMP_INTR`) is repeated.
   *
   * @param action what is tried, for the error: as in `list routes`
   * @throws {NetlinkError} when the kernel refuses; EAGAIN when the table never stood still
   */
  dump(message: MessageBuilder, action: string): NetlinkMessage[] {
    for (let attempt = 0; attempt < DUMP_ATTEMPTS; attempt++) {
      const parts = this.#dumpOnce(message, action);
      if (!parts.some((part) => (part.flags & NLM_F_DUMP_INTR) !== 0)) {
        return parts.filter((part) => part.type !== NLMSG_DONE);
      }
    }
    throw new NetlinkError(action, EAGAIN, "the table changed during every attempt");
  }

  /**
   * Joins a multicast group; `receive()` then returns its notifications.
   *
   * @param group its number, not its bit
   * @throws {SystemCallError}
   */
  subscribe(group: number): void {
    const joined = this.setOption({
      level: SOL_NETLINK,
      option: NETLINK_ADD_MEMBERSHIP,
      value: group,
    });
    check(this.#libc, joined ? 0 : -1, `subscribe to netlink group ${group}`);
  }

  /**
   * Takes the next datagram.
   *
   * @returns its messages, or null when the socket is non-blocking and nothing is there
   * @throws {SystemCallError} ENOBUFS when the kernel had to drop notifications, EMSGSIZE when one was too large
   */
  receive(): NetlinkMessage[] | null {
    for (;;) {
      const length = this.#libc.symbols.recv(
        this.fd,
        this.#buffer,
        BigInt(RECEIVE_SIZE),
        MSG_TRUNC,
      );
      if (length > RECEIVE_SIZE) {
        throw new SystemCallError(`read netlink message of ${length} bytes`, EMSGSIZE);
      }
      if (length >= 0) return readMessages(this.#buffer.slice(0, length));
      const errno = this.#libc.errno();
      if (errno === EAGAIN) return null;
      if (errno !== EINTR) throw new SystemCallError("read netlink message", errno);
    }
  }

  /** Sets an option of four bytes. False when the kernel refuses. */
  setOption(option: SocketOption): boolean {
    return setOption(this.#libc, this.fd, option);
  }

  [Symbol.dispose](): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#libc.symbols.close(this.fd);
  }

  /** All parts of one dump, with the `NLMSG_DONE` that ends it. */
  #dumpOnce(message: MessageBuilder, action: string): NetlinkMessage[] {
    const sequence = this.#send(message, { flags: NLM_F_REQUEST | NLM_F_DUMP, action });
    const parts: NetlinkMessage[] = [];
    for (;;) {
      for (const part of this.#receiveAnswers(sequence, action)) {
        // The end carries the result of the dump in the same place as an error does.
        if (part.type === NLMSG_ERROR || part.type === NLMSG_DONE) throwIfRefused(part, action);
        parts.push(part);
        if (part.type === NLMSG_DONE) return parts;
      }
    }
  }

  #send(message: MessageBuilder, options: { flags: number; action: string }): number {
    const sequence = this.#nextSequence();
    this.#sendBytes(message.finish(sequence, options.flags), options.action);
    return sequence;
  }

  #sendBytes(bytes: Uint8Array<ArrayBuffer>, action: string): void {
    while (this.#libc.symbols.send(this.fd, bytes, BigInt(bytes.length), 0) < 0) {
      const errno = this.#libc.errno();
      if (errno !== EINTR) throw new NetlinkError(action, errno, "");
    }
  }

  #nextSequence(): number {
    this.#sequence = (this.#sequence + 1) >>> 0;
    return this.#sequence;
  }

  /** The messages of the next datagram that answer request `sequence`: leftovers of a failed one are skipped. */
  #receiveAnswers(sequence: number, action: string): NetlinkMessage[] {
    const messages = this.receive();
    if (messages === null) throw new NetlinkError(action, EAGAIN, "the kernel did not answer");
    return messages.filter((message) => message.sequence === sequence);
  }
}

/**
 * Judges the end of a dump or an acknowledgement: returns when it says success.
 *
 * @param message of type `NLMSG_ERROR` or `NLMSG_DONE`; both start with `int error`
 * @throws {NetlinkError} otherwise
 */
function throwIfRefused(message: NetlinkMessage, action: string): void {
  if (message.body.length < 4) return;
  const error = new DataView(message.body.buffer, message.body.byteOffset).getInt32(0, true);
  if (error >= 0) return;
  let explanation = "";
  if ((message.flags & NLM_F_ACK_TLVS) !== 0) {
    const attributes = new Attributes(message.body, attributesOffset(message));
    explanation = attributes.string(NLMSGERR_ATTR_MSG) ?? "";
  }
  throw new NetlinkError(action, -error, explanation);
}

/** Where the attributes of an acknowledgement start: behind whatever it repeats of the request. */
function attributesOffset(message: NetlinkMessage): number {
  if (message.type === NLMSG_DONE) return 4;
  if ((message.flags & NLM_F_CAPPED) !== 0) return NLMSGERR.size;
  const requestLength = NLMSGERR.read(message.body, 0).length;
  return NLMSGERR.size - NLMSGHDR.size + requestLength;
}

/** Messages in one datagram; each is already padded to a multiple of 4. */
function concatenate(messages: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(messages.reduce((size, { length }) => size + length, 0));
  let at = 0;
  for (const message of messages) {
    bytes.set(message, at);
    at += message.length;
  }
  return bytes;
}
