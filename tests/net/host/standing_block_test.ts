/** That nobody but a person opens a host that `KillSwitch = on` has closed, however its client ends. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import {
  type BackgroundProcess,
  netTest,
  randomDigits,
  type TestNamespace,
} from "../../support/net.ts";
import { chat } from "../support/programs/chatter.ts";
import { temporaryFile } from "../support/config.ts";
import { HOST_FILES_PROGRAMS, HostFiles } from "../support/host_files.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { record, RECORDING_PROGRAMS } from "../support/traffic/recording.ts";
import { endWell, killHard, simpleTunnel } from "../support/simple_tunnel.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { CABLE, layWire, SERVER_INSIDE, SERVER_OUTSIDE } from "../support/wire.ts";

const PROGRAMS = [...HOST_STATE_PROGRAMS, "nft", "ping"];
const FULL = { AllowedIPs: "0.0.0.0/0" };

async function reaches(namespace: TestNamespace, address: string): Promise<boolean> {
  return (await namespace.run(["ping", "-c", "1", "-W", "1", address])).code === 0;
}

/** What `vpn status --json` says of the client's interface, which no other test has. */
async function stateOf(namespace: TestNamespace, interfaceName: string): Promise<unknown> {
  const command = vpnCommand("status", "--json", "--interface", interfaceName);
  return (JSON.parse(await namespace.output(command)) as { state: unknown }[])[0]?.state;
}

function journalPaths(): string[] {
  return Array.from(Deno.readDirSync("/run/vpn"), ({ name }) => `/run/vpn/${name}`)
    .filter((path) => path.endsWith(".journal"));
}

type Ending = (client: BackgroundProcess, where: {
  readonly client: TestNamespace;
  readonly server: BackgroundProcess;
  readonly interfaceName: string;
}) => Promise<void>;

const ENDINGS: readonly (readonly [name: string, code: number, Ending])[] = [
  ["is killed", 137, (client) => killHard(client)],
  ["loses its device", 1, async (_, { client, interfaceName }) => {
    await client.output(["ip", "link", "delete", interfaceName]);
  }],
  ["has its device renamed", 1, async (process, { client, interfaceName }) => {
    await client.output(["ip", "link", "set", interfaceName, "down", "name", "other"]);
    await process.waitFor(/^vpn: The device "\w+" is gone: /m);
  }],
  ["is started again by its unit", 0, (client) => Promise.resolve(client.signal("SIGUSR2"))],
  ["ends by OnPeerTimeout = exit", 4, async (_, { server }) => {
    // It says goodbye.
    await endWell(server);
  }],
];

for (const [index, [name, code, end]] of ENDINGS.entries()) {
  netTest(
    `a host stays closed when its client ${name}, until a person stops the next one`,
    async (topology) => {
      const { client, server } = await layWire(topology);
      const interfaceName = `b${index}x${randomDigits()}`;
      const tunnel = simpleTunnel();
      const start = (section = {}) => {
        const all = { KillSwitch: "on", OnPeerTimeout: "exit", ...section };
        return startVpn("client", client, tunnel.client(all, FULL), "--interface", interfaceName);
      };
      const gateway = await startVpn("server", server, tunnel.server());
      const before = await hostState(client);
      // On a busy machine, silence of two seconds ends a client whose server is well.
      const first = await start(code === 4 ? { PeerTimeout: "2" } : {});
      await end(first, { client, server: gateway, interfaceName });
      assertEquals((await first.status).code, code, first.stderr);
      if (code !== 137) {
        assertMatch(
          first.stderr,
          /the kill switch stays active: .* or `vpn cleanup` removes the block$/m,
        );
        const opened = await hostState(client);
        assertEquals(opened.replace(/table inet vpn_\S+_killswitch \{.*?\n\}\n/s, ""), before);
      }
      assertEquals(await stateOf(client, interfaceName), "blocked");
      // What a unit runs after each end, and whatever else starts here, opens nothing.
      await client.output(vpnCommand("cleanup", "--keep-kill-switch"));
      if (code === 4) await startVpn("server", server, tunnel.server());
      assertEquals(await reaches(client, SERVER_OUTSIDE), false);
      const next = await start();
      assertEquals(await stateOf(client, interfaceName), "up");
      assertEquals(
        [await reaches(client, SERVER_INSIDE), await reaches(client, SERVER_OUTSIDE)],
        [true, false],
      );
      await endWell(next);
      assertEquals(await hostState(client), before);
      assertEquals(await client.output(vpnCommand("cleanup")), "nothing to undo\n");
    },
    { programs: PROGRAMS },
  );
}

