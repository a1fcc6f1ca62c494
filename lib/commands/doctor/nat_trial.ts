/** NAT trial: a ping to the next router, sent by the NAT's kind of socket and captured by its kind. */
import { Arena } from "../../../ffi/arena.ts";
import { errnoName } from "../../../ffi/errno.ts";
import { type Libc, openLibc } from "../../../ffi/libc.ts";
import { ipv4ToNumber } from "../../../ffi/netlink/ip_address.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import { RouteTable } from "../../../ffi/netlink/routes.ts";
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { NetlinkError } from "../../../ffi/netlink/socket.ts";
import { CAPTURE_BUFFER_SIZE, PacketSocket } from "../../../ffi/sockets/packet_socket.ts";
import { RawSocket } from "../../../ffi/sockets/raw_socket.ts";
import * as ipv4 from "../../core/wire/ipv4.ts";
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import { type CapturedPorts, captureFilter } from "../../dataplane/filters/capture_filter.ts";
import { echoRequest, isReply } from "../../host/network/ping.ts";
import { EGRESS_MARK } from "../../dataplane/egress/egress.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";

/** ms to wait for an answer, and between two looks for one. */
const LIMIT = 1_000;
const INTERVAL = 10;
const BATCH = 8;
const BUFFER_SIZE = 256 * 1024;
const CONTROL_SPACE = 16 * 1024;
/** Bytes of a virtio-net header, which stands before each captured packet. */
const VNET_HEADER_SIZE = 10;
const PAYLOAD_SIZE = 32;
const TIME_TO_LIVE = 64;

export type NatTrial =
  | { readonly outcome: "answered"; readonly target: string; readonly time: number }
  /** Sent, but not answered. */
  | { readonly outcome: "silent"; readonly target: string }
  /** There is no router to try it with. */
  | { readonly outcome: "alone" }
  | { readonly outcome: "refused"; readonly reason: string }
  /** No drop at netdev ingress. */
  | { readonly outcome: "no-ingress"; readonly reason: string };

/**
 * Tries it. Nothing is left behind: the table at ingress is made and deleted in one transaction, which nobody sees.
 *
 * @throws {SystemCallError} EPERM without CAP_NET_RAW and CAP_NET_ADMIN
 */
export async function tryNat(
  netlink: Rtnetlink,
  { external, ports }: { readonly external: ExternalLink; readonly ports: CapturedPorts },
): Promise<NatTrial> {
  const libc = openLibc();
  const reason = ingressRefusal(libc, external.name);
  if (reason !== null) return { outcome: "no-ingress", reason };
  const arena = new Arena(BATCH * CAPTURE_BUFFER_SIZE + 2 * CONTROL_SPACE);
  using raw = RawSocket.open(libc, arena, {
    mark: EGRESS_MARK,
    device: external.name,
    batch: 1,
    bufferSize: BUFFER_SIZE,
  });
  using capture = PacketSocket.open(libc, arena, {
    link: external.link,
    linkHeaderSize: external.linkHeaderSize,
    filter: captureFilter(external.address, ports, external.linkHeaderSize),
    batch: BATCH,
    bufferSize: BUFFER_SIZE,
  });
  const router = nextRouter(netlink, external.link);
  if (router === null) return { outcome: "alone" };
  const target = formatIpv4(router);
  const random = crypto.getRandomValues(new Uint8Array(2 + PAYLOAD_SIZE));
  const request = echoRequest({
    identifier: random[0]! << 8 | random[1]!,
    sequenceNumber: 1,
    payload: random.subarray(2),
  });
  const packet = { offset: arena.allocate(ipv4.MIN_HEADER_SIZE + request.length), request };
  writePacket(arena, { ...packet, source: external.address, destination: router });
  const sentAt = performance.now();
  raw.send(
    {
      offsets: Int32Array.of(packet.offset),
      lengths: Int32Array.of(ipv4.MIN_HEADER_SIZE + request.length),
    },
    0,
    1,
  );
  const [errno] = raw.errors.keys();
  if (errno !== undefined) return { outcome: "refused", reason: errnoName(errno) };
  while (performance.now() - sentAt < LIMIT) {
    if (hasReply(arena, capture, request)) {
      return { outcome: "answered", target, time: performance.now() - sentAt };
    }
    await new Promise((resolve) => setTimeout(resolve, INTERVAL));
  }
  return { outcome: "silent", target };
}

/** Why the kernel takes no chain at an interface's ingress; null where it does. */
function ingressRefusal(libc: Libc, device: string): string | null {
  using nftables = Nftables.open(libc, { owned: false });
  try {
    nftables.tryIngress(device);
    return null;
  } catch (error) {
    if (error instanceof NetlinkError && error.code !== "EPERM") return error.message;
    throw error;
  }
}

/** The router on an interface that the default route names, host order. */
function nextRouter(netlink: Rtnetlink, link: number): number | null {
  const route = netlink.routes.list({ table: RouteTable.main }).find((candidate) =>
    candidate.link === link && candidate.destination.length === 0 && candidate.gateway?.length === 4
  );
  return route === undefined ? null : ipv4ToNumber(route.gateway!);
}

/** An IPv4 packet without options; the kernel writes the length and the checksum of its header. */
function writePacket(
  arena: Arena,
  { offset, request, source, destination }: {
    readonly offset: number;
    readonly request: Uint8Array;
    readonly source: number;
    readonly destination: number;
  },
): void {
  const { bytes, view } = arena;
  view.setUint8(offset, 0x45);
  view.setUint16(offset + ipv4.TOTAL_LENGTH_OFFSET, ipv4.MIN_HEADER_SIZE + request.length);
  view.setUint8(offset + ipv4.TIME_TO_LIVE_OFFSET, TIME_TO_LIVE);
  view.setUint8(offset + ipv4.PROTOCOL_OFFSET, ipv4.PROTOCOL_ICMP);
  view.setUint32(offset + ipv4.SOURCE_ADDRESS_OFFSET, source);
  view.setUint32(offset + ipv4.DESTINATION_ADDRESS_OFFSET, destination);
  bytes.set(request, offset + ipv4.MIN_HEADER_SIZE);
}

function hasReply(arena: Arena, capture: PacketSocket, request: Uint8Array): boolean {
  const count = capture.receive();
  for (let i = 0; i < count; i++) {
    const start = capture.receivedOffsets[i]! + VNET_HEADER_SIZE;
    const end = capture.receivedOffsets[i]! + capture.receivedLengths[i]!;
    if (isReply(arena.bytes.subarray(start, trimmed(arena, start, end)), request)) return true;
  }
  return false;
}

/** Where a packet ends: Ethernet pads short ones. */
function trimmed(arena: Arena, start: number, end: number): number {
  if (end - start < ipv4.MIN_HEADER_SIZE) return end;
  return Math.min(end, start + ipv4.totalLength(arena.view, start));
}
