/**
 * `Transport = auto`: fake TCP where UDP is broken, UDP where it works, and the change from one to the other under a
 * running tunnel.
 */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { HEARTBEAT_PROGRAMS, heartbeatsAnswered } from "../support/traffic/heartbeats.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { NO_UDP, ROUTED_PATH_PROGRAMS, RoutedPath, STRICT } from "../support/routed_path.ts";
import { endWell, killHard } from "../support/simple_tunnel.ts";
import { capture, ping } from "../support/traffic/traffic.ts";
import { configText, newIdentity } from "../support/config.ts";
import { runVpn, startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { CABLE, SERVER_INSIDE, SERVER_OUTSIDE, SERVER_PORT } from "../support/wire.ts";
import { WIREGUARD_GO_PROGRAMS, WireguardGo } from "../support/programs/wireguard_go.ts";

const PROGRAMS = [...ROUTED_PATH_PROGRAMS, ...HEARTBEAT_PROGRAMS, ...HOST_STATE_PROGRAMS];
/** The firewall's table that fake TCP needs on a client. */
const TABLE = "vpn_vpn0_faketcp";
/** What ends a connection of fake TCP from the client's address of later. */
const ENDS = `src host 198.51.100.3 and tcp dst port ${SERVER_PORT} and ` +
  "tcp[tcpflags] & (tcp-rst | tcp-fin) != 0";

async function tables({ client }: RoutedPath): Promise<string> {
  return await client.output(["nft", "list", "tables"]);
}

netTest(
  "where UDP is dropped, the client connects by fake TCP within its time-out",
  async (topology) => {
    const path = await RoutedPath.lay(topology);
    await path.firewall(STRICT + NO_UDP);
    await path.startServer();
    const client = await path.startClient({ Transport: "auto" });
    assertMatch(client.stderr, /connected to \S+ by fake TCP as \S+ in \d+ ms/);
    assert(await path.answers());
    assertEquals(await path.invalidPackets(), 0);
  },
  { programs: PROGRAMS },
);

netTest(
  "UDP breaks under the tunnel, and works again: the same tunnel changes over, and back, the kill switch with it",
  async (topology) => {
    const path = await RoutedPath.lay(topology);
    await path.startServer();
    const client = await path.startClient({ Transport: "auto", KillSwitch: "on" });
    // Where UDP works, nothing is done for fake TCP.
    assertMatch(client.stderr, /connected to \S+ by UDP/);
    assert(!(await tables(path)).includes(TABLE));
    const before = await path.client.output(["ip", "link", "show", "vpn0"]);
    await heartbeatsAnswered(path.client);
    await path.firewall(NO_UDP);
    await client.waitFor(/reconnected to \S+ by fake TCP/);
    assert(await path.answers());
    // And nothing else passes: the router next door is not reached.
    assertEquals((await ping(path.client, "198.51.100.1", { count: 2, wait: 1 })).received, 0);
    await path.removeTable("noudp");
    await using ended = await capture(path.router, CABLE, ENDS);
    // Another path has the client ask for UDP at once; else it asks after 15 s.
    await path.client.output(["ip", "address", "add", "198.51.100.3/24", "dev", CABLE]);
    await path.client.output([
      ...["ip", "route", "add", "192.0.2.0/24", "via", "198.51.100.1"],
      ...["src", "198.51.100.3"],
    ]);
    await client.waitFor(/UDP works again: returning to UDP/);
    assertEquals((await ping(path.client, SERVER_INSIDE, { count: 20 })).received, 20);
    // The connection of fake TCP is over a second later, and its end changes nothing.
    await ended.waitForCount(1);
    assertEquals((await ping(path.client, SERVER_INSIDE, { count: 20 })).received, 20);
    await path.router.output(["nft", "-f", "-"], {
      stdin: "table ip notcp {\nchain forward {\ntype filter hook forward priority filter\n" +
        "meta l4proto tcp drop\n}\n}\n",
    });
    assert(await path.answers());
    assertEquals(await path.client.output(["ip", "link", "show", "vpn0"]), before);
  },
  { programs: PROGRAMS },
);

netTest("no server: exit code 3, nothing changed, both transports named", async (topology) => {
  const path = await RoutedPath.lay(topology);
  const before = await hostState(path.client);
  const config = path.tunnel.client({ Transport: "auto" });
  const { code, stderr } = await runVpn("client", path.client, config);
  assertEquals(code, 3);
  assertMatch(stderr, /\(UDP, then fake TCP\)/);
  assertEquals(await hostState(path.client), before);
}, { programs: PROGRAMS });

netTest("client and server of fake TCP leave nothing behind, killed or not", async (topology) => {
  const path = await RoutedPath.lay(topology);
  const before = [await hostState(path.client), await hostState(path.server)];
  const state = async () => [await hostState(path.client), await hostState(path.server)];
  await endWell(await startBoth());
  assertEquals(await state(), before);
  await killHard(await startBoth());
  assert((await tables(path)).includes(TABLE));
  await path.client.output(vpnCommand("cleanup"));
  assertEquals(await state(), before);

  async function startBoth() {
    await using _server = await path.startServer({ Transport: "faketcp" });
    const client = await path.startClient();
    assert(await path.answers());
    await endWell(_server);
    return client;
  }
}, { programs: PROGRAMS });

netTest(
  "the server carries a stock client by UDP and ours by fake TCP, at once",
  async (topology) => {
    const path = await RoutedPath.lay(topology);
    const { server, client } = path;
    const [gateway, ours, stock] = [newIdentity(), newIdentity(), newIdentity()];
    await startVpn(
      "server",
      server,
      configText(
        {
          PrivateKey: gateway.privateKey,
          ListenPort: SERVER_PORT,
          Address: `${SERVER_INSIDE}/24`,
          Transport: "auto",
        },
        { PublicKey: ours.publicKey, AllowedIPs: "10.66.77.2/32" },
        { PublicKey: stock.publicKey, AllowedIPs: "10.66.77.3/32" },
      ),
    );
    // The stock client's host is the router.
    const stockConfig = configText({ PrivateKey: stock.privateKey }, {
      PublicKey: gateway.publicKey,
      Endpoint: `${SERVER_OUTSIDE}:${SERVER_PORT}`,
      AllowedIPs: `${SERVER_INSIDE}/32`,
    });
    await WireguardGo.start(path.router, stockConfig, ["10.66.77.3/24"]);
    await startVpn(
      "client",
      client,
      configText(
        { PrivateKey: ours.privateKey, Address: "10.66.77.2/24", Transport: "faketcp" },
        {
          PublicKey: gateway.publicKey,
          Endpoint: `${SERVER_OUTSIDE}:${SERVER_PORT}`,
          AllowedIPs: "10.66.77.0/24",
        },
      ),
    );
    const results = await Promise.all(
      [path.router, client].map((host) => ping(host, SERVER_INSIDE, { count: 20 })),
    );
    assertEquals(results.map(({ received }) => received), [20, 20]);
  },
  { programs: [...PROGRAMS, ...WIREGUARD_GO_PROGRAMS] },
);
