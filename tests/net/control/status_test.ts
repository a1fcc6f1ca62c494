/** What `vpn status` says of tunnels that run, to people and to programs. */
import type { Status } from "../../../lib/control/status.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { type BackgroundProcess, netTest, type TestNamespace } from "../../support/net.ts";
import { GATEWAY_PROGRAMS, GatewayNetwork, INSIDE, INTERNET } from "../support/gateway.ts";
import { ask } from "../support/programs/instance.ts";
import { endWell, killHard, simpleTunnel } from "../support/simple_tunnel.ts";
import { ping } from "../support/traffic/traffic.ts";
import { Unprivileged, UNPRIVILEGED_PROGRAMS } from "../support/programs/unprivileged.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { delay, layWire, SERVER_INSIDE } from "../support/wire.ts";

const PROGRAMS = [...GATEWAY_PROGRAMS];

/** What `vpn status --json ARGS` prints. */
async function statuses(namespace: TestNamespace, ...args: string[]): Promise<Status[]> {
  return JSON.parse(await namespace.output(vpnCommand("status", "--json", ...args)));
}

function of(all: readonly Status[], process: BackgroundProcess): Status {
  const found = all.find(({ pid }) => pid === process.pid);
  assert(found !== undefined, `process ${process.pid} is not among ${all.length}`);
  return found;
}

netTest(
  "vpn status --json tells of both ends of a tunnel, from any namespace",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const { client: { namespace, identity, endpoint } } = network;
    const begun = Date.now();
    const gateway = await network.start();
    const client = await network.connect();
    assertEquals((await ping(namespace, INTERNET)).received, 3);
    await ping(network.gateway, "10.66.77.77", { count: 1, wait: 1 });

    const all = await statuses(network.internet);
    const server = of(all, gateway);
    assertEquals(
      [server.interface, server.role, server.listenPort, server.publicKey],
      ["vpn0", "server", 51820, network.identity.publicKey],
    );
    assertEquals(server.addresses, [`${INSIDE}/24`]);
    assertMatch(server.aead, /^(libIPSec_MB|libboringssl|libcrypto|builtin)/);
    // How many there are is the machine's business, but by itself it is said why.
    assertEquals(server.threads!.count, Math.max(1, server.workers.length));
    assertMatch(
      server.threads!.decidedBy,
      /^auto: (\d+ processors?|at least 2500 NatPorts for each)$/,
    );
    assert(server.nat.mappings >= 1, JSON.stringify(server.nat));
    assertEquals(server.drops["no_route"], 1);
    const [peer] = server.peers;
    assertEquals(server.peers.length, 1);
    assertEquals(peer!.publicKey, identity.publicKey);
    assertEquals([peer!.transport, peer!.isUp, peer!.mtu], ["udp", true, 1420]);
    assertMatch(peer!.endpoint!, /^198\.51\.100\.2:\d+$/);
    assertEquals(peer!.allowedIps, ["10.66.77.2/32"]);
    assert(
      Date.parse(peer!.latestHandshake!) >= begun &&
        Date.parse(peer!.latestHandshake!) <= Date.now(),
    );
    assert(peer!.received > 0 && peer!.sent > 0 && peer!.silence! * 1000 <= Date.now() - begun);

    const complete = (...words: string[]) =>
      network.gateway.output(vpnCommand("completion", "bash", ...words));
    assertEquals((await complete("status", "--interface", "vp")).split("\n")[0], "vpn0");
    // It has no name, and is called by its key.
    const { publicKey } = identity;
    assertEquals(await complete("capture", "--peer", publicKey.slice(0, 4)), publicKey);

    // From outside both, the name alone does not tell which.
    const { code, stderr } = await network.internet.run(
      vpnCommand("status", "--interface", "vpn0"),
    );
    assertEquals(code, 2, stderr);
    assertMatch(stderr, /^vpn: Cannot choose between several "vpn0": .*ip netns exec/);

    const other = of(all, client);
    assertEquals([other.role, other.peers[0]!.endpoint], ["client", endpoint]);
    assertEquals(other.peers[0]!.publicKey, server.publicKey);
    assertEquals(other.threads, { count: 1, decidedBy: "auto: a client needs one" });
  },
  { programs: PROGRAMS },
);

