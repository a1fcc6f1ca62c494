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
  LD_B_ABS,
  LD_H_ABS,
  LD_H_IND,
  LD_W_ABS,
  LDX_B_MSH,
  MAX_INSTRUCTIONS,
  RET,
  SKF_AD_PROTOCOL,
  WHOLE_PACKET,
} from "./bpf.ts";
import { ETH_P_IP } from "../../../ffi/socket_constants.ts";

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
