/**
 * That a host which is short of something (descriptors, memory) does not pass for one whose kernel cannot guard: there,
 * the program goes on without and says so; here, it ends.
 */
import { EOPNOTSUPP, SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import { KernelForwarding } from "../../../lib/commands/server/kernel_forwarding.ts";
import type { ServerConfig } from "../../../lib/core/config/config.ts";
import { parseConfig } from "../../../lib/core/config/parse_config.ts";
import { InnerGuard } from "../../../lib/host/firewall/inner_guard.ts";
import { ReturnPath } from "../../../lib/host/firewall/return_path.ts";
import type { Journal } from "../../../lib/host/journal/journal.ts";
import { getLogger } from "../../../lib/process/logging.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { simpleTunnel } from "../support/simple_tunnel.ts";

/** ENOMEM, ENFILE, EMFILE, ENOSPC, ENOBUFS */
const SHORTAGES = [12, 23, 24, 28, 105];
const HOST = { interfaceName: "vpn0", logger: getLogger("server") };

/** A journal of a host on which this is the answer to the first change. */
function journalOf(errno: number): Journal {
  const make = () => {
    throw new SystemCallError("make a table", errno);
  };
  return { make } as unknown as Journal;
}

const GUARDS: Readonly<Record<string, (journal: Journal) => unknown>> = {
  "the inner addresses": (journal) =>
    InnerGuard.install({
      ...HOST,
      role: "server",
      addresses: [],
      addresses6: [],
      services: [],
      journal,
    }),
  "answers on the way back": (journal) =>
    ReturnPath.install({ ...HOST, mark: 1, device: null, journal }, []),
  "what the kernel forwards": (journal) => {
    using netlink = Rtnetlink.open(openLibc());
    const config = parseConfig(simpleTunnel().server(), "server.conf") as ServerConfig;
    using forwarding = new KernelForwarding({ ...HOST, config, netlink, journal });
    forwarding.close(false);
    return null;
  },
};

for (const [what, guard] of Object.entries(GUARDS)) {
  netTest(
    `the guard of ${what} is done without where the kernel has none, not where it has no room`,
    (topology) => {
      const host = topology.namespace("host");
      assertEquals(host.inside(() => guard(journalOf(EOPNOTSUPP))), null);
      for (const errno of SHORTAGES) {
        const error = assertThrows(
          () => host.inside(() => guard(journalOf(errno))),
          SystemCallError,
        );
        assertEquals(error.errno, errno);
      }
    },
  );
}
