/**
 * Fake-TCP socket: segments on their way out of, and into, the data plane: what is sent leaves by a `SegmentSender`,
 * what arrives is captured by a packet socket, before the host's stack is kept from it (`FakeTcpGuard`).
 */
import type { Arena } from "../../../ffi/arena.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { ipv4ToNumber } from "../../../ffi/netlink/ip_address.ts";
import { AF_INET } from "../../../ffi/socket_constants.ts";
import { HardwareType, type Link } from "../../../ffi/netlink/links.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { CAPTURE_BUFFER_SIZE, PacketSocket } from "../../../ffi/sockets/packet_socket.ts";
import type { PacketBatch } from "../../../ffi/sockets/raw_socket.ts";
import type { FakeTcpEndpoints } from "../../core/transport/fake_tcp/endpoints.ts";
import { fakeTcpFilter, type FakeTcpInterfaces } from "../filters/fake_tcp_filter.ts";
import { ETHERNET_HEADER_SIZE } from "../egress/next_hop.ts";
import { SegmentSender } from "../egress/segment_sender.ts";

/** Packets captured in one call; each may be a super-packet of 64 KiB. */
const CAPTURE_BATCH = 16;
/** Bytes for message headers and vectors. */
const CONTROL_SPACE = 8 * 1024;

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
}

export class FakeTcpSocket implements Disposable {
  /** What has arrived, for an epoll set: `capture.receive()` takes it. */
  readonly capture: PacketSocket;
  /** Its `fd` is for the epoll set as well: `sender.serve()` takes what the kernel tells. */
  readonly sender: SegmentSender;
  readonly #netlink: Rtnetlink;
  readonly #tunnel: string;
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
    using opened = new DisposableStack();
    this.#netlink = opened.use(Rtnetlink.open(libc));
    this.sender = opened.use(
      SegmentSender.open(libc, arena, { mark, offload, bufferSize, device: null, own: true }),
    );
    this.capture = opened.use(PacketSocket.open(libc, arena, {
      link: "all",
      filter: fakeTcpFilter(endpoints, this.#places()),
      batch: CAPTURE_BATCH,
      bufferSize,
    }));
    opened.move();
  }

  /** Sends segments `from` (inclusive) to `to` (exclusive); see `SegmentSender.send()`. */
  send(segments: PacketBatch, from: number, to: number, now: number): number {
    return this.sender.send(segments, from, to, now);
  }

  /** Follows the other end, or ourselves, to other addresses and ports. */
  setEndpoints(endpoints: FakeTcpEndpoints): void {
    this.#endpoints = endpoints;
    this.capture.setFilter(fakeTcpFilter(endpoints, this.#places()));
  }

  /** Takes note that interfaces, addresses or routes have changed. */
  networkChanged(): void {
    this.sender.networkChanged();
    this.capture.setFilter(fakeTcpFilter(this.#endpoints, this.#places()));
  }

  [Symbol.dispose](): void {
    this.capture[Symbol.dispose]();
    this.sender[Symbol.dispose]();
    this.#netlink[Symbol.dispose]();
  }

  /** All interfaces with an IPv4 address and a link-layer header that is known here, but for the tunnel's own. */
  #places(): FakeTcpInterfaces {
    const addresses = this.#netlink.addresses.list({ family: AF_INET });
    const links = this.#netlink.links.list().filter(({ index, name }) =>
      name !== this.#tunnel && addresses.some(({ link }) => link === index)
    );
    const own = addresses.filter(({ link }) => links.some(({ index }) => index === link));
    return {
      addresses: [...new Set(own.map(({ address }) => ipv4ToNumber(address)))],
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
