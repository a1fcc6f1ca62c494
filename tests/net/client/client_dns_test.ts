/** Tests of a client's `DNS`: what becomes of the host's resolvers, and that they come back however the client ends. */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest, type Topology } from "../../support/net.ts";
import { HOST_FILES_PROGRAMS, HostFiles } from "../support/host_files.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { temporaryFile } from "../support/config.ts";
import { endWell, killHard, type SimpleTunnel, simpleTunnel } from "../support/simple_tunnel.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { layWire, type Wire } from "../support/wire.ts";

const PROGRAMS = [...HOST_STATE_PROGRAMS, ...HOST_FILES_PROGRAMS];
const DNS = "10.66.77.1, 9.9.9.9, corp.example";
const OURS = "nameserver 10.66.77.1\nnameserver 9.9.9.9\nsearch corp.example\n";
const BEFORE = "# by hand\nnameserver 192.0.2.53\noptions edns0";
const FULL = { AllowedIPs: "0.0.0.0/0" };

/** A wire with a server on it. */
async function laid(topology: Topology): Promise<Wire & { tunnel: SimpleTunnel }> {
  const wire = await layWire(topology);
  const tunnel = simpleTunnel();
  await startVpn("server", wire.server, tunnel.server());
  return { ...wire, tunnel };
}

/** A file's lines but comments. */
function withoutComments(text: string | null): string {
  return (text ?? "").split("\n").filter((line) => !line.startsWith("#")).join("\n");
}

function owner(path: string): [uid: number | null, gid: number | null, mode: number] {
  const { uid, gid, mode } = Deno.statSync(path);
  return [uid, gid, mode! & 0o7777];
}

for (const signal of ["SIGINT", "SIGTERM"] as const) {
  netTest(
    `resolv.conf is replaced, and put back when ${signal} ends the client`,
    async (topology) => {
      const { client, tunnel } = await laid(topology);
      using files = new HostFiles(BEFORE);
      Deno.chownSync(files.resolvConfPath, 12, 34);
      Deno.chmodSync(files.resolvConfPath, 0o640);
      const names = files.names;
      const inode = Deno.statSync(files.resolvConfPath).ino;
      const process = await files.startClient(client, tunnel.client({ DNS }, FULL));
      assertEquals(withoutComments(files.resolvConf), OURS);
      assertEquals(owner(files.resolvConfPath), [12, 34, 0o640]);
      assert(Deno.statSync(files.resolvConfPath).ino !== inode, "it was written over");
      assertEquals(files.names, names);
      await endWell(process, { signal });
      assertEquals(files.resolvConf, BEFORE);
      assertEquals(owner(files.resolvConfPath), [12, 34, 0o640]);
      assertEquals(files.names, names);
    },
    { programs: PROGRAMS },
  );
}

netTest("resolv.conf is replaced behind symbolic links, which stay", async (topology) => {
  const { client, tunnel } = await laid(topology);
  using files = new HostFiles(null);
  Deno.mkdirSync(files.path("names"));
  Deno.writeTextFileSync(files.path("names/real"), BEFORE);
  Deno.symlinkSync("../etc/names/link", files.path("resolv.conf"));
  Deno.symlinkSync("real", files.path("names/link"));
  const process = await files.startClient(client, tunnel.client({ DNS }));
  assert(Deno.lstatSync(files.path("resolv.conf")).isSymlink);
  assertEquals(withoutComments(Deno.readTextFileSync(files.path("names/real"))), OURS);
  await endWell(process);
  assertEquals(Deno.readTextFileSync(files.path("names/real")), BEFORE);
  assert(Deno.lstatSync(files.path("names/link")).isSymlink);
}, { programs: PROGRAMS });

netTest("resolv.conf that is a mount, as in containers, is written over", async (topology) => {
  const { client, tunnel } = await laid(topology);
  // Longer than ours with all that it keeps, to see that nothing is left of it.
  const before = `nameserver 192.0.2.53\n${"# x\n".repeat(400)}`;
  using files = new HostFiles(before, { fileIsMount: true });
  const names = files.names;
  const process = await files.startClient(client, tunnel.client({ DNS }));
  assertEquals(withoutComments(files.resolvConf), OURS);
  await endWell(process);
  assertEquals(files.resolvConf, before);
  assertEquals(files.names, names);
}, { programs: PROGRAMS });

