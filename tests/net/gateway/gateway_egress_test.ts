/** Where clients may go by a gateway: the internet, the networks of its interfaces, and what never is forwarded. */
import { assert, assertEquals } from "../../support/assert.ts";
import { netTest, type TestNamespace, type Topology } from "../../support/net.ts";
import { fetchText } from "../support/traffic/everyday.ts";
import {
  EXTERNAL,
  GATEWAY_PROGRAMS,
  GatewayNetwork,
  INSIDE,
  INTERNET,
  ROUTER,
  UPLINK,
} from "../support/gateway.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { Site } from "../support/site.ts";
import { ping } from "../support/traffic/traffic.ts";
import { eventually } from "../../support/time/patience.ts";
import { startVpn } from "../support/programs/vpn.ts";

const PROGRAMS = [...GATEWAY_PROGRAMS, ...HOST_STATE_PROGRAMS, "curl", "nft"];
/** A cloud's, on the gateway's link. */
const METADATA = "169.254.169.254";
const KINDS = ["raw", "kernel"] as const;

/** Waits until an address answers. */
async function reaches(from: TestNamespace, address: string): Promise<void> {
  await eventually(
    async () => (await ping(from, address, { wait: 5 })).received > 0 || null,
    { what: `an answer from ${address}` },
  );
}

/** Whether nothing that is sent to an address comes to an answer. */
async function isShut(from: TestNamespace, address: string): Promise<boolean> {
  return (await ping(from, address, { wait: 1 })).received === 0;
}

/** Puts the metadata service at the other end of the uplink, where the gateway reaches it. */
async function layMetadata(network: GatewayNetwork): Promise<void> {
  await network.internet.output(["ip", "address", "add", `${METADATA}/32`, "dev", "lo"]);
  await network.gateway.output(["ip", "route", "add", METADATA, "via", ROUTER]);
}

for (const Egress of KINDS) {
  netTest(
    `by default a client reaches the internet and no network of the gateway's when Egress is ${Egress}`,
    async (topology) => {
      const network = await GatewayNetwork.lay(topology, { clients: 2 });
      await layMetadata(network);
      const server = await network.start({ Egress });
      await network.connect();
      const { gateway, client: { namespace: client } } = network;
      const { outside: neighbour } = network.clients[1]!;
      await reaches(client, INTERNET);
      await reaches(client, INSIDE);
      // Reached from the gateway, so it is the gateway that keeps the client from them.
      for (const address of [neighbour, ROUTER, METADATA]) {
        await reaches(gateway, address);
        assert(await isShut(client, address), address);
      }
      await server.waitFor(/dropped packet: private_destination/);
    },
    { programs: PROGRAMS },
  );

  netTest(
    `EgressAllow opens networks of the gateway's interfaces when Egress is ${Egress}`,
    async (topology) => {
      const network = await GatewayNetwork.lay(topology, { clients: 2 });
      await layMetadata(network);
      const { gateway, client: { namespace: client } } = network;
      const neighbour = network.clients[1]!;
      const before = await hostState(gateway);
      const server = await network.start({ Egress, EgressAllow: "lan" });
      const tunnel = await network.connect();
      await using _site = new Site(neighbour.namespace, 80);
      // Seen with the gateway's address there, which is the only one that the neighbour could answer to.
      assertEquals(await fetchText(client, `http://${neighbour.outside}/`), "hello 198.51.100.129");
      await using _other = new Site(network.internet, 80);
      assertEquals(await fetchText(client, `http://${ROUTER}/`), `hello ${EXTERNAL}`);
      assertEquals(await fetchText(client, `http://${INTERNET}/`), `hello ${EXTERNAL}`);
      assert(await isShut(client, METADATA));
      await reaches(client, neighbour.outside);
      await tunnel.stop();
      assertEquals((await server.stop()).code, 0);
      assertEquals(await hostState(gateway), before);
    },
    { programs: PROGRAMS },
  );

  netTest(
    `a network that comes while the gateway runs is shut, or open, as configured: Egress is ${Egress}`,
    async (topology) => {
      const network = await GatewayNetwork.lay(topology);
      const { gateway, internet, client: { namespace: client } } = network;
      const lay = () =>
        Promise.all([
          gateway.output(["ip", "address", "add", "10.20.0.1/24", "dev", UPLINK]),
          internet.output(["ip", "address", "add", "10.20.0.9/24", "dev", UPLINK]),
          internet.output(["ip", "address", "add", "10.30.0.9/32", "dev", "lo"]),
        ]);
      await network.start({ Egress, EgressAllow: "10.30.0.0/24", EgressDeny: "203.0.113.10" });
      await network.connect();
      await reaches(client, INTERNET);
      assert(await isShut(client, "203.0.113.10"));
      await lay();
      await reaches(client, "10.30.0.9");
      await reaches(gateway, "10.20.0.9");
      await eventually(async () => await isShut(client, "10.20.0.9") || null);
      // It goes, and is the internet's again.
      await gateway.output(["ip", "address", "delete", "10.20.0.1/24", "dev", UPLINK]);
      await reaches(client, "10.20.0.9");
    },
    { programs: PROGRAMS },
  );

  netTest(
    `an interface that comes while the gateway runs is opened by EgressAllow when Egress is ${Egress}`,
    async (topology) => {
      const network = await GatewayNetwork.lay(topology);
      const { gateway, client: { namespace: client } } = network;
      await network.start({ Egress, EgressAllow: "lan" });
      await network.connect();
      const lan = topology.namespace("lan");
      topology.cable(
        { namespace: lan, name: "eth0", address: "10.20.0.9/24" },
        { namespace: gateway, name: "lan9", address: "10.20.0.1/24" },
      );
      await reaches(client, "10.20.0.9");
    },
    { programs: PROGRAMS },
  );
}

