/** Access surroundings: what access rules mean by the gateway, its networks and the internet, as things are now. */
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { AccessSurroundings } from "../../core/access/access_items.ts";
import { prefixWords } from "../../core/access/inner_address.ts";
import type { Config } from "../../core/config/config.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import { hostSurroundings } from "./egress_plan.ts";

/** @param place the interface outside, null for none, and the name of the tunnel's */
export function accessSurroundings(
  netlink: Rtnetlink,
  config: Config,
  place: { readonly external: ExternalLink | null; readonly tunnel: string },
): AccessSurroundings {
  const { addresses, networks } = hostSurroundings(netlink, place);
  return {
    inner: [...config.interface.addresses, ...config.interface.addresses6].map(prefixWords),
    outer: addresses.map((address) => prefixWords({ address, prefixLength: 32 })),
    // An address outside that is a network of its own is not what anyone means by it.
    lan: networks.filter(({ prefixLength }) => prefixLength < 32).map(prefixWords),
  };
}
