/** Raw sender: packets one at a time through the kernel's IP layer, by the raw socket of their family. */
import type { Arena } from "../../../ffi/arena.ts";
import { EAFNOSUPPORT, SystemCallError } from "../../../ffi/errno.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { AF_INET6 } from "../../../ffi/socket_constants.ts";
import {
  type PacketBatch,
  RawSocket,
  type RawSocketOptions,
} from "../../../ffi/sockets/raw_socket.ts";
import * as ipv6 from "../../core/wire/ipv6.ts";

/** Packets that one send call handles, and arena for their message headers. */
const BATCH = 64;
const SOCKET_SPACE = BATCH * 128;

export interface RawSenderOptions extends Pick<RawSocketOptions, "mark" | "device" | "bufferSize"> {
  /** Whether there are packets of IPv6. */
  readonly ipv6: boolean;
}

export class RawSender implements Disposable {
  /** True after `send()` stopped because a socket's buffer was full; `blockedFd` is that socket. */
  blocked = false;
  blockedFd: number;
  /** By errno: how many packets the kernel refused so. */
  readonly errors: Map<number, number>;
  readonly #view: DataView;
  readonly #raw: RawSocket;
  /** Null where it is not needed, and where the kernel has no IPv6. */
  readonly #raw6: RawSocket | null;

  /** Bytes of arena that a sender takes. */
  static readonly arenaSize: number = 2 * SOCKET_SPACE;

  private constructor(view: DataView, raw: RawSocket, raw6: RawSocket | null) {
    this.#view = view;
    this.#raw = raw;
    this.#raw6 = raw6;
    this.errors = raw.errors;
    this.blockedFd = raw.fd;
  }

  /** @throws {SystemCallError} EPERM without CAP_NET_RAW, ENODEV where there is no such interface */
  static open(libc: Libc, arena: Arena, options: RawSenderOptions): RawSender {
    using opened = new DisposableStack();
    const ofBoth = { ...options, batch: BATCH };
    const raw = opened.use(RawSocket.open(libc, arena, ofBoth));
    const raw6 = options.ipv6 ? openRaw6(libc, arena, { ...ofBoth, errors: raw.errors }) : null;
    opened.move();
    return new RawSender(arena.view, raw, raw6);
  }

  /** Packets refused in all. */
  get errorCount(): number {
    return this.#raw.errorCount + (this.#raw6?.errorCount ?? 0);
  }

  /** Takes the offset of a packet that is longer than its interface takes. */
  set onTooLong(take: (packet: number) => void) {
    this.#raw.onTooLong = take;
    if (this.#raw6 !== null) this.#raw6.onTooLong = take;
  }

  /**
   * Has packets leave by another interface from now on.
   *
   * @throws {SystemCallError} ENODEV where there is no such interface
   */
  setDevice(name: string): void {
    this.#raw.setDevice(name);
    this.#raw6?.setDevice(name);
  }

  /**
   * Sends packets `from` (inclusive) to `to` (exclusive). One that the kernel refuses is counted and skipped.
   *
   * @returns the index of the first packet that is still to be sent: `to`, or less with `blocked` set
   */
  send(packets: PacketBatch, from: number, to: number): number {
    this.blocked = false;
    let next = from;
    while (next < to && !this.blocked) {
      const isIpv6 = ipv6.isIpv6(this.#view, packets.offsets[next]);
      next = this.#sendOfFamily(
        isIpv6,
        packets,
        next,
        this.#endOfFamily(isIpv6, packets, next, to),
      );
    }
    return next;
  }

  #endOfFamily(isIpv6: boolean, { offsets }: PacketBatch, first: number, to: number): number {
    let end = first + 1;
    while (end < to && ipv6.isIpv6(this.#view, offsets[end]) === isIpv6) end++;
    return end;
  }

  #sendOfFamily(isIpv6: boolean, packets: PacketBatch, from: number, to: number): number {
    const raw = isIpv6 ? this.#raw6 : this.#raw;
    // Nothing can have come by a family that the kernel does not have.
    if (raw === null) return to;
    const next = raw.send(packets, from, to);
    if (raw.blocked) {
      this.blocked = true;
      this.blockedFd = raw.fd;
    }
    return next;
  }

  [Symbol.dispose](): void {
    this.#raw6?.[Symbol.dispose]();
    this.#raw[Symbol.dispose]();
  }
}

function openRaw6(libc: Libc, arena: Arena, options: RawSocketOptions): RawSocket | null {
  try {
    return RawSocket.open(libc, arena, { ...options, family: AF_INET6 });
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === EAFNOSUPPORT) return null;
    throw error;
  }
}
