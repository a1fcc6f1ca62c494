/** Tests of `ffi/netlink/monitor.ts` against the kernel. */
import { openLibc } from "../../../ffi/libc.ts";
import { formatIp, formatPrefix, parseIp, parsePrefix } from "../../../ffi/netlink/ip_address.ts";
import { type NetworkEvent, RouteMonitor } from "../../../ffi/netlink/monitor.ts";
import { RouteTable } from "../../../ffi/netlink/routes.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";

/**
 * Events about addresses and routes as text, such as `+route 10.1.0.0/16`. Without what the kernel does by itself and
 * in its own time: IPv6 link-local addresses, multicast, the local table.
 */
function summary(events: NetworkEvent[]): string[] {
  return events.flatMap((event) => {
    if (event.kind === "link") return [];
    if (event.kind === "rule") return [`${event.removed ? "-" : "+"}rule to ${event.rule.table}`];
    if (event.kind === "overrun") return ["overrun"];
    const sign = event.removed ? "-" : "+";
    if (event.kind === "address") return [`${sign}address ${formatIp(event.address.address)}`];
    const { destination, table } = event.route;
    return table === RouteTable.local ? [] : [`${sign}route ${formatPrefix(destination)}`];
  }).filter((text) => !/ (fe80|ff00)::/.test(text));
}

netTest("read() tells of links that come, change and go", (topology) => {
  const namespace = topology.namespace("links");
  const { links } = namespace.rtnetlink;
  using monitor = namespace.inside(() => RouteMonitor.open(openLibc()));
  assertEquals(monitor.read(), []);

  links.createVeth("v0", { name: "v1" });
  links.configure("v0", { up: true, mtu: 1300 });
  const changed = monitor.read().filter((event) => event.kind === "link");
  assert(changed.some((event) => event.link.name === "v1" && !event.removed));
  assert(
    changed.some((event) => event.link.name === "v0" && event.link.up && event.link.mtu === 1300),
  );

  links.delete("v0");
  const removed = monitor.read().filter((event) => event.kind === "link" && event.removed);
  assertEquals(removed.map((event) => event.kind === "link" && event.link.name).sort(), [
    "v0",
    "v1",
  ]);
});

netTest("read() tells of addresses and routes of both families", (topology) => {
  const namespace = topology.namespace("routes");
  const { addresses, links, routes } = namespace.rtnetlink;
  links.createVeth("v0", { name: "v1" });
  for (const name of ["v0", "v1"]) links.configure(name, { up: true });
  const { index } = links.get("v0");
  using monitor = namespace.inside(() => RouteMonitor.open(openLibc()));

  const address = { address: parseIp("10.9.0.1"), prefixLength: 24 };
  addresses.add(index, address);
  assertEquals(summary(monitor.read()), ["+address 10.9.0.1", "+route 10.9.0.0/24"]);

  const route = { destination: parsePrefix("10.1.0.0/16"), gateway: parseIp("10.9.0.2") };
  routes.add(route);
  routes.delete(route);
  assertEquals(summary(monitor.read()), ["+route 10.1.0.0/16", "-route 10.1.0.0/16"]);

  const six = { destination: parsePrefix("fd01::/64"), link: index };
  routes.add(six);
  routes.delete(six);
  assertEquals(summary(monitor.read()), ["+route fd01::/64", "-route fd01::/64"]);

  addresses.delete(index, address);
  assert(summary(monitor.read()).includes("-address 10.9.0.1"));
});

netTest("a monitor receives the notifications of its own namespace only", (topology) => {
  const [heard, other] = [topology.namespace("heard"), topology.namespace("other")];
  using monitor = heard.inside(() => RouteMonitor.open(openLibc()));
  other.rtnetlink.links.createVeth("v0", { name: "v1" });
  assertEquals(monitor.read(), []);
});
