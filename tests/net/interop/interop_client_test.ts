/** Our client, with Debian's wireguard-go as its server. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import { type BackgroundProcess, netTest } from "../../support/net.ts";
import { configText, newIdentity, newPresharedKey, type Section } from "../support/config.ts";
import { hostState } from "../support/host_state.ts";
import { flowAcross, MOVING_FLOW_PROGRAMS } from "../support/traffic/moving_flow.ts";
import { capture, KEEPALIVE_FILTER, ping, tcpFlow } from "../support/traffic/traffic.ts";
import { runVpn, startVpn } from "../support/programs/vpn.ts";
import {
  CABLE,
  changeAddress,
  changeNetwork,
  CLIENT_ELSEWHERE,
  CLIENT_INSIDE,
  CLIENT_OUTSIDE,
  CLIENT_ROAMED,
  delay,
  FAR_SERVER,
  layTwoWires,
  layWire,
  layWireOf,
  OUTERS,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_PORT,
  SUBNET,
  type Wire,
} from "../support/wire.ts";
import { WIREGUARD_GO_PROGRAMS, WireguardGo } from "../support/programs/wireguard_go.ts";

const PROGRAMS = [...WIREGUARD_GO_PROGRAMS, "ping"];

const serverIdentity = newIdentity();
const clientIdentity = newIdentity();

/** Starts wireguard-go as the server; `peer` adds to what it knows of the client. */
function startServer({ server }: Wire, peer: Section = {}): Promise<WireguardGo> {
  const config = configText(
    { PrivateKey: serverIdentity.privateKey, ListenPort: SERVER_PORT },
    { PublicKey: clientIdentity.publicKey, AllowedIPs: `${CLIENT_INSIDE}/32`, ...peer },
  );
  return WireguardGo.start(server, config, [`${SERVER_INSIDE}/24`]);
}

/** The client's configuration; `peer` adds to what it knows of the server. */
function clientConfig(peer: Section = {}, interfaceSection: Section = {}): string {
  return configText(
    {
      PrivateKey: clientIdentity.privateKey,
      Address: `${CLIENT_INSIDE}/24`,
      ...interfaceSection,
    },
    {
      PublicKey: serverIdentity.publicKey,
      Endpoint: SERVER_ENDPOINT,
      AllowedIPs: SUBNET,
      ...peer,
    },
  );
}

async function startBoth(
  wire: Wire,
  peer: Section = {},
): Promise<{ server: WireguardGo; client: BackgroundProcess }> {
  const server = await startServer(wire);
  return { server, client: await startVpn("client", wire.client, clientConfig(peer)) };
}

for (const outer of OUTERS) {
  netTest(
    `client carries ping and TCP both ways over ${outer.family} when wireguard-go is the server`,
    async (topology) => {
      const wire = await layWireOf(topology, outer);
      const { server } = await startBoth(wire, { Endpoint: outer.endpoint });
      assertEquals((await ping(wire.client, SERVER_INSIDE)).received, 3);
      assertEquals((await ping(wire.server, CLIENT_INSIDE)).received, 3);
      for (const reverse of [false, true]) {
        const options = { reverse, bytes: 20e6 };
        const flow = await tcpFlow(wire.client, wire.server, SERVER_INSIDE, options);
        assert(flow.receivedBytes > 10e6, `reverse=${reverse}: ${flow.receivedBytes} bytes`);
      }
      const { latestHandshake, endpoint } = await server.peer(clientIdentity.publicKey);
      assert(latestHandshake > 0);
      assert(endpoint.startsWith(`${outer.client}:`), endpoint);
    },
    { programs: [...PROGRAMS, "iperf3"] },
  );
}

netTest("client connects when wireguard-go has the same preshared key", async (topology) => {
  const wire = await layWire(topology);
  const PresharedKey = newPresharedKey();
  await startServer(wire, { PresharedKey });
  await startVpn("client", wire.client, clientConfig({ PresharedKey }));
  assertEquals((await ping(wire.client, SERVER_INSIDE)).received, 3);
}, { programs: PROGRAMS });

netTest("client is refused when its preshared key is not wireguard-go's", async (topology) => {
  const wire = await layWire(topology);
  await startServer(wire, { PresharedKey: newPresharedKey() });
  const { code, stderr } = await runVpn(
    "client",
    wire.client,
    clientConfig({ PresharedKey: newPresharedKey() }, { ConnectTimeout: 1 }),
  );
  assertEquals(code, 3);
  assertStringIncludes(stderr, `no valid answer from ${SERVER_ENDPOINT}`);
}, { programs: PROGRAMS });

netTest(
  "client ends with 3, the host unchanged, when wireguard-go does not know its key",
  async (topology) => {
    const wire = await layWire(topology);
    await startServer(wire, { PublicKey: newIdentity().publicKey });
    const before = await hostState(wire.client);
    const { code, stdout, stderr } = await runVpn("client", wire.client, clientConfig());
    assertEquals([code, stdout], [3, ""]);
    assertMatch(stderr, /^vpn: Cannot connect: no valid answer from 192\.0\.2\.1:51820 .*\n$/);
    assertEquals(await hostState(wire.client), before);
  },
  { programs: [...PROGRAMS, "sysctl"] },
);

