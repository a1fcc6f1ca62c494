/** Tests of `lib/host/network/guest_bridges.ts`. */
import { HardwareType, type Link } from "../../../../ffi/netlink/links.ts";
import { parseIp, parsePrefix } from "../../../../ffi/netlink/ip_address.ts";
import { AF_INET, AF_INET6 } from "../../../../ffi/socket_constants.ts";
import { type Route, RouteType } from "../../../../ffi/netlink/routes.ts";
import { guestBridges } from "../../../../lib/host/network/guest_bridges.ts";
import { assertEquals } from "../../../support/assert.ts";

/** A link as it is put; what it is made of besides does not matter. */
interface Given {
  readonly name: string;
  readonly kind: string | null;
  /** Names of other links. */
  readonly master?: string;
  readonly lower?: string;
}

interface GivenRoute {
  readonly to: string;
  readonly by: string;
  readonly gateway?: string;
  readonly type?: number;
}

function bridgesOf(given: readonly Given[], routes: readonly GivenRoute[] = []): string[] {
  const indexOf = (name: string | undefined) => {
    const at = given.findIndex((link) => link.name === name);
    return at < 0 ? null : at + 1;
  };
  const links = given.map(({ name, kind, master, lower }): Link => ({
    index: indexOf(name)!,
    name,
    kind,
    master: indexOf(master),
    lower: indexOf(lower),
    mtu: 1500,
    txQueueLength: 1000,
    up: true,
    carrier: true,
    loopback: false,
    hardwareType: HardwareType.ethernet,
    arp: true,
    hardwareAddress: null,
  }));
  const all = routes.map(({ to, by, gateway, type = RouteType.unicast }): Route => ({
    family: to.includes(":") ? AF_INET6 : AF_INET,
    destination: parsePrefix(to),
    table: 254,
    type,
    scope: 0,
    protocol: 2,
    link: indexOf(by),
    gateway: gateway === undefined ? null : parseIp(gateway),
    paths: 1,
    metric: 0,
    preferredSource: null,
    mtu: null,
    mtuIsLearnt: false,
  }));
  return guestBridges({
    links: { list: () => links },
    routes: { list: () => all },
  });
}

const BRIDGE = { name: "docker0", kind: "bridge" };

Deno.test("a bridge is one of guests if nobody or guests alone are on it", () => {
  assertEquals(bridgesOf([BRIDGE]), ["docker0"]);
  for (const kind of ["veth", "tun", "vxlan", "dummy"]) {
    assertEquals(bridgesOf([BRIDGE, { name: "port", kind, master: "docker0" }]), ["docker0"], kind);
  }
  for (const kind of [null, "vlan", "bond", "macvlan", "wireguard"]) {
    assertEquals(bridgesOf([BRIDGE, { name: "port", kind, master: "docker0" }]), [], `${kind}`);
  }
});

Deno.test("a bridge with a router behind it is none of guests alone", () => {
  const port = { name: "vnet0", kind: "tun", master: "docker0" };
  const own: GivenRoute[] = [
    { to: "172.17.0.0/16", by: "docker0" },
    { to: "172.17.255.255/32", by: "docker0", type: 3 },
    { to: "ff00::/8", by: "docker0", type: 5 },
    { to: "fe80::/64", by: "docker0" },
  ];
  assertEquals(bridgesOf([BRIDGE, port], own), ["docker0"]);
  for (
    const route of [
      { to: "0.0.0.0/0", by: "docker0", gateway: "172.17.0.2" },
      { to: "192.168.0.0/16", by: "docker0", gateway: "172.17.0.2" },
      { to: "0.0.0.0/1", by: "docker0" },
      { to: "::/0", by: "docker0", gateway: "fe80::1" },
    ]
  ) {
    assertEquals(bridgesOf([BRIDGE, port], [...own, route]), [], route.to);
  }
  const other = { to: "0.0.0.0/0", by: "eth0", gateway: "192.0.2.1" };
  assertEquals(bridgesOf([BRIDGE, port, { name: "eth0", kind: null }], [other]), ["docker0"]);
});

Deno.test("a bridge that cables join to one with a network card, over others too, is none of guests", () => {
  const chain = (card: string | null): Given[] => [
    { name: "first", kind: "bridge" },
    { name: "second", kind: "bridge" },
    { name: "third", kind: "bridge" },
    { name: "a", kind: "veth", master: "first", lower: "b" },
    { name: "b", kind: "veth", master: "second", lower: "a" },
    { name: "c", kind: "veth", master: "second", lower: "d" },
    { name: "d", kind: "veth", master: "third", lower: "c" },
    { name: "card", kind: card, master: "third" },
  ];
  assertEquals(bridgesOf(chain("tun")), ["first", "second", "third"]);
  assertEquals(bridgesOf(chain(null)), []);
  // The host itself at the other end is no way out.
  const host: Given[] = [
    { name: "first", kind: "bridge" },
    { name: "a", kind: "veth", master: "first", lower: "b" },
    { name: "b", kind: "veth", lower: "a" },
  ];
  assertEquals(bridgesOf(host), ["first"]);
});
