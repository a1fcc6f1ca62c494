/**
 * Link watch on the gateway's cable to the internet, at the internet's end: notices what must not come over it.
 *
 * Nothing has to run meanwhile: the kernel keeps what passes the filter until somebody asks. The filter leaves out the
 * many segments of connections under way, so that there is room for all the rest, and the watch costs a download
 * nothing.
 */
import { Arena } from "../../../ffi/arena.ts";
import { EAGAIN, SystemCallError } from "../../../ffi/errno.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { ETH_P_IP } from "../../../ffi/socket_constants.ts";
import { CAPTURE_BUFFER_SIZE, PacketSocket } from "../../../ffi/sockets/packet_socket.ts";
import type { BpfInstruction } from "../../../ffi/sockets/packet_filter.ts";
import { VNET_HEADER_SIZE } from "../../core/offload/virtio_net_header.ts";
import * as icmp from "../../core/wire/icmp.ts";
import * as ipv4 from "../../core/wire/ipv4.ts";
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import * as tcp from "../../core/wire/tcp.ts";

const ETHERNET_HEADER_SIZE = 14;
const BATCH = 4;
const SHOWN_OFFENCES = 3;
const SOCKET_BUFFER_SIZE = 4 * 1024 * 1024;
/** Message headers and vectors. */
const CONTROL_SPACE = 4096;

export interface LinkWatchOptions {
  /** Index of the interface. */
  readonly link: number;
  /** The only address that packets may come from, host order. */
  readonly address: number;
}

/** What has come since the last look. */
export interface Sighting {
  /** How many packets were looked at. That there were some shows that the watch is awake. */
  readonly packets: number;
  /** What should not have come, a line each. */
  readonly offences: readonly string[];
}

/** The first few of many offences. */
export function summary(offences: readonly string[]): string {
  const shown = offences.slice(0, SHOWN_OFFENCES);
  const more = offences.length - shown.length;
  return shown.concat(more === 0 ? [] : `${more} more`).join("; ");
}

export class LinkWatch implements Disposable {
  readonly #arena = new Arena(BATCH * CAPTURE_BUFFER_SIZE + CONTROL_SPACE);
  readonly #socket: PacketSocket;
  readonly #address: number;
  #drops = 0;

  /**
   * Watches from now on, in the thread's network namespace.
   *
   * @throws {SystemCallError} EPERM without CAP_NET_RAW, ENODEV where there is no such interface
   */
  constructor(libc: Libc, { link, address }: LinkWatchOptions) {
    this.#address = address;
    this.#socket = PacketSocket.open(libc, this.#arena, {
      link,
      linkHeaderSize: ETHERNET_HEADER_SIZE,
      filter: watchFilter(address),
      batch: BATCH,
      bufferSize: SOCKET_BUFFER_SIZE,
    });
  }

  /** @throws {SystemCallError} ENETDOWN where the interface is gone */
  look(): Sighting {
    const { receivedOffsets, receivedLengths } = this.#socket;
    const offences: string[] = [];
    let packets = 0;
    for (;;) {
      const count = this.#socket.receive();
      if (count === -EAGAIN) break;
      if (count < 0) throw new SystemCallError("receive from packet socket", -count);
      packets += count;
      for (let i = 0; i < count; i++) {
        const offset = receivedOffsets[i]! + VNET_HEADER_SIZE;
        const length = receivedLengths[i]! - VNET_HEADER_SIZE;
        const offence = offenceOf(this.#arena.view, { offset, length, address: this.#address });
        if (offence !== null) offences.push(offence);
      }
    }
    const drops = this.#socket.drops();
    if (drops > this.#drops) offences.push(`${drops - this.#drops} packets that came too fast`);
    this.#drops = drops;
    return { packets, offences };
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

/**
 * What is wrong with an IPv4 packet of `length` bytes at `offset`, in words; null when nothing is. It must come from
 * `address` (host order), must not be a TCP RST, and must not be an ICMP destination unreachable.
 */
export function offenceOf(
  view: DataView,
  { offset, length, address }: {
    readonly offset: number;
    readonly length: number;
    readonly address: number;
  },
): string | null {
  if (length < ipv4.MIN_HEADER_SIZE) return `a packet of ${length} bytes`;
  const source = ipv4.sourceAddress(view, offset);
  const from = formatIpv4(source);
  const to = formatIpv4(ipv4.destinationAddress(view, offset));
  if (source !== address) return `a packet from ${from} to ${to}`;
  if (ipv4.fragmentOffset(view, offset) > 0) return null;
  const start = offset + ipv4.headerSize(view, offset);
  const left = offset + length - start;
  switch (ipv4.protocol(view, offset)) {
    case ipv4.PROTOCOL_TCP: {
      if (!tcp.isWhole(view, start, left)) return null;
      if ((tcp.flags(view, start) & tcp.FLAG_RST) === 0) return null;
      const ports = [tcp.sourcePort(view, start), tcp.destinationPort(view, start)];
      return `RST from ${from}:${ports[0]} to ${to}:${ports[1]}`;
    }
    case ipv4.PROTOCOL_ICMP: {
      if (!icmp.isWhole(left)) return null;
      if (icmp.type(view, start) !== icmp.TYPE_DESTINATION_UNREACHABLE) return null;
      return `ICMP unreachable, code ${icmp.code(view, start)}, from ${from} to ${to}`;
    }
    default:
      return null;
  }
}

// include/uapi/linux/bpf_common.h, filter.h
const LD_W_ABS = 0x20;
const LD_H_ABS = 0x28;
const LD_B_ABS = 0x30;
const LD_B_IND = 0x50;
const LDX_B_MSH = 0xb1;
const JEQ = 0x15;
const JSET = 0x45;
const RET = 0x06;
const SKF_AD_PROTOCOL = 0xfffff000;
const WHOLE_PACKET = 0xffff_ffff;

/** Takes IPv4, but of TCP from `address` only what has SYN or RST. Jumps lead to the last two lines. */
function watchFilter(address: number): BpfInstruction[] {
  const packet = ETHERNET_HEADER_SIZE;
  return [
    { code: LD_H_ABS, jt: 0, jf: 0, k: SKF_AD_PROTOCOL },
    { code: JEQ, jt: 0, jf: 10, k: ETH_P_IP },
    { code: LD_W_ABS, jt: 0, jf: 0, k: packet + ipv4.SOURCE_ADDRESS_OFFSET },
    { code: JEQ, jt: 0, jf: 7, k: address },
    { code: LD_B_ABS, jt: 0, jf: 0, k: packet + ipv4.PROTOCOL_OFFSET },
    { code: JEQ, jt: 0, jf: 5, k: ipv4.PROTOCOL_TCP },
    { code: LD_H_ABS, jt: 0, jf: 0, k: packet + ipv4.FLAGS_OFFSET },
    { code: JSET, jt: 3, jf: 0, k: ipv4.FRAGMENT_OFFSET_MASK },
    { code: LDX_B_MSH, jt: 0, jf: 0, k: packet },
    { code: LD_B_IND, jt: 0, jf: 0, k: packet + tcp.FLAGS_OFFSET },
    { code: JSET, jt: 0, jf: 1, k: tcp.FLAG_SYN | tcp.FLAG_RST },
    { code: RET, jt: 0, jf: 0, k: WHOLE_PACKET },
    { code: RET, jt: 0, jf: 0, k: 0 },
  ];
}
