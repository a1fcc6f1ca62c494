/**
 * Outside of a gateway in tests: a gateway joined to a host outside, packets put on that wire as they are, and packet
 * sockets that show what comes over it.
 */
import { pathsTo } from "../../../ffi/sockets/datagram_batch.ts";
import { Arena } from "../../../ffi/arena.ts";
import { check, EAGAIN } from "../../../ffi/errno.ts";
import { type Libc, openLibc } from "../../../ffi/libc.ts";
import { PacketSocket } from "../../../ffi/sockets/packet_socket.ts";
import type { BpfInstruction } from "../../../ffi/sockets/packet_filter.ts";
import { RawSocket } from "../../../ffi/sockets/raw_socket.ts";
import type { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/socket_constants.ts";
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { type TestNamespace, type Topology } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import {
  buildIcmp,
  buildTcp,
  type Bytes,
  referenceChecksum,
} from "../../support/packets/packet_builder.ts";
import { withoutIpv6Autoconfiguration } from "./host_state.ts";
import { ARENA_SIZE as SOCKET_ARENA_SIZE, openSocket } from "./traffic/sockets.ts";
import { CABLE } from "./wire.ts";

/** Outer addresses, from the documentation networks of RFC 5737. */
export const GATEWAY = "192.0.2.1";
export const OUTSIDE = "192.0.2.9";
/** The interface of both ends. */
export const DEVICE: string = CABLE;

/** `struct virtio_net_hdr` (linux/virtio_net.h): flags, gso_type, hdr_len, gso_size, csum_start, csum_offset. */
export const VNET_HEADER_SIZE = 10;
export const VIRTIO_NET_HDR_F_NEEDS_CSUM = 1;
export const VIRTIO_NET_HDR_GSO_TCPV4 = 1;
export const ETHERNET_HEADER_SIZE = 14;
const ARENA_SIZE = 16 * 1024 * 1024;

const AF_PACKET = 17;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_PACKET = 263;
const PACKET_VNET_HDR = 15;

/** Takes every frame with IPv4 in it, or with IPv6: load the protocol (SKF_AD_PROTOCOL), compare, return. */
export const ONLY_IPV4: readonly BpfInstruction[] = only(0x0800);
export const ONLY_IPV6: readonly BpfInstruction[] = only(0x86dd);

function only(etherType: number): BpfInstruction[] {
  return [
    { code: 0x28, jt: 0, jf: 0, k: 0xfffff000 },
    { code: 0x15, jt: 0, jf: 1, k: etherType },
    { code: 0x06, jt: 0, jf: 0, k: 0xffffffff },
    { code: 0x06, jt: 0, jf: 0, k: 0 },
  ];
}

/** The two ends of the wire. */
export interface Outskirts {
  readonly gateway: TestNamespace;
  readonly outside: TestNamespace;
}

/**
 * Makes the namespaces of a gateway and of a host outside, joins them and lets each learn the other's hardware address.
 */
export async function layOutskirts(topology: Topology): Promise<Outskirts> {
  const gateway = topology.namespace("gateway");
  const outside = topology.namespace("outside");
  for (const namespace of [gateway, outside]) {
    withoutIpv6Autoconfiguration(namespace);
    namespace.inside(() =>
      Deno.writeTextFileSync("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1")
    );
  }
  topology.cable(
    { namespace: gateway, name: DEVICE, address: `${GATEWAY}/24` },
    { namespace: outside, name: DEVICE, address: `${OUTSIDE}/24` },
  );
  await outside.output(["ping", "-n", "-q", "-c", "1", "-w", "5", GATEWAY]);
  return { gateway, outside };
}

/** The uint32 of dotted decimal. */
export function addressOf(text: string): number {
  return parseIpv4(text)!;
}

export interface InjectorOptions {
  readonly mark?: number;
  readonly batch?: number;
  /** Bytes. */
  readonly bufferSize?: number;
  readonly device?: string;
  /** Whether the packets are of IPv6. */
  readonly isIpv6?: boolean;
}

/** Sends whole packets, of IPv4 unless told otherwise, from a namespace, by the raw socket that the gateway uses. */
export class Injector implements Disposable {
  readonly socket: RawSocket;
  readonly #arena = new Arena(ARENA_SIZE);
  readonly #space: number;
  #last = { offsets: new Int32Array(), lengths: new Int32Array() };

  constructor(namespace: TestNamespace, options: InjectorOptions = {}, libc: Libc = openLibc()) {
    this.socket = namespace.inside(() =>
      RawSocket.open(libc, this.#arena, {
        mark: options.mark ?? 0,
        device: options.device ?? DEVICE,
        batch: options.batch ?? 16,
        bufferSize: options.bufferSize ?? 1024 * 1024,
        family: options.isIpv6 === true ? AF_INET6 : AF_INET,
      })
    );
    this.#space = this.#arena.allocate(ARENA_SIZE / 2);
  }

  /** Offers packets, which are copied first. Returns what `RawSocket.send()` does. */
  send(...packets: readonly Uint8Array[]): number {
    const offsets = new Int32Array(packets.length);
    let next = this.#space;
    packets.forEach((packet, index) => {
      offsets[index] = next;
      this.#arena.bytes.set(packet, next);
      next += (packet.length + 3) & ~3;
    });
    const lengths = Int32Array.from(packets, ({ length }) => length);
    this.#last = { offsets, lengths };
    return this.sendAgain();
  }

  /** Offers the packets of the last `send()` once more, without allocation. */
  sendAgain(): number {
    return this.socket.send(this.#last, 0, this.#last.offsets.length);
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
  }
}

/** What a packet socket showed. */
export interface Captured {
  /** The virtio-net header. */
  readonly header: Bytes;
  readonly packet: Bytes;
}

/** A source of packets behind virtio-net headers: `PacketSocket` or `NfQueue`. */
export interface CaptureSource {
  readonly receivedOffsets: Int32Array;
  readonly receivedLengths: Int32Array;
  receive(): number;
}

/** Takes all that has come so far. */
export function drain(source: CaptureSource, arena: Arena): Captured[] {
  const captured: Captured[] = [];
  for (let count = source.receive(); count !== -EAGAIN; count = source.receive()) {
    if (count < 0) throw new Error(`Cannot receive: errno ${-count}`);
    for (let i = 0; i < count; i++) {
      const offset = source.receivedOffsets[i]!;
      const packetOffset = offset + VNET_HEADER_SIZE;
      captured.push({
        header: arena.bytes.slice(offset, packetOffset),
        packet: arena.bytes.slice(packetOffset, offset + source.receivedLengths[i]!),
      });
    }
  }
  return captured;
}

export interface TapOptions {
  readonly device?: string;
  readonly filter?: readonly BpfInstruction[];
  readonly linkHeaderSize?: number;
  readonly batch?: number;
  /** Bytes. */
  readonly bufferSize?: number;
}

/** Shows what arrives in a namespace, by the packet socket that the gateway uses. */
export class Tap implements Disposable {
  readonly socket: PacketSocket;
  readonly arena: Arena = new Arena(ARENA_SIZE);
  readonly #seen: Captured[] = [];

  constructor(namespace: TestNamespace, options: TapOptions = {}) {
    const link = namespace.rtnetlink.links.get(options.device ?? DEVICE).index;
    this.socket = namespace.inside(() =>
      PacketSocket.open(openLibc(), this.arena, {
        link,
        linkHeaderSize: options.linkHeaderSize ?? ETHERNET_HEADER_SIZE,
        filter: options.filter ?? ONLY_IPV4,
        batch: options.batch ?? 16,
        bufferSize: options.bufferSize ?? 4 * 1024 * 1024,
      })
    );
  }

  /** All that has come since this was opened. */
  seen(): readonly Captured[] {
    this.#seen.push(...drain(this.socket, this.arena));
    return this.#seen;
  }

  /** Waits until so many packets that `wanted` picks have come; gives these. */
  waitFor(wanted: (packet: Uint8Array) => boolean, count = 1): Promise<Captured[]> {
    return eventually(() => {
      const found = this.seen().filter(({ packet }) => wanted(packet));
      return found.length >= count ? found : null;
    });
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
  }
}

/**
 * Pings the gateway from outside and waits for the answer. The wire keeps the order, so whatever the gateway answered
 * to earlier packets has come when this has; the tap is to be on the outside's end.
 */
export async function afterPing(injector: Injector, tap: Tap): Promise<void> {
  const identifier = crypto.getRandomValues(new Uint16Array(1))[0]!;
  injector.send(buildIcmp({ source: OUTSIDE, destination: GATEWAY, identifier }));
  await tap.waitFor((packet) =>
    packet[9] === 1 && packet[20] === 0 && u16(packet, 24) === identifier
  );
}

/** Whether a packet is TCP with RST. */
export function isReset(packet: Uint8Array): boolean {
  return packet[9] === 6 && (packet[33]! & 4) !== 0;
}

/** Whether a packet is ICMP destination unreachable. */
export function isUnreachable(packet: Uint8Array): boolean {
  return packet[9] === 1 && packet[20] === 3;
}

/** Two bytes in network order. */
export function u16(bytes: Uint8Array, at: number): number {
  return bytes[at]! << 8 | bytes[at + 1]!;
}

/** A socket that sends datagrams from `from`; it stays open, so that ICMP errors about them find whom they are for. */
export class UdpSender implements Disposable {
  readonly #arena = new Arena(SOCKET_ARENA_SIZE);
  readonly #socket: UdpSocket;

  constructor(from: TestNamespace) {
    this.#socket = openSocket(from, this.#arena);
  }

  /** Sends one datagram of at most 64 KiB. */
  send(to: { readonly address: string; readonly port: number }, payload: Uint8Array): void {
    const offset = this.#socket.receivedOffsets[0]!;
    this.#arena.bytes.set(payload, offset);
    const batch = {
      offsets: Int32Array.of(offset),
      lengths: Int32Array.of(payload.length),
      ...pathsTo([{ address: addressOf(to.address), port: to.port }]),
    };
    if (this.#socket.send(batch, 0, 1) !== 1) throw new Error("Cannot send a datagram");
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

/** Sends a datagram by a plain socket, whose checksum the kernel leaves to the network card. */
export function sendUdp(
  from: TestNamespace,
  to: { readonly address: string; readonly port: number },
  payload: Uint8Array,
): void {
  using sender = new UdpSender(from);
  sender.send(to, payload);
}

/** Puts a packet on the wire behind a virtio-net header, as a network card with offloads would bring it. */
export function sendWithVnetHeader(
  { from, to }: { from: TestNamespace; to: TestNamespace },
  header: Uint8Array,
  packet: Uint8Array,
): void {
  const libc = openLibc();
  const near = from.rtnetlink.links.get(DEVICE);
  const far = to.rtnetlink.links.get(DEVICE);
  const fd = from.inside(() =>
    check(libc, libc.symbols.socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0), "open packet socket")
  );
  try {
    const one = new Uint8Array(new Int32Array([1]).buffer);
    check(
      libc,
      libc.symbols.setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, one, 4),
      "set vnet header",
    );
    // struct sockaddr_ll { u16 family; be16 protocol; int ifindex; ... }
    const address = new DataView(new ArrayBuffer(20));
    address.setUint16(0, AF_PACKET, true);
    address.setInt32(4, near.index, true);
    check(libc, libc.symbols.bind(fd, new Uint8Array(address.buffer), 20), "bind packet socket");
    const frame = Uint8Array.from([
      ...header,
      ...far.hardwareAddress!,
      ...near.hardwareAddress!,
      ...(packet[0]! >>> 4 === 6 ? [0x86, 0xdd] : [0x08, 0x00]),
      ...packet,
    ]);
    check(libc, libc.symbols.send(fd, frame, BigInt(frame.length), 0), "send frame");
  } finally {
    libc.symbols.close(fd);
  }
}

/** Whether the TCP or UDP checksum of a packet with a header of 20 bytes is right. */
export function hasGoodTransportChecksum(packet: Uint8Array): boolean {
  return referenceChecksum(Uint8Array.from([...pseudoHeader(packet), ...packet.subarray(20)])) ===
    0;
}

/**
 * The sum that the field for the checksum holds while the rest is left to the network card: of the pseudo-header alone.
 */
export function pseudoHeaderSum(packet: Uint8Array): number {
  return ~referenceChecksum(pseudoHeader(packet)) & 0xffff;
}

/** A TCP segment as a network card with offloads brings it: merged of many, its checksum left to the reader. */
export function partialTcp(
  { destinationPort, payloadSize, segmentSize }: {
    readonly destinationPort: number;
    readonly payloadSize: number;
    /** Bytes of payload in each of the segments; no merging where it is `payloadSize` or more. */
    readonly segmentSize: number;
  },
): Captured {
  const payload = Uint8Array.from({ length: payloadSize }, (_, i) => i * 7 + (i >> 8));
  const packet = buildTcp({
    source: OUTSIDE,
    destination: GATEWAY,
    sourcePort: 80,
    destinationPort,
    payload,
  });
  new DataView(packet.buffer).setUint16(36, pseudoHeaderSum(packet));
  const header = new Uint8Array(VNET_HEADER_SIZE);
  const view = new DataView(header.buffer);
  header[0] = VIRTIO_NET_HDR_F_NEEDS_CSUM;
  if (payloadSize > segmentSize) {
    header[1] = VIRTIO_NET_HDR_GSO_TCPV4;
    view.setUint16(2, ETHERNET_HEADER_SIZE + 40, true);
    view.setUint16(4, segmentSize, true);
  }
  view.setUint16(6, ETHERNET_HEADER_SIZE + 20, true);
  view.setUint16(8, 16, true);
  return { header, packet };
}

function pseudoHeader(packet: Uint8Array): Bytes {
  const pseudo = new Uint8Array(12);
  pseudo.set(packet.subarray(12, 20));
  pseudo[9] = packet[9]!;
  new DataView(pseudo.buffer).setUint16(10, packet.length - 20);
  return pseudo;
}
