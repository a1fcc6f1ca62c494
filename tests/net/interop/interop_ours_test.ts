/** Our server with our clients: what passes inside, and what does not. */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { boringsslTrouble } from "../../support/cipher_packages.ts";
import {
  type BackgroundProcess,
  netTest,
  type TestNamespace,
  type Topology,
} from "../../support/net.ts";
import { configText, newIdentity, newPresharedKey, type Section } from "../support/config.ts";
import { flowAcross, MOVING_FLOW_PROGRAMS } from "../support/traffic/moving_flow.ts";
import { capture, ping, tcpFlow } from "../support/traffic/traffic.ts";
import { startVpn } from "../support/programs/vpn.ts";
import {
  CABLE,
  changeAddress,
  CLIENT_INSIDE,
  CLIENT_ROAMED,
  layWire,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_PORT,
  SUBNET,
  type Wire,
} from "../support/wire.ts";
import { WIREGUARD_GO_PROGRAMS, WireguardGo } from "../support/programs/wireguard_go.ts";
import { giveIpv6 } from "../support/ipv6_addresses.ts";

const PROGRAMS = ["ip", "ping"];

const serverIdentity = newIdentity();
const clientIdentity = newIdentity();
const presharedKey = newPresharedKey();
const TUN = "vpn0";

/** What both ends have besides the common minimum. */
interface Extra {
  /** For the server's `[Interface]`. */
  readonly server?: Section;
  /** For the client's. */
  readonly client?: Section;
  /** Options of both commands. */
  readonly args?: readonly string[];
}

async function startBoth(
  wire: Wire,
  { server = {}, client = {}, args = [] }: Extra = {},
): Promise<{ server: BackgroundProcess; client: BackgroundProcess }> {
  const serverConfig = configText(
    {
      PrivateKey: serverIdentity.privateKey,
      ListenPort: SERVER_PORT,
      Address: `${SERVER_INSIDE}/24`,
      ...server,
    },
    {
      PublicKey: clientIdentity.publicKey,
      PresharedKey: presharedKey,
      AllowedIPs: `${CLIENT_INSIDE}/32`,
    },
  );
  const clientConfig = configText(
    { PrivateKey: clientIdentity.privateKey, Address: `${CLIENT_INSIDE}/24`, ...client },
    {
      PublicKey: serverIdentity.publicKey,
      PresharedKey: presharedKey,
      Endpoint: SERVER_ENDPOINT,
      AllowedIPs: SUBNET,
    },
  );
  return {
    server: await startVpn("server", wire.server, serverConfig, ...args),
    client: await startVpn("client", wire.client, clientConfig, ...args),
  };
}

const VARIANTS: readonly (Extra & { readonly title: string; trouble?: string | null })[] = [
  { title: "the defaults hold" },
  { title: "segmentation offload is off", args: ["--no-offload"] },
  { title: "the client's cipher is the built-in one", client: { Aead: "builtin" } },
  {
    title: "the server's cipher is BoringSSL's",
    server: { Aead: "boringssl" },
    client: { Aead: "libcrypto" },
    trouble: boringsslTrouble(),
  },
];

for (const { title, trouble = null, ...extra } of VARIANTS) {
  netTest(`server and client carry ping and TCP both ways when ${title}`, async (topology) => {
    const wire = await layWire(topology);
    const { server, client } = await startBoth(wire, extra);
    assertEquals((await ping(wire.client, SERVER_INSIDE)).received, 3);
    assertEquals((await ping(wire.server, CLIENT_INSIDE)).received, 3);
    for (const reverse of [false, true]) {
      const flow = await tcpFlow(wire.client, wire.server, SERVER_INSIDE, { reverse, bytes: 10e6 });
      assert(flow.receivedBytes > 5e6, `reverse=${reverse}: ${flow.receivedBytes} bytes`);
    }
    for (const { stderr } of [server, client]) assert(!stderr.includes("dropped packet"), stderr);
  }, { programs: [...PROGRAMS, "iperf3"], trouble });
}

