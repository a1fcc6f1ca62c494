/**
 * Announcer: tells the neighbours on a network that this host has an address now (RFC 5227 section 2.3), so that they
 * send here at once what they sent another host. Their questions the kernel answers, which has the address.
 */
import type { Arena } from "../../../ffi/arena.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { HardwareType } from "../../../ffi/netlink/links.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { PacketSender } from "../../../ffi/sockets/packet_sender.ts";
import { VNET_HEADER_SIZE } from "../../core/offload/virtio_net_header.ts";
import * as arp from "../../core/wire/arp.ts";

/** ms after the first announcement of those that follow it: one may be lost, or come before a switch has learned. */
const PAUSES = [100, 900, 2_000, 5_000];
const FRAME_SPACE = (VNET_HEADER_SIZE + arp.FRAME_SIZE + 63) & -64;
const BUFFER_SIZE = 16 * 1024;

export class Announcer implements Disposable {
  readonly #arena: Arena;
  readonly #address: number;
  readonly #netlink: Rtnetlink;
  readonly #sender: PacketSender;
  readonly #frame: number;
  /** The index of the interface on that network; null while this host has not the address. */
  #link: number | null = null;
  #next = 0;
  #nextAt = Infinity;

  /** Bytes of arena that it takes. */
  static readonly arenaSize: number = FRAME_SPACE +
    PacketSender.arenaSize({ frames: 1, pieces: 1 }) + 1024;

  /**
   * @param address IPv4, host order
   * @throws {SystemCallError} EPERM without CAP_NET_RAW
   */
  constructor(
    libc: Libc,
    arena: Arena,
    { address, mark }: { readonly address: number; readonly mark: number },
  ) {
    using opened = new DisposableStack();
    this.#arena = arena;
    this.#address = address | 0;
    this.#netlink = opened.use(Rtnetlink.open(libc));
    this.#sender = opened.use(
      PacketSender.open(libc, arena, { mark, frames: 1, pieces: 1, bufferSize: BUFFER_SIZE }),
    );
    this.#frame = arena.allocate(FRAME_SPACE) + VNET_HEADER_SIZE;
    opened.move();
  }

  /** This host has the address from now on, by this interface, or has it no more. */
  hold(link: number | null, now: number): void {
    this.#link = link;
    this.#next = 0;
    this.#nextAt = link === null ? Infinity : now;
    this.poll(now);
  }

  /** When there is one to make, monotonic ms; `Infinity` for never. */
  pollAt(): number {
    return this.#nextAt;
  }

  poll(now: number): void {
    if (now < this.#nextAt || this.#link === null) return;
    const pause = PAUSES[this.#next++];
    this.#nextAt = pause === undefined ? Infinity : now + pause;
    const link = this.#netlink.links.find(this.#link);
    // One without hardware addresses has nobody who asks for them.
    if (link?.hardwareType !== HardwareType.ethernet || link.hardwareAddress === null) return;
    const frame = this.#frame;
    this.#arena.bytes.fill(0, frame - VNET_HEADER_SIZE, frame);
    arp.writeAnnouncement(this.#arena, frame, this.#address, link.hardwareAddress);
    this.#sender.beginFrame(link.index, arp.ETHER_TYPE);
    this.#sender.addPiece(frame - VNET_HEADER_SIZE, VNET_HEADER_SIZE + arp.FRAME_SIZE);
    this.#sender.endFrame();
    this.#sender.send(0);
    this.#sender.clear();
  }

  [Symbol.dispose](): void {
    this.#sender[Symbol.dispose]();
    this.#netlink[Symbol.dispose]();
  }
}
