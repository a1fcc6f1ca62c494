/** How servers and clients begin and end: what they change on the host, and that they take it all back. */
import { Arena } from "../../../ffi/arena.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { Tun } from "../../../ffi/tun.ts";
import { Journal } from "../../../lib/host/journal/journal.ts";
import { HostNetwork } from "../../../lib/host/network/host_network.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { configText, newIdentity, type Section, temporaryFile } from "../support/config.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { sendJunk } from "../support/traffic/hostile.ts";
import { endWell, journalsOf } from "../support/simple_tunnel.ts";
import { capture, ping } from "../support/traffic/traffic.ts";
import { runVpn, startVpn, vpnCommand } from "../support/programs/vpn.ts";
import {
  CABLE,
  CLIENT_INSIDE,
  CLIENT_OUTSIDE,
  FAR_SERVER,
  layWire,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_OUTSIDE,
  SERVER_PORT,
  SUBNET,
  type Wire,
} from "../support/wire.ts";
import { giveIpv6 } from "../support/ipv6_addresses.ts";

const PROGRAMS = [...HOST_STATE_PROGRAMS, "ping"];
const SRC_VALID_MARK = "net.ipv4.conf.all.src_valid_mark";

const serverIdentity = newIdentity();
const clientIdentity = newIdentity();

const SERVER_CONFIG = configText(
  {
    PrivateKey: serverIdentity.privateKey,
    ListenPort: SERVER_PORT,
    Address: `${SERVER_INSIDE}/24`,
  },
  { PublicKey: clientIdentity.publicKey, AllowedIPs: `${CLIENT_INSIDE}/32, 10.99.0.0/16` },
);

/** The client's configuration; what is given adds to its sections or replaces it. */
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

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  netTest(`server and client leave nothing behind when ${signal} ends them`, async (topology) => {
    const { client, server } = await layWire(topology);
    // With a way to the internet, the server sets up its NAT, too.
    await server.output(["ip", "route", "add", "default", "via", CLIENT_OUTSIDE]);
    const before = [await hostState(client), await hostState(server)];
    const serverProcess = await startVpn("server", server, SERVER_CONFIG);
    const clientProcess = await startVpn("client", client, clientConfig());
    assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
    assertMatch(await server.output(["ip", "address"]), /vpn0: [^]*inet 10\.66\.77\.1\/24/);
    assertMatch(await server.output(["ip", "route"]), /^10\.99\.0\.0\/16 dev vpn0 /m);
    assertMatch(await client.output(["ip", "link"]), /vpn0: <[^>]*UP[^>]*> mtu 1420 .* qlen 1000/);

    await endWell(clientProcess, { signal });
    await endWell(serverProcess, { signal });
    assertEquals([await hostState(client), await hostState(server)], before);
    assertEquals([clientProcess.stdout, serverProcess.stdout], ["", ""]);
  }, { programs: PROGRAMS });
}

netTest("server and client run in the namespace that --netns names", async (topology) => {
  const { client, server } = await layWire(topology);
  // Started elsewhere, in a namespace without any of the addresses.
  const outside = topology.namespace("outside");
  const before = await hostState(outside);
  const names = ["--interface", "tunnel7"];
  await startVpn("server", outside, SERVER_CONFIG, "--netns", server.name, ...names);
  const config = clientConfig({ AllowedIPs: "0.0.0.0/0" });
  await startVpn("client", outside, config, "--netns", client.name, ...names);
  assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
  assertMatch(await client.output(["ip", "link"]), /tunnel7: /);
  assertEquals(await sysctl(client, SRC_VALID_MARK), "1");
  assertEquals(await hostState(outside), before);
}, { programs: PROGRAMS });

/** A client whose way to the server is its default route, with the server running. */
async function startFarServer({ client, server }: Wire): Promise<void> {
  await server.output(["ip", "address", "add", `${FAR_SERVER}/32`, "dev", "lo"]);
  await client.output(["ip", "route", "add", "default", "via", SERVER_OUTSIDE]);
  await startVpn("server", server, SERVER_CONFIG);
}

const FULL_TUNNEL = { AllowedIPs: "0.0.0.0/0, ::/0", Endpoint: `${FAR_SERVER}:${SERVER_PORT}` };

async function sysctl(namespace: TestNamespace, name: string): Promise<string> {
  return (await namespace.output(["sysctl", "-n", name])).trim();
}