netTest("resolv.conf is made where there is none, and removed", async (topology) => {
  const { client, tunnel } = await laid(topology);
  using files = new HostFiles(null);
  const names = files.names;
  const process = await files.startClient(client, tunnel.client({ DNS }));
  assertEquals(withoutComments(files.resolvConf), OURS);
  assertEquals(owner(files.resolvConfPath)[2], 0o644);
  await endWell(process);
  assertEquals(files.names, names);
}, { programs: PROGRAMS });

netTest("resolv.conf keeps its resolvers when DNS names search domains alone", async (topology) => {
  const { client, tunnel } = await laid(topology);
  using files = new HostFiles(BEFORE);
  const process = await files.startClient(client, tunnel.client({ DNS: "corp.example" }));
  assertEquals(withoutComments(files.resolvConf), "nameserver 192.0.2.53\nsearch corp.example\n");
  await endWell(process);
}, { programs: PROGRAMS });

netTest("resolv.conf is left alone when somebody else has written it since", async (topology) => {
  const { client, tunnel } = await laid(topology);
  using files = new HostFiles(BEFORE);
  const process = await files.startClient(client, tunnel.client({ DNS }));
  Deno.writeTextFileSync(files.resolvConfPath, "nameserver 192.0.2.99\n");
  await endWell(process);
  assertEquals(files.resolvConf, "nameserver 192.0.2.99\n");
}, { programs: PROGRAMS });

netTest("resolv.conf is put back when the start fails later", async (topology) => {
  const { client, tunnel } = await laid(topology);
  using files = new HostFiles(BEFORE);
  using seen = temporaryFile("");
  const PostUp = `grep ^nameserver /etc/resolv.conf >${seen.path}\nPostUp = false`;
  using config = temporaryFile(tunnel.client({ DNS, PostUp }));
  const command = files.command(vpnCommand("client", "--config", config.path));
  assertEquals((await client.run(command, { env: files.env })).code, 1);
  assertEquals(Deno.readTextFileSync(seen.path), OURS.replace(/search.*\n/, ""));
  assertEquals(files.resolvConf, BEFORE);
}, { programs: PROGRAMS });

netTest(
  "cleanup puts resolv.conf back after a kill, and so does the next start",
  async (topology) => {
    const { client, tunnel } = await laid(topology);
    using files = new HostFiles(BEFORE);
    await killHard(await files.startClient(client, tunnel.client({ DNS })));
    assertEquals(withoutComments(files.resolvConf), OURS);
    assertMatch(
      await files.cleanup(client),
      /^undid for vpn0 \(process \d+\): \/etc\/resolv\.conf$/m,
    );
    assertEquals(files.resolvConf, BEFORE);

    await killHard(await files.startClient(client, tunnel.client({ DNS })));
    const process = await files.startClient(client, tunnel.client());
    assertEquals(files.resolvConf, BEFORE);
    await endWell(process);
  },
  { programs: PROGRAMS },
);

netTest(
  "cleanup puts resolv.conf back when a power cut has taken the journal",
  async (topology) => {
    const { client, tunnel } = await laid(topology);
    using files = new HostFiles(BEFORE);
    const process = await files.startClient(client, tunnel.client({ DNS }));
    await killHard(process);
    for (const { name } of Deno.readDirSync("/run/vpn")) {
      if (name.startsWith(`${process.pid}-`)) Deno.removeSync(`/run/vpn/${name}`);
    }
    assertMatch(await files.cleanup(client), /: \/etc\/resolv\.conf$/m);
    assertEquals(files.resolvConf, BEFORE);
  },
  { programs: PROGRAMS },
);

const SECOND = "nameserver 10.66.77.9\n";

