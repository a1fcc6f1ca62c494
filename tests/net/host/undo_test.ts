/**
 * That everything is taken back, however a server or a client ends: at each point of its start, and of those beside it.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import {
  type BackgroundProcess,
  netTest,
  type TestNamespace,
  type Topology,
} from "../../support/net.ts";
import { configText, newIdentity, type Section, temporaryFile } from "../support/config.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { endWell, journalsOf, killHard } from "../support/simple_tunnel.ts";
import { ping } from "../support/traffic/traffic.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import {
  CLIENT_OUTSIDE,
  FAR_SERVER,
  layWire,
  SERVER_INSIDE,
  SERVER_OUTSIDE,
  SERVER_PORT,
  type Wire,
} from "../support/wire.ts";
import { giveIpv6 } from "../support/ipv6_addresses.ts";

const PROGRAMS = [...HOST_STATE_PROGRAMS, "nft", "ping"];
const FAULTY = new URL("../support/programs/faulty_vpn.ts", import.meta.url).pathname;
/** More entries than any journal has. */
const MOST_ENTRIES = 40;
/** Inner addresses of two clients. */
const CLIENTS = ["10.66.77.2", "10.66.77.3"] as const;

const serverIdentity = newIdentity();
const identities = [newIdentity(), newIdentity()] as const;

/** All that changes a client's host. */
const EVERYTHING: Section = {
  KillSwitch: "on",
  Transport: "faketcp",
  DNS: "10.66.77.1, corp.example",
  PostUp: "ip rule add priority 7 table 777",
  PostDown: "ip rule del priority 7 table 777",
};

function serverConfig(section: Section = {}): string {
  return configText(
    {
      PrivateKey: serverIdentity.privateKey,
      ListenPort: SERVER_PORT,
      Address: `${SERVER_INSIDE}/24`,
      Transport: "auto",
      ...section,
    },
    ...CLIENTS.map((address, index) => ({
      PublicKey: identities[index]!.publicKey,
      AllowedIPs: `${address}/32`,
    })),
  );
}

/** A client that takes all traffic. */
function clientConfig(section: Section = {}, index: 0 | 1 = 0): string {
  return configText(
    { PrivateKey: identities[index].privateKey, Address: `${CLIENTS[index]}/32`, ...section },
    {
      PublicKey: serverIdentity.publicKey,
      Endpoint: `${FAR_SERVER}:${SERVER_PORT}`,
      AllowedIPs: "0.0.0.0/0, ::/0",
    },
  );
}

/** A wire whose ends have default routes, and IPv6, as hosts do. */
async function lay(topology: Topology): Promise<Wire> {
  const wire = await layWire(topology);
  await wire.server.output(["ip", "-batch", "-"], {
    stdin: `address add ${FAR_SERVER}/32 dev lo\nroute add default via ${CLIENT_OUTSIDE}\n`,
  });
  await giveIpv6(wire.client, "eth0", "2001:db8:1::2/64");
  await wire.client.output(["ip", "-batch", "-"], {
    stdin: `route add default via ${SERVER_OUTSIDE}\nroute add default via 2001:db8:1::1\n`,
  });
  return wire;
}

/**
 * Starts a program over and over that fails after the first entry of its journal, after the second, and so on, until it
 * has come up before it could fail. Each time, nothing may be left.
 *
 * @returns how many entries the journal has
 */
async function failAfterEach(
  role: "server" | "client",
  namespace: TestNamespace,
  text: string,
): Promise<number> {
  using config = temporaryFile(text);
  const before = await hostState(namespace);
  for (let entry = 1; entry < MOST_ENTRIES; entry++) {
    const process = namespace.spawn([
      ...[Deno.execPath(), "run", "--quiet", "--allow-all", FAULTY, `${entry}`],
      ...[role, "--config", config.path],
    ]);
    const [said] = await process.waitFor(/connected to|listening on|^vpn: .*/m);
    if (!said.startsWith("vpn:")) {
      await endWell(process);
      return entry - 1;
    }
    assertMatch(said, new RegExp(`^vpn: fault after entry ${entry}: `));
    assertEquals((await process.status).code, 1);
    assertEquals(journalsOf(process), [], said);
    assertEquals(await hostState(namespace), before, said);
  }
  throw new Error("the journal has no end");
}