netTest("client takes all traffic when AllowedIPs is 0.0.0.0/0", async (topology) => {
  const wire = await layWire(topology);
  const { client } = wire;
  await startFarServer(wire);
  const before = await hostState(client);
  const routes = await client.output(["ip", "route"]);
  const process = await startVpn("client", client, clientConfig(FULL_TUNNEL));

  // As wg-quick has it; the main table has lost nothing and got the TUN's own network.
  const rules = await client.output(["ip", "rule"]);
  assertMatch(rules, /^\d+:\tfrom all lookup main suppress_prefixlength 0\s*$/m);
  assertMatch(rules, /^\d+:\tnot from all fwmark 0xca6c lookup 51820\s*$/m);
  assertMatch(await client.output(["ip", "route", "show", "table", "51820"]), /^default dev vpn0 /);
  assertEquals(
    withoutLines(await client.output(["ip", "route"]), "vpn0"),
    routes,
  );
  assertEquals(await sysctl(client, SRC_VALID_MARK), "1");

  // Everything goes inside, the neighbour on the cable and the tunnel's own datagrams excepted.
  assertMatch(await client.output(["ip", "route", "get", "198.51.100.9"]), /dev vpn0/);
  assertMatch(await client.output(["ip", "route", "get", SERVER_OUTSIDE]), /dev eth0/);
  const marked = ["ip", "route", "get", FAR_SERVER, "mark", "0xca6c"];
  assertMatch(await client.output(marked), /via 192\.0\.2\.1 dev eth0/);
  await using leaks = await capture(client, CABLE, "not udp and not arp");
  assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
  await ping(client, "198.51.100.9", { count: 1, wait: 0.5 });
  assertEquals(leaks.count(), 0);

  await endWell(process, { signal: "SIGTERM" });
  assertEquals(await hostState(client), before);
}, { programs: [...PROGRAMS, "tcpdump"] });

netTest("client blocks native IPv6 under a full tunnel when AllowIPv6 is off", async (topology) => {
  const wire = await layWire(topology);
  const { client } = wire;
  await startFarServer(wire);
  await giveIpv6(client, CABLE, "2001:db8:1::2/64");
  await client.output(["ip", "-6", "route", "add", "default", "via", "2001:db8:1::1"]);
  const before = await hostState(client);
  const route = ["ip", "-6", "route", "get", "2001:db8:2::1"];
  assertMatch(await client.output(route), /via 2001:db8:1::1 dev eth0/);

  const process = await startVpn("client", client, clientConfig(FULL_TUNNEL));
  assertMatch((await client.run(route)).stderr, /No route to host/);
  // The neighbours on the cable stay reachable, as with IPv4.
  assertMatch(await client.output(["ip", "-6", "route", "get", "2001:db8:1::1"]), /dev eth0/);
  await endWell(process, { signal: "SIGTERM" });
  assertEquals(await hostState(client), before);

  const open = clientConfig(FULL_TUNNEL, { AllowIPv6: "on" });
  const allowing = await startVpn("client", client, open);
  assertMatch(await client.output(route), /via 2001:db8:1::1 dev eth0/);
  await endWell(allowing, { signal: "SIGTERM" });
  assertEquals(await hostState(client), before);
}, { programs: PROGRAMS });

netTest(
  "client blocks the IPv6 networks of AllowedIPs, and no others, in a split tunnel",
  async (topology) => {
    const wire = await layWire(topology);
    const { client } = wire;
    await startFarServer(wire);
    await giveIpv6(client, CABLE, "2001:db8:1::2/64");
    await client.output(["ip", "-6", "route", "add", "default", "via", "2001:db8:1::1"]);
    const before = await hostState(client);
    const split = clientConfig({ AllowedIPs: `${SUBNET}, 2001:db8:2::/48` });
    const process = await startVpn("client", client, split);
    const route = (address: string) => client.run(["ip", "-6", "route", "get", address]);
    assertMatch((await route("2001:db8:2::1")).stderr, /No route to host/);
    assertMatch((await route("2001:db8:3::1")).stdout, /via 2001:db8:1::1 dev eth0/);
    assertMatch((await route("2001:db8:1::1")).stdout, /dev eth0/);
    await endWell(process, { signal: "SIGTERM" });
    assertEquals(await hostState(client), before);
  },
  { programs: PROGRAMS },
);