/** A host that everybody on its links takes for a router to the clients and to the other networks. */
async function layStrangers(network: GatewayNetwork): Promise<void> {
  const { internet } = network;
  await internet.output(["ip", "-batch", "-"], {
    stdin: `route add 10.66.77.0/24 via ${EXTERNAL}\nroute add 198.51.100.0/24 via ${EXTERNAL}\n`,
  });
  const neighbour = network.clients[1]!.namespace;
  await neighbour.output(["ip", "route", "add", "10.66.77.0/24", "via", "198.51.100.129"]);
  await neighbour.output(["ip", "route", "add", "192.0.2.0/24", "via", "198.51.100.129"]);
}

const ROUTERS: readonly (readonly [string, Readonly<Record<string, string>>])[] = [
  ["Egress = kernel", { Egress: "kernel" }],
  ["Egress = raw, EgressAllow = lan", { Egress: "raw", EgressAllow: "lan" }],
];

for (const [what, section] of ROUTERS) {
  netTest(`a gateway makes no router of a host that was none: ${what}`, async (topology) => {
    const network = await GatewayNetwork.lay(topology, { clients: 2 });
    await layStrangers(network);
    const { gateway, internet, client } = network;
    const neighbour = network.clients[1]!;
    await network.start(section);
    await network.connect();
    await reaches(client.namespace, INTERNET);
    // The host forwards now, and still nobody reaches a client or another network without a key.
    assertEquals((await gateway.output(["sysctl", "-n", "net.ipv4.ip_forward"])).trim(), "1");
    assert(await isShut(internet, client.inside));
    assert(await isShut(internet, neighbour.outside));
    assert(await isShut(neighbour.namespace, client.inside));
    assert(await isShut(neighbour.namespace, ROUTER));
  }, { programs: PROGRAMS });
}

/** What Docker does when it starts and publishes port 8088 of a container. */
const PUBLISH = `table ip guests {
  chain prerouting { type nat hook prerouting priority dstnat;
    fib daddr type local tcp dport 8088 dnat to 172.17.0.2:80
  }
  chain postrouting { type nat hook postrouting priority srcnat;
    ip saddr 172.17.0.0/16 oifname != "docker0" masquerade
  }
}`;

async function startContainer(network: GatewayNetwork, topology: Topology): Promise<TestNamespace> {
  await publish(network);
  return await layContainer(network, topology);
}

async function publish({ gateway }: GatewayNetwork): Promise<void> {
  await gateway.output(["nft", "-f", "-"], { stdin: PUBLISH });
}

