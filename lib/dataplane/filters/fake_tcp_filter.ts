/** Fake-TCP filter: has the kernel take the TCP segments that are for us, on the interfaces that are ours. */
import type { BpfInstruction } from "../../../ffi/sockets/packet_filter.ts";
import type { FakeTcpEndpoints } from "../../core/transport/fake_tcp/endpoints.ts";
import { type HostAddress, ipv6Bytes, isIpv6 } from "../../core/wire/host_address.ts";
import * as ipv4 from "../../core/wire/ipv4.ts";
import * as ipv6 from "../../core/wire/ipv6.ts";
import * as tcp from "../../core/wire/tcp.ts";
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
  SKF_AD_IFINDEX,
  SKF_AD_PROTOCOL,
  SKF_AD_VLAN_TAG_PRESENT,
  statement,
  WHOLE_PACKET,
} from "./bpf.ts";
import { ETH_P_IP, ETH_P_IPV6 } from "../../../ffi/socket_constants.ts";

/** Where they arrive. */
export interface FakeTcpInterfaces {
  /** Our addresses, of both families. */
  readonly addresses: readonly HostAddress[];
  /** The interfaces that have one, and the bytes of their link-layer headers. */
  readonly links: readonly { readonly index: number; readonly linkHeaderSize: number }[];
}

const REFUSE = statement(RET, 0);
/** All but DF: that it is a fragment, or may be. */
const FRAGMENT_BITS = ipv4.FLAG_MORE_FRAGMENTS | ipv4.FRAGMENT_OFFSET_MASK;

/** Of the instructions, one in so many may be for an interface, of which each takes two for each family. */
const LINKS_SHARE = 8;

/**
 * Makes the program for a packet socket on all interfaces: whole TCP segments to one of our addresses, from and to the
 * right ports. What a bridge's port, or the interface below a VLAN's, shows of a packet before it comes up is left out:
 * it would be seen twice. So is IPv6 with extension headers, which no end of ours sends.
 *
 * @param maxInstructions at least 256
 * @returns the program, and how many of the addresses and interfaces had no room in it: the last ones
 */
export function fakeTcpFilter(
  endpoints: FakeTcpEndpoints,
  places: FakeTcpInterfaces,
  maxInstructions: number = MAX_INSTRUCTIONS,
): { program: BpfInstruction[]; leftOut: number } {
  const families = familiesOf(endpoints, places);
  const links = places.links.slice(
    0,
    Math.floor(maxInstructions / (LINKS_SHARE * families.length)),
  );
  const sizes = [...new Set(links.map(({ linkHeaderSize }) => linkHeaderSize))];
  let room = maxInstructions -
    filterOf(families, endpoints, { addresses: [], links }, sizes).length;
  const wanted = places.addresses.filter((address) => families.includes(familyOf(address)));
  const addresses = wanted.filter((address) =>
    (room -= familyOf(address).instructions * sizes.length) >= 0
  );
  return {
    program: filterOf(families, endpoints, { addresses, links }, sizes),
    leftOut: wanted.length - addresses.length + places.links.length - links.length,
  };
}

/** What differs from family to family. */
interface Family {
  readonly etherType: number;
  /** For each address in a block. */
  readonly instructions: number;
  /** Decides by the headers of a packet that begins at `start`. */
  readonly block: (
    endpoints: FakeTcpEndpoints,
    addresses: readonly HostAddress[],
    start: number,
  ) => BpfInstruction[];
}

const IPV4: Family = { etherType: ETH_P_IP, instructions: 2, block: ipv4Block };
const IPV6: Family = { etherType: ETH_P_IPV6, instructions: 9, block: ipv6Block };

function familyOf(address: HostAddress): Family {
  return isIpv6(address) ? IPV6 : IPV4;
}

/** The families that segments may be of; at least one. */
function familiesOf(
  { remote }: FakeTcpEndpoints,
  { addresses }: FakeTcpInterfaces,
): readonly Family[] {
  if (remote !== null) return [familyOf(remote.address)];
  return addresses.some(isIpv6) ? [IPV4, IPV6] : [IPV4];
}

function filterOf(
  families: readonly Family[],
  endpoints: FakeTcpEndpoints,
  { addresses, links }: FakeTcpInterfaces,
  sizes: readonly number[],
): BpfInstruction[] {
  return [
    statement(LD_B_ABS, SKF_AD_VLAN_TAG_PRESENT),
    jump(JEQ, 0, 1, 0),
    REFUSE,
    ...families.flatMap((family) => {
      const own = addresses.filter((address) => familyOf(address) === family);
      const blocks = sizes.map((size) => family.block(endpoints, own, size));
      const part = dispatched(blocks, links, sizes);
      return [
        statement(LD_H_ABS, SKF_AD_PROTOCOL),
        jump(JEQ, family.etherType, 1, 0),
        statement(JA, part.length),
        ...part,
      ];
    }),
    REFUSE,
  ];
}

