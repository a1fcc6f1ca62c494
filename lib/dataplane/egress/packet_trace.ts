/**
 * Packet trace: describes a packet for trace logs, by its headers as they stand in memory, never its payload.
 *
 * Gateways are hard to debug when a log tells what was meant to be sent. So this reads the bytes that the kernel was
 * given.
 */
import { LineBudget } from "../../core/limits/line_budget.ts";
import * as icmp from "../../core/wire/icmp.ts";
import * as ipv4 from "../../core/wire/ipv4.ts";
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import { bracketed, ipv6At } from "../../core/wire/host_address.ts";
import * as icmpv6 from "../../core/wire/icmpv6.ts";
import * as ipv6 from "../../core/wire/ipv6.ts";
import * as tcp from "../../core/wire/tcp.ts";
import * as udp from "../../core/wire/udp.ts";

const TCP_FLAG_LETTERS = [
  [tcp.FLAG_SYN, "S"],
  [tcp.FLAG_FIN, "F"],
  [tcp.FLAG_RST, "R"],
  [tcp.FLAG_PSH, "P"],
  [tcp.FLAG_ACK, "."],
] as const;

/**
 * One line such as `60 bytes, 203.0.113.1:20021 > 203.0.113.9:80 TCP [S] seq 1 ack 0, ttl 63, id 7`.
 *
 * @param packet offset of a packet that has passed the checks of its family
 * @param length bytes
 */
export function describePacket(view: DataView, packet: number, length: number): string {
  return ipv6.isIpv6(view, packet)
    ? describeIpv6(view, packet, length)
    : describeIpv4(view, packet, length);
}

function describeIpv4(view: DataView, packet: number, length: number): string {
  const source = formatIpv4(ipv4.sourceAddress(view, packet));
  const destination = formatIpv4(ipv4.destinationAddress(view, packet));
  const rest = `ttl ${ipv4.timeToLive(view, packet)}, id ${ipv4.identification(view, packet)}`;
  const fragment = ipv4.fragmentOffset(view, packet);
  if (fragment !== 0) {
    return `${length} bytes, ${source} > ${destination} fragment at ${fragment * 8}, ${rest}`;
  }
  const transport = packet + ipv4.headerSize(view, packet);
  switch (ipv4.protocol(view, packet)) {
    case ipv4.PROTOCOL_TCP:
      return `${length} bytes, ${describeTcp(view, transport, source, destination)}, ${rest}`;
    case ipv4.PROTOCOL_UDP:
      return `${length} bytes, ${describeUdp(view, transport, source, destination)}, ${rest}`;
    case ipv4.PROTOCOL_ICMP:
      return `${length} bytes, ${source} > ${destination} ICMP ` +
        `${icmp.type(view, transport)}/${icmp.code(view, transport)} ` +
        `id ${icmp.identifier(view, transport)}, ${rest}`;
    default:
      return `${length} bytes, ${source} > ${destination} protocol ` +
        `${ipv4.protocol(view, packet)}, ${rest}`;
  }
}

/** The same of IPv6, as in `[2001:db8::1]:20021 > [2001:db8::9]:80`. */
function describeIpv6(view: DataView, packet: number, length: number): string {
  const source = bracketed(ipv6At(view, packet + ipv6.SOURCE_ADDRESS_OFFSET));
  const destination = bracketed(ipv6At(view, packet + ipv6.DESTINATION_ADDRESS_OFFSET));
  const rest = `hop limit ${ipv6.hopLimit(view, packet)}`;
  const upper = ipv6.upperLayer(view, packet);
  if (ipv6.isLaterFragment(upper)) {
    return `${length} bytes, ${source} > ${destination} later fragment, ${rest}`;
  }
  const transport = packet + ipv6.headersSizeOf(upper);
  switch (ipv6.protocolOf(upper)) {
    case ipv4.PROTOCOL_TCP:
      return `${length} bytes, ${describeTcp(view, transport, source, destination)}, ${rest}`;
    case ipv4.PROTOCOL_UDP:
      return `${length} bytes, ${describeUdp(view, transport, source, destination)}, ${rest}`;
    case ipv6.PROTOCOL_ICMPV6:
      return `${length} bytes, ${source} > ${destination} ICMPv6 ` +
        `${icmpv6.type(view, transport)}/${view.getUint8(transport + icmpv6.CODE_OFFSET)} ` +
        `id ${icmpv6.identifier(view, transport)}, ${rest}`;
    default:
      return `${length} bytes, ${source} > ${destination} protocol ` +
        `${ipv6.protocolOf(upper)}, ${rest}`;
  }
}

function describeTcp(view: DataView, at: number, source: string, destination: string): string {
  return `${source}:${tcp.sourcePort(view, at)} > ${destination}:${
    tcp.destinationPort(view, at)
  } ` +
    describeSegment(view, at);
}

function describeUdp(view: DataView, at: number, source: string, destination: string): string {
  return `${source}:${udp.sourcePort(view, at)} > ${destination}:${
    udp.destinationPort(view, at)
  } UDP`;
}

function describeSegment(view: DataView, segment: number): string {
  const flags = tcp.flags(view, segment);
  const letters = TCP_FLAG_LETTERS.filter(([bit]) => (flags & bit) !== 0)
    .map(([, letter]) => letter).join("");
  return `TCP [${letters}] seq ${tcp.sequenceNumber(view, segment)} ` +
    `ack ${tcp.acknowledgmentNumber(view, segment)}`;
}

/** Lines about single packets in a second. */
const MAX_LINES = 1_000;

/** Lines of a trace, of which there are more than anybody can write. */
export class TraceLines {
  readonly #write: (line: string) => void;
  readonly #budget: LineBudget;

  /** @param threads that write a trace together */
  constructor(write: (line: string) => void, threads = 1) {
    this.#write = write;
    this.#budget = new LineBudget(Math.ceil(MAX_LINES / threads));
  }

  /** Writes a line if it may be written. `now` is monotonic ms. */
  add(line: string, now: number): void {
    if (!this.#budget.take(now)) return;
    const suppressed = this.#budget.takeSuppressed();
    this.#write(suppressed === 0 ? line : `${line} (${suppressed} earlier lines omitted)`);
  }
}
