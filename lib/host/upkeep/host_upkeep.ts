/** The upkeep of a running tunnel: of its device, and of all that its journal has. */
import { SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { NftablesMonitor } from "../../../ffi/netlink/nftables/nftables_monitor.ts";
import type { HostNetwork } from "../network/host_network.ts";
import type { Journal } from "../journal/journal.ts";
import { getLogger } from "../../process/logging.ts";
import { Upkeep } from "./upkeep.ts";

/**
 * Watches what a tunnel has put on the host, from now on, and puts it back. To be begun when all of it is there; the
 * `PostUp` commands run by `whilePostUp()`.
 *
 * @param network null for a relay, which has no device
 */
export function startUpkeep(
  { network, journal }: { readonly network: HostNetwork | null; readonly journal: Journal },
): Upkeep {
  return new Upkeep({
    fixtures: () => [
      ...network?.fixtures ?? [],
      ...journal.fixtures,
      // After our own fixtures, which are in place again by then.
      ...network?.detours ?? [],
    ],
    firewall: openFirewallMonitor(),
    now: () => performance.now(),
    logger: getLogger("upkeep"),
  });
}

/** Null where the kernel has no nftables: then there is nothing of ours in it. */
function openFirewallMonitor(): NftablesMonitor | null {
  try {
    return NftablesMonitor.open(openLibc());
  } catch (error) {
    if (error instanceof SystemCallError && !error.isShortage) return null;
    throw error;
  }
}
