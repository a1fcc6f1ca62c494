/** Flow lines: what a `FlowBatch` says of each flow, by name. */
import { IPV4_WORD } from "../access/inner_address.ts";
import { HIGHER, KEY_WORDS, KIND, PORTS } from "../access/packet_facts.ts";
import { type HostAddress, ipv6At } from "../wire/host_address.ts";
import { PROTOCOL_ICMP, PROTOCOL_TCP, PROTOCOL_UDP } from "../wire/ipv4.ts";
import { FIGURES, type FlowBatch, WORDS } from "./flow_meter.ts";

/** The protocol, of the word of the kind. */
const PROTOCOL_MASK = 0xff;

/** A flow, or a part of one: the source is the end that sent its first packet. */
export interface FlowLine {
  /** Unix ms, of its first packet and of its last one. */
  readonly begun: number;
  readonly ended: number;
  /** As in `tcp`, or a number. */
  readonly protocol: string;
  readonly source: HostAddress;
  /** Null for a protocol without ports. */
  readonly sourcePort: number | null;
  readonly destination: HostAddress;
  readonly destinationPort: number | null;
  /** Bytes of packets inside, from the source and to it. */
  readonly sent: number;
  readonly received: number;
}

export function* flowLines({ words, figures }: FlowBatch): Generator<FlowLine> {
  const view = new DataView(new ArrayBuffer(16));
  for (let i = 0; i * WORDS < words.length; i++) {
    const at = i * WORDS;
    const [begun, ended, sent, received] = figures.subarray(i * FIGURES, (i + 1) * FIGURES);
    const lower = addressAt(words, at, view);
    const higher = addressAt(words, at + HIGHER, view);
    const protocol = words[at + KIND]! & PROTOCOL_MASK;
    const hasPorts = protocol === PROTOCOL_TCP || protocol === PROTOCOL_UDP;
    const lowerPort = hasPorts ? words[at + PORTS]! >>> 16 : null;
    const higherPort = hasPorts ? words[at + PORTS]! & 0xffff : null;
    const isFromLower = words[at + KEY_WORDS] === 1;
    yield {
      begun: begun!,
      ended: ended!,
      protocol: nameOf(protocol),
      source: isFromLower ? lower : higher,
      sourcePort: isFromLower ? lowerPort : higherPort,
      destination: isFromLower ? higher : lower,
      destinationPort: isFromLower ? higherPort : lowerPort,
      sent: sent!,
      received: received!,
    };
  }
}

function addressAt(words: Int32Array, at: number, view: DataView): HostAddress {
  if (words[at] === 0 && words[at + 1] === 0 && words[at + 2] === IPV4_WORD) {
    return words[at + 3]! >>> 0;
  }
  for (let i = 0; i < 4; i++) view.setInt32(4 * i, words[at + i]!);
  return ipv6At(view, 0);
}

/** ICMPv6 is ICMP here, as in access rules. */
function nameOf(protocol: number): string {
  if (protocol === PROTOCOL_TCP) return "tcp";
  if (protocol === PROTOCOL_UDP) return "udp";
  return protocol === PROTOCOL_ICMP ? "icmp" : String(protocol);
}
