/**
 * TUN device: creation and queues by ioctl, and reads and writes of packets behind a `virtio_net_hdr`.
 *
 * The device lives as long as its descriptors: when the process ends, however it ends, the kernel removes the interface
 * and with it the addresses and routes on it (IFF_PERSIST is never set).
 */
import type { Arena } from "./arena.ts";
import { check, SystemCallError } from "./errno.ts";
import { O_CLOEXEC, O_NONBLOCK } from "./file_constants.ts";
import { cString, type Libc } from "./libc.ts";
import { IFNAMSIZ, IOVEC_SIZE } from "./socket_constants.ts";

// include/uapi/linux/if_tun.h
const TUNSETIFF = 0x400454ca;
const TUNSETOFFLOAD = 0x400454d0;
const TUNSETQUEUE = 0x400454d9;
const TUNSETSTEERINGEBPF = 0x800454e0;
const IFF_TUN = 0x0001;
const IFF_MULTI_QUEUE = 0x0100;
const IFF_ATTACH_QUEUE = 0x0200;
const IFF_DETACH_QUEUE = 0x0400;
const IFF_NO_PI = 0x1000;
const IFF_VNET_HDR = 0x4000;
const IFF_TUN_EXCL = 0x8000;

/** Bits for `setOffload()`: what the kernel may leave undone in packets that it hands to us. */
export const TUN_F_CSUM = 0x01;
export const TUN_F_TSO4 = 0x02;
export const TUN_F_TSO6 = 0x04;
export const TUN_F_USO4 = 0x20;
export const TUN_F_USO6 = 0x40;

/** `struct ifreq { char ifr_name[IFNAMSIZ]; union { short ifr_flags; ... }; }` on 64-bit machines. */
const IFREQ_SIZE = 40;

const O_RDWR = 0o2;

/** `UIO_MAXIOV` is 1,024; a super-packet needs one vector for the header and one for each of up to 64 segments. */
const MAX_WRITE_VECTORS = 130;

export class Tun implements Disposable {
  readonly fd: number;
  readonly name: string;
  readonly #libc: Libc;
  readonly #arena: Arena;
  readonly #readVector: number;
  readonly #readVectorPointer: Deno.PointerObject;
  readonly #writeVectors: number;
  readonly #writeVectorsPointer: Deno.PointerObject;
  #writeVectorCount = 0;

  private constructor(libc: Libc, arena: Arena, device: { fd: number; name: string }) {
    this.#libc = libc;
    this.#arena = arena;
    this.fd = device.fd;
    this.name = device.name;
    this.#readVector = arena.allocate(IOVEC_SIZE);
    this.#readVectorPointer = arena.pointer(this.#readVector);
    this.#writeVectors = arena.allocate(MAX_WRITE_VECTORS * IOVEC_SIZE);
    this.#writeVectorsPointer = arena.pointer(this.#writeVectors);
  }

  /**
   * Creates a device in the thread's network namespace. It is down and has no address.
   *
   * @param name at most 15 bytes; IFF_TUN_EXCL refuses a name that is taken, also by an idle persistent TUN
   * @param queues whether it may have more queues than this, see `openQueue()`
   * @throws {SystemCallError} ENOENT or ENODEV without `/dev/net/tun`, EPERM without CAP_NET_ADMIN, EBUSY when the name
   * is taken; with `queues`, `isUnavailable` where the kernel has no such devices
   */
  static open(libc: Libc, arena: Arena, name: string, queues: "one" | "many" = "one"): Tun {
    const flags = IFF_TUN_EXCL | (queues === "many" ? IFF_MULTI_QUEUE : 0);
    return Tun.#open(libc, arena, { name, flags, action: `create TUN device "${name}"` });
  }

  /**
   * Opens another queue of a device that was opened for many: packets come by one of them, see `steer()`, and leave by
   * any. Queues are numbered as they are opened. Each thread can have its own; what one does to the device (`steer()`,
   * `setOffload()`) is done for all. The device is there until the last is closed.
   *
   * @param name of a device in the thread's network namespace that is held open: else one is made
   * @throws {SystemCallError} EINVAL for a device that has only one, E2BIG where it has 256
   */
  static openQueue(libc: Libc, arena: Arena, name: string): Tun {
    const action = `open a queue of TUN device "${name}"`;
    return Tun.#open(libc, arena, { name, flags: IFF_MULTI_QUEUE, action });
  }

