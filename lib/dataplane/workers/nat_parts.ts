/** NAT parts: whether a NAT can be divided among several workers. */
import type { EgressConfig } from "../egress/egress.ts";

/** What of a NAT decides that. */
export type DividedNat = Pick<EgressConfig, "capture" | "ports" | "services">;

/** Why it is one worker's, however many ports it has; null where it can be divided. */
export function wholeNat({ capture, services }: DividedNat): string | null {
  if (capture !== "packet") return "Capture = nfqueue needs one";
  return services.length === 0
    ? null
    : "a Forward to several back ends, to a peer's name, outside the tunnel, or at an address of its own needs one";
}

/** Among how many workers its ports suffice, where each has at least so many. */
export function partsOf({ ports }: DividedNat, least: number): number {
  return Math.floor((ports.last - ports.first + 1) / least);
}