netTest("a client takes everything back when it fails after any change", async (topology) => {
  const { client, server } = await lay(topology);
  await startVpn("server", server, serverConfig());
  const entries = await failAfterEach("client", client, clientConfig(EVERYTHING));
  // PostDown, the kill switch, IPv6's route and two rules, a sysctl, two rules, a directory and resolv.conf in it.
  assert(entries >= 10, `${entries} entries`);
}, { programs: PROGRAMS });

for (
  const [name, section, least] of [
    ["raw sockets", {}, 3],
    ["NFQUEUE", { Capture: "nfqueue", NatPorts: "40000-40999" }, 4],
    ["the kernel's NAT", { Egress: "kernel" }, 2],
  ] as const
) {
  netTest(
    `a server with ${name} takes everything back when it fails after any change`,
    async (topology) => {
      const { server } = await lay(topology);
      const entries = await failAfterEach("server", server, serverConfig(section));
      assert(entries >= least, `${entries} entries`);
    },
    { programs: PROGRAMS },
  );
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  netTest(`a client with everything takes it back when ${signal} ends it`, async (topology) => {
    const { client, server } = await lay(topology);
    await startVpn("server", server, serverConfig());
    const before = await hostState(client);
    const process = await startVpn("client", client, clientConfig(EVERYTHING));
    assert(await hostState(client) !== before);
    await endWell(process, { signal });
    assertEquals(await hostState(client), before);
  }, { programs: PROGRAMS });
}

netTest("a client takes all but its kill switch back when its TUN is removed", async (topology) => {
  const { client, server } = await lay(topology);
  await startVpn("server", server, serverConfig());
  const before = await hostState(client);
  const process = await startVpn("client", client, clientConfig(EVERYTHING));
  await client.output(["ip", "link", "delete", "vpn0"]);
  assertEquals((await process.status).code, 1);
  const after = await hostState(client);
  assert(after !== before);
  assertEquals(after.replace(/table inet vpn_vpn0_killswitch \{.*?\n\}\n/s, ""), before);
  await client.output(vpnCommand("cleanup"));
  assertEquals(await hostState(client), before);
}, { programs: PROGRAMS });

netTest("cleanup takes everything back that a killed client left", async (topology) => {
  const { client, server } = await lay(topology);
  await startVpn("server", server, serverConfig());
  const before = await hostState(client);
  const process = await startVpn("client", client, clientConfig(EVERYTHING));
  await killHard(process);
  await client.output(vpnCommand("cleanup"));
  assertEquals(await hostState(client), before);
  assertEquals(journalsOf(process), []);
  assertEquals(await client.output(vpnCommand("cleanup")), "nothing to undo\n");
}, { programs: PROGRAMS });

netTest("cleanup goes where --netns sent a client that was killed", async (topology) => {
  const { client, server } = await lay(topology);
  const [outside, elsewhere] = [topology.namespace("outside"), topology.namespace("elsewhere")];
  await startVpn("server", server, serverConfig());
  const before = await hostState(client);
  const config = clientConfig({ KillSwitch: "on" });
  const process = await startVpn("client", outside, config, "--netns", client.name);
  await killHard(process);
  // Whoever starts another tunnel elsewhere does not open this host.
  const left = await hostState(client);
  await (await startVpn("server", elsewhere, serverConfig())).stop();
  assertEquals(await hostState(client), left);
  assertMatch(await outside.output(vpnCommand("cleanup")), /^undid for vpn0 /m);
  assertEquals(await hostState(client), before);
  assertEquals(journalsOf(process), []);
}, { programs: PROGRAMS });

