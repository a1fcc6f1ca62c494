/**
 * Ports of IPv6 in nftables at netdev ingress, where the kernel has yet to look at a packet's headers, and a later
 * fragment has whatever bytes stand in the ports' place.
 */
import { ETH_P_IPV6 } from "../../socket_constants.ts";
import {
  compare,
  DESTINATION_PORT,
  etherTypeIs,
  type Expression,
  isInRange,
  mask,
  NFT_CMP_EQ,
  NFT_PAYLOAD_NETWORK_HEADER,
  payload,
  transportIs,
} from "./nftables_expressions.ts";

const NEXT_HEADER = { base: NFT_PAYLOAD_NETWORK_HEADER, offset: 6, length: 1 };
/** Of a fragment header right behind IPv6's, and of the port in the transport header right behind that. */
const FRAGMENT_NEXT_HEADER = { base: NFT_PAYLOAD_NETWORK_HEADER, offset: 40, length: 1 };
const FRAGMENT_OFFSET = { base: NFT_PAYLOAD_NETWORK_HEADER, offset: 42, length: 2 };
const FRAGMENT_OFFSET_MASK = Uint8Array.of(0xff, 0xf8);
const FRAGMENT_PORT = { base: NFT_PAYLOAD_NETWORK_HEADER, offset: 50, length: 2 };
const IPPROTO_ROUTING = 43;
const IPPROTO_FRAGMENT = 44;
const IPPROTO_DSTOPTS = 60;

/**
 * Rules of which each matches some of the packets to these ports: `ip6 nexthdr P th dport F-L`, the same in a packet's
 * first fragment, by offsets from the IPv6 header, and behind headers of options or of routing.
 */
export function ipv6PortsAtIngress(
  protocol: number,
  destination: { readonly first: number; readonly last: number },
): Expression[][] {
  const ports = isInRange(payload(DESTINATION_PORT), destination);
  return [
    [...nextHeaderIs(protocol), ...ports],
    [
      ...nextHeaderIs(IPPROTO_FRAGMENT),
      payload(FRAGMENT_NEXT_HEADER),
      compare(NFT_CMP_EQ, Uint8Array.of(protocol)),
      payload(FRAGMENT_OFFSET),
      mask(FRAGMENT_OFFSET_MASK),
      compare(NFT_CMP_EQ, new Uint8Array(FRAGMENT_OFFSET_MASK.length)),
      ...isInRange(payload(FRAGMENT_PORT), destination),
    ],
    ...[IPPROTO_DSTOPTS, IPPROTO_ROUTING].map((header) => [
      ...nextHeaderIs(header),
      ...transportIs(protocol),
      ...ports,
    ]),
  ].map((rule) => [...etherTypeIs(ETH_P_IPV6), ...rule]);
}

function nextHeaderIs(value: number): Expression[] {
  return [payload(NEXT_HEADER), compare(NFT_CMP_EQ, Uint8Array.of(value))];
}
