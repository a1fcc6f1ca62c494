/** Tests of what server and client keep of their privileges, and of what they say where some are missing. */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { type BackgroundProcess, netTest } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { HOST_FILES_PROGRAMS, HostFiles } from "../support/host_files.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { endWell, killHard, simpleTunnel } from "../support/simple_tunnel.ts";
import { ping } from "../support/traffic/traffic.ts";
import { Unprivileged, UNPRIVILEGED_PROGRAMS } from "../support/programs/unprivileged.ts";
import { startVpn } from "../support/programs/vpn.ts";
import { CLIENT_OUTSIDE, layWire, SERVER_INSIDE } from "../support/wire.ts";

const PROGRAMS = [...HOST_STATE_PROGRAMS, "ping"];

// Bits of include/uapi/linux/capability.h.
const CHOWN = 1n << 0n;
const DAC_OVERRIDE = 1n << 1n;
const FOWNER = 1n << 3n;
const NET_BIND_SERVICE = 1n << 10n;
const NET_ADMIN = 1n << 12n;
const NET_RAW = 1n << 13n;

interface Privileges {
  readonly name: string;
  readonly permitted: bigint;
  readonly effective: bigint;
  readonly inheritable: bigint;
  readonly bounding: bigint;
  readonly ambient: bigint;
  readonly noNew: boolean;
}

/** What the threads of a process may do, the main thread first. */
function threadsOf({ pid }: BackgroundProcess): Privileges[] {
  const ids = Array.from(Deno.readDirSync(`/proc/${pid}/task`), ({ name }) => Number(name));
  return ids.sort((a, b) => a - b).flatMap((id) => {
    const status = statusOf(`/proc/${pid}/task/${id}/status`);
    if (status === null) return [];
    const field = (name: string) => new RegExp(`^${name}:\\s*(.*)$`, "m").exec(status)![1]!;
    const set = (name: string) => BigInt(`0x${field(name)}`);
    return {
      name: field("Name"),
      permitted: set("CapPrm"),
      effective: set("CapEff"),
      inheritable: set("CapInh"),
      bounding: set("CapBnd"),
      ambient: set("CapAmb"),
      noNew: field("NoNewPrivs") === "1",
    };
  });
}

/** Null for a thread that has ended since it was listed: the runtime ends those that are idle. */
function statusOf(path: string): string | null {
  try {
    return Deno.readTextFileSync(path);
  } catch (error) {
    // ESRCH: it ended between the opening of the file and the reading.
    if (
      error instanceof Deno.errors.NotFound ||
      (error instanceof Error && "code" in error && error.code === "ESRCH")
    ) return null;
    throw error;
  }
}

/** Fails unless a thread has these capabilities and can get no more. */
function assertOnly(thread: Privileges, capabilities: bigint): void {
  assertEquals(thread, {
    name: thread.name,
    permitted: capabilities,
    effective: capabilities,
    inheritable: 0n,
    bounding: capabilities,
    ambient: 0n,
    noNew: true,
  });
}

/** The threads that read packets from strangers: one, or several that move packets and one beside them. */
function dataPlaneOf(process: BackgroundProcess): Privileges[] {
  const all = threadsOf(process);
  const threads = all.filter(({ name }) => name.startsWith("worker-") || name === "data-plane");
  assert(threads.length > 0, all.map(({ name }) => name).join());
  return threads;
}

const DATA_PLANE = NET_ADMIN | NET_RAW | NET_BIND_SERVICE;