netTest(
  "client takes the two halves of IPv4 for all of it, and does not loop",
  async (topology) => {
    const wire = await layWire(topology);
    const { client } = wire;
    await startFarServer(wire);
    const before = await hostState(client);
    const halves = clientConfig({ ...FULL_TUNNEL, AllowedIPs: "0.0.0.0/1, 128.0.0.0/1" });
    const process = await startVpn("client", client, halves);
    assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
    const route = (address: string) => client.output(["ip", "route", "get", address]);
    for (const address of ["198.51.100.9", "9.9.9.9"]) {
      assertMatch(
        await route(address),
        /dev vpn0/,
      );
    }
    assertMatch(await route(SERVER_OUTSIDE), /dev eth0/);
    await endWell(process, { signal: "SIGTERM" });
    assertEquals(await hostState(client), before);
  },
  { programs: PROGRAMS },
);

netTest("client marks its datagrams with FwMark, which names the table, too", async (topology) => {
  const wire = await layWire(topology);
  const { client } = wire;
  await startFarServer(wire);
  const before = await hostState(client);
  const process = await startVpn("client", client, clientConfig(FULL_TUNNEL, { FwMark: "0x7e57" }));
  assertMatch(await client.output(["ip", "rule"]), /not from all fwmark 0x7e57 lookup 32343/);
  assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
  await endWell(process, { signal: "SIGTERM" });
  assertEquals(await hostState(client), before);
}, { programs: PROGRAMS });

netTest("client leaves src_valid_mark on when it was on before", async (topology) => {
  const wire = await layWire(topology);
  await startFarServer(wire);
  await wire.client.output(["sysctl", "-q", "-w", `${SRC_VALID_MARK}=1`]);
  const process = await startVpn("client", wire.client, clientConfig(FULL_TUNNEL));
  await endWell(process, { signal: "SIGTERM" });
  assertEquals(await sysctl(wire.client, SRC_VALID_MARK), "1");
}, { programs: PROGRAMS });

netTest("client uses another table for a full tunnel when 51820 is taken", async (topology) => {
  const wire = await layWire(topology);
  const { client } = wire;
  await startFarServer(wire);
  await client.output(["ip", "route", "add", "blackhole", "default", "table", "51820"]);
  const before = await hostState(client);
  const process = await startVpn("client", client, clientConfig(FULL_TUNNEL));
  assertMatch(await client.output(["ip", "rule"]), /fwmark 0xca6c lookup 51821/);
  assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
  await endWell(process, { signal: "SIGTERM" });
  assertEquals(await hostState(client), before);
}, { programs: PROGRAMS });

netTest("client puts routes where Table says", async (topology) => {
  const { client, server } = await layWire(topology);
  await startVpn("server", server, SERVER_CONFIG);
  const AllowedIPs = `${SUBNET}, 10.99.0.0/16, 203.0.113.0/24`;
  const before = await hostState(client);
  const routes = async (Table: string, table: string) => {
    const process = await startVpn("client", client, clientConfig({ AllowedIPs }, { Table }));
    const routes = await client.output(["ip", "route", "show", "table", table]);
    await endWell(process, { signal: "SIGTERM" });
    assertEquals(await hostState(client), before);
    return routes.split("\n").filter((line) => line.includes("vpn0"));
  };
  const networks = async (Table: string, table: string) =>
    (await routes(Table, table)).map((line) => line.split(" ")[0]).sort();
  assertEquals(await networks("auto", "main"), ["10.66.77.0/24", "10.99.0.0/16", "203.0.113.0/24"]);
  assertEquals(await networks("off", "main"), ["10.66.77.0/24"]);
  assertEquals(await networks("1234", "1234"), ["10.99.0.0/16", "203.0.113.0/24"]);
}, { programs: PROGRAMS });

netTest(
  "client ends with 3, the host unchanged, when nothing answers within ConnectTimeout",
  async (topology) => {
    const wire = await layWire(topology);
    const { client } = wire;
    const before = await hostState(client);
    const start = performance.now();
    const { code, stdout, stderr } = await runVpn("client", client, clientConfig());
    const elapsed = performance.now() - start;
    assertEquals([code, stdout], [3, ""]);
    assertMatch(stderr, /^vpn: Cannot connect: no valid answer from 192\.0\.2\.1:51820 [^\n]+\n$/);
    assert(elapsed > 2_500, `it gave up after ${elapsed} ms`);
    assertEquals(await hostState(client), before);
  },
  { programs: PROGRAMS },
);