for (const order of ["first", "second"] as const) {
  for (const way of ["end", "kill"] as const) {
    netTest(`of two clients, the ${order} can ${way} before the other`, async (topology) => {
      const one = await laid(topology);
      const other = await laid(topology);
      using files = new HostFiles(BEFORE);
      const first = await files.startClient(one.client, one.tunnel.client({ DNS }));
      const second = await files.startClient(
        other.client,
        other.tunnel.client({ DNS: "10.66.77.9" }),
      );
      assertEquals(withoutComments(files.resolvConf), SECOND);
      const [early, late] = order === "first" ? [first, second] : [second, first];
      if (way === "end") {
        await endWell(early);
      } else {
        await killHard(early);
        await files.cleanup(order === "first" ? one.client : other.client);
      }
      assertEquals(withoutComments(files.resolvConf), order === "first" ? SECOND : OURS);
      await endWell(late);
      assertEquals(files.resolvConf, BEFORE);
    }, { programs: PROGRAMS });
  }
}

netTest(
  "a namespace with a name has a resolv.conf of its own, made and removed",
  async (topology) => {
    const { client, tunnel } = await laid(topology);
    const host = Deno.readTextFileSync("/etc/resolv.conf");
    const outside = topology.namespace("outside");
    const process = await startVpn(
      "client",
      outside,
      tunnel.client({ DNS }),
      "--netns",
      client.name,
    );
    const inside = await Deno.readTextFile(`/etc/netns/${client.name}/resolv.conf`);
    assertEquals(withoutComments(inside), OURS);
    const seen = await outside.output([
      "ip",
      "netns",
      "exec",
      client.name,
      "cat",
      "/etc/resolv.conf",
    ]);
    assertEquals(seen, inside);
    assertEquals(Deno.readTextFileSync("/etc/resolv.conf"), host);
    await endWell(process);
    assert(!isThere(`/etc/netns/${client.name}`));
  },
  { programs: PROGRAMS },
);

netTest(
  "what runs in a namespace already sees its resolv.conf change, and change back",
  async (topology) => {
    const { client, tunnel } = await laid(topology);
    const folder = `/etc/netns/${client.name}`;
    Deno.mkdirSync(folder, { recursive: true });
    try {
      Deno.writeTextFileSync(`${folder}/resolv.conf`, BEFORE);
      const script = "while read -r line; do cat /etc/resolv.conf; echo; echo end; done <&3";
      using fifo = temporaryFile("");
      Deno.removeSync(fifo.path);
      await client.output(["mkfifo", fifo.path]);
      const watcher = client.spawn(
        [
          "ip",
          "netns",
          "exec",
          client.name,
          "sh",
          "-c",
          `exec 3<>${fifo.path}; echo ready; ${script}`,
        ],
      );
      await watcher.waitFor(/ready/);
      const look = async () => {
        const length = watcher.stdout.length;
        await Deno.writeTextFile(fifo.path, "look\n");
        while (!watcher.stdout.slice(length).endsWith("end\n")) {
          await new Promise((done) => setTimeout(done, 10));
        }
        return watcher.stdout.slice(length, -"\nend\n".length);
      };
      const process = await startVpn("client", client, tunnel.client({ DNS }));
      assertEquals(withoutComments(await look()), OURS);
      await killHard(process);
      await client.output(vpnCommand("cleanup"));
      assertEquals(await look(), BEFORE);
      assertEquals(Deno.readTextFileSync(`${folder}/resolv.conf`), BEFORE);
    } finally {
      Deno.removeSync(folder, { recursive: true });
    }
  },
  { programs: [...PROGRAMS, "mkfifo"] },
);

netTest("two clients in one namespace leave no directory behind", async (topology) => {
  const { client, server, tunnel } = await laid(topology);
  const second = simpleTunnel();
  await startVpn("server", server, second.server({ ListenPort: 51_821 }), "--interface", "vpn1");
  const peer = { Endpoint: "192.0.2.1:51821", AllowedIPs: "10.99.0.0/16" };
  const first = await startVpn("client", client, tunnel.client({ DNS }));
  const config = second.client({ DNS: "10.66.77.9", Address: "10.99.0.2/32" }, peer);
  const other = await startVpn("client", client, config, "--interface", "vpn1");
  await endWell(first);
  const path = `/etc/netns/${client.name}/resolv.conf`;
  assertEquals(withoutComments(Deno.readTextFileSync(path)), SECOND);
  await endWell(other);
  assert(!isThere(`/etc/netns/${client.name}`));
}, { programs: PROGRAMS });