netTest(
  "server and client keep what they need, work with it and undo everything",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const tunnel = simpleTunnel();
    await server.output(["ip", "route", "add", "default", "via", CLIENT_OUTSIDE]);
    const before = [await hostState(client), await hostState(server)];
    const gateway = await startVpn("server", server, tunnel.server({ DataPlaneThreads: "2" }));
    const full = { AllowedIPs: "0.0.0.0/0" };
    const process = await startVpn("client", client, tunnel.client({ DNS: "10.66.77.1" }, full));
    for (const each of [gateway, process]) {
      assertOnly(threadsOf(each)[0]!, NET_ADMIN);
      for (const thread of dataPlaneOf(each)) assertOnly(thread, DATA_PLANE);
    }
    assertEquals([gateway, process].map((each) => dataPlaneOf(each).length), [3, 1]);
    assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
    await endWell(process);
    await endWell(gateway);
    assertEquals([await hostState(client), await hostState(server)], before);
  },
  { programs: PROGRAMS },
);

netTest("no thread that works for us keeps more for longer than ten seconds", async (topology) => {
  const { server } = await layWire(topology);
  const process = await startVpn("server", server, simpleTunnel().server());
  const [main] = threadsOf(process);
  // The engine's own compile and collect garbage; an unnamed one, which has the name of the first, waits for signals.
  const more = () =>
    threadsOf(process).filter(({ bounding }) => (bounding & ~DATA_PLANE) !== 0n)
      .map(({ name }) => name).filter((name) => !name.startsWith("V8 "));
  // One that is asleep keeps what it has until the runtime ends it, after ten seconds.
  await eventually(() => more().length <= 1 || null, { interval: 100 });
  assertEquals(more(), [main!.name]);
}, { programs: PROGRAMS });

netTest("what PostDown may need is kept, which the log says once", async (topology) => {
  const { server } = await layWire(topology);
  const process = await startVpn("server", server, simpleTunnel().server({ PostDown: "true" }));
  const [main] = threadsOf(process);
  assert((main!.effective & ~NET_ADMIN) !== 0n);
  assertEquals(main!.noNew, false);
  // Packets from strangers are read by a thread that runs no commands.
  for (const thread of dataPlaneOf(process)) assertOnly(thread, DATA_PLANE);
  assertEquals(
    process.stderr.match(/keeping all capabilities, as PreDown and PostDown may need/g)?.length,
    1,
  );
  await endWell(process);
}, { programs: PROGRAMS });

netTest("what another user's resolv.conf takes is kept, and it is put back", async (topology) => {
  const { client, server } = await layWire(topology);
  const tunnel = simpleTunnel();
  await startVpn("server", server, tunnel.server());
  using files = new HostFiles("nameserver 192.0.2.53\n");
  Deno.chownSync(files.path(""), 12, 34);
  Deno.chmodSync(files.path(""), 0o755);
  Deno.chownSync(files.resolvConfPath, 12, 34);
  const process = await files.startClient(client, tunnel.client({ DNS: "10.66.77.1" }));
  assertOnly(threadsOf(process)[0]!, NET_ADMIN | CHOWN | DAC_OVERRIDE | FOWNER);
  await endWell(process);
  assertEquals(files.resolvConf, "nameserver 192.0.2.53\n");
  assertEquals(Deno.statSync(files.resolvConfPath).uid, 12);
}, { programs: [...PROGRAMS, ...HOST_FILES_PROGRAMS] });

const LACKS = [
  {
    what: "CAP_NET_ADMIN",
    options: { tun: true },
    message:
      /^vpn: Cannot create a tunnel: CAP_NET_ADMIN is missing: run as root, or grant it with `setcap cap_net_admin,cap_net_raw\+ep \/\S+\/deno`\n$/,
  },
  {
    what: "/dev/net/tun",
    options: { capabilities: ["net_admin", "net_raw"] },
    message:
      /^vpn: Cannot open \/dev\/net\/tun: permission denied: run as root, or let this user open it with `setfacl -m u:65534:rw \/dev\/net\/tun`\n$/,
  },
  {
    what: "a place for the journal",
    options: { capabilities: ["net_admin", "net_raw"], tun: true },
    runtimeDirectory: "/proc",
    message: /^vpn: Cannot write the journal of changes to \/proc\/vpn: /,
  },
];

