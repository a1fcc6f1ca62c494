/** Egress traffic: what routing rules of the host see of the packets that a gateway sends outside for its clients. */
import type { ServerConfig } from "../core/config/config.ts";
import { type Ipv4Prefix, prefixMask } from "../core/wire/ipv4_text.ts";
import { EGRESS_MARK } from "../dataplane/egress/egress.ts";
import type { EgressTraffic } from "../host/network/egress_plan.ts";

/** Of the gateway's own NAT, or of the kernel's. `tunnel`: the interface. */
export function egressTraffic({ interface: section }: ServerConfig, tunnel: string): EgressTraffic {
  return section.egress === "raw"
    ? { tunnel, mark: EGRESS_MARK }
    : { tunnel, source: neighbourOf(section.addresses[0]) };
}

/** Another address of the same network: a client's, as far as routing rules can tell. */
function neighbourOf({ address, prefixLength }: Ipv4Prefix): number {
  const host = ~prefixMask(prefixLength);
  const isLast = ((address + 1) & host) === host;
  return (isLast ? address - 1 : address + 1) >>> 0;
}
