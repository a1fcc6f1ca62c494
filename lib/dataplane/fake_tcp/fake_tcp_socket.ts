/**
 * Fake-TCP socket: segments on their way out of, and into, the data plane: what is sent leaves by a `SegmentSender`,
 * what arrives is captured by a packet socket, before the host's stack is kept from it (`FakeTcpGuard`).
 */
import type { Arena } from "../../../ffi/arena.ts";
import { ENOMEM, SystemCallError } from "../../../ffi/errno.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { AF_INET } from "../../../ffi/socket_constants.ts";
import { HardwareType, type Link } from "../../../ffi/netlink/links.ts";
import { RouteScope } from "../../../ffi/netlink/routes.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { CAPTURE_BUFFER_SIZE, PacketSocket } from "../../../ffi/sockets/packet_socket.ts";
import type { PacketBatch } from "../../../ffi/sockets/raw_socket.ts";
import type { FakeTcpEndpoints } from "../../core/transport/fake_tcp/endpoints.ts";
import { MAX_INSTRUCTIONS } from "../filters/bpf.ts";
import { fakeTcpFilter, type FakeTcpInterfaces } from "../filters/fake_tcp_filter.ts";
import { ETHERNET_HEADER_SIZE } from "../egress/next_hop.ts";
import { SegmentSender } from "../egress/segment_sender.ts";
import { toHostAddress } from "./fake_tcp_path.ts";

/** Packets captured in one call; each may be a super-packet of 64 KiB. */
const CAPTURE_BATCH = 16;
/** Bytes for message headers and vectors. */
const CONTROL_SPACE = 8 * 1024;
/** Of the filter; the kernel takes as many in any case. */
const LEAST_INSTRUCTIONS = 512;

export interface FakeTcpSocketOptions {
  /** What to capture. */
  readonly endpoints: FakeTcpEndpoints;
  /** SO_MARK of what is sent. */
  readonly mark: number;
  /** Whether segments may leave as merged frames. */
  readonly offload: boolean;
  /** Name of the tunnel's own interface, by which nothing of fake TCP's comes. */
  readonly tunnel: string;
  /** Wanted size of each socket's buffer in bytes. */
  readonly bufferSize: number;
  /** Takes how many addresses and interfaces the capture has no room for, more than the last time. */
  readonly onLeftOut: (count: number) => void;
}

export class FakeTcpSocket implements Disposable {
  /** What has arrived, for an epoll set: `capture.receive()` takes it. */
  readonly capture: PacketSocket;
  /** Its `fd` is for the epoll set as well: `sender.serve()` takes what the kernel tells. */
  readonly sender: SegmentSender;
  readonly #netlink: Rtnetlink;
  readonly #tunnel: string;
  readonly #onLeftOut: (count: number) => void;
  #leftOut = 0;
  #maxInstructions = MAX_INSTRUCTIONS;
  #endpoints: FakeTcpEndpoints;

  /** Bytes of arena that a socket takes. */
  static readonly arenaSize: number = SegmentSender.arenaSize +
    CAPTURE_BATCH * CAPTURE_BUFFER_SIZE + CONTROL_SPACE;

  /**
   * Opens the sockets in the network namespace that the thread is in now.
   *
   * @throws {SystemCallError} EPERM without CAP_NET_RAW
   */
  constructor(libc: Libc, arena: Arena, options: FakeTcpSocketOptions) {
    const { endpoints, mark, offload, bufferSize, tunnel } = options;
    this.#endpoints = endpoints;
    this.#tunnel = tunnel;
    this.#onLeftOut = options.onLeftOut;
    using opened = new DisposableStack();
    this.#netlink = opened.use(Rtnetlink.open(libc));
    this.sender = opened.use(
      SegmentSender.open(libc, arena, {
        mark,
        offload,
        bufferSize,
        device: null,
        own: true,
        ipv6: true,
      }),
    );
    this.capture = opened.use(PacketSocket.open(libc, arena, {
      link: "all",
      filter: fakeTcpFilter(endpoints, { addresses: [], links: [] }).program,
      batch: CAPTURE_BATCH,
      bufferSize,
    }));
    this.#filter();
    opened.move();
  }

  /** Sends segments `from` (inclusive) to `to` (exclusive); see `SegmentSender.send()`. */
  send(segments: PacketBatch, from: number, to: number, now: number): number {
    return this.sender.send(segments, from, to, now);
  }

  /** Follows the other end, or ourselves, to other addresses and ports. */
  setEndpoints(endpoints: FakeTcpEndpoints): void {
    this.#endpoints = endpoints;
    this.#filter();
  }

  /** Takes note that interfaces, addresses or routes have changed. */
  networkChanged(): void {
    this.sender.networkChanged();
    this.#filter();
  }

  [Symbol.dispose](): void {
    this.capture[Symbol.dispose]();
    this.sender[Symbol.dispose]();
    this.#netlink[Symbol.dispose]();
  }

  /** Filters the capture, by as much as the kernel takes: `net.core.optmem_max` is 20 KiB before Linux 6.7. */
  #filter(): void {
    const places = this.#places();
    for (;;) {
      const { program, leftOut } = fakeTcpFilter(this.#endpoints, places, this.#maxInstructions);
      try {
        this.capture.setFilter(program);
        if (leftOut > this.#leftOut) this.#onLeftOut(leftOut);
        this.#leftOut = leftOut;
        return;
      } catch (error) {
        const isTooLong = error instanceof SystemCallError && error.errno === ENOMEM;
        if (!isTooLong || this.#maxInstructions <= LEAST_INSTRUCTIONS) throw error;
        this.#maxInstructions /= 2;
      }
    }
  }

  /**
   * All interfaces with an address and a link-layer header that is known here, but for the tunnel's own. Link-local
   * addresses are left out: a connection does not say on which link.
   */
  #places(): FakeTcpInterfaces {
    const addresses = this.#netlink.addresses.list().filter(({ family, scope }) =>
      family === AF_INET || scope !== RouteScope.link
    );
    const links = this.#netlink.links.list().filter(({ index, name }) =>
      name !== this.#tunnel && addresses.some(({ link }) => link === index)
    );
    const own = addresses.filter(({ link }) => links.some(({ index }) => index === link));
    return {
      addresses: [...new Set(own.map(({ address }) => toHostAddress(address)))],
      links: links.flatMap((link) => {
        const linkHeaderSize = linkHeaderSizeOf(link);
        return linkHeaderSize === null ? [] : [{ index: link.index, linkHeaderSize }];
      }),
    };
  }
}

function linkHeaderSizeOf({ hardwareType, hardwareAddress }: Link): number | null {
  const { ethernet, loopback } = HardwareType;
  if (hardwareType === ethernet || hardwareType === loopback) return ETHERNET_HEADER_SIZE;
  return hardwareAddress === null ? 0 : null;
}

/** What the log says of addresses and interfaces that are left out. */
export function leftOutLine(count: number): string {
  return `fake TCP is not captured at ${count} of this host's addresses and interfaces: it has more than a filter holds`;
}
