/** ARP in nftables, in tables of family arp. */
import { ipv4FromNumber } from "../ip_address.ts";
import {
  compare,
  type Expression,
  NFT_CMP_EQ,
  NFT_PAYLOAD_NETWORK_HEADER,
  payload,
} from "./nftables_expressions.ts";

/**
 * Behind the kinds and sizes of addresses, the operation, the sender's two addresses and the target's hardware address.
 */
const ARP_TARGET = { base: NFT_PAYLOAD_NETWORK_HEADER, offset: 24, length: 4 };

/** `arp daddr ip A` (host order), of ARP for Ethernet and IPv4 (RFC 826): the address that is asked for. */
export function arpTargetIs(address: number): Expression[] {
  return [payload(ARP_TARGET), compare(NFT_CMP_EQ, ipv4FromNumber(address))];
}
