/**
 * `vpn block`: closes the host as `KillSwitch = on` does, before there is a connection, as at boot. The next client on
 * the same interface takes the block over; `vpn cleanup` opens the host. It reads no configuration: a mistake there
 * must not leave a host open.
 */
import { openLibc } from "../../ffi/libc.ts";
import { Nftables } from "../../ffi/netlink/nftables/nftables.ts";
import type { BlockOptions } from "../cli/command.ts";
import { ExitCode } from "../process/errors.ts";
import { Journal } from "../host/journal/journal.ts";
import { KillSwitch } from "../host/firewall/kill_switch.ts";
import { getLogger } from "../process/logging.ts";
import { requireFirewallPrivileges } from "../process/privileges.ts";
import { DEFAULT_MARK } from "../host/network/route_plan.ts";
import { otherHolder } from "../host/journal/shared_change.ts";
import { killSwitchTable } from "../host/firewall/standing_blocks.ts";
import { enterSurroundings } from "./surroundings.ts";

/**
 * Closes the host. Nothing is done where a client that runs has closed it already.
 *
 * @throws {AppError} where a privilege is missing
 */
export function runBlock({ interfaceName, netns }: BlockOptions): number {
  const surroundings = { logLevel: "info", logFormat: "text" } as const;
  enterSurroundings(netns === undefined ? surroundings : { ...surroundings, netns });
  const logger = getLogger("client");
  requireFirewallPrivileges();
  const journal = new Journal(interfaceName, netns);
  journal.exclusively(() => {
    using nftables = Nftables.open(openLibc(), { owned: false });
    const table = killSwitchTable(interfaceName, nftables);
    if (otherHolder({ kind: "kill-switch", table }, "") !== undefined) {
      logger.info("the client on {interface} already blocks this host", {
        interface: interfaceName,
      });
      return;
    }
    // Not owned: the client that is to take it over may start while this process still ends.
    const options = { interfaceName, mark: DEFAULT_MARK, journal, server: null, isOwned: false };
    using _killSwitch = new KillSwitch(options, []);
    logger.info(
      "only loopback and DHCP can leave this host until a client with KillSwitch = on connects on {interface}, or " +
        "`vpn cleanup` removes the block",
      { interface: interfaceName },
    );
  });
  return ExitCode.ok;
}
