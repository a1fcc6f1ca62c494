/** Shows that the demo's picture of a network has all that a gateway and a client change. */
import { openLibc } from "../../../ffi/libc.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import { difference, networkState } from "../../../lib/commands/demo/network_state.ts";
import { assertEquals } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { installNotrack } from "../../../lib/host/firewall/gateway_tables.ts";

function write(namespace: TestNamespace, sysctl: string, value: string): void {
  namespace.inside(() => Deno.writeTextFileSync(`/proc/sys/net/ipv4/${sysctl}`, value));
}

netTest(
  "networkState() has links, addresses, routes, rules, sysctls and nftables tables",
  async (topology) => {
    const namespace = topology.namespace("state");
    const before = namespace.inside(networkState);
    assertEquals(difference(before, namespace.inside(networkState)), []);
    const commands = [
      "link add d0 type veth peer name d1",
      "address add 192.0.2.7/24 dev d0",
      "link set d0 up",
    ]
      .concat("route add 198.51.100.0/24 dev d0 table 77", "rule add table 77 priority 700");
    await namespace.output(["ip", "-batch", "-"], { stdin: commands.join("\n") });
    write(namespace, "ip_local_reserved_ports", "20000-20009");
    write(namespace, "conf/all/src_valid_mark", "1");
    using nftables = namespace.inside(() => Nftables.open(openLibc()));
    installNotrack(nftables, { table: "vpn_test", mark: 1 });
    assertEquals(difference(before, namespace.inside(networkState)).sort(), [
      "left behind: /proc/sys/net/ipv4/conf/all/src_valid_mark = 1",
      "left behind: /proc/sys/net/ipv4/ip_local_reserved_ports = 20000-20009",
      "left behind: address 192.0.2.7/24 of d0",
      "left behind: interface d0, up",
      "left behind: interface d1, down",
      "left behind: nftables table inet vpn_test",
      "left behind: route 192.0.2.0/24 by d0 in table 254, type 1",
      "left behind: route 192.0.2.255/32 by d0 in table 255, type 3",
      "left behind: route 192.0.2.7/32 by d0 in table 255, type 2",
      "left behind: route 198.51.100.0/24 by d0 in table 77, type 1",
      "left behind: rule 700 of family 2",
      "lost: /proc/sys/net/ipv4/conf/all/src_valid_mark = 0",
      "lost: /proc/sys/net/ipv4/ip_local_reserved_ports = ",
    ]);
  },
  { programs: ["ip"] },
);
