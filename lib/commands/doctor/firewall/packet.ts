/**
 * Supposed packet: what is known of a packet that a firewall is asked about; the rest is like nothing that a rule
 * names.
 */
import { addressBytes, type HostAddress, isIpv6 } from "../../../core/wire/host_address.ts";
import * as ipv4 from "../../../core/wire/ipv4.ts";
import * as ipv6 from "../../../core/wire/ipv6.ts";

const TIME_TO_LIVE = 64;
/** A port that a client may have: none of a service, and none that programs bind. */
export const CLIENT_PORT = 49_999;

/** As tables of the firewall name it. */
export type PacketFamily = "ip" | "ip6";

export interface PacketOptions {
  /** To be given where no address is; IPv4 if not. */
  readonly family?: PacketFamily;
  readonly protocol: "udp" | "tcp";
  /** Null for somebody of whom nothing is known. */
  readonly source: HostAddress | null;
  readonly destination: HostAddress | null;
  readonly sourcePort?: number;
  readonly destinationPort: number;
  /** Names of interfaces; null for none, or one of which nothing is known. */
  readonly input: string | null;
  readonly output: string | null;
  /** Whether connection tracking knows the connection already. */
  readonly isEstablished?: boolean;
  /** Whether a rule of ours has given it the destination that it has (destination NAT). */
  readonly isRedirected?: boolean;
  /** Whether the destination is this host. */
  readonly isLocal: boolean;
  /**
   * Whether an answer would leave by the interface that it came by only if it had the mark of the packet: so it is
   * under a full tunnel.
   */
  readonly needsMark?: boolean;
}

/** Bytes, of which some are known. */
export interface PartlyKnown {
  readonly bytes: Uint8Array;
  /** 0xff where the byte is known, 0 where it may be anything. */
  readonly known: Uint8Array;
}

/** A packet without payload. */
export class SupposedPacket {
  readonly options: PacketOptions;
  readonly family: PacketFamily;
  /** Its IP header. */
  readonly network: PartlyKnown;
  /** The header of UDP or TCP: what both have in the same place. */
  readonly transport: PartlyKnown;
  /** `IPPROTO_*`. */
  readonly protocol: number;
  readonly sourcePort: number;

  constructor(options: PacketOptions) {
    this.options = options;
    const { source, destination } = options;
    const address = source ?? destination;
    this.family = options.family ?? (address !== null && isIpv6(address) ? "ip6" : "ip");
    this.protocol = options.protocol === "udp" ? ipv4.PROTOCOL_UDP : ipv4.PROTOCOL_TCP;
    this.sourcePort = options.sourcePort ?? CLIENT_PORT;
    this.network = this.family === "ip"
      ? ipv4Header(options, this.protocol)
      : ipv6Header(options, this.protocol);
    const ports = new Uint8Array(20);
    const view = new DataView(ports.buffer);
    view.setUint16(0, this.sourcePort);
    view.setUint16(2, options.destinationPort);
    const known = new Uint8Array(20).fill(0xff, 0, 4);
    if (options.protocol === "tcp") {
      // Flags: SYN begins a connection, ACK goes on with it (RFC 9293 section 3.1).
      ports[13] = options.isEstablished === true ? 0x10 : 0x02;
      known[13] = 0xff;
    }
    this.transport = { bytes: ports, known };
  }
}

function ipv4Header({ source, destination }: PacketOptions, protocol: number): PartlyKnown {
  const bytes = new Uint8Array(ipv4.MIN_HEADER_SIZE);
  const known = new Uint8Array(ipv4.MIN_HEADER_SIZE).fill(0xff);
  bytes[0] = 0x45;
  bytes[ipv4.TIME_TO_LIVE_OFFSET] = TIME_TO_LIVE;
  bytes[ipv4.PROTOCOL_OFFSET] = protocol;
  putAddress({ bytes, known }, ipv4.SOURCE_ADDRESS_OFFSET, { address: source, size: 4 });
  putAddress({ bytes, known }, ipv4.DESTINATION_ADDRESS_OFFSET, { address: destination, size: 4 });
  // Length, identification and checksum may be anything.
  for (const offset of [2, 3, 4, 5, 10, 11]) known[offset] = 0;
  return { bytes, known };
}

function ipv6Header({ source, destination }: PacketOptions, protocol: number): PartlyKnown {
  const bytes = new Uint8Array(ipv6.HEADER_SIZE);
  const known = new Uint8Array(ipv6.HEADER_SIZE).fill(0xff);
  bytes[0] = 0x60;
  bytes[ipv6.NEXT_HEADER_OFFSET] = protocol;
  bytes[ipv6.HOP_LIMIT_OFFSET] = TIME_TO_LIVE;
  putAddress({ bytes, known }, ipv6.SOURCE_ADDRESS_OFFSET, { address: source, size: 16 });
  putAddress({ bytes, known }, ipv6.DESTINATION_ADDRESS_OFFSET, { address: destination, size: 16 });
  // Flow label and length may be anything.
  for (const offset of [2, 3, 4, 5]) known[offset] = 0;
  return { bytes, known };
}

function putAddress(
  { bytes, known }: PartlyKnown,
  offset: number,
  { address, size }: { readonly address: HostAddress | null; readonly size: number },
): void {
  if (address === null) known.fill(0, offset, offset + size);
  else bytes.set(addressBytes(address), offset);
}
