/** A forward to one address, as a configuration has it. */
import type { PortForward } from "../../../lib/core/config/config.ts";
import { formatIpv4 } from "../../../lib/core/wire/ipv4_text.ts";

export function plainForward(
  protocol: PortForward["protocol"],
  externalPort: number,
  address: number,
  port: number,
): PortForward {
  return {
    protocol,
    externalAddress: null,
    externalPort,
    backEnds: [{ text: `${formatIpv4(address)}:${port}`, peer: null, address, port }],
    method: "hash",
    check: protocol === "tcp" ? "port" : "off",
  };
}
