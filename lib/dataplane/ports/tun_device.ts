/** TUN port: the tunnel's device as the engine's loop sees it. */
import { EPOLLIN } from "../../../ffi/epoll.ts";
import { EAGAIN, EBADFD, EINTR, EINVAL, SystemCallError } from "../../../ffi/errno.ts";
import type { Tun } from "../../../ffi/tun.ts";
import type { TunPort } from "../../core/engine/ports.ts";
import { DeviceGone } from "../../process/device_gone.ts";
import type { EventLoop } from "../event_loop.ts";
import { TunOffload } from "../tun_offload.ts";

export class TunDevice implements TunPort {
  mergesUdp: boolean;
  readonly #tun: Tun;
  readonly #loop: EventLoop;

  /** @param loop watches the device already */
  constructor(tun: Tun, loop: EventLoop, offload: TunOffload) {
    this.mergesUdp = offload === TunOffload.tcpAndUdp;
    this.#tun = tun;
    this.#loop = loop;
  }

  /** @throws {SystemCallError} where the device cannot be read any more */
  read(offset: number, capacity: number): number {
    const length = this.#tun.read(offset, capacity);
    if (length >= 0) return length;
    if (length === -EAGAIN || length === -EINTR) return 0;
    // The device was removed under us. There is no tunnel without it.
    if (length === -EBADFD) throw new DeviceGone(this.#tun.name);
    throw new SystemCallError(`read from TUN device "${this.#tun.name}"`, -length);
  }

  beginWrite(): void {
    this.#tun.beginWrite();
  }

  addPiece(offset: number, length: number): void {
    this.#tun.addPiece(offset, length);
  }

  endWrite(): number {
    return this.#tun.endWrite();
  }

  /** Some kernels promise to take them, and do not: then they are written one by one from now on. */
  refusedUdp(result: number): void {
    if (result === -EINVAL) this.mergesUdp = false;
  }

  awaitPackets(isAwaited: boolean): void {
    this.#loop.modify(this.#tun.fd, isAwaited ? EPOLLIN : 0);
  }
}
