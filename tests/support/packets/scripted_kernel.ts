/** Fake of the kernel's end of a netlink socket: it follows a script. */
import type { Libc } from "../../../ffi/libc.ts";
import { NLMSGHDR } from "../../../ffi/netlink/message.ts";
import { hex } from "./packet_builder.ts";

/** What one `recv` brings: a datagram, for the sequence number of the request before it, or an error number. */
export type Reply = ((sequence: number) => Uint8Array) | number;

/** A kernel that answers each `recv` with the next reply. */
export class ScriptedKernel {
  readonly requests: Uint8Array[] = [];
  readonly closed: number[] = [];
  readonly options: string[] = [];
  /** Error number with which the next `connect` fails. */
  connectError = 0;
  #errno = 0;
  readonly #replies: Reply[];

  constructor(...replies: Reply[]) {
    this.#replies = replies;
  }

  /** The libc through which programs talk to it. */
  libc(): Libc {
    const symbols = {
      socket: () => 5,
      connect: () => this.#fail(this.connectError),
      setsockopt: (_fd: number, level: number, option: number, value: Uint8Array) => {
        this.options.push(`${level}/${option}=${new DataView(value.buffer).getInt32(0, true)}`);
        return 0;
      },
      send: (_fd: number, bytes: Uint8Array) => this.requests.push(bytes.slice()),
      recv: (_fd: number, buffer: Uint8Array) => {
        const reply = this.#replies.shift();
        if (reply === undefined) throw new Error("Cannot receive: the script has ended");
        if (typeof reply === "number") return this.#fail(reply);
        const last = this.requests[this.requests.length - 1];
        const datagram = reply(last === undefined ? 0 : NLMSGHDR.read(last, 0).sequence);
        buffer.set(datagram.subarray(0, buffer.length));
        return datagram.length;
      },
      close: (fd: number) => this.closed.push(fd),
    };
    return { symbols, errno: () => this.#errno } as unknown as Libc;
  }

  /** Whether every reply was taken. */
  get finished(): boolean {
    return this.#replies.length === 0;
  }

  #fail(errno: number): number {
    this.#errno = errno;
    return errno === 0 ? 0 : -1;
  }
}

/** A message with this type, flags and payload, for the sequence number `offset` away from the request's. */
export function message(type: number, payload: string, { flags = 0, offset = 0 } = {}): Reply {
  return (sequence) => {
    const body = hex(payload);
    const bytes = new Uint8Array(NLMSGHDR.size + body.length);
    NLMSGHDR.write(bytes, 0, { length: bytes.length, type, flags, sequence: sequence + offset });
    bytes.set(body, NLMSGHDR.size);
    return bytes;
  };
}

export function together(...replies: Reply[]): Reply {
  return (sequence) => {
    const parts = replies.map((reply) => typeof reply === "number" ? [] : [...reply(sequence)]);
    return Uint8Array.from(parts.flat());
  };
}
