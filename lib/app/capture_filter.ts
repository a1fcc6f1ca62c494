/** Owns the BPF program that lets through what the NAT may have a use for, and nothing else, before it costs anything. */
import type { BpfInstruction } from "../../ffi/packet_socket.ts";
import type { PortRange } from "../nat/nat_options.ts";
import { FRAGMENT_OFFSET_MASK, PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "../wire/ipv4.ts";

// include/uapi/linux/bpf_common.h, filter.h
const LD_W_ABS = 0x20;
const LD_H_ABS = 0x28;
const LD_B_ABS = 0x30;
const LD_H_IND = 0x48;
const LDX_B_MSH = 0xb1;
const JEQ = 0x15;
const JGT = 0x25;
const JGE = 0x35;
const JSET = 0x45;
const RET = 0x06;
/** Loads the frame's protocol, wherever the link-layer header has it, and where there is none. */
const SKF_AD_PROTOCOL = 0xfffff000;
const ETH_P_IP = 0x0800;
const WHOLE_PACKET = 0xffff_ffff;

/** Which ports of each protocol lead to clients; both ends of a range included, host order. */
export interface CapturedPorts {
  readonly tcp: readonly PortRange[];
  readonly udp: readonly PortRange[];
}

/** An instruction whose jumps name labels. */
interface Line {
  readonly label?: string;
  readonly code: number;
  readonly k: number;
  readonly yes?: string;
  readonly no?: string;
}

/**
 * Makes the program: IPv4 to `address` (host order) that is ICMP, a later fragment, or TCP or UDP to one of the ports.
 *
 * @param linkHeaderSize bytes before the IPv4 header
 *
 * The offsets are those of an IPv4 header: flags at 6, protocol at 9, destination at 16; the ports stand behind it.
 */
export function captureFilter(
  address: number,
  ports: CapturedPorts,
  linkHeaderSize: number,
): BpfInstruction[] {
  return assemble([
    { code: LD_H_ABS, k: SKF_AD_PROTOCOL },
    { code: JEQ, k: ETH_P_IP, no: "drop" },
    { code: LD_W_ABS, k: linkHeaderSize + 16 },
    { code: JEQ, k: address, no: "drop" },
    { code: LD_B_ABS, k: linkHeaderSize + 9 },
    { code: JEQ, k: PROTOCOL_ICMP, yes: "accept" },
    { code: JEQ, k: PROTOCOL_TCP, yes: "tcp" },
    { code: JEQ, k: PROTOCOL_UDP, yes: "udp", no: "drop" },
    ...portLines("tcp", ports.tcp, linkHeaderSize),
    ...portLines("udp", ports.udp, linkHeaderSize),
    { label: "accept", code: RET, k: WHOLE_PACKET },
    { label: "drop", code: RET, k: 0 },
  ]);
}

function portLines(
  label: string,
  ranges: readonly PortRange[],
  linkHeaderSize: number,
): Line[] {
  const lines: Line[] = [
    { label, code: LD_H_ABS, k: linkHeaderSize + 6 },
    { code: JSET, k: FRAGMENT_OFFSET_MASK, yes: "accept" },
    { code: LDX_B_MSH, k: linkHeaderSize },
    // The destination port: two bytes into the transport header.
    { code: LD_H_IND, k: linkHeaderSize + 2 },
  ];
  ranges.forEach(({ first, last }, index) => {
    const next = `${label}-${index + 1}`;
    lines.push(
      { label: `${label}-${index}`, code: JGE, k: first, no: next },
      { code: JGT, k: last, yes: next },
      { code: RET, k: WHOLE_PACKET },
    );
  });
  lines.push({ label: `${label}-${ranges.length}`, code: RET, k: 0 });
  return lines;
}

function assemble(lines: readonly Line[]): BpfInstruction[] {
  const labels = new Map<string, number>();
  lines.forEach(({ label }, index) => {
    if (label !== undefined) labels.set(label, index);
  });
  return lines.map(({ code, k, yes, no }, index) => {
    const distance = (label?: string) => {
      const jump = label === undefined ? 0 : (labels.get(label) ?? index + 1) - index - 1;
      // Jumps have eight bits.
      if (jump > 255) throw new RangeError("Cannot filter for that many forwarded ports");
      return jump;
    };
    return { code, jt: distance(yes), jf: distance(no), k };
  });
}
