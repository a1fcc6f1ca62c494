/**
 * That a kernel without IPv6, or one in which it is switched off, is no obstacle: to a full tunnel, to the kill switch.
 */
import { EOPNOTSUPP } from "../../../ffi/errno.ts";
import { NFGENMSG } from "../../../ffi/netlink/nftables/nfnetlink.ts";
import { NetlinkError, NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import { NLMSGHDR } from "../../../ffi/netlink/message.ts";
import { AppError, ExitCode } from "../../../lib/process/errors.ts";
import { Journal } from "../../../lib/host/journal/journal.ts";
import { KillSwitch } from "../../../lib/host/firewall/kill_switch.ts";
import { blocksWithoutJournal } from "../../../lib/host/firewall/standing_blocks.ts";
import { assertEquals, assertMatch, assertThrows } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { temporaryFile } from "../support/config.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { endWell, simpleTunnel } from "../support/simple_tunnel.ts";
import { ping } from "../support/traffic/traffic.ts";
import { patientClient, startVpn } from "../support/programs/vpn.ts";
import { layWire, SERVER_INSIDE } from "../support/wire.ts";

const FAULTY = new URL("../support/programs/faulty_vpn.ts", import.meta.url).pathname;
const PROGRAMS = [...HOST_STATE_PROGRAMS, "ping", "nft"];
const NFPROTO_INET = 1;

netTest("a full tunnel and its kill switch need no IPv6 in the kernel", async (topology) => {
  const { client, server } = await layWire(topology);
  const tunnel = simpleTunnel();
  await startVpn("server", server, tunnel.server());
  const config = tunnel.client({ KillSwitch: "on" }, { AllowedIPs: "0.0.0.0/0, ::/0" });
  using file = temporaryFile(patientClient(config));
  const before = await hostState(client);
  const process = client.spawn([
    ...[Deno.execPath(), "run", "--quiet", "--allow-all", FAULTY, "no-ipv6"],
    ...["client", "--config", file.path],
  ]);
  await process.waitFor(/connected to \S+/);
  assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
  await endWell(process);
  assertEquals(await hostState(client), before);

  // It is there, but no interface has it, by a sysctl.
  await client.output(["sysctl", "-q", "-w", "net.ipv6.conf.all.disable_ipv6=1"]);
  const disabled = await hostState(client);
  const second = await startVpn("client", client, config);
  assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
  await endWell(second);
  assertEquals(await hostState(client), disabled);
}, { programs: PROGRAMS });

/** Has the kernel refuse tables of family inet, as one does that was built without IPv6, and hide IPv6 if told to. */
function kernelWithoutInet(hasIpv6: boolean): Disposable {
  const { batch } = NetlinkSocket.prototype;
  const { statSync } = Deno;
  NetlinkSocket.prototype.batch = function (whole) {
    for (const { message, action } of whole.requests) {
      const { family } = NFGENMSG.read(message.finish(0, 0), NLMSGHDR.size);
      if (family === NFPROTO_INET) throw new NetlinkError(action, EOPNOTSUPP, "");
    }
    batch.call(this, whole);
  };
  Deno.statSync = (path) => {
    if (!hasIpv6 && `${path}`.endsWith("/if_inet6")) throw new Deno.errors.NotFound();
    return statSync(path);
  };
  return {
    [Symbol.dispose]: () => {
      NetlinkSocket.prototype.batch = batch;
      Deno.statSync = statSync;
    },
  };
}

netTest(
  "the kill switch of a kernel that was built without IPv6 is a table of IPv4, and stands as one",
  async (topology) => {
    const host = topology.namespace("host");
    const before = await hostState(host);
    const journal = host.inside(() => new Journal("vpn0"));
    const options = { interfaceName: "vpn0", mark: 1, journal, server: null, isOwned: false };
    const close = (journal: Journal) => {
      using _kernel = kernelWithoutInet(false);
      host.inside(() => new KillSwitch({ ...options, journal }, [])[Symbol.dispose]());
    };
    // As it is found when its journal is lost.
    const forgetful = { make: () => {}, exclusively: (call: () => void) => call() };
    close(forgetful as unknown as Journal);
    const tables = host.inside(blocksWithoutJournal).map(({ change }) => change.table);
    assertEquals(tables, [{ family: "ip", name: "vpn_vpn0_killswitch" }]);
    close(journal);
    const made = await hostState(host);
    assertMatch(made, /^table ip vpn_vpn0_killswitch \{/m);
    host.inside(() => journal.undo());
    assertEquals(await hostState(host), before);
  },
  { programs: PROGRAMS },
);

netTest("the kill switch refuses a kernel that would let IPv6 out", (topology) => {
  const host = topology.namespace("host");
  const journal = host.inside(() => new Journal("vpn0"));
  using _kernel = kernelWithoutInet(true);
  const options = { interfaceName: "vpn0", mark: 1, journal, server: null };
  const error = assertThrows(() => host.inside(() => new KillSwitch(options, [])), AppError);
  assertEquals(error.exitCode, ExitCode.privilege);
  assertMatch(error.message, /NF_TABLES_INET/);
});
