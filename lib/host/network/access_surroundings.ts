/** Access surroundings: what access rules mean by the gateway, its networks and the internet, as things are now. */
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { AccessSurroundings } from "../../core/access/access_items.ts";
import { prefixWords } from "../../core/access/inner_address.ts";
import type { Config } from "../../core/config/config.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import { formatCidr6 } from "../../core/wire/ipv6_prefix.ts";
import { hostSurroundings } from "./egress_plan.ts";
import { type ExternalLink6, hostSurroundings6 } from "./egress_plan6.ts";

/** @param place the interfaces outside, null for none, and the name of the tunnel's */
export function accessSurroundings(
  netlink: Rtnetlink,
  config: Config,
  { external, external6, tunnel }: {
    readonly external: ExternalLink | null;
    readonly external6: ExternalLink6 | null;
    readonly tunnel: string;
  },
): AccessSurroundings {
  const { addresses, networks } = hostSurroundings(netlink, { external, tunnel });
  const six = config.interface.addresses6.length === 0
    ? { addresses: [], networks: [] }
    : hostSurroundings6(netlink, { external: external6, tunnel });
  return {
    inner: [...config.interface.addresses, ...config.interface.addresses6].map(prefixWords),
    outer: [
      ...addresses.map((address) => prefixWords({ address, prefixLength: 32 })),
      ...six.addresses.map((address) => prefixWords(`${address}/128`)),
    ],
    // An address outside that is a network of its own is not what anyone means by it.
    lan: [
      ...networks.filter(({ prefixLength }) => prefixLength < 32).map(prefixWords),
      ...six.networks.filter(({ prefixLength }) => prefixLength < 128)
        .map((network) => prefixWords(formatCidr6(network))),
    ],
  };
}