netTest("client and server carry packets up to the MTU unfragmented", async (topology) => {
  const wire = await layWire(topology);
  await startBoth(wire);
  const echo = (size: number) =>
    wire.client.run(["ping", "-c", "1", "-W", "2", "-M", "do", "-s", `${size}`, SERVER_INSIDE]);
  // 20 bytes of IPv4 and 8 of ICMP make it 1,420.
  assertEquals((await echo(1392)).code, 0);
  assertMatch((await echo(1393)).stderr, /message too long, mtu.1420/);
  // Longer ones pass in fragments.
  assertEquals((await wire.client.run(["ping", "-c", "1", "-s", "5000", SERVER_INSIDE])).code, 0);
}, { programs: PROGRAMS });

netTest(
  "server and client carry a flow when the path's MTU is below the tunnel's",
  async (topology) => {
    const wire = await layWire(topology);
    for (const { rtnetlink: { links } } of [wire.client, wire.server]) {
      links.configure(links.get(CABLE).index, { mtu: 1300 });
    }
    const { server, client } = await startBoth(wire);
    for (const reverse of [false, true]) {
      const flow = await tcpFlow(wire.client, wire.server, SERVER_INSIDE, { reverse, bytes: 10e6 });
      assert(flow.receivedBytes > 5e6, `reverse=${reverse}: ${flow.receivedBytes} bytes`);
    }
    // In fragments, which is worth a word to those who can set a smaller MTU, but drops nothing.
    for (const { stderr } of [server, client]) assert(!stderr.includes("dropped packet"), stderr);
  },
  { programs: [...PROGRAMS, "iperf3"] },
);

netTest("server and client keep a flow when the client's address changes", async (topology) => {
  const wire = await layWire(topology);
  const { server } = await startBoth(wire, { args: ["--log-level", "debug"] });
  await flowAcross(wire.client, wire.server, SERVER_INSIDE, () => changeAddress(wire.client));
  await server.waitFor(new RegExp(`endpoint changed \\(${CLIENT_ROAMED}:`));
}, { programs: [...PROGRAMS, ...MOVING_FLOW_PROGRAMS] });

/** Joins a second client to the server and starts all three. */
async function startThree(
  topology: Topology,
  server: Section,
): Promise<{ one: TestNamespace; other: TestNamespace; server: BackgroundProcess }> {
  const wire = await layWire(topology);
  const other = topology.namespace("other");
  topology.cable(
    { namespace: other, name: CABLE, address: "198.51.100.2/24" },
    { namespace: wire.server, name: "eth1", address: "198.51.100.1/24" },
  );
  const otherIdentity = newIdentity();
  const serverConfig = configText(
    {
      PrivateKey: serverIdentity.privateKey,
      ListenPort: SERVER_PORT,
      Address: `${SERVER_INSIDE}/24`,
      ...server,
    },
    { PublicKey: clientIdentity.publicKey, AllowedIPs: `${CLIENT_INSIDE}/32` },
    { PublicKey: otherIdentity.publicKey, AllowedIPs: `${OTHER_INSIDE}/32` },
  );
  const clientConfig = (privateKey: string, address: string, endpoint: string) =>
    configText({ PrivateKey: privateKey, Address: `${address}/24` }, {
      PublicKey: serverIdentity.publicKey,
      Endpoint: endpoint,
      AllowedIPs: SUBNET,
    });
  const process = await startVpn("server", wire.server, serverConfig);
  await Promise.all([
    startVpn(
      "client",
      wire.client,
      clientConfig(clientIdentity.privateKey, CLIENT_INSIDE, SERVER_ENDPOINT),
    ),
    startVpn(
      "client",
      other,
      clientConfig(otherIdentity.privateKey, OTHER_INSIDE, `198.51.100.1:${SERVER_PORT}`),
    ),
  ]);
  return { one: wire.client, other, server: process };
}

const OTHER_INSIDE = "10.66.77.3";

netTest("server carries traffic from client to client", async (topology) => {
  const { one, other } = await startThree(topology, {});
  assertEquals((await ping(one, OTHER_INSIDE)).received, 3);
  assertEquals((await ping(other, CLIENT_INSIDE)).received, 3);
  const flow = await tcpFlow(one, other, OTHER_INSIDE, { bytes: 10e6 });
  assert(flow.receivedBytes > 5e6, `${flow.receivedBytes} bytes`);
}, { programs: [...PROGRAMS, "iperf3"] });

