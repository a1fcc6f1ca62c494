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
 * @param packet offset of an IPv4 packet that has passed `checkIpv4`
 * @param length bytes
 */
export function describePacket(view: DataView, packet: number, length: number): string {
  const source = formatIpv4(ipv4.sourceAddress(view, packet));
  const destination = formatIpv4(ipv4.destinationAddress(view, packet));
  const rest = `ttl ${ipv4.timeToLive(view, packet)}, id ${ipv4.identification(view, packet)}`;
  const fragment = ipv4.fragmentOffset(view, packet);
  if (fragment !== 0) {
    return `${length} bytes, ${source} > ${destination} fragment at ${fragment * 8}, ${rest}`;
  }
  const transport = packet + ipv4.headerSize(view, packet);
  switch (ipv4.protocol(view, packet)) {
    case ipv4.PROTOCOL_TCP: {
      const flags = tcp.flags(view, transport);
      const letters = TCP_FLAG_LETTERS.filter(([bit]) => (flags & bit) !== 0)
        .map(([, letter]) => letter).join("");
      return `${length} bytes, ${source}:${tcp.sourcePort(view, transport)} > ` +
        `${destination}:${tcp.destinationPort(view, transport)} TCP [${letters}] ` +
        `seq ${tcp.sequenceNumber(view, transport)} ` +
        `ack ${tcp.acknowledgmentNumber(view, transport)}, ${rest}`;
    }
    case ipv4.PROTOCOL_UDP:
      return `${length} bytes, ${source}:${udp.sourcePort(view, transport)} > ` +
        `${destination}:${udp.destinationPort(view, transport)} UDP, ${rest}`;
    case ipv4.PROTOCOL_ICMP:
      return `${length} bytes, ${source} > ${destination} ICMP ` +
        `${icmp.type(view, transport)}/${icmp.code(view, transport)} ` +
        `id ${icmp.identifier(view, transport)}, ${rest}`;
    default:
      return `${length} bytes, ${source} > ${destination} protocol ` +
        `${ipv4.protocol(view, packet)}, ${rest}`;
  }
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
