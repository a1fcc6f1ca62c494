/** Tests of how `ffi/netlink/` reads the kernel's messages. The bytes were taken with strace from Linux 6.18. */
import { decodeAddress } from "../../../../ffi/netlink/addresses.ts";
import { defaultPrefix, parseIp, parsePrefix } from "../../../../ffi/netlink/ip_address.ts";
import { AF_INET, AF_INET6 } from "../../../../ffi/socket_constants.ts";
import { decodeLink, HardwareType } from "../../../../ffi/netlink/links.ts";
import { type NetlinkMessage, readMessages } from "../../../../ffi/netlink/message.ts";
import {
  decodeRoute,
  Routes,
  RouteScope,
  RouteTable,
  RouteType,
} from "../../../../ffi/netlink/routes.ts";
import { decodeRule } from "../../../../ffi/netlink/rules.ts";
import { assertEquals } from "../../../support/assert.ts";
import { hex } from "../../../support/packets/packet_builder.ts";

function messageOf(text: string): NetlinkMessage {
  const [message] = readMessages(hex(text));
  return message;
}

/** A veth, up and with carrier, with most attributes that nobody reads left out. */
const LINK = `
  6c000000 1000 0000 5a18016b 6c1ca4e1  00000100 03000000 43100100 00000000
  0700 0300 76300000  0800 0d00 e8030000  0500 1000 06000000  0800 0400 dc050000
  0500 2100 01000000  0a00 0100 92c560c277560000
  1000 1200 0900 0100 7665746800000000  0800 0500 02000000`;

/** `ip addr add 10.66.77.2/24 dev v0` */
const ADDRESS = `
  4c000000 1400 2200 5b18016b a42a0000  02188000 03000000
  0800 0100 0a424d02  0800 0200 0a424d02  0700 0300 76300000
  0800 0800 80000000  1400 0600 ffffffff ffffffff e51a0300 e51a0300`;

/** `ip addr add 10.66.78.2 peer 10.66.78.1/32 dev v0` */
const PEER_ADDRESS = `
  4c000000 1400 2200 5b18016b a42a0000  02208000 03000000
  0800 0100 0a424e01  0800 0200 0a424e02  0700 0300 76300000
  0800 0800 80000000  1400 0600 ffffffff ffffffff e51a0300 e51a0300`;

/** `ip route add 10.8.0.0/16 via 10.66.77.1 dev v0 table 51820 mtu 1400 metric 5` */
const ROUTE = `
  50000000 1800 2200 6c18016b b92c0000  02100000 fc030001 00000000
  0800 0f00 6cca0000  0800 0100 0a080000  0800 0600 05000000
  0c00 0800 0800 0200 78050000  0800 0500 0a424d01  0800 0400 03000000`;

/** `ip route add 10.9.0.0/16 table 51820 nexthop via 10.66.77.1 nexthop via 10.66.77.3` */
const MULTIPATH = `
  50000000 1800 2200 6c18016b b92c0000  02100000 fc030001 00000000
  0800 0f00 6cca0000  0800 0100 0a090000
  2400 0900
    1000 0000 03000000 0800 0500 0a424d01
    1000 0000 03000000 0800 0500 0a424d03`;

/** `ip -6 route add unreachable default table 51820` */
const UNREACHABLE = `
  60000000 1800 2200 6c18016b be2c0000  0a000000 fc030007 00000000
  0800 0f00 6cca0000  0800 0600 00040000  0800 0400 01000000
  2400 0c00 00000000000000000000000000000000000000000000000000000000 00000000
  0500 1400 00000000`;

/** `ip route get 10.66.77.1 mark 7`: an answer to a lookup has RTM_F_CLONED set. */
const LOOKED_UP = `
  70000000 1800 0000 6c18016b c82c0000  02200000 fe000001 00020000
  0800 0f00 fe000000  0800 0100 0a424d01  0800 0400 03000000  0800 0700 0a424d02
  0800 1000 07000000  0800 1900 00000000
  2400 0c00 00020000 0000000000000000000000000000000000000000000000000000 0000`;

/** `ip rule add not fwmark 51820/0xffffffff table 51820` */
const MARK_RULE = `
  4c000000 2000 0200 6c18016b c32c0000  02000000 fc000001 02000000
  0800 0f00 6cca0000  0800 0e00 ffffffff  0500 1500 00000000  0800 0600 fd7f0000
  0800 0a00 6cca0000  0800 1000 ffffffff`;