async function layContainer(network: GatewayNetwork, topology: Topology): Promise<TestNamespace> {
  const { gateway } = network;
  const guest = topology.namespace("guest");
  await gateway.output(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
  topology.cable(
    { namespace: guest, name: "eth0", address: "172.17.0.2/16" },
    { namespace: gateway, name: "veth9" },
  );
  await guest.output(["ip", "route", "add", "default", "via", "172.17.0.1"]);
  await gateway.output(["ip", "-batch", "-"], {
    stdin: "link add docker0 type bridge\nlink set veth9 master docker0\n" +
      "link set docker0 up\naddress add 172.17.0.1/16 dev docker0\n",
  });
  return guest;
}

for (const Egress of [...KINDS, "off"] as const) {
  netTest(
    `containers that start after the gateway reach the internet, and their ports are reached, when Egress is ${Egress}`,
    async (topology) => {
      const network = await GatewayNetwork.lay(topology, { clients: 2 });
      await layStrangers(network);
      const { gateway, internet, client } = network;
      await network.start({ Egress });
      await network.connect();
      const guest = await startContainer(network, topology);
      await using _site = new Site(guest, 80);
      await reaches(guest, INTERNET);
      assertEquals(await fetchText(internet, `http://${EXTERNAL}:8088/`), `hello ${ROUTER}`);
      const inner = `hello ${client.inside}`;
      assertEquals(await fetchText(client.namespace, `http://${INSIDE}:8088/`), inner);
      // Nobody gets anywhere else by that.
      await internet.output(["ip", "route", "add", "172.17.0.0/16", "via", EXTERNAL]);
      await reaches(gateway, "172.17.0.2");
      for (
        const [from, to] of [[client.namespace, "172.17.0.2"], [internet, client.inside]] as const
      ) {
        assert(await isShut(from, to), to);
      }
      if (Egress !== "kernel") return;
      assert(await isShut(internet, "172.17.0.2"));
      assert(await isShut(internet, network.clients[1]!.outside));
    },
    { programs: PROGRAMS },
  );
}

netTest(
  "a port that the host publishes as its first is reached by clients, when Egress is off",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology, { clients: 1 });
    const guest = await layContainer(network, topology);
    await using _site = new Site(guest, 80);
    await network.start({ Egress: "off" });
    await network.connect();
    // No link, address or route changes with it, and before it, the host tracked nothing.
    await publish(network);
    const { client } = network;
    assertEquals(
      await fetchText(client.namespace, `http://${INSIDE}:8088/`),
      `hello ${client.inside}`,
    );
  },
  { programs: PROGRAMS },
);

for (const Egress of [...KINDS, "off"] as const) {
  netTest(
    `a router that is a gateway as well lets nobody in to the clients when Egress is ${Egress}`,
    async (topology) => {
      const network = await GatewayNetwork.lay(topology, { clients: 2 });
      await layStrangers(network);
      const { gateway, internet, client } = network;
      const neighbour = network.clients[1]!;
      await gateway.output(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
      await network.start({ Egress });
      await network.connect();
      await reaches(client.namespace, INSIDE);
      assert(await isShut(internet, client.inside));
      assert(await isShut(neighbour.namespace, client.inside));
      // What it forwarded before, it forwards.
      await reaches(internet, neighbour.outside);
    },
    { programs: PROGRAMS },
  );
}

netTest("two gateways on a host that forwarded nothing work independently", async (topology) => {
  const network = await GatewayNetwork.lay(topology, { clients: 2 });
  await layStrangers(network);
  const { gateway } = network;
  const before = await hostState(gateway);
  const config = network.config({ Egress: "kernel", ListenPort: 51821 });
  const other = { ...network.clients[1]!, inside: "10.66.78.3", endpoint: "198.51.100.129:51821" };
  const first = await network.start({ Egress: "kernel" });
  const second = await startVpn(
    "server",
    gateway,
    config.replaceAll("10.66.77.", "10.66.78."),
    ...["--interface", "vpn1"],
  );
  const tunnels = [await network.connect(), await network.connect(other)];
  for (const { namespace } of [network.client, other]) {
    await reaches(namespace, INTERNET);
  }
  // The one that came first had switched forwarding on; what closes the host does not go with it.
  await tunnels[0]!.stop();
  await first.stop();
  await reaches(other.namespace, INTERNET);
  await network.internet.output(["ip", "route", "add", "10.66.78.0/24", "via", EXTERNAL]);
  assert(await isShut(network.internet, other.inside));
  assert(await isShut(network.internet, network.client.outside));
  await tunnels[1]!.stop();
  await second.stop();
  assertEquals(await hostState(gateway), before);
}, { programs: PROGRAMS });
