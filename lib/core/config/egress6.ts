/** Egress of IPv6, as it comes out of several keys: none where none is carried, nor where nothing else leaves. */
import type { InterfaceConfig } from "./config.ts";

export function egress6Of(
  { egress, egress6, addresses6 }: Pick<InterfaceConfig, "egress" | "egress6" | "addresses6">,
): InterfaceConfig["egress6"] {
  return egress === "off" || addresses6.length === 0 ? "off" : egress6;
}

/** Whether the gateway translates IPv6 itself, as it does IPv4: else the host's kernel forwards it. */
export function isNat66(
  section: Pick<InterfaceConfig, "egress" | "egress6" | "addresses6" | "capture">,
): boolean {
  const { egress, capture } = section;
  return egress6Of(section) === "nat" && egress === "raw" && capture === "packet";
}