netTest("server keeps clients apart when ClientToClient is off", async (topology) => {
  const { one, other, server } = await startThree(topology, { ClientToClient: "off" });
  assertEquals((await ping(one, OTHER_INSIDE, { wait: 1 })).received, 0);
  await server.waitFor(/dropped packet: client_to_client_off, \d+ bytes/);
  // Each still reaches the server.
  assertEquals((await ping(one, SERVER_INSIDE)).received, 3);
  assertEquals((await ping(other, SERVER_INSIDE)).received, 3);
}, { programs: PROGRAMS });

netTest("server drops a packet whose source is not the client's", async (topology) => {
  const wire = await layWire(topology);
  const { server } = await startBoth(wire);
  await using arrived = await capture(wire.server, TUN, "icmp");
  for (const source of ["10.66.77.77", "198.51.100.9"]) {
    await wire.client.output(["ip", "address", "add", `${source}/32`, "dev", TUN]);
    assertEquals(
      (await ping(wire.client, SERVER_INSIDE, { source, count: 1, wait: 0.5 })).received,
      0,
    );
  }
  // The gateway's own address is no client's either.
  await wire.client.output(["ip", "address", "add", `${SERVER_INSIDE}/32`, "dev", TUN]);
  await ping(wire.client, "10.66.77.99", { count: 1, source: SERVER_INSIDE, wait: 0.5 });
  await server.waitFor(/dropped packet: spoofed_source, \d+ bytes/);
  assertEquals(arrived.count(), 0);
}, { programs: [...PROGRAMS, "tcpdump"] });

netTest("client drops IPv6 before it is sent", async (topology) => {
  const wire = await layWire(topology);
  const { client } = await startBoth(wire);
  // Keepalives, which the client's watch over its server goes on with, have 40 bytes with UDP's header.
  const data = `udp port ${SERVER_PORT} and udp[4:2] > 40`;
  await using sent = await capture(wire.client, CABLE, data);
  // Our own client switches IPv6 off on its TUN; another program may switch it on.
  await wire.client.output(["sysctl", "-q", "-w", `net.ipv6.conf.${TUN}.disable_ipv6=0`]);
  await giveIpv6(wire.client, TUN, "fd00::2/64");
  assertEquals((await ping(wire.client, "fd00::1", { wait: 1 })).received, 0);
  await client.waitFor(/dropped packet: ipv6, 104 bytes/);
  assertEquals(sent.count(), 0);
}, { programs: [...PROGRAMS, "sysctl", "tcpdump"] });

netTest("server drops IPv6 that a client sends through the tunnel", async (topology) => {
  const wire = await layWire(topology);
  const server = await startVpn(
    "server",
    wire.server,
    configText(
      {
        PrivateKey: serverIdentity.privateKey,
        ListenPort: SERVER_PORT,
        Address: `${SERVER_INSIDE}/24`,
      },
      { PublicKey: clientIdentity.publicKey, AllowedIPs: `${CLIENT_INSIDE}/32` },
    ),
  );
  const config = configText({ PrivateKey: clientIdentity.privateKey }, {
    PublicKey: serverIdentity.publicKey,
    Endpoint: SERVER_ENDPOINT,
    AllowedIPs: "10.66.77.0/24, fd00::/64",
  });
  const client = await WireguardGo.start(wire.client, config, [`${CLIENT_INSIDE}/24`]);
  await giveIpv6(wire.client, client.name, "fd00::2/64");
  await using arrived = await capture(wire.server, TUN, "ip6");
  assertEquals((await ping(wire.client, "fd00::1", { wait: 1 })).received, 0);
  await server.waitFor(/dropped packet: ipv6, \d+ bytes/);
  assertEquals(arrived.count(), 0);
  assertEquals((await ping(wire.client, SERVER_INSIDE)).received, 3);
}, { programs: [...PROGRAMS, ...WIREGUARD_GO_PROGRAMS, "tcpdump"] });
