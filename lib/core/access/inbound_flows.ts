/**
 * Inbound flows: whom outside a client may answer, though it may not go there by itself. A neighbour of the gateway's
 * that uses a forwarded port gets its answers, and nothing else of the client's.
 *
 * The sender's address may be forged, by an accomplice of the client's: so a client may answer connections of TCP, but
 * begin none.
 *
 * A table of fixed size in which a newer flow takes an older one's place: its next packet from outside puts it back, so
 * that one who fills the table delays others by a packet and cuts nobody off. Places are chosen by a secret seed.
 */
import { hash } from "../wire/hash.ts";
import { isLaterFragment } from "../nat/rewrite.ts";
import * as ipv4 from "../wire/ipv4.ts";
import * as tcp from "../wire/tcp.ts";
import * as udp from "../wire/udp.ts";

/** A power of two. */
const PLACES = 4096;
/** Bytes of the table. */
export const INBOUND_FLOWS_SIZE: number = 21 * PLACES;
/** ms after the last packet from outside: what RFC 4787 REQ-5 and RFC 5382 REQ-5 ask of a NAT. */
const UDP_TIMEOUT = 300_000;
const TCP_TIMEOUT = 7_440_000;
/** Stands for the ports of fragments that have none: without the first one, nobody can make anything of them. */
const NO_PORTS = 0;

export class InboundFlows {
  readonly #view: DataView;
  readonly #seed: number;
  /** By place. */
  readonly #clients: Int32Array;
  readonly #remotes: Int32Array;
  /** The client's port in the upper half. */
  readonly #ports: Int32Array;
  /** 0 where there is no flow. */
  readonly #protocols: Uint8Array;
  readonly #ends: Float64Array;

  /**
   * @param seed 32 random bits
   * @param memory `INBOUND_FLOWS_SIZE` zero bytes, where threads with the same seed have one table together: a packet
   * and its answer may pass in two of them. One that reads what another is writing finds no flow; the next packet does
   */
  constructor(
    view: DataView,
    seed: number,
    memory: ArrayBufferLike = new ArrayBuffer(INBOUND_FLOWS_SIZE),
  ) {
    this.#view = view;
    this.#seed = seed | 0;
    this.#ends = new Float64Array(memory, 0, PLACES);
    this.#clients = new Int32Array(memory, 8 * PLACES, PLACES);
    this.#remotes = new Int32Array(memory, 12 * PLACES, PLACES);
    this.#ports = new Int32Array(memory, 16 * PLACES, PLACES);
    this.#protocols = new Uint8Array(memory, 20 * PLACES, PLACES);
  }

  /** Takes note of a packet from outside, as the client gets it; it has passed `checkIpv4()`. */
  note(packet: number, now: number): void {
    const view = this.#view;
    const protocol = ipv4.protocol(view, packet);
    const end = now + (protocol === ipv4.PROTOCOL_TCP ? TCP_TIMEOUT : UDP_TIMEOUT);
    const client = view.getInt32(packet + ipv4.DESTINATION_ADDRESS_OFFSET);
    const remote = view.getInt32(packet + ipv4.SOURCE_ADDRESS_OFFSET);
    this.#put(client, remote, NO_PORTS, protocol, end);
    if (!hasPorts(protocol) || isLaterFragment(view, packet)) return;
    const transport = packet + ipv4.headerSize(view, packet);
    const ports = view.getUint16(transport + udp.DESTINATION_PORT_OFFSET) << 16 |
      view.getUint16(transport + udp.SOURCE_PORT_OFFSET);
    this.#put(client, remote, ports, protocol, end);
  }

  /** Whether a client's packet is an answer. */
  admits(packet: number, now: number): boolean {
    const view = this.#view;
    const protocol = ipv4.protocol(view, packet);
    if (!hasPorts(protocol)) return false;
    const client = view.getInt32(packet + ipv4.SOURCE_ADDRESS_OFFSET);
    const remote = view.getInt32(packet + ipv4.DESTINATION_ADDRESS_OFFSET);
    const transport = packet + ipv4.headerSize(view, packet);
    const isLater = isLaterFragment(view, packet);
    if (protocol === ipv4.PROTOCOL_TCP && !isLater && isFirst(tcp.flags(view, transport))) {
      return false;
    }
    const ports = isLater ? NO_PORTS : view.getInt32(transport + udp.SOURCE_PORT_OFFSET);
    const place = this.#placeOf(client, remote, ports, protocol);
    return this.#protocols[place] === protocol && this.#clients[place] === client &&
      this.#remotes[place] === remote && this.#ports[place] === ports && now < this.#ends[place];
  }

  #put(client: number, remote: number, ports: number, protocol: number, end: number): void {
    const place = this.#placeOf(client, remote, ports, protocol);
    this.#clients[place] = client;
    this.#remotes[place] = remote;
    this.#ports[place] = ports;
    this.#protocols[place] = protocol;
    this.#ends[place] = end;
  }

  #placeOf(client: number, remote: number, ports: number, protocol: number): number {
    return hash(hash(client, remote, this.#seed), ports ^ protocol, this.#seed) & (PLACES - 1);
  }
}

function hasPorts(protocol: number): boolean {
  return protocol === ipv4.PROTOCOL_TCP || protocol === ipv4.PROTOCOL_UDP;
}

/** Whether a segment asks for a connection: SYN without ACK. */
function isFirst(flags: number): boolean {
  return (flags & tcp.FLAG_SYN) !== 0 && (flags & tcp.FLAG_ACK) === 0;
}