netTest("client ends with 0 when it is told to stop while it connects", async (topology) => {
  const { client } = await layWire(topology);
  const before = await hostState(client);
  await using initiations = await capture(client, CABLE, `udp port ${SERVER_PORT}`);
  using file = temporaryFile(clientConfig({}, { ConnectTimeout: 60 }));
  const process = client.spawn(vpnCommand("client", "--config", file.path));
  await initiations.waitForCount(1);
  await endWell(process, { signal: "SIGINT" });
  assertEquals(await hostState(client), before);
}, { programs: [...PROGRAMS, "tcpdump"] });

netTest("cleanup undoes what a killed client left when it is called", async (topology) => {
  const wire = await layWire(topology);
  const { client, server } = wire;
  await startFarServer(wire);
  const before = await hostState(client);
  const process = await startVpn("client", client, clientConfig(FULL_TUNNEL));
  assertEquals(journalsOf(process).length, 1);
  process.signal("SIGKILL");
  await process.status;
  // The kernel has taken the TUN and its routes away, not the rules.
  assert(await hostState(client) !== before);
  const elsewhere = await server.output(vpnCommand("cleanup"));
  assertEquals(elsewhere, "nothing to undo\n");
  assertMatch(await client.output(vpnCommand("cleanup")), /^undid for vpn0 \(process \d+\): /);
  assertEquals(journalsOf(process), []);
  assertEquals(await hostState(client), before);
}, { programs: PROGRAMS });

netTest("client undoes what a killed one left when it starts", async (topology) => {
  const wire = await layWire(topology);
  const { client } = wire;
  await startFarServer(wire);
  const before = await hostState(client);
  const killed = await startVpn("client", client, clientConfig(FULL_TUNNEL));
  killed.signal("SIGKILL");
  await killed.status;
  const process = await startVpn("client", client, clientConfig(FULL_TUNNEL));
  assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
  await endWell(process, { signal: "SIGTERM" });
  assertEquals(await hostState(client), before);
}, { programs: PROGRAMS });

netTest("client undoes its changes when the TUN is removed under it", async (topology) => {
  const wire = await layWire(topology);
  const { client } = wire;
  await startFarServer(wire);
  const before = await hostState(client);
  const process = await startVpn("client", client, clientConfig(FULL_TUNNEL));
  await client.output(["ip", "link", "delete", "vpn0"]);
  const { code } = await process.status;
  assertEquals(code, 1);
  // Whichever of its threads notices first.
  assertMatch(
    process.stderr,
    /\nvpn: The device "vpn0" is gone: another program [^\n]+: the tunnel ends\n$/,
  );
  assertEquals(await hostState(client), before);
}, { programs: PROGRAMS });

netTest("client keeps its session when junk comes to its port", async (topology) => {
  const { client, server } = await layWire(topology);
  await startVpn("server", server, SERVER_CONFIG);
  const process = await startVpn("client", client, clientConfig({}, { ListenPort: 40_000 }));
  sendJunk(server, CLIENT_OUTSIDE, 40_000);
  await process.waitFor(/dropped packet/);
  assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
  assertEquals(process.stderr.match(/handshake completed/g)?.length, 1);
}, { programs: PROGRAMS });

netTest("a tunnel's IPv6 addresses can be bound to as soon as it is up", (topology) => {
  const namespace = topology.namespace("host");
  const settings = { addresses: [], addresses6: ["fd66::1/64"], mtu: 1420 } as const;
  namespace.inside(() => {
    // Each time, the kernel may be quicker to settle that nobody else has the address.
    for (let time = 0; time < 40; time++) {
      using _tun = Tun.open(openLibc(), new Arena(8192), "vpn0");
      using network = new HostNetwork(new Journal("vpn0"));
      network.bringUp({ ...settings, name: "vpn0" });
      using _listener = Deno.listen({ hostname: "fd66::1", port: 53 });
    }
  });
});

/** `text` without its lines that contain `part`. */
function withoutLines(text: string, part: string): string {
  return text.split("\n").filter((line) => !line.includes(part)).join("\n");
}
