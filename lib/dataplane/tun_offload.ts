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

/** Of which protocols there are super-packets, both ways. */
export const TunOffload = {
  none: 0,
  tcp: 1,
  tcpAndUdp: 2,
} as const;
export type TunOffload = (typeof TunOffload)[keyof typeof TunOffload];

/**
 * Lets the kernel hand over super-packets: of TCP, and of UDP where it can (both flags of USO together, Linux 6.2).
 * What it hands over, it takes as well. It counts for all queues of the device, whichever asks.
 *
 * @param isWanted whether there are to be any
 * @param carriesIpv6 whether those of TCP may be of IPv6
 */
export function enableTunOffload(tun: Tun, isWanted: boolean, carriesIpv6: boolean): TunOffload {
  if (!isWanted) return TunOffload.none;
  const tcp = TUN_F_CSUM | TUN_F_TSO4 | (carriesIpv6 ? TUN_F_TSO6 : 0);
  if (tun.setOffload(tcp | TUN_F_USO4 | TUN_F_USO6)) return TunOffload.tcpAndUdp;
  return tun.setOffload(tcp) ? TunOffload.tcp : TunOffload.none;
}
