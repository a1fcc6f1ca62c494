/**
 * Refusals: what ICMP says of a datagram that did not arrive, "destination unreachable" (RFC 792), read from the
 * message as it came.
 *
 * Any host that knows our port can send one. So it decides nothing: it is a hint for people, why no answer has come.
 */
import * as icmp from "../../wire/icmp.ts";
import * as ipv4 from "../../wire/ipv4.ts";
import type { HostAddress } from "../../wire/host_address.ts";
import type { SocketAddress } from "../../wire/socket_address.ts";
import * as udp from "../../wire/udp.ts";
import { headerEnd } from "../path/path_claim.ts";

/**
 * `refused`: no program listens at the port. `unreachable`: no route leads there. `prohibited`: a firewall forbids it.
 */
export type RefusalKind = "refused" | "unreachable" | "prohibited";

export interface Refusal {
  readonly kind: RefusalKind;
  /** As in `port unreachable`. */
  readonly words: string;
  /** The sender of the message. */
  readonly from: HostAddress;
}

/** By their code (RFC 792, RFC 1122 section 3.2.2.1, RFC 1812 section 5.2.7.1). "Fragmentation needed" is none. */
const CODES: ReadonlyMap<number, Pick<Refusal, "kind" | "words">> = new Map([
  [0, { kind: "unreachable", words: "network unreachable" }],
  [1, { kind: "unreachable", words: "host unreachable" }],
  [2, { kind: "refused", words: "protocol unreachable" }],
  [3, { kind: "refused", words: "port unreachable" }],
  [6, { kind: "unreachable", words: "network unknown" }],
  [7, { kind: "unreachable", words: "host unknown" }],
  [9, { kind: "prohibited", words: "network administratively prohibited" }],
  [10, { kind: "prohibited", words: "host administratively prohibited" }],
  [13, { kind: "prohibited", words: "communication administratively prohibited" }],
]);

/**
 * What `length` bytes of an ICMP packet, IP header included, say of a datagram from our port to a server.
 *
 * @param server where it was sent; of one with an IPv6 address, ICMP says nothing
 * @returns null where it is about something else
 */
export function readRefusal(
  view: DataView,
  length: number,
  { port, server }: {
    readonly port: number;
    readonly server: SocketAddress;
  },
): Refusal | null {
  const message = headerEnd(view, 0, length);
  if (message < 0 || length < message + icmp.HEADER_SIZE) return null;
  if (icmp.type(view, message) !== icmp.TYPE_DESTINATION_UNREACHABLE) return null;
  const found = CODES.get(icmp.code(view, message));
  const quoted = message + icmp.HEADER_SIZE;
  const transport = headerEnd(view, quoted, length);
  if (found === undefined || transport < 0 || length < transport + udp.HEADER_SIZE) return null;
  const isOurs = ipv4.protocol(view, quoted) === ipv4.PROTOCOL_UDP &&
    ipv4.destinationAddress(view, quoted) >>> 0 === server.address &&
    udp.sourcePort(view, transport) === port &&
    udp.destinationPort(view, transport) === server.port;
  return isOurs ? { ...found, from: ipv4.sourceAddress(view, 0) >>> 0 } : null;
}
