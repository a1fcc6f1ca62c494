/** Nftables expressions of address translation, as `nft` makes them of the same words. */
import { AF_INET6 } from "../../socket_constants.ts";
import type { IpAddress } from "../ip_address.ts";
import {
  connectionHas,
  type Expression,
  expression,
  immediate,
  NFT_REG_1,
} from "./nftables_expressions.ts";

/** A further register, as a statement takes two. */
const NFT_REG_2 = 2;

const NFTA_NAT_TYPE = 1;
const NFTA_NAT_FAMILY = 2;
const NFTA_NAT_REG_ADDR_MIN = 3;
const NFTA_NAT_REG_PROTO_MIN = 5;
const NFT_NAT_DNAT = 1;

const NFT_CT_STATUS = 2;
/** `IPS_DST_NAT`, host order. */
const CT_DESTINATION_NAT = 1 << 5;

/** `ct status dnat`: a rule of somebody's has sent the connection there. */
export function isRedirected(): Expression[] {
  return connectionHas(NFT_CT_STATUS, CT_DESTINATION_NAT);
}

/** `masquerade`. */
export function masquerade(): Expression {
  return expression("masq");
}

/** `dnat to [A]:P`, of IPv6. */
export function redirectTo(address: IpAddress, port: number): Expression[] {
  return [
    immediate(NFT_REG_1, address),
    immediate(NFT_REG_2, Uint8Array.of(port >>> 8, port)),
    expression("nat", (data) =>
      data.be32(NFTA_NAT_TYPE, NFT_NAT_DNAT)
        .be32(NFTA_NAT_FAMILY, AF_INET6)
        .be32(NFTA_NAT_REG_ADDR_MIN, NFT_REG_1)
        .be32(NFTA_NAT_REG_PROTO_MIN, NFT_REG_2)),
  ];
}
