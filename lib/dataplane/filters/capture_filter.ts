/** Capture filter: has the kernel take what the NAT may have a use for, and nothing else, before it costs anything. */
import type { PortRange } from "../../core/wire/port_range.ts";
import type { BpfInstruction } from "../../../ffi/sockets/packet_filter.ts";
import {
  FRAGMENT_OFFSET_MASK,
  PROTOCOL_ICMP,
  PROTOCOL_TCP,
  PROTOCOL_UDP,
} from "../../core/wire/ipv4.ts";
import {
  JA,
  JEQ,
  JGE,
  JGT,
  JSET,
  jump,
  LD_B_ABS,
  LD_H_ABS,
  LD_H_IND,
  LD_W_ABS,
  LDX_B_MSH,
  MAX_INSTRUCTIONS,
  RET,
  SKF_AD_PROTOCOL,
  statement,
  WHOLE_PACKET,
} from "./bpf.ts";
import { ETH_P_IP, ETH_P_IPV6 } from "../../../ffi/socket_constants.ts";
import { ipv6Bytes, type Ipv6Text } from "../../core/wire/host_address.ts";
import * as icmpv6 from "../../core/wire/icmpv6.ts";
import * as ipv6 from "../../core/wire/ipv6.ts";

/** Which ports of each protocol lead to clients; both ends of a range included, host order. */
export interface CapturedPorts {
  readonly tcp: readonly PortRange[];
  readonly udp: readonly PortRange[];
}

/**
 * Makes the program: IPv4 to `address` (host order) that is ICMP, a later fragment, or TCP or UDP to one of the ports;
 * and all of IPv4 to the `virtual` addresses.
 *
 * The offsets are those of an IPv4 header: flags at 6, protocol at 9, destination at 16; the ports stand behind it. A
 * load beyond the packet's end drops it. Conditional jumps reach 255 instructions, so each block returns by itself, and
 * only the way to the second one is a long jump.
 *
 * @param linkHeaderSize bytes before the IPv4 header, as the packet socket shows them: PACKET_VNET_HDR is for those
 * only that show the link-layer header
 * @throws {RangeError} when there are more ports than a program can name
 */
export function captureFilter(
  address: number,
  ports: CapturedPorts,
  linkHeaderSize: number,
  virtual: readonly number[] = [],
): BpfInstruction[] {
  const tcp = portBlock(ports.tcp, linkHeaderSize);
  const program = [
    { code: LD_H_ABS, jt: 0, jf: 0, k: SKF_AD_PROTOCOL },
    { code: JEQ, jt: 1, jf: 0, k: ETH_P_IP },
    { code: RET, jt: 0, jf: 0, k: 0 },
    { code: LD_W_ABS, jt: 0, jf: 0, k: linkHeaderSize + 16 },
    ...virtual.flatMap((each) => [
      { code: JEQ, jt: 0, jf: 1, k: each },
      { code: RET, jt: 0, jf: 0, k: WHOLE_PACKET },
    ]),
    { code: JEQ, jt: 0, jf: 4, k: address },
    { code: LD_B_ABS, jt: 0, jf: 0, k: linkHeaderSize + 9 },
    { code: JEQ, jt: 3, jf: 0, k: PROTOCOL_ICMP },
    { code: JEQ, jt: 4, jf: 0, k: PROTOCOL_TCP },
    { code: JEQ, jt: 2, jf: 0, k: PROTOCOL_UDP },
    { code: RET, jt: 0, jf: 0, k: 0 },
    { code: RET, jt: 0, jf: 0, k: WHOLE_PACKET },
    { code: JA, jt: 0, jf: 0, k: tcp.length },
    ...tcp,
    ...portBlock(ports.udp, linkHeaderSize),
  ];
  if (program.length > MAX_INSTRUCTIONS) {
    throw new RangeError(
      "Cannot filter for so many forwarded ports: use fewer lines of Forward",
    );
  }
  return program;
}

