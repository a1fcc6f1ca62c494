/** Tests of `PreUp`, `PostUp`, `PreDown` and `PostDown`: when they run, where, and what their failure does. */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { emptyFile } from "../../support/folder.ts";
import { netTest, randomDigits, type Topology } from "../../support/net.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { temporaryFile } from "../support/config.ts";
import { endWell, killHard, simpleTunnel } from "../support/simple_tunnel.ts";
import { runVpn, startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { layWire, SERVER_INSIDE, SERVER_OUTSIDE, type Wire } from "../support/wire.ts";

const PROGRAMS = [...HOST_STATE_PROGRAMS, "bash"];

/** Where commands write what they see; disposal removes it. */
class Notes implements Disposable {
  readonly path = emptyFile();

  get lines(): string[] {
    return Deno.readTextFileSync(this.path).split("\n").slice(0, -1);
  }

  /** A command that adds what `script` prints to the notes as one line, `label` in front. */
  take(label: string, script = "true"): string {
    return `echo ${label} $(${script}) >>${this.path}`;
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.path);
  }
}

/** What a command finds of the device: whether it is there, and which addresses it has. */
const DEVICE = "ip -brief address show dev %i 2>/dev/null | cut -d/ -f1 | awk '{print $1, $2, $3}'";

async function laid(
  topology: Topology,
): Promise<Wire & { tunnel: ReturnType<typeof simpleTunnel> }> {
  return { ...await layWire(topology), tunnel: simpleTunnel() };
}

netTest(
  "commands run in wg-quick's order, for server and client, with %i replaced",
  async (topology) => {
    const { client, server, tunnel } = await laid(topology);
    using serverNotes = new Notes();
    using clientNotes = new Notes();
    const hooks = (notes: Notes) => ({
      PreUp: `${notes.take("PreUp", DEVICE)}\nPreUp = ${notes.take("PreUp again")}`,
      PostUp: notes.take("PostUp", DEVICE),
      PreDown: notes.take("PreDown", DEVICE),
      PostDown: notes.take("PostDown", DEVICE),
    });
    const names = ["--interface", "tunnel7"];
    const gateway = await startVpn("server", server, tunnel.server(hooks(serverNotes)), ...names);
    const process = await startVpn("client", client, tunnel.client(hooks(clientNotes)), ...names);
    await endWell(process);
    await endWell(gateway, { signal: "SIGINT" });
    for (
      const [notes, address] of [[serverNotes, "10.66.77.1"], [clientNotes, "10.66.77.2"]] as const
    ) {
      assertEquals(notes.lines, [
        "PreUp tunnel7 DOWN",
        "PreUp again",
        `PostUp tunnel7 UNKNOWN ${address}`,
        `PreDown tunnel7 UNKNOWN ${address}`,
        "PostDown",
      ]);
    }
  },
  { programs: PROGRAMS },
);

netTest("commands run in the namespace that --netns names", async (topology) => {
  const { client, server, tunnel } = await laid(topology);
  const outside = topology.namespace("outside");
  using notes = new Notes();
  const where = "readlink /proc/self/ns/net";
  await startVpn("server", server, tunnel.server());
  const config = tunnel.client({
    PreUp: notes.take("PreUp", where),
    PostUp: notes.take("PostUp", where),
    PreDown: notes.take("PreDown", where),
    PostDown: notes.take("PostDown", where),
  });
  const process = await startVpn("client", outside, config, "--netns", client.name);
  await endWell(process);
  const namespace = client.inside(() => Deno.readLinkSync("/proc/thread-self/ns/net"));
  const keys = ["PreUp", "PostUp", "PreDown", "PostDown"];
  assertEquals(notes.lines, keys.map((key) => `${key} ${namespace}`));
}, { programs: PROGRAMS });

netTest(
  "commands have what bash has, standard error, and none of our sockets",
  async (topology) => {
    const { client, server, tunnel } = await laid(topology);
    await startVpn("server", server, tunnel.server());
    const sockets = "! ls -l /proc/self/fd | grep socket: >&2";
    const PostUp =
      `[[ %i == vpn* ]] && cat <(echo "seen by \${BASH_VERSION:+bash}") >&2 && ${sockets}`;
    const process = await startVpn("client", client, tunnel.client({ PostUp }));
    assertMatch(process.stderr, /^seen by bash$/m);
  },
  { programs: PROGRAMS },
);

for (const key of ["PreUp", "PostUp"] as const) {
  netTest(`a ${key} that fails ends the start, and everything is undone`, async (topology) => {
    const { client, server, tunnel } = await laid(topology);
    using notes = new Notes();
    const before = await hostState(client);
    await startVpn("server", server, tunnel.server());
    const config = tunnel.client({
      [key]: `true\n${key} = exit 3\n${key} = ${notes.take("too late")}`,
      PreDown: notes.take("PreDown"),
      PostDown: notes.take("PostDown"),
    }, { AllowedIPs: "0.0.0.0/0" });
    using file = temporaryFile(config);
    const { code, stderr } = await client.run(vpnCommand("client", "--config", file.path));
    assertEquals(code, 1);
    assertMatch(
      stderr,
      new RegExp(`^vpn: ${file.path}:5: ${key}: the command ended with exit code 3: `, "m"),
    );
    // What had begun may have left something for PostDown; PreDown undoes nothing that was not there.
    assertEquals(notes.lines, ["PostDown"]);
    assertEquals(await hostState(client), before);
  }, { programs: PROGRAMS });
}

