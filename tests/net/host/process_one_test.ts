/** Tests of a server that is process 1, as in a container without an init: its signals, its orphans, its end. */
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { type BackgroundProcess, netTest } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { temporaryFile } from "../support/config.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { simpleTunnel } from "../support/simple_tunnel.ts";
import { vpnCommand } from "../support/programs/vpn.ts";
import { layWire } from "../support/wire.ts";

/** Process ids are counted from 1 in it. */
const AS_PROCESS_ONE = ["unshare", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"];

interface Process {
  readonly pid: number;
  readonly parent: number;
  readonly name: string;
}

/** All processes, as they are seen from outside. */
function processes(): Process[] {
  return Array.from(Deno.readDirSync("/proc"), ({ name }) => Number(name)).flatMap((pid) => {
    if (!Number.isInteger(pid)) return [];
    try {
      const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
      const [, name, parent] = /\((.*)\) \S (\d+)/s.exec(stat)!;
      return [{ pid, parent: Number(parent), name: name! }];
    } catch {
      // It has ended meanwhile.
      return [];
    }
  });
}

function childrenOf(pid: number): Process[] {
  return processes().filter(({ parent }) => parent === pid);
}

/** The server's id outside. */
function serverOf({ pid }: BackgroundProcess): number {
  return childrenOf(pid)[0]!.pid;
}

netTest(
  "process 1 leaves no zombie of what a command left running, and SIGTERM ends it in good order",
  async (topology) => {
    const { server } = await layWire(topology);
    const before = await hostState(server);
    using pipe = temporaryFile("");
    Deno.removeSync(pipe.path);
    await server.output(["mkfifo", pipe.path]);
    // Open for both, so that it waits for what is written and not for one who opens it.
    const PostUp = `setsid head -n 1 <>${pipe.path} >/dev/null & true`;
    using config = temporaryFile(simpleTunnel().server({ PostUp, Egress: "off" }));
    const process = server.spawn([
      ...AS_PROCESS_ONE,
      ...vpnCommand("server", "--config", config.path),
    ]);
    await process.waitFor(/listening on UDP port/);
    const pid = serverOf(process);
    const orphan = await eventually(
      () => Promise.resolve(childrenOf(pid).find(({ name }) => name === "head") ?? null),
      { what: "an orphan" },
    );
    Deno.writeTextFileSync(pipe.path, "end\n");
    await eventually(
      () => Promise.resolve(childrenOf(pid).every((child) => child.pid !== orphan.pid) || null),
      { what: "the end of the orphan, which nobody else takes note of" },
    );
    Deno.kill(pid, "SIGTERM");
    assertEquals((await process.ended()).code, 0, process.stderr);
    assertMatch(process.stderr, /SIGTERM received: stopping/);
    assertEquals(await hostState(server), before);
  },
  { programs: [...HOST_STATE_PROGRAMS, "unshare", "mount", "mkfifo", "setsid"] },
);

netTest(
  "of two containers with /run/vpn in common, none undoes what the other does while it lives, and each what a killed one left",
  async (topology) => {
    const { server } = await layWire(topology);
    const before = await hostState(server);
    using config = temporaryFile(simpleTunnel().server({ Egress: "off" }));
    const process = server.spawn([
      ...AS_PROCESS_ONE,
      ...vpnCommand("server", "--config", config.path),
    ]);
    await process.waitFor(/listening on UDP port/);
    const pid = serverOf(process);
    const served = await hostState(server);
    for (const surroundings of [[], AS_PROCESS_ONE]) {
      await server.output([...surroundings, ...vpnCommand("cleanup")]);
      assertEquals(await hostState(server), served);
    }
    // Process 1 is another one here.
    const { code, stderr } = await server.run(vpnCommand("down", "vpn0"));
    assertMatch(
      stderr,
      /^vpn: Cannot stop "vpn0": it runs in another container, as process 1 there/m,
    );
    assertEquals(code, 2);
    Deno.kill(pid, "SIGKILL");
    await process.status;
    await server.output([...AS_PROCESS_ONE, ...vpnCommand("cleanup")]);
    assertEquals(await hostState(server), before);
  },
  { programs: [...HOST_STATE_PROGRAMS, "unshare"] },
);
