/** Tests of the choice of the way outside, by the routes and addresses of a namespace of the test's own. */
import { ipv4ToNumber } from "../../../ffi/netlink/ip_address.ts";
import {
  type EgressTraffic,
  findExternalLink,
  hostSurroundings,
} from "../../../lib/host/network/egress_plan.ts";
import type { ServerConfig } from "../../../lib/core/config/config.ts";
import { ConfigError } from "../../../lib/core/config/config_error.ts";
import { parseConfig } from "../../../lib/core/config/parse_config.ts";
import { validateServer } from "../../../lib/core/config/roles.ts";
import { formatCidr, formatIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { netTest, type TestNamespace, type Topology } from "../../support/net.ts";
import { configText, newIdentity } from "../support/config.ts";

const PROGRAMS = { programs: ["ip"] };

/** A gateway with interfaces `one` (192.0.2.1) and `two` (198.51.100.1). */
function lay(topology: Topology): TestNamespace {
  const gateway = topology.namespace("gateway");
  const outside = topology.namespace("outside");
  for (const [name, address] of [["one", "192.0.2.1/24"], ["two", "198.51.100.1/24"]] as const) {
    topology.cable({ namespace: gateway, name, address }, { namespace: outside, name });
  }
  return gateway;
}

function config(EgressInterface?: string): ServerConfig {
  const identity = newIdentity();
  return validateServer(parseConfig(
    configText(
      { PrivateKey: identity.privateKey, Address: "10.66.77.1/24", EgressInterface },
      { PublicKey: newIdentity().publicKey, AllowedIPs: "10.66.77.2/32" },
    ),
    "server.conf",
  ));
}

function ip(namespace: TestNamespace, ...commands: readonly string[]): Promise<string> {
  return namespace.output(["ip", "-batch", "-"], { stdin: `${commands.join("\n")}\n` });
}

/** The name and address of what is found. */
function found(namespace: TestNamespace, egressInterface?: string): string | null {
  const link = findExternalLink(config(egressInterface), namespace.rtnetlink);
  return link === null ? null : `${link.name} ${formatIpv4(link.address)}`;
}

netTest("findExternalLink() takes the default route that the host prefers", async (topology) => {
  const gateway = lay(topology);
  assertEquals(found(gateway), null);
  await ip(gateway, "route add default via 198.51.100.9 metric 200");
  assertEquals(found(gateway), "two 198.51.100.1");
  await ip(gateway, "route add default via 192.0.2.9 metric 100");
  assertEquals(found(gateway), "one 192.0.2.1");
  // One of another table is nobody's default.
  await ip(gateway, "route add default via 198.51.100.9 table 77");
  assertEquals(found(gateway), "one 192.0.2.1");
}, PROGRAMS);

netTest("findExternalLink() takes the address that the default route prefers", async (topology) => {
  const gateway = lay(topology);
  await ip(
    gateway,
    "address add 192.0.2.77/24 dev one",
    "route add default via 192.0.2.9 src 192.0.2.77",
  );
  assertEquals(found(gateway), "one 192.0.2.77");
}, PROGRAMS);

netTest("findExternalLink() follows routing rules to other tables", async (topology) => {
  const gateway = lay(topology);
  const by = (traffic: EgressTraffic) =>
    findExternalLink(config(), gateway.rtnetlink, traffic)?.name ?? null;
  await ip(gateway, "route add default via 198.51.100.9 table 77");
  assertEquals(by({}), null);
  // As wg-quick does it for a tunnel of the gateway's own.
  await ip(gateway, "route add default via 192.0.2.9", "rule add not fwmark 0x1234 lookup 77");
  assertEquals([by({}), by({ mark: 0x5650 }), by({ mark: 0x1234 })], ["two", "two", "one"]);
  // OpenVPN's way, and a route to a single host that decides nothing.
  await ip(
    gateway,
    "rule delete not fwmark 0x1234 lookup 77",
    "route add 0.0.0.0/1 via 198.51.100.9",
    "route add 128.0.0.0/1 via 198.51.100.9",
    "route add 45.0.0.1 via 192.0.2.9",
  );
  assertEquals(by({}), "two");
}, PROGRAMS);

netTest("findExternalLink() asks for packets of clients that are forwarded", async (topology) => {
  const gateway = lay(topology);
  const source = ipv4ToNumber(Uint8Array.of(10, 66, 77, 2));
  const by = () =>
    findExternalLink(config(), gateway.rtnetlink, { tunnel: "vpn0", source })?.name ?? null;
  await gateway.output(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
  await ip(
    gateway,
    "tuntap add dev vpn0 mode tun",
    "address add 10.66.77.1/24 dev vpn0",
    "link set vpn0 up",
    "route add default via 192.0.2.9",
    "route add default via 198.51.100.9 table 77",
  );
  assertEquals(by(), "one");
  await ip(gateway, "rule add from 10.66.77.0/24 lookup 77");
  assertEquals(by(), "two");
  await ip(gateway, "rule delete from 10.66.77.0/24", "rule add iif vpn0 lookup 77");
  assertEquals(by(), "two");
  // Back into the tunnel does not lead outside.
  await ip(gateway, "route replace default dev vpn0 table 77");
  assertEquals(by(), null);
}, { programs: ["ip", "sysctl"] });

netTest("findExternalLink() takes the interface that is configured", async (topology) => {
  const gateway = lay(topology);
  await ip(gateway, "route add default via 192.0.2.9", "link set two mtu 1400");
  assertEquals(found(gateway, "two"), "two 198.51.100.1");
  const link = findExternalLink(config("two"), gateway.rtnetlink)!;
  assertEquals([link.mtu, link.linkHeaderSize], [1400, 14]);
}, PROGRAMS);

netTest(
  "findExternalLink() refuses an interface that is not there or has no address",
  async (topology) => {
    const gateway = lay(topology);
    await ip(gateway, "address flush dev two");
    const absent = assertThrows(() => found(gateway, "three"), ConfigError, "no such interface");
    assertEquals(
      absent.message.startsWith("server.conf:4: EgressInterface: "),
      true,
      absent.message,
    );
    assertThrows(() => found(gateway, "two"), ConfigError, "it has no IPv4 address");
  },
  PROGRAMS,
);

netTest("findExternalLink() finds no link header where there is none", async (topology) => {
  const gateway = lay(topology);
  await ip(
    gateway,
    "tuntap add dev ppp7 mode tun",
    "address add 203.0.113.7 peer 203.0.113.8 dev ppp7",
    "link set ppp7 up",
    "route add default dev ppp7",
  );
  const link = findExternalLink(config(), gateway.rtnetlink)!;
  assertEquals([link.name, link.linkHeaderSize], ["ppp7", 0]);
  assertEquals(formatIpv4(link.address), "203.0.113.7");
}, PROGRAMS);

netTest(
  "hostSurroundings() are the networks of all interfaces but the tunnel's",
  async (topology) => {
    const gateway = lay(topology);
    await ip(gateway, "route add default via 192.0.2.9");
    const external = findExternalLink(config(), gateway.rtnetlink)!;
    await ip(
      gateway,
      "address add 172.16.5.1/12 dev two",
      "route add 10.20.0.0/16 via 198.51.100.9",
      "route add 203.0.113.7 dev two",
      "route add local 203.0.113.64/28 dev lo",
      "route add 0.0.0.0/1 dev two",
      "tuntap add dev ppp7 mode tun",
      "address add 203.0.113.8 peer 203.0.113.9 dev ppp7",
      "link set ppp7 up",
      "tuntap add dev vpn0 mode tun",
      "address add 10.66.77.1/24 dev vpn0",
      "link set vpn0 up",
    );
    const found = hostSurroundings(gateway.rtnetlink, { external, tunnel: "vpn0" });
    assertEquals(
      [...new Set(found.networks.map(formatCidr))].sort(),
      [
        "127.0.0.1/8",
        "172.16.0.0/12",
        "172.16.5.1/12",
        "192.0.2.0/24",
        "192.0.2.1/24",
        "198.51.100.0/24",
        "198.51.100.1/24",
        "203.0.113.64/28",
        "203.0.113.7/32",
        "203.0.113.9/32",
      ],
    );
    assertEquals(
      found.addresses.map(formatIpv4).sort(),
      ["127.0.0.1", "172.16.5.1", "192.0.2.1", "198.51.100.1", "203.0.113.8"],
    );
    const name = (index: number) => gateway.rtnetlink.links.get(index).name;
    assertEquals(
      found.routes.map((route) => `${formatCidr(route)} ${name(route.link)}`).filter((text) =>
        text.startsWith("0.") || text.startsWith("10.")
      ).sort(),
      ["0.0.0.0/0 one", "0.0.0.0/1 two", "10.20.0.0/16 two"],
    );
  },
  PROGRAMS,
);