netTest("cleanup takes everything back that a killed server left", async (topology) => {
  const { server } = await lay(topology);
  const before = await hostState(server);
  for (const section of [{ NatPorts: "40000-40999" }, { Egress: "kernel" }]) {
    const process = await startVpn("server", server, serverConfig(section));
    await killHard(process);
    await server.output(vpnCommand("cleanup"));
    assertEquals(await hostState(server), before);
    assertEquals(journalsOf(process), []);
  }
}, { programs: PROGRAMS });

/** Ends a program as when its container is destroyed: at once, and with its `/run`. */
async function destroy(process: BackgroundProcess): Promise<void> {
  await killHard(process);
  for (const name of journalsOf(process)) Deno.removeSync(`/run/vpn/${name}`);
}

netTest(
  "cleanup and the next start find what a killed client left whose journal is lost, and nothing else",
  async (topology) => {
    const { client, server } = await lay(topology);
    await startVpn("server", server, serverConfig({ Address: `${SERVER_INSIDE}/24, fd66::1/64` }));
    const foreign = "table ip vpn_corp_inner {\n\tchain input {\n\t}\n}\n" +
      "table ip vpn_corp {\n}\n";
    await client.output(["nft", "-f", "-"], { stdin: foreign });
    await client.output(["ip", "rule", "add", "not", "fwmark", "7", "lookup", "51900"]);
    const empty = await hostState(client);
    const start = (name: string, section: Section, index: 0 | 1) => {
      const addresses = `${CLIENTS[index]}/32, fd66::${index + 2}/128`;
      const config = clientConfig({ Address: addresses, ...section }, index);
      return startVpn("client", client, config, "--interface", name);
    };
    const other = await start("vpn1", {}, 1);
    const before = await hostState(client);

    await destroy(await start("vpn0", { KillSwitch: "on" }, 0));
    assert(await hostState(client) !== before);
    const said = await client.output(vpnCommand("cleanup"));
    assertEquals(await hostState(client), before, said);
    for (const undone of ["nftables table ip vpn_vpn0_return", "route ::/0 in", "routing rule"]) {
      assertStringIncludes(said, `undid (no journal): ${undone}`);
    }
    assertMatch(said, /^left: nftables table ip vpn_corp_inner, which may be another program's/m);

    // Nobody can tell whose the TUN is that still runs and that no journal names.
    const [journal = ""] = journalsOf(other).map((name) => `/run/vpn/${name}`);
    other.signal("SIGSTOP");
    Deno.removeSync(journal);
    await client.output(vpnCommand("cleanup"));
    assertEquals(await hostState(client), before);
    await destroy(await start("vpn0", {}, 0));
    const left = await client.output(vpnCommand("cleanup"));
    assert(!left.includes("undid (no journal): routing rule"), left);
    assertMatch(left, /^left: routing rule .*: if none runs, .*`ip -6 rule delete priority \d+`$/m);

    await destroy(other);
    await endWell(await start("vpn1", {}, 1));
    const mark = "net.ipv4.conf.all.src_valid_mark";
    await client.output(["sysctl", "-w", `${mark}=0`]);
    assertEquals(await hostState(client), empty);
  },
  { programs: PROGRAMS },
);

netTest("cleanup finds what a killed server left whose journal is lost", async (topology) => {
  const { server } = await lay(topology);
  const before = await hostState(server);
  for (const section of [{ NatPorts: "40000-40999" }, { Egress: "kernel" }]) {
    await destroy(await startVpn("server", server, serverConfig(section)));
    const said = await server.output(vpnCommand("cleanup"));
    // That the host was no router, the firewall tells: without it, it would be an open one.
    assert(!said.includes("run `sysctl -w net.ipv4.ip_forward"), said);
    // What it was before, nobody knows: a person is told, and what to do.
    for (const [, command = ""] of said.matchAll(/run `(sysctl -w [^`]+)`/g)) {
      await server.output(command.split(" "));
    }
    assertEquals(await hostState(server), before, said);
  }
}, { programs: PROGRAMS });

/** Two clients that both take all traffic, in one namespace. */
async function startTwo(
  { client, server }: Wire,
): Promise<readonly [BackgroundProcess, BackgroundProcess]> {
  await startVpn("server", server, serverConfig());
  return [
    await startVpn("client", client, clientConfig()),
    await startVpn("client", client, clientConfig({}, 1), "--interface", "vpn1"),
  ];
}

/** Fails unless the tunnel of a client takes all traffic but the neighbours'. */
async function assertInUse(client: TestNamespace, interfaceName: string): Promise<void> {
  const pings = await ping(client, SERVER_INSIDE, { source: interfaceName });
  assertEquals(pings.received, 3, interfaceName);
  const route = (address: string) => client.output(["ip", "route", "get", address]);
  assertMatch(await route("198.51.100.9"), /dev vpn[01] /);
  assertMatch(await route(SERVER_OUTSIDE), /dev eth0 /);
  assertEquals((await client.run(["ip", "-6", "route", "get", "2001:db8:2::1"])).code, 2);
  const mark = await client.output(["sysctl", "-n", "net.ipv4.conf.all.src_valid_mark"]);
  assertEquals(mark.trim(), "1");
}

for (const order of [[0, 1], [1, 0]] as const) {
  netTest(
    `one of two clients goes on when the other ends: number ${order[0]} ends first`,
    async (topology) => {
      const wire = await lay(topology);
      const before = await hostState(wire.client);
      const processes = await startTwo(wire);
      for (const name of ["vpn0", "vpn1"]) await assertInUse(wire.client, name);
      await endWell(processes[order[0]]);
      await assertInUse(wire.client, `vpn${order[1]}`);
      await endWell(processes[order[1]]);
      assertEquals(await hostState(wire.client), before);
    },
    { programs: PROGRAMS },
  );
}

netTest("one of two clients goes on when the other is killed and cleaned up", async (topology) => {
  const wire = await lay(topology);
  const before = await hostState(wire.client);
  const [killed, other] = await startTwo(wire);
  await killHard(killed);
  await wire.client.output(vpnCommand("cleanup"));
  await assertInUse(wire.client, "vpn1");
  await endWell(other);
  assertEquals(await hostState(wire.client), before);
}, { programs: PROGRAMS });

netTest("two clients that end at the same moment leave nothing behind", async (topology) => {
  const wire = await lay(topology);
  const before = await hostState(wire.client);
  const processes = await startTwo(wire);
  await Promise.all(processes.map((process) => endWell(process)));
  assertEquals(await hostState(wire.client), before);
}, { programs: PROGRAMS });

netTest("two clients that start at the same moment get tables of their own", async (topology) => {
  const wire = await lay(topology);
  const { client, server } = wire;
  await startVpn("server", server, serverConfig());
  const before = await hostState(client);
  const processes = await Promise.all([
    startVpn("client", client, clientConfig()),
    startVpn("client", client, clientConfig({}, 1), "--interface", "vpn1"),
  ]);
  for (const name of ["vpn0", "vpn1"]) await assertInUse(client, name);
  for (const process of processes) await endWell(process);
  assertEquals(await hostState(client), before);
}, { programs: PROGRAMS });

for (const first of ["client", "server"] as const) {
  netTest(
    `client and server in one namespace end apart: the ${first} first`,
    async (topology) => {
      const { client, server } = await lay(topology);
      await startVpn("server", server, serverConfig());
      const before = await hostState(client);
      // Another gateway on the client's host; what it sends outside is to go through the client's tunnel.
      const gateway = await startVpn(
        "server",
        client,
        serverConfig({ Address: "10.66.78.1/24", Table: "off", Egress: "kernel" }),
        ...["--interface", "vpn1"],
      );
      const between = await hostState(client);
      const process = await startVpn("client", client, clientConfig());
      await assertInUse(client, "vpn0");
      await endWell(first === "client" ? process : gateway);
      if (first === "client") assertEquals(await hostState(client), between);
      else await assertInUse(client, "vpn0");
      await endWell(first === "client" ? gateway : process);
      assertEquals(await hostState(client), before);
    },
    { programs: PROGRAMS },
  );
}
