/**
 * Ports of IPv6 in nftables at netdev ingress, where the kernel has yet to put fragments together, and a later one has
 * whatever bytes stand in the ports' place.
 */
import { ETH_P_IPV6 } from "../../socket_constants.ts";
import {
  compare,
  DESTINATION_PORT,
  etherTypeIs,
  type Expression,
  expression,
  isInRange,
  mask,
  NFT_CMP_EQ,
  NFT_CMP_NEQ,
  NFT_PAYLOAD_NETWORK_HEADER,
  NFT_REG_1,
  payload,
  transportIs,
} from "./nftables_expressions.ts";

const NFTA_EXTHDR_DREG = 1;
const NFTA_EXTHDR_TYPE = 2;
const NFTA_EXTHDR_OFFSET = 3;
const NFTA_EXTHDR_LEN = 4;
const NFTA_EXTHDR_FLAGS = 5;
const NFT_EXTHDR_F_PRESENT = 1;

const NEXT_HEADER = { base: NFT_PAYLOAD_NETWORK_HEADER, offset: 6, length: 1 };
const IPPROTO_FRAGMENT = 44;
/** Of a fragment header: what has the offset, and its bits there. */
const FRAGMENT_OFFSET = { offset: 2, length: 2 };
const FRAGMENT_OFFSET_MASK = Uint8Array.of(0xff, 0xf8);

/**
 * Rules of which each matches some of the packets to these ports: `ip6 nexthdr P th dport F-L`; and where other headers
 * stand in front, in whatever order, as the host's stack walks through them all, too: `ip6 nexthdr != P meta l4proto P
 * exthdr frag missing th dport F-L`, and `frag frag-off 0` in place of "missing" for first fragments. The kernel does
 * not look behind an authentication header here; its stack, which has no key for it, answers by no port.
 */
export function ipv6PortsAtIngress(
  protocol: number,
  destination: { readonly first: number; readonly last: number },
): Expression[][] {
  const ports = isInRange(payload(DESTINATION_PORT), destination);
  const isBehind = [...nextHeader(NFT_CMP_NEQ, protocol), ...transportIs(protocol)];
  return [
    [...nextHeader(NFT_CMP_EQ, protocol), ...ports],
    [...isBehind, ...isNoFragment(), ...ports],
    [...isBehind, ...isFirstFragment(), ...ports],
  ].map((rule) => [...etherTypeIs(ETH_P_IPV6), ...rule]);
}

function nextHeader(operation: number, value: number): Expression[] {
  return [payload(NEXT_HEADER), compare(operation, Uint8Array.of(value))];
}

function isNoFragment(): Expression[] {
  const load = fragmentHeader({ offset: 0, length: 1 }, NFT_EXTHDR_F_PRESENT);
  return [load, compare(NFT_CMP_EQ, Uint8Array.of(0))];
}

/** Of a packet without the header, the load ends the rule. */
function isFirstFragment(): Expression[] {
  return [
    fragmentHeader(FRAGMENT_OFFSET),
    mask(FRAGMENT_OFFSET_MASK),
    compare(NFT_CMP_EQ, new Uint8Array(FRAGMENT_OFFSET_MASK.length)),
  ];
}

/** Loads bytes of the fragment header, wherever it is; or, by the flag, whether there is one. */
function fragmentHeader(
  { offset, length }: { readonly offset: number; readonly length: number },
  flags = 0,
): Expression {
  return expression("exthdr", (data) =>
    data.be32(NFTA_EXTHDR_DREG, NFT_REG_1)
      .u8(NFTA_EXTHDR_TYPE, IPPROTO_FRAGMENT)
      .be32(NFTA_EXTHDR_OFFSET, offset)
      .be32(NFTA_EXTHDR_LEN, length)
      .be32(NFTA_EXTHDR_FLAGS, flags));
}