netTest(
  "a host that is blocked from boot stays so until the client is there, and over a crash",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const tunnel = simpleTunnel();
    await startVpn("server", server, tunnel.server());
    const before = await hostState(client);
    assertMatch(
      (await client.run(vpnCommand("block"))).stderr,
      /only loopback and DHCP can leave this host until a client .* on vpn0, or `vpn cleanup`/,
    );
    chat(client, `udp://${SERVER_OUTSIDE}:4000`);
    await using recording = await record(server, CABLE, "udp", { immediate: true });
    const start = () => startVpn("client", client, tunnel.client({ KillSwitch: "on" }, FULL));
    const first = await start();
    // While a client runs, the block is its own.
    assertStringIncludes(
      (await client.run(vpnCommand("block"))).stderr,
      "already blocks this host",
    );
    await killHard(first);
    await client.output(vpnCommand("cleanup", "--keep-kill-switch"));
    const next = await start();
    assert(await reaches(client, SERVER_INSIDE));
    await recording.stop();
    assertEquals(await recording.count(`udp dst port 4000`), 0);
    await endWell(next);
    assertEquals(await hostState(client), before);
  },
  { programs: [...PROGRAMS, ...RECORDING_PROGRAMS] },
);

netTest("`vpn cleanup` opens a host that is blocked", async (topology) => {
  const client = topology.namespace("client");
  const before = await hostState(client);
  await client.output(vpnCommand("block"));
  assert(await hostState(client) !== before);
  assertMatch(await client.output(vpnCommand("cleanup")), /^undid for vpn0 .*: kill switch /m);
  assertEquals(await hostState(client), before);
}, { programs: PROGRAMS });

netTest(
  "a block that has lost its journal is seen, taken over, and opened by `vpn cleanup`",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const interfaceName = `l${randomDigits()}`;
    const tunnel = simpleTunnel();
    await startVpn("server", server, tunnel.server());
    const before = await hostState(client);
    const block = async () => {
      const had = new Set(journalPaths());
      await client.output(vpnCommand("block", "--interface", interfaceName));
      for (const path of journalPaths().filter((path) => !had.has(path))) {
        if (Deno.readTextFileSync(path).includes(`"${interfaceName}"`)) Deno.removeSync(path);
      }
    };
    await block();
    assertEquals(await stateOf(client, interfaceName), "blocked");
    const config = tunnel.client({ KillSwitch: "on" }, FULL);
    await endWell(await startVpn("client", client, config, "--interface", interfaceName));
    assertEquals(await hostState(client), before);

    await block();
    await client.output(vpnCommand("cleanup", "--keep-kill-switch"));
    assert(await hostState(client) !== before);
    assertMatch(await client.output(vpnCommand("cleanup")), /\(no journal\): kill switch /);
    assertEquals(await hostState(client), before);
  },
  { programs: PROGRAMS },
);

netTest(
  "a second kill switch on a host, which would cut both tunnels, is refused",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const tunnel = simpleTunnel();
    await startVpn("server", server, tunnel.server());
    const config = tunnel.client({ KillSwitch: "on" }, FULL);
    const first = await startVpn("client", client, config);
    using file = temporaryFile(config);
    const { code, stderr } = await client.run(
      vpnCommand("client", "--config", file.path, "--interface", "vpn1"),
    );
    assertEquals(code, 2);
    assertMatch(stderr, /the client on "vpn0" \(process \d+\) already blocks this host/);
    assert(await reaches(client, SERVER_INSIDE));
    await endWell(first);
  },
  { programs: PROGRAMS },
);

netTest(
  "a client on a closed host finds its server where the client before it was, when no resolver answers",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const tunnel = simpleTunnel();
    await startVpn("server", server, tunnel.server());
    using files = new HostFiles("nameserver 192.0.2.1\n");
    const hosts = Deno.readTextFileSync(files.path("hosts"));
    Deno.writeTextFileSync(files.path("hosts"), `${hosts}\n${SERVER_OUTSIDE} gate.example\n`);
    const peer = { ...FULL, Endpoint: "gate.example:51820" };
    const config = tunnel.client({ KillSwitch: "on" }, peer);
    await killHard(await files.startClient(client, config));
    Deno.writeTextFileSync(files.path("hosts"), hosts);
    await endWell(await files.startClient(client, config));

    // Blocked from boot, there is none to ask, and none before it.
    await client.output(vpnCommand("block"));
    using file = temporaryFile(config);
    const command = files.command(vpnCommand("client", "--config", file.path));
    const { code, stderr } = await client.run(command, { env: files.env });
    assertEquals(code, 3);
    assertMatch(stderr, /the kill switch blocks DNS: use an IP address as Endpoint/);
    await client.output(vpnCommand("cleanup"));
  },
  { programs: [...PROGRAMS, ...HOST_FILES_PROGRAMS] },
);