/** The example of a kill switch in wg-quick(8), which providers put into their clients' files. */
const REJECT = "-m addrtype ! --dst-type LOCAL -j REJECT";
const outsideTunnel = (action: string) =>
  `iptables ${action} OUTPUT ! -o %i -m mark ! --mark $(wg show %i fwmark) ${REJECT}`;

netTest(
  "wg-quick(8)'s kill switch by hooks is taken back: `wg` works in PreDown",
  async (topology) => {
    const { client, server, tunnel } = await laid(topology);
    await startVpn("server", server, tunnel.server());
    // What iptables makes with its first rule, stays.
    await client.output(["iptables", "-I", "OUTPUT", "-j", "ACCEPT"]);
    await client.output(["iptables", "-D", "OUTPUT", "-j", "ACCEPT"]);
    const before = await hostState(client);
    // `wg` looks for its sockets in one place for all namespaces.
    const name = `hooks${randomDigits().slice(-9)}`;
    const process = await startVpn(
      "client",
      client,
      tunnel.client({
        PostUp: outsideTunnel("-I"),
        PreDown: `vpn_seen=$(wg show %i peers) && [ -n "$vpn_seen" ] && ${outsideTunnel("-D")}`,
      }, { AllowedIPs: "0.0.0.0/0" }),
      ...["--interface", name],
    );
    const reaches = async (address: string) =>
      (await client.run(["ping", "-c", "1", "-W", "1", address])).code === 0;
    assertEquals([await reaches(SERVER_INSIDE), await reaches(SERVER_OUTSIDE)], [true, false]);
    await endWell(process);
    assert(!process.stderr.includes("PreDown: the command"), process.stderr);
    assertEquals(await hostState(client), before);
    assertEquals(await reaches(SERVER_OUTSIDE), true);
  },
  { programs: [...PROGRAMS, "iptables", "wg", "ping"] },
);

netTest("PreDown and PostDown that fail are warnings, and the others run", async (topology) => {
  const { server, tunnel } = await laid(topology);
  using notes = new Notes();
  const before = await hostState(server);
  const process = await startVpn(
    "server",
    server,
    tunnel.server({
      PreDown: `exit 7\nPreDown = ${notes.take("PreDown")}`,
      PostDown: `kill -SEGV $$\nPostDown = ${notes.take("PostDown")}`,
    }),
  );
  await endWell(process);
  assertMatch(
    process.stderr,
    /warning vpn\.hooks: \S+:5: PreDown: the command ended with exit code 7/,
  );
  assertMatch(
    process.stderr,
    /warning vpn\.hooks: \S+:7: PostDown: the command was killed by SIGSEGV/,
  );
  assertEquals(notes.lines, ["PreDown", "PostDown"]);
  assertEquals(await hostState(server), before);
}, { programs: PROGRAMS });

for (const key of ["PreUp", "PostUp", "PreDown", "PostDown"]) {
  netTest(
    `a ${key} that hangs does not keep a signal from ending the program`,
    async (topology) => {
      const { server, tunnel } = await laid(topology);
      using notes = new Notes();
      const before = await hostState(server);
      // With children of its own, which must end, too.
      const sleep = `sleep 60${Deno.pid}`;
      const hanging = `${notes.take("hangs")}; (${sleep}; true) & ${sleep}; true`;
      using file = temporaryFile(tunnel.server({ [key]: hanging }));
      const process = server.spawn(vpnCommand("server", "--config", file.path));
      if (key === "PreUp" || key === "PostUp") {
        while (notes.lines.length === 0) await new Promise((resolve) => setTimeout(resolve, 20));
      } else {
        await process.waitFor(/listening/);
      }
      await endWell(process, { signal: "SIGINT" });
      assertEquals(notes.lines.length, 1);
      assertEquals((await server.run(["pgrep", "--full", sleep])).stdout, "");
      assertEquals(await hostState(server), before);
    },
    { programs: [...PROGRAMS, "pgrep"] },
  );
}

netTest("cleanup runs the PostDown of a killed client, once", async (topology) => {
  const { client, server, tunnel } = await laid(topology);
  using notes = new Notes();
  const before = await hostState(client);
  await startVpn("server", server, tunnel.server());
  const process = await startVpn(
    "client",
    client,
    tunnel.client({
      PostUp: "ip rule add table 7777",
      PreDown: notes.take("PreDown"),
      PostDown: `ip rule del table 7777; ${notes.take("PostDown of %i")}`,
    }, { AllowedIPs: "0.0.0.0/0" }),
  );
  await killHard(process);
  assert(await hostState(client) !== before);
  assertEquals(notes.lines, []);
  assertMatch(
    await client.output(vpnCommand("cleanup")),
    /: the changes that PostDown undoes \(\S+:\d+: PostDown\)$/m,
  );
  assertEquals(notes.lines, ["PostDown of vpn0"]);
  assertEquals(await hostState(client), before);
  assertEquals(await client.output(vpnCommand("cleanup")), "nothing to undo\n");
  assertEquals(notes.lines.length, 1);
}, { programs: PROGRAMS });

netTest("no command runs when the client cannot connect", async (topology) => {
  const { client, tunnel } = await laid(topology);
  using notes = new Notes();
  const config = tunnel.client({
    ConnectTimeout: 0.3,
    PreUp: notes.take("PreUp"),
    PreDown: notes.take("PreDown"),
    PostDown: notes.take("PostDown"),
  });
  assertEquals((await runVpn("client", client, config)).code, 3);
  assertEquals(notes.lines, []);
}, { programs: PROGRAMS });