netTest(
  "client sends wireguard-go nothing that is no packet, from its handshake to its end",
  async (topology) => {
    const wire = await layWire(topology);
    await using probes = await capture(
      wire.client,
      CABLE,
      `src host ${CLIENT_OUTSIDE} and udp[4:2] > ${8 + 1400}`,
    );
    const { server, client } = await startBoth(wire);
    assertEquals((await ping(wire.client, SERVER_INSIDE)).received, 3);
    // The path is looked at all the same.
    await probes.waitForCount(1);
    client.signal("SIGTERM");
    await client.status;
    // It takes what comes in order, so by now it has had all.
    await server.peer(clientIdentity.publicKey);
    assert(!/invalid IP|invalid size/i.test(server.process.stderr), server.process.stderr);
  },
  { programs: [...PROGRAMS, "tcpdump"] },
);

netTest("client sends persistent keepalives that wireguard-go takes", async (topology) => {
  const wire = await layWire(topology);
  const { server } = await startBoth(wire, { PersistentKeepalive: 1 });
  // The probes of the path, which are no keepalives, are over by then.
  await delay(1_000);
  const before = await server.peer(clientIdentity.publicKey);
  await using keepalives = await capture(
    wire.client,
    CABLE,
    `src host ${CLIENT_OUTSIDE} and ${KEEPALIVE_FILTER}`,
  );
  await keepalives.waitForCount(2);
  const after = await server.peer(clientIdentity.publicKey);
  // All 32 bytes of each, and nothing else, counted as authenticated.
  assert(after.receivedBytes - before.receivedBytes >= 2 * 32);
  assertEquals((after.receivedBytes - before.receivedBytes) % 32, 0);
}, { programs: [...PROGRAMS, "tcpdump"] });

netTest(
  "client keeps its flow to wireguard-go when its address changes",
  async (topology) => {
    const wire = await layWire(topology);
    const { server, client } = await startBoth(wire);
    await flowAcross(wire.client, wire.server, SERVER_INSIDE, () => changeAddress(wire.client));
    await assertRoamed({ server, client, to: CLIENT_ROAMED });
  },
  { programs: [...PROGRAMS, ...MOVING_FLOW_PROGRAMS] },
);

netTest(
  "client keeps its flow to wireguard-go when it moves to another network",
  async (topology) => {
    const wire = await layTwoWires(topology);
    const server = await startServer(wire);
    const config = clientConfig({ Endpoint: `${FAR_SERVER}:${SERVER_PORT}` });
    const client = await startVpn("client", wire.client, config);
    await flowAcross(wire.client, wire.server, SERVER_INSIDE, () => changeNetwork(wire.client));
    await assertRoamed({ server, client, to: CLIENT_ELSEWHERE });
  },
  { programs: [...PROGRAMS, ...MOVING_FLOW_PROGRAMS] },
);

/** Fails unless the server sends to the new address, after a handshake because of the change. */
async function assertRoamed(
  { server, client, to }: { server: WireguardGo; client: BackgroundProcess; to: string },
): Promise<void> {
  // The flow goes on under the old keys. The handshake's first message, or its answer, may be lost on the way: while
  // the new neighbour is looked for, the kernel drops the oldest packets that wait for it. It is repeated after
  // REKEY_TIMEOUT (5 s).
  await client.waitFor(/handshake completed[^]*handshake completed/);
  const { endpoint } = await server.peer(clientIdentity.publicKey);
  assert(endpoint.startsWith(`${to}:`), endpoint);
  assertEquals(client.stderr.match(/the route to the server has changed/g)?.length, 1);
}

netTest("client answers when wireguard-go begins a new handshake", async (topology) => {
  const wire = await layWire(topology);
  const { server, client } = await startBoth(wire);
  const { endpoint } = await server.peer(clientIdentity.publicKey);
  const peer = ["peer", clientIdentity.publicKey];
  await server.set(...peer, "remove");
  await server.set(...peer, "endpoint", endpoint, "allowed-ips", `${CLIENT_INSIDE}/32`);
  assertEquals((await ping(wire.server, CLIENT_INSIDE)).received, 3);
  assertEquals((await ping(wire.client, SERVER_INSIDE)).received, 3);
  await client.waitFor(/handshake completed[^]*handshake completed/);
}, { programs: PROGRAMS });

netTest(
  "client renews its keys with wireguard-go when they are 120 s old",
  async (topology) => {
    const wire = await layWire(topology);
    const { server, client } = await startBoth(wire);
    const first = await server.peer(clientIdentity.publicKey);
    const { sent, received } = await ping(wire.client, SERVER_INSIDE, {
      count: 250,
      interval: 0.5,
    });
    assertEquals(received, sent);
    const second = await server.peer(clientIdentity.publicKey);
    assert(second.latestHandshake - first.latestHandshake >= 120);
    assertEquals(client.stderr.match(/handshake completed/g)?.length, 2, client.stderr);
  },
  { programs: PROGRAMS, slow: true },
);
