/** Offload of a TUN: which super-packets its kernel hands over. */
import {
  type Tun,
  TUN_F_CSUM,
  TUN_F_TSO4,
  TUN_F_TSO6,
  TUN_F_USO4,
  TUN_F_USO6,
} from "../../ffi/tun.ts";

export const NO_TUN_OFFLOAD =
  "this kernel's TUN has no segmentation offload: packets are read one at a time";

/**
 * Lets the kernel hand over super-packets: of TCP, and of UDP where it can (both flags of USO together, Linux 6.2).
 * Returns false where it has none.
 *
 * @param carriesIpv6 whether those of TCP may be of IPv6
 */
export function enableTunOffload(tun: Tun, carriesIpv6: boolean): boolean {
  const tcp = TUN_F_CSUM | TUN_F_TSO4 | (carriesIpv6 ? TUN_F_TSO6 : 0);
  return tun.setOffload(tcp | TUN_F_USO4 | TUN_F_USO6) || tun.setOffload(tcp);
}