/** Goes to the block for the link-layer header of the interface that a packet has come by. */
function dispatched(
  blocks: readonly BpfInstruction[][],
  links: FakeTcpInterfaces["links"],
  sizes: readonly number[],
): BpfInstruction[] {
  const program = [statement(LD_W_ABS, SKF_AD_IFINDEX)];
  const blocksStart = program.length + links.length * 2 + 1;
  for (const { index, linkHeaderSize } of links) {
    const block = sizes.indexOf(linkHeaderSize);
    const before = blocks.slice(0, block).reduce((sum, { length }) => sum + length, 0);
    program.push(jump(JEQ, index, 0, 1));
    program.push(statement(JA, blocksStart + before - (program.length + 1)));
  }
  program.push(REFUSE, ...blocks.flat());
  return program;
}

function ipv4Block(
  endpoints: FakeTcpEndpoints,
  addresses: readonly HostAddress[],
  start: number,
): BpfInstruction[] {
  const { remote } = endpoints;
  return [
    statement(LD_B_ABS, start + ipv4.PROTOCOL_OFFSET),
    ...isEqual(ipv4.PROTOCOL_TCP),
    statement(LD_H_ABS, start + ipv4.FLAGS_OFFSET),
    jump(JSET, FRAGMENT_BITS, 0, 1),
    REFUSE,
    statement(LD_W_ABS, start + ipv4.DESTINATION_ADDRESS_OFFSET),
    ...addresses.flatMap((address, index) => [
      jump(JEQ, Number(address) >>> 0, 0, 1),
      statement(JA, (addresses.length - index - 1) * IPV4.instructions + 1),
    ]),
    REFUSE,
    statement(LDX_B_MSH, start),
    ...remote === null ? [] : [
      statement(LD_W_ABS, start + ipv4.SOURCE_ADDRESS_OFFSET),
      ...isEqual(Number(remote.address) >>> 0),
    ],
    ...portsAre(endpoints, (offset) => statement(LD_H_IND, start + offset)),
  ];
}

function ipv6Block(
  endpoints: FakeTcpEndpoints,
  addresses: readonly HostAddress[],
  start: number,
): BpfInstruction[] {
  const { remote } = endpoints;
  const segment = start + ipv6.HEADER_SIZE;
  const destination = start + ipv6.DESTINATION_ADDRESS_OFFSET;
  return [
    statement(LD_B_ABS, start + ipv6.NEXT_HEADER_OFFSET),
    ...isEqual(ipv4.PROTOCOL_TCP),
    ...addresses.flatMap((address, index) => [
      // Past what is left of this address where a word is another one.
      ...wordsOf(address).flatMap((word, i) => [
        statement(LD_W_ABS, destination + 4 * i),
        jump(JEQ, word, 0, 7 - 2 * i),
      ]),
      statement(JA, (addresses.length - index - 1) * IPV6.instructions + 1),
    ]),
    REFUSE,
    ...remote === null ? [] : wordsOf(remote.address).flatMap((word, i) => [
      statement(LD_W_ABS, start + ipv6.SOURCE_ADDRESS_OFFSET + 4 * i),
      ...isEqual(word),
    ]),
    ...portsAre(endpoints, (offset) => statement(LD_H_ABS, segment + offset)),
  ];
}

/** @param load loads two bytes of the TCP header */
function portsAre(
  { ports, remote }: FakeTcpEndpoints,
  load: (offset: number) => BpfInstruction,
): BpfInstruction[] {
  return [
    ...remote === null ? [] : [load(tcp.SOURCE_PORT_OFFSET), ...isEqual(remote.port)],
    load(tcp.DESTINATION_PORT_OFFSET),
    jump(JGE, ports.first, 0, 1),
    jump(JGT, ports.last, 0, 1),
    REFUSE,
    statement(RET, WHOLE_PACKET),
  ];
}

function isEqual(value: number): BpfInstruction[] {
  return [jump(JEQ, value, 1, 0), REFUSE];
}

/** The words of an IPv6 address, uint32. */
function wordsOf(address: HostAddress): number[] {
  const view = new DataView(ipv6Bytes(String(address)).buffer);
  return [0, 4, 8, 12].map((at) => view.getUint32(at));
}