/** Decides by fragment offset and destination port. */
function portBlock(ranges: readonly PortRange[], linkHeaderSize: number): BpfInstruction[] {
  return [
    { code: LD_H_ABS, jt: 0, jf: 0, k: linkHeaderSize + 6 },
    { code: JSET, jt: 0, jf: 1, k: FRAGMENT_OFFSET_MASK },
    { code: RET, jt: 0, jf: 0, k: WHOLE_PACKET },
    { code: LDX_B_MSH, jt: 0, jf: 0, k: linkHeaderSize },
    // The destination port: two bytes into the transport header.
    { code: LD_H_IND, jt: 0, jf: 0, k: linkHeaderSize + 2 },
    ...ranges.flatMap(({ first, last }) => [
      { code: JGE, jt: 0, jf: 2, k: first },
      { code: JGT, jt: 1, jf: 0, k: last },
      { code: RET, jt: 0, jf: 0, k: WHOLE_PACKET },
    ]),
    { code: RET, jt: 0, jf: 0, k: 0 },
  ];
}

/** Bits of the uint16 at 2 of a fragment header: the offset. */
const FRAGMENT_OFFSET6 = 0xfff8;
const REFUSE = statement(RET, 0);
const TAKE = statement(RET, WHOLE_PACKET);

/**
 * The same of IPv6 to `address`: ICMPv6 errors and echo replies, later fragments, TCP or UDP to one of the ports, also
 * in first fragments; and what has other extension headers, of which there is hardly any.
 *
 * @throws {RangeError} when there are more ports than a program can name
 */
export function captureFilter6(
  address: Ipv6Text,
  ports: CapturedPorts,
  linkHeaderSize: number,
): BpfInstruction[] {
  const at = (offset: number) => linkHeaderSize + offset;
  const behind = at(ipv6.HEADER_SIZE);
  const destination = new DataView(ipv6Bytes(address).buffer);
  const fragment = [
    statement(LD_H_ABS, behind + 2),
    jump(JSET, FRAGMENT_OFFSET6, 0, 1),
    TAKE,
    ...byProtocol(statement(LD_B_ABS, behind), behind + ipv6.FRAGMENT_HEADER_SIZE, ports),
  ];
  const program = [
    statement(LD_H_ABS, SKF_AD_PROTOCOL),
    jump(JEQ, ETH_P_IPV6, 1, 0),
    REFUSE,
    ...[0, 4, 8, 12].flatMap((word) => [
      statement(LD_W_ABS, at(ipv6.DESTINATION_ADDRESS_OFFSET + word)),
      jump(JEQ, destination.getUint32(word), 1, 0),
      REFUSE,
    ]),
    statement(LD_B_ABS, at(ipv6.NEXT_HEADER_OFFSET)),
    jump(JEQ, ipv6.DESTINATION_OPTIONS, 2, 0),
    jump(JEQ, ipv6.ROUTING, 1, 0),
    statement(JA, 1),
    TAKE,
    jump(JEQ, ipv6.FRAGMENT, 1, 0),
    statement(JA, fragment.length),
    ...fragment,
    ...byProtocol(statement(LD_B_ABS, at(ipv6.NEXT_HEADER_OFFSET)), behind, ports),
  ];
  if (program.length > MAX_INSTRUCTIONS) {
    throw new RangeError(
      "Cannot filter for so many forwarded ports: use fewer lines of Forward6",
    );
  }
  return program;
}

/** Decides by the protocol, which `load` loads, and the header of it at `transport`. */
function byProtocol(
  load: BpfInstruction,
  transport: number,
  ports: CapturedPorts,
): BpfInstruction[] {
  const icmp = [
    statement(LD_B_ABS, transport),
    jump(JEQ, icmpv6.TYPE_ECHO_REPLY, 1, 0),
    jump(JGE, icmpv6.TYPE_ECHO, 1, 0),
    TAKE,
    REFUSE,
  ];
  const tcp = portsAt(transport, ports.tcp);
  const udp = portsAt(transport, ports.udp);
  return [
    load,
    ...unlessSkipped(ipv6.PROTOCOL_ICMPV6, icmp),
    ...unlessSkipped(PROTOCOL_TCP, tcp),
    ...unlessSkipped(PROTOCOL_UDP, udp),
    REFUSE,
  ];
}

/** A block, which decides, for what has been loaded; all else jumps over it, as far as that may be. */
function unlessSkipped(value: number, block: readonly BpfInstruction[]): BpfInstruction[] {
  return [jump(JEQ, value, 1, 0), statement(JA, block.length), ...block];
}

function portsAt(transport: number, ranges: readonly PortRange[]): BpfInstruction[] {
  return [
    // The destination port.
    statement(LD_H_ABS, transport + 2),
    ...ranges.flatMap(({ first, last }) => [
      jump(JGE, first, 0, 2),
      jump(JGT, last, 1, 0),
      TAKE,
    ]),
    REFUSE,
  ];
}
