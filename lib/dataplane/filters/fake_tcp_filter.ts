/** Fake-TCP filter: has the kernel take the TCP segments that are for us, on the interfaces that are ours. */
import type { BpfInstruction } from "../../../ffi/sockets/packet_filter.ts";
import type { FakeTcpEndpoints } from "../../core/transport/fake_tcp/endpoints.ts";
import * as ipv4 from "../../core/wire/ipv4.ts";
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
import { ETH_P_IP } from "../../../ffi/socket_constants.ts";

/** Where they arrive. */
export interface FakeTcpInterfaces {
  /** Our addresses. */
  readonly addresses: readonly number[];
  /** The interfaces that IPv4 is spoken on, and the bytes of their link-layer headers. */
  readonly links: readonly { readonly index: number; readonly linkHeaderSize: number }[];
}

const REFUSE = statement(RET, 0);
/** All but DF: that it is a fragment, or may be. */
const FRAGMENT_BITS = ipv4.FLAG_MORE_FRAGMENTS | ipv4.FRAGMENT_OFFSET_MASK;

/** Of the instructions, one in so many may be for an interface, of which each takes two. */
const LINKS_SHARE = 8;

/**
 * Makes the program for a packet socket on all interfaces: whole TCP segments to one of our addresses, from and to the
 * right ports. What a bridge's port, or the interface below a VLAN's, shows of a packet before it comes up is left out:
 * it would be seen twice.
 *
 * @param maxInstructions at least 256
 * @returns the program, and how many of the addresses and interfaces had no room in it: the last ones
 */
export function fakeTcpFilter(
  endpoints: FakeTcpEndpoints,
  places: FakeTcpInterfaces,
  maxInstructions: number = MAX_INSTRUCTIONS,
): { program: BpfInstruction[]; leftOut: number } {
  const links = places.links.slice(0, Math.floor(maxInstructions / LINKS_SHARE));
  const sizes = [...new Set(links.map(({ linkHeaderSize }) => linkHeaderSize))];
  const least = filterOf(endpoints, { addresses: [], links }, sizes).length;
  const room = sizes.length === 0
    ? Infinity
    : Math.floor((maxInstructions - least) / (INSTRUCTIONS_OF_ADDRESS * sizes.length));
  const addresses = places.addresses.slice(0, room);
  return {
    program: filterOf(endpoints, { addresses, links }, sizes),
    leftOut: places.addresses.length - addresses.length + places.links.length - links.length,
  };
}

function filterOf(
  endpoints: FakeTcpEndpoints,
  { addresses, links }: FakeTcpInterfaces,
  sizes: readonly number[],
): BpfInstruction[] {
  const blocks = sizes.map((size) => segmentBlock(endpoints, addresses, size));
  const program = [
    statement(LD_H_ABS, SKF_AD_PROTOCOL),
    jump(JEQ, ETH_P_IP, 1, 0),
    REFUSE,
    statement(LD_B_ABS, SKF_AD_VLAN_TAG_PRESENT),
    jump(JEQ, 0, 1, 0),
    REFUSE,
    statement(LD_W_ABS, SKF_AD_IFINDEX),
  ];
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

/** In each block. */
const INSTRUCTIONS_OF_ADDRESS = 2;

/** Decides by the headers of a packet that begins at `start`. */
function segmentBlock(
  { ports, remote }: FakeTcpEndpoints,
  addresses: readonly number[],
  start: number,
): BpfInstruction[] {
  const isEqual = (k: number) => [jump(JEQ, k, 1, 0), REFUSE];
  return [
    statement(LD_B_ABS, start + ipv4.PROTOCOL_OFFSET),
    ...isEqual(ipv4.PROTOCOL_TCP),
    statement(LD_H_ABS, start + ipv4.FLAGS_OFFSET),
    jump(JSET, FRAGMENT_BITS, 0, 1),
    REFUSE,
    statement(LD_W_ABS, start + ipv4.DESTINATION_ADDRESS_OFFSET),
    ...addresses.flatMap((address, index) => [
      jump(JEQ, address >>> 0, 0, 1),
      statement(JA, (addresses.length - index - 1) * 2 + 1),
    ]),
    REFUSE,
    statement(LDX_B_MSH, start),
    ...remote === null ? [] : [
      statement(LD_W_ABS, start + ipv4.SOURCE_ADDRESS_OFFSET),
      ...isEqual(remote.address >>> 0),
      statement(LD_H_IND, start + tcp.SOURCE_PORT_OFFSET),
      ...isEqual(remote.port),
    ],
    statement(LD_H_IND, start + tcp.DESTINATION_PORT_OFFSET),
    jump(JGE, ports.first, 0, 1),
    jump(JGT, ports.last, 0, 1),
    REFUSE,
    statement(RET, WHOLE_PACKET),
  ];
}