netTest(
  "systemd-resolved is told the link's resolvers, and every name under a full tunnel",
  async (topology) => {
    const { client, tunnel } = await laid(topology);
    using files = new HostFiles("nameserver 127.0.0.53\n");
    files.program("resolvectl");
    files.program("resolvconf");
    await endWell(await files.startClient(client, tunnel.client({ DNS }, FULL)));
    assertEquals(files.calls, [
      "resolvectl dns vpn0 10.66.77.1 9.9.9.9",
      "resolvectl domain vpn0 corp.example ~.",
      "resolvectl revert vpn0",
    ]);
    assertEquals(files.resolvConf, "nameserver 127.0.0.53\n");
    await endWell(await files.startClient(client, tunnel.client({ DNS })));
    assertEquals(files.calls.slice(3), [
      "resolvectl dns vpn0 10.66.77.1 9.9.9.9",
      "resolvectl domain vpn0 corp.example",
      "resolvectl revert vpn0",
    ]);
    // After a kill, the link is gone, and with it what was set for it; another may have the name.
    await killHard(await files.startClient(client, tunnel.client({ DNS })));
    await files.cleanup(client);
    assertEquals(files.calls.length, 8);
  },
  { programs: PROGRAMS },
);

netTest(
  "resolvconf is given a record, which is deleted at the end, and after a kill",
  async (topology) => {
    const { client, tunnel } = await laid(topology);
    using files = new HostFiles(BEFORE);
    files.program("resolvectl");
    files.program("resolvconf");
    const process = await files.startClient(client, tunnel.client({ DNS }));
    const added = ["resolvconf -a tun.vpn0 -m 0 -x", ...OURS.trim().split("\n")];
    assertEquals(files.calls, added);
    await endWell(process);
    assertEquals(files.calls, [...added, "resolvconf -d tun.vpn0 -f"]);
    await killHard(await files.startClient(client, tunnel.client({ DNS })));
    await files.cleanup(client);
    assertEquals(files.calls.slice(-1), ["resolvconf -d tun.vpn0 -f"]);
    assertEquals(files.resolvConf, BEFORE);
  },
  { programs: PROGRAMS },
);

netTest("the start fails, and everything is undone, when resolvconf does", async (topology) => {
  const { client, tunnel } = await laid(topology);
  using files = new HostFiles(BEFORE);
  files.program("resolvconf", 3);
  const before = await hostState(client);
  using config = temporaryFile(tunnel.client({ DNS }, FULL));
  const command = files.command(vpnCommand("client", "--config", config.path));
  const { code, stderr } = await client.run(command, { env: files.env });
  assertEquals(code, 1);
  assertMatch(
    stderr,
    /^vpn: Cannot change this host's resolvers: `resolvconf -a tun\.vpn0 -m 0 -x` failed: exit code 3: resolvconf says no: /m,
  );
  // The program can undo nothing either, which keeps nothing else from being undone.
  assertMatch(stderr, /warning vpn\.journal: cannot undo resolvconf record tun\.vpn0, /);
  assertEquals(await hostState(client), before);
  const vain = await client.run(files.command(vpnCommand("cleanup")), { env: files.env });
  assertMatch(vain.stderr, /warning vpn\.journal: cannot undo resolvconf record tun\.vpn0, /);
  assertEquals([vain.code, vain.stdout], [1, ""]);
  files.program("resolvconf");
  assertMatch(await files.cleanup(client), /: resolvconf record tun\.vpn0$/m);
}, { programs: PROGRAMS });

netTest(
  "hostNameServers() gives the resolvers from before, also while ours are set",
  async (topology) => {
    const { client, tunnel } = await laid(topology);
    using files = new HostFiles(BEFORE);
    const module = new URL("../../../lib/host/dns/client_dns.ts", import.meta.url).href;
    const script = `import { hostNameServers } from "${module}"; Deno.stdout.writeSync(` +
      "new TextEncoder().encode(hostNameServers().join()));";
    const ask = () => client.output(files.command([Deno.execPath(), "eval", script]));
    assertEquals(await ask(), "192.0.2.53");
    const process = await files.startClient(client, tunnel.client({ DNS }));
    assertEquals(await ask(), "192.0.2.53");
    await endWell(process);
  },
  { programs: PROGRAMS },
);

function isThere(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