netTest(
  "vpn status shows a table, with rates, and the instance of its own namespace",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const { client: { namespace } } = network;
    const gateway = await network.start();
    await network.connect();
    const pings = ping(namespace, INSIDE, { count: 40 });
    const text = await network.gateway.output(vpnCommand("status", "--interface", "vpn0"));
    await pings;
    assertMatch(
      text,
      new RegExp(`^vpn0  server on UDP port 51820, .*, process ${gateway.pid}$`, "m"),
    );
    assertMatch(
      text,
      /^ {2}PEER +ADDRESS +ENDPOINT +TRANSPORT +HANDSHAKE( +RTT)? +RECEIVED +SENT +IN +OUT$/m,
    );
    assertMatch(
      text,
      /… +10\.66\.77\.2 +198\.51\.100\.2:\d+ +UDP +\d+ s ago .* [\d.]+ k?bit\/s +[\d.]+ k?bit\/s$/m,
    );
    assert(!text.includes("\x1b"), "a pipe takes no colours");
  },
  { programs: PROGRAMS },
);

netTest(
  "vpn status --watch goes on until Ctrl-C, and outlives what it watches",
  async (topology) => {
    const wire = await layWire(topology);
    const tunnel = simpleTunnel();
    const server = await startVpn("server", wire.server, tunnel.server());
    const watch = wire.server.spawn(vpnCommand("status", "--watch", "--interface", "vpn0"));
    await watch.waitFor(/HANDSHAKE.*\n.*never.*\n\n[^]*never/);
    await endWell(server);
    await watch.waitFor(/no tunnel is running/);
    await startVpn("server", wire.server, tunnel.server());
    await watch.waitFor(/no tunnel is running[^]*never/);
    watch.signal("SIGINT");
    assertEquals((await watch.status).code, 0);
  },
  { programs: ["ip"] },
);

netTest(
  "vpn status says so when no tunnel is running, by that name or at all",
  async (topology) => {
    const namespace = topology.namespace("empty");
    const named = await namespace.run(vpnCommand("status", "--interface", "nothere"));
    assertEquals([named.code, named.stdout], [3, ""]);
    assertMatch(named.stderr, /^vpn: Cannot reach "nothere": no running server or client .*\n$/);
    // Others' tests may run in other namespaces: a user without any has none.
    using user = new Unprivileged();
    const { code, stdout, stderr } = await namespace.run(user.command(["status", "--json"]));
    assertEquals([code, stdout], [3, "[]\n"]);
    assertMatch(stderr, /^vpn: No server or client is running: .*as root to see those of root\n$/);
  },
  { programs: ["ip", ...UNPRIVILEGED_PROGRAMS] },
);

netTest(
  "vpn status passes over one that was killed, and warns of one that is stopped",
  async (topology) => {
    const wire = await layWire(topology);
    const tunnel = simpleTunnel();
    await killHard(await startVpn("server", wire.server, tunnel.server()));
    const server = await startVpn("server", wire.server, tunnel.server());
    assertEquals((await ask(server, "status") as Status).pid, server.pid);
    server.signal("SIGSTOP");
    const { code, stdout, stderr } = await wire.server.run(
      vpnCommand("status", "--interface", "vpn0"),
    );
    server.signal("SIGCONT");
    assertEquals([code, stdout], [3, ""]);
    assertMatch(stderr, /^vpn: warning: Cannot reach "vpn0": no answer to "status" within 2 s\n$/);
    await delay(10);
    await endWell(server);
  },
  { programs: ["ip"] },
);

netTest("a user without root asks his own instances, and nobody else's", async (topology) => {
  const wire = await layWire(topology);
  const tunnel = simpleTunnel();
  await startVpn("server", wire.server, tunnel.server());
  using user = new Unprivileged();
  using config = user.file(tunnel.client());
  const options = { capabilities: ["net_admin"], tun: true };
  const client = wire.client.spawn(user.command(["client", "--config", config.path], options));
  await client.waitFor(/connected to/);
  assertEquals((await ping(wire.client, SERVER_INSIDE)).received, 3);

  const own: Status[] = JSON.parse(await wire.server.output(user.command(["status", "--json"])));
  assertEquals(own.map(({ role, peers }) => [role, peers.length]), [["client", 1]]);
  assert((await statuses(wire.client)).every(({ pid }) => pid !== own[0]!.pid));
}, { programs: ["ip", "ping", ...UNPRIVILEGED_PROGRAMS] });