for (const { what, options, message, runtimeDirectory } of LACKS) {
  netTest(`a user without ${what} is told so, and nothing is changed`, async (topology) => {
    const { client } = await layWire(topology);
    using user = new Unprivileged();
    using file = user.file(simpleTunnel().client());
    const before = await hostState(client);
    const command = user.command(["client", "--config", file.path], options);
    const changed = command.map((word) =>
      runtimeDirectory !== undefined && word.startsWith("XDG_RUNTIME_DIR=")
        ? `XDG_RUNTIME_DIR=${runtimeDirectory}`
        : word
    );
    const { code, stdout, stderr } = await client.run(changed);
    assertEquals([code, stdout], [5, ""], stderr);
    assertMatch(stderr, message);
    assertEquals(await hostState(client), before);
  }, { programs: [...PROGRAMS, ...UNPRIVILEGED_PROGRAMS] });
}

netTest(
  "a user with the capabilities connects, and undoes everything, also after a kill",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const tunnel = simpleTunnel();
    await startVpn("server", server, tunnel.server());
    using user = new Unprivileged();
    using file = user.file(tunnel.client({}, { AllowedIPs: "0.0.0.0/0" }));
    const before = await hostState(client);
    const options = { capabilities: ["net_admin", "net_raw"], tun: true };
    const start = async () => {
      const process = client.spawn(user.command(["client", "--config", file.path], options));
      await process.waitFor(/connected to/);
      return process;
    };
    const process = await start();
    const main = threadsOf(process)[0]!;
    assertEquals([main.effective, main.permitted, main.ambient, main.noNew], [
      NET_ADMIN,
      NET_ADMIN,
      0n,
      true,
    ]);
    assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
    await endWell(process);
    assertEquals(await hostState(client), before);

    await killHard(await start());
    assert(await hostState(client) !== before);
    assertMatch(await client.output(user.command(["cleanup"], options)), /^undid for vpn0 /m);
    assertEquals(await hostState(client), before);
  },
  { programs: [...PROGRAMS, ...UNPRIVILEGED_PROGRAMS] },
);

netTest("a client without CAP_NET_RAW connects, but gets no router messages", async (topology) => {
  const { client, server } = await layWire(topology);
  const tunnel = simpleTunnel();
  await startVpn("server", server, tunnel.server());
  using user = new Unprivileged();
  using file = user.file(tunnel.client());
  const options = { capabilities: ["net_admin"], tun: true };
  const process = client.spawn(user.command(["client", "--config", file.path], options));
  await process.waitFor(/connected to/);
  assertEquals(dataPlaneOf(process).map(({ effective }) => effective), [NET_ADMIN]);
  assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
  await endWell(process);
}, { programs: [...PROGRAMS, ...UNPRIVILEGED_PROGRAMS] });

netTest("root does not undo what another user's journal names", async (topology) => {
  const namespace = topology.namespace("host");
  const before = await hostState(namespace);
  const inode = namespace.inside(() => Deno.readLinkSync("/proc/thread-self/ns/net"));
  const owner = { pid: Deno.pid, startTime: "01", namespace: inode, interfaceName: "vpn7" };
  const command = { command: "ip rule add table 7777", place: "x.conf:1: PostDown" };
  const path = `/run/vpn/${Deno.pid}-01.journal`;
  Deno.mkdirSync("/run/vpn", { recursive: true, mode: 0o700 });
  try {
    const lines = [owner, { kind: "hook", commands: [command] }];
    Deno.writeTextFileSync(path, lines.map((line) => `${JSON.stringify(line)}\n`).join(""));
    Deno.chownSync(path, 65_534, 65_534);
    await startVpn("server", namespace, simpleTunnel().server());
    assertEquals((await hostState(namespace)).includes("7777"), before.includes("7777"));
  } finally {
    Deno.removeSync(path);
  }
}, { programs: PROGRAMS });
