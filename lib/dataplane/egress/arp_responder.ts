/**
 * ARP responder: answers the neighbours' requests for addresses that are published services' own. The kernel does so
 * only for addresses that it has, and for these it would then answer by itself.
 */
import type { Arena } from "../../../ffi/arena.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { HardwareType } from "../../../ffi/netlink/links.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { CAPTURE_BUFFER_SIZE, PacketSocket } from "../../../ffi/sockets/packet_socket.ts";
import { PacketSender } from "../../../ffi/sockets/packet_sender.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import { VNET_HEADER_SIZE } from "../../core/offload/virtio_net_header.ts";
import * as arp from "../../core/wire/arp.ts";
import { arpFilter } from "../filters/arp_filter.ts";
import { RET, statement } from "../filters/bpf.ts";

/** Requests that are answered in one turn: others are asked again. */
const BATCH = 4;
const BUFFER_SIZE = 64 * 1024;
const FRAME_SPACE = (VNET_HEADER_SIZE + arp.FRAME_SIZE + 63) & -64;
/** Bytes for message headers and vectors. */
const CONTROL_SPACE = 4 * 1024;

export interface ArpResponderOptions {
  /** Host order. */
  readonly addresses: readonly number[];
  /** SO_MARK of what is sent. */
  readonly mark: number;
}

export class ArpResponder implements Disposable {
  readonly #arena: Arena;
  readonly #addresses: readonly number[];
  readonly #netlink: Rtnetlink;
  readonly #requests: PacketSocket;
  readonly #sender: PacketSender;
  readonly #frames: number;
  #link = 0;
  /** The hardware address of the interface outside; null for one that has none, where nobody asks. */
  #own: Uint8Array | null = null;

  /** Bytes of arena that it takes. */
  static readonly arenaSize: number = BATCH * (CAPTURE_BUFFER_SIZE + FRAME_SPACE) +
    PacketSender.arenaSize({ frames: BATCH, pieces: 1 }) + CONTROL_SPACE;

  /** @throws {SystemCallError} EPERM without CAP_NET_RAW */
  constructor(libc: Libc, arena: Arena, { addresses, mark }: ArpResponderOptions) {
    using opened = new DisposableStack();
    this.#arena = arena;
    this.#addresses = addresses;
    this.#netlink = opened.use(Rtnetlink.open(libc));
    this.#requests = opened.use(
      PacketSocket.open(libc, arena, {
        ...{ link: "none", batch: BATCH, bufferSize: BUFFER_SIZE },
        filter: [statement(RET, 0)],
      }),
    );
    this.#sender = opened.use(
      PacketSender.open(libc, arena, {
        ...{ mark, frames: BATCH, pieces: 1, bufferSize: BUFFER_SIZE },
      }),
    );
    this.#frames = arena.allocate(BATCH * FRAME_SPACE);
    opened.move();
  }

  /** For an epoll set: when it is readable, there are requests to `serve()`. */
  get fd(): number {
    return this.#requests.fd;
  }

  /**
   * Answers on this interface from now on, and tells the neighbours there at once: they may know another host by these
   * addresses.
   *
   * @throws {SystemCallError} ENODEV where there is no such interface
   */
  move(external: Pick<ExternalLink, "link" | "linkHeaderSize">): void {
    const link = this.#netlink.links.find(external.link);
    const hasAddress = link !== null && link.hardwareType === HardwareType.ethernet;
    this.#own = hasAddress ? link.hardwareAddress : null;
    this.#link = external.link;
    if (this.#own === null) return;
    this.#requests.move(external, arpFilter(this.#addresses, external.linkHeaderSize));
    for (const address of this.#addresses) {
      const frame = this.#nextFrame();
      arp.writeAnnouncement(this.#arena, frame, address | 0, this.#own);
      this.#put(frame);
      if (this.#sender.count === BATCH) this.#send();
    }
    this.#send();
  }

  /** Answers what has come. */
  serve(): void {
    const { receivedOffsets, receivedLengths } = this.#requests;
    const count = this.#requests.receive();
    for (let i = 0; i < count; i++) {
      const request = receivedOffsets[i] + VNET_HEADER_SIZE;
      const length = receivedLengths[i] - VNET_HEADER_SIZE;
      if (this.#own === null || !arp.isRequest(this.#arena.view, request, length)) continue;
      const frame = this.#nextFrame();
      arp.writeReply(this.#arena, frame, request, this.#own);
      this.#put(frame);
    }
    this.#send();
  }

  /** Where the Ethernet header of the next frame stands, behind a virtio-net header that says nothing. */
  #nextFrame(): number {
    const start = this.#frames + this.#sender.count * FRAME_SPACE;
    this.#arena.bytes.fill(0, start, start + VNET_HEADER_SIZE);
    return start + VNET_HEADER_SIZE;
  }

  #put(frame: number): void {
    this.#sender.beginFrame(this.#link, arp.ETHER_TYPE);
    this.#sender.addPiece(frame - VNET_HEADER_SIZE, VNET_HEADER_SIZE + arp.FRAME_SIZE);
    this.#sender.endFrame();
  }

  /** What the kernel does not take is asked for again. */
  #send(): void {
    if (this.#sender.count > 0) this.#sender.send(0);
    this.#sender.clear();
  }

  [Symbol.dispose](): void {
    this.#requests[Symbol.dispose]();
    this.#sender[Symbol.dispose]();
    this.#netlink[Symbol.dispose]();
  }
}