/** `ip rule add from 10.1.0.0/16 iif lo table 100` */
const SOURCE_RULE = `
  4c000000 2000 0200 6c18016b c32c0000  02001000 64000001 00000000
  0800 0f00 64000000  0800 0e00 ffffffff  0500 1500 00000000  0700 0300 6c6f0000
  0800 0600 fc7f0000  0800 0200 0a010000`;

Deno.test("decodeLink() reads a veth", () => {
  assertEquals(decodeLink(messageOf(LINK)), {
    index: 3,
    name: "v0",
    kind: "veth",
    master: null,
    lower: 2,
    mtu: 1500,
    txQueueLength: 1000,
    up: true,
    carrier: true,
    loopback: false,
    hardwareType: HardwareType.ethernet,
    arp: true,
    hardwareAddress: hex("92c560c27756") as Uint8Array,
  });
});

Deno.test("decodeLink() ignores what a bridge says about its ports", () => {
  // ifi_family AF_BRIDGE: a port has left the bridge; the link itself is still there.
  const message = messageOf(LINK.replace("1000 0000 5a18016b", "1100 0000 5a18016b"));
  assertEquals(decodeLink(message)?.name, "v0");
  message.body[0] = 7;
  assertEquals(decodeLink(message), null);
});

Deno.test("decodeAddress() reads a network address and a point-to-point one", () => {
  assertEquals(decodeAddress(messageOf(ADDRESS)), {
    family: AF_INET,
    link: 3,
    address: parseIp("10.66.77.2"),
    prefixLength: 24,
    peer: null,
    scope: RouteScope.global,
    isPermanent: true,
  });
  assertEquals(decodeAddress(messageOf(PEER_ADDRESS)), {
    family: AF_INET,
    link: 3,
    address: parseIp("10.66.78.2"),
    prefixLength: 32,
    peer: parseIp("10.66.78.1"),
    scope: RouteScope.global,
    isPermanent: true,
  });
});

Deno.test("decodeRoute() reads a route with gateway, metric and MTU", () => {
  assertEquals(decodeRoute(messageOf(ROUTE)), {
    family: AF_INET,
    destination: parsePrefix("10.8.0.0/16"),
    table: 51820,
    type: RouteType.unicast,
    scope: RouteScope.global,
    protocol: 3,
    link: 3,
    gateway: parseIp("10.66.77.1"),
    paths: 1,
    metric: 5,
    preferredSource: null,
    mtu: 1400,
    mtuIsLearnt: false,
  });
});

Deno.test("decodeRoute() gives the first path of a multipath route and their count", () => {
  const route = decodeRoute(messageOf(MULTIPATH));
  assertEquals([route?.paths, route?.link], [2, 3]);
  assertEquals(route?.gateway, parseIp("10.66.77.1"));
});

Deno.test("decodeRoute() reads an IPv6 default route that has no destination attribute", () => {
  const route = decodeRoute(messageOf(UNREACHABLE));
  assertEquals(route?.family, AF_INET6);
  assertEquals(route?.destination, defaultPrefix(AF_INET6));
  assertEquals([route?.type, route?.table, route?.metric], [RouteType.unreachable, 51820, 1024]);
});

Deno.test("decodeRoute() ignores learnt routes, lookup() takes them as its answer", () => {
  const message = messageOf(LOOKED_UP);
  assertEquals(decodeRoute(message), null);
  const routes = new Routes({ request: () => [message], dump: () => [] });
  const route = routes.lookup(parseIp("10.66.77.1"));
  assertEquals([route.link, route.table, route.mtu], [3, RouteTable.main, null]);
  assertEquals([route.gateway, route.preferredSource], [null, parseIp("10.66.77.2")]);
});

Deno.test("decodeRule() reads marks, inversion and selectors", () => {
  assertEquals(decodeRule(messageOf(MARK_RULE)), {
    family: AF_INET,
    priority: 32765,
    action: 1,
    table: 51820,
    mark: { value: 51820, mask: 0xffffffff },
    inverted: true,
    suppressPrefixLength: null,
    protocol: 0,
    source: null,
    destination: null,
    inputInterface: null,
    outputInterface: null,
  });
  const rule = decodeRule(messageOf(SOURCE_RULE));
  assertEquals(rule?.source, parsePrefix("10.1.0.0/16"));
  assertEquals([rule?.table, rule?.mark, rule?.inputInterface], [100, null, "lo"]);
});

Deno.test("the decoders pass over messages of other kinds", () => {
  const address = messageOf(ADDRESS);
  assertEquals([decodeLink(address), decodeRoute(address), decodeRule(address)], [
    null,
    null,
    null,
  ]);
  assertEquals(decodeAddress(messageOf(LINK)), null);
});