  static #open(
    libc: Libc,
    arena: Arena,
    { name, flags, action }: { name: string; flags: number; action: string },
  ): Tun {
    const fd = check(
      libc,
      libc.symbols.open(cString("/dev/net/tun"), O_RDWR | O_NONBLOCK | O_CLOEXEC),
      "open /dev/net/tun",
    );
    const request = interfaceRequest(name, IFF_TUN | IFF_NO_PI | IFF_VNET_HDR | flags);
    if (libc.symbols.ioctl(fd, TUNSETIFF, request) < 0) {
      const errno = libc.errno();
      libc.symbols.close(fd);
      throw new SystemCallError(action, errno);
    }
    return new Tun(libc, arena, { fd, name });
  }

  /**
   * Has a program choose the queue for each packet that the host sends, for the whole device: what it returns, modulo
   * the count of attached queues, is the queue's number. Its offset 0 is the IP header. Without a program the kernel
   * chooses by flows, the queue where a flow's packets were written last, so that one may move to another queue under
   * way.
   *
   * @param program a descriptor of `loadSocketFilter()`, which can be closed then
   * @throws {SystemCallError} `isUnavailable` before Linux 4.16 and where a container's rules forbid it
   */
  steer(program: number): void {
    const argument = new Uint8Array(Int32Array.of(program).buffer);
    check(
      this.#libc,
      this.#libc.symbols.ioctl(this.fd, TUNSETSTEERINGEBPF, argument),
      `choose among the queues of TUN device "${this.name}"`,
    );
  }

  /**
   * Takes the queue out of use, or back into it. Nothing comes by a queue that is out, and what waits in it is lost;
   * the last queue takes its number. Back, it has the number after all others.
   *
   * @throws {SystemCallError} EINVAL where it is so already, or the device has only one queue
   */
  attachQueue(isAttached: boolean): void {
    const request = interfaceRequest("", isAttached ? IFF_ATTACH_QUEUE : IFF_DETACH_QUEUE);
    check(
      this.#libc,
      this.#libc.symbols.ioctl(this.fd, TUNSETQUEUE, request),
      `${isAttached ? "attach" : "detach"} a queue of TUN device "${this.name}"`,
    );
  }

  /**
   * Tells the kernel which work it may leave to us (TUN_F_ bits; 0 for none).
   *
   * @returns false when this kernel does not know one of the bits
   */
  setOffload(bits: number): boolean {
    // The argument is a number in the place of the pointer: (unsigned long) bits.
    const argument = bits === 0 ? null : Deno.UnsafePointer.create(BigInt(bits));
    return this.#libc.symbols.ioctl_value(this.fd, TUNSETOFFLOAD, argument) === 0;
  }

  /**
   * Reads one packet, behind its `virtio_net_hdr`, to `offset`.
   *
   * @returns bytes read, the header included, or the negative error number (EAGAIN: nothing there)
   */
  read(offset: number, capacity: number): number {
    this.#setVector(this.#readVector, offset, capacity);
    const length = this.#libc.symbols.readv(this.fd, this.#readVectorPointer, 1);
    return length >= 0 ? length : -this.#libc.errno();
  }

  /** Begins a packet to write; the pieces named by `addPiece()` follow one another in it. */
  beginWrite(): void {
    this.#writeVectorCount = 0;
  }

  /** Adds the bytes at `offset` to the packet. The first piece starts with the `virtio_net_hdr`. */
  addPiece(offset: number, length: number): void {
    this.#setVector(this.#writeVectors + this.#writeVectorCount * IOVEC_SIZE, offset, length);
    this.#writeVectorCount++;
  }

  /** Hands the packet to the kernel. Returns the bytes written or the negative error number. */
  endWrite(): number {
    const written = this.#libc.symbols.writev(
      this.fd,
      this.#writeVectorsPointer,
      this.#writeVectorCount,
    );
    return written >= 0 ? written : -this.#libc.errno();
  }

  /** Closes the descriptor; with the last one of a device the kernel removes the interface. */
  [Symbol.dispose](): void {
    this.#libc.symbols.close(this.fd);
  }

  #setVector(at: number, offset: number, length: number): void {
    this.#arena.writePointer(at, offset);
    this.#arena.view.setUint32(at + 8, length, true);
    this.#arena.view.setUint32(at + 12, 0, true);
  }
}

/** @param flags as many as fit the 16 bits that the field has */
function interfaceRequest(name: string, flags: number): Uint8Array<ArrayBuffer> {
  const request = new Uint8Array(IFREQ_SIZE);
  new TextEncoder().encodeInto(name, request.subarray(0, IFNAMSIZ - 1));
  new DataView(request.buffer).setUint16(IFNAMSIZ, flags, true);
  return request;
}
