/** Tests of journals as they are found after a crash, which may come at any moment. */
import { currentNetworkNamespace } from "../../../lib/host/journal/network_namespace.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { vpnCommand } from "../support/programs/vpn.ts";
import { delay } from "../support/wire.ts";

const DIRECTORY = "/run/vpn";
const IP_DEFAULT_TTL = "/proc/sys/net/ipv4/ip_default_ttl";
const CHANGE = { kind: "sysctl", path: IP_DEFAULT_TTL, value: "100", before: "64" };

/** A journal as a process with this id left it; disposal removes it where nobody has. */
function leaveJournal(
  namespace: TestNamespace,
  { pid, startTime }: { readonly pid: number; readonly startTime: string },
  lines: readonly string[],
  more: { readonly namespace?: string; readonly cookie?: string } = {},
): { readonly isThere: boolean } & Disposable {
  const owner = {
    pid,
    startTime,
    ...namespace.inside(currentNetworkNamespace),
    interfaceName: "vpn7",
    ...more,
  };
  Deno.mkdirSync(DIRECTORY, { recursive: true, mode: 0o700 });
  const path = `${DIRECTORY}/${pid}-${startTime}.journal`;
  Deno.writeTextFileSync(path, [JSON.stringify(owner), ...lines].join("\n"));
  const isThere = () =>
    Array.from(Deno.readDirSync(DIRECTORY)).some(({ name }) => path.endsWith(`/${name}`));
  return {
    get isThere() {
      return isThere();
    },
    [Symbol.dispose]() {
      if (isThere()) Deno.removeSync(path);
    },
  };
}

/** A process that has ended: its id is nobody's, or that of one with another start time. */
function dead(): { readonly pid: number; readonly startTime: string } {
  const startTime = `${crypto.getRandomValues(new Uint32Array(1))[0]}`;
  return { pid: Deno.pid, startTime: `0${startTime}` };
}

function timeToLive(namespace: TestNamespace): string {
  return namespace.inside(() => Deno.readTextFileSync(IP_DEFAULT_TTL)).trim();
}

function change(namespace: TestNamespace): void {
  namespace.inside(() => Deno.writeTextFileSync(IP_DEFAULT_TTL, CHANGE.value));
}

netTest("cleanup undoes what a journal names, and removes it", async (topology) => {
  const namespace = topology.namespace("host");
  change(namespace);
  using journal = leaveJournal(namespace, dead(), [JSON.stringify(CHANGE), ""]);
  assertMatch(
    await namespace.output(vpnCommand("cleanup")),
    /^undid for vpn7 \(process \d+\): \S+ip_default_ttl \(back to 64\)$/m,
  );
  assertEquals([timeToLive(namespace), journal.isThere], ["64", false]);
});

netTest("cleanup undoes the rest when the last entry of a journal is cut off", async (topology) => {
  const namespace = topology.namespace("host");
  change(namespace);
  const half = '{"kind":"sysctl","path":"/proc/sys/net/ipv4/ip_def';
  using journal = leaveJournal(namespace, dead(), [JSON.stringify(CHANGE), half]);
  await namespace.output(vpnCommand("cleanup"));
  assertEquals([timeToLive(namespace), journal.isThere], ["64", false]);
});

netTest("cleanup goes on when a journal was cut off in its first line", async (topology) => {
  const namespace = topology.namespace("host");
  const path = `${DIRECTORY}/${Deno.pid}-cut.journal`;
  Deno.mkdirSync(DIRECTORY, { recursive: true, mode: 0o700 });
  Deno.writeTextFileSync(path, '{"pid":12');
  try {
    // Whose it was cannot be known, nor that it is of this namespace; it names no change.
    assertEquals((await namespace.run(vpnCommand("cleanup"))).code, 0);
  } finally {
    Deno.removeSync(path);
  }
});

netTest("cleanup leaves the journals of other namespaces alone", async (topology) => {
  const [here, there] = [topology.namespace("here"), topology.namespace("there")];
  change(there);
  using journal = leaveJournal(there, dead(), [JSON.stringify(CHANGE), ""]);
  assert(!(await here.output(vpnCommand("cleanup"))).includes("vpn7"));
  assertEquals([timeToLive(there), journal.isThere], ["100", true]);
});

netTest("cleanup leaves the journal of a process alone that lives", async (topology) => {
  const namespace = topology.namespace("host");
  change(namespace);
  const process = namespace.spawn(["sleep", "60"]);
  const stat = Deno.readTextFileSync(`/proc/${process.pid}/stat`);
  const startTime = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]!;
  using journal = leaveJournal(namespace, { pid: process.pid, startTime }, [
    JSON.stringify(CHANGE),
    "",
  ]);
  await namespace.output(vpnCommand("cleanup"));
  assertEquals([timeToLive(namespace), journal.isThere], ["100", true]);
  await process.stop();
  await namespace.output(vpnCommand("cleanup"));
  assertEquals([timeToLive(namespace), journal.isThere], ["64", false]);
});

netTest("cleanup takes a process that nobody has waited for as dead", async (topology) => {
  const namespace = topology.namespace("host");
  change(namespace);
  // A parent that does not wait for its child, which has ended.
  const parent = namespace.spawn(["sh", "-c", "sh -c 'echo $$' & exec sleep 60"]);
  const pid = Number((await parent.waitFor(/^(\d+)\n/))[1]);
  const stat = await zombie(pid);
  const startTime = stat.slice(stat.lastIndexOf(")") + 2).split(" ")[19]!;
  using journal = leaveJournal(namespace, { pid, startTime }, [JSON.stringify(CHANGE), ""]);
  await namespace.output(vpnCommand("cleanup"));
  assertEquals([timeToLive(namespace), journal.isThere], ["64", false]);
}, { programs: ["sh", "sleep"] });

/** What is known of a process once it is a zombie. */
async function zombie(pid: number): Promise<string> {
  for (;;) {
    const stat = Deno.readTextFileSync(`/proc/${pid}/stat`);
    if (stat.includes(") Z ")) return stat;
    await delay(10);
  }
}

netTest("cleanup removes the journal of a namespace that has gone", async (topology) => {
  const [here, gone] = [topology.namespace("here"), topology.namespace("gone")];
  change(here);
  using journal = leaveJournal(gone, dead(), [JSON.stringify(CHANGE), ""]);
  await gone[Symbol.asyncDispose]();
  await here.output(vpnCommand("cleanup"));
  // Nothing that it names is undone anywhere else.
  assertEquals([timeToLive(here), journal.isThere], ["100", false]);
});

netTest(
  "cleanup puts files back when the namespace of their journal has gone",
  async (topology) => {
    const [here, gone] = [topology.namespace("here"), topology.namespace("gone")];
    const path = temporaryFolder();
    using _journal = leaveJournal(gone, dead(), [JSON.stringify({ kind: "directory", path }), ""]);
    await gone[Symbol.asyncDispose]();
    await here.output(vpnCommand("cleanup"));
    assertEquals(await Deno.stat(path).then(() => true, () => false), false);
  },
);

netTest(
  "cleanup removes the journal of a namespace whose inode is another's now",
  async (topology) => {
    const [here, other] = [topology.namespace("here"), topology.namespace("other")];
    change(other);
    using journal = leaveJournal(other, dead(), [JSON.stringify(CHANGE), ""], { cookie: "1" });
    await here.output(vpnCommand("cleanup"));
    assertEquals([timeToLive(other), journal.isThere], ["100", false]);
  },
);

netTest("cleanup does not take a namespace for one that had its inode before", async (topology) => {
  const namespace = topology.namespace("host");
  change(namespace);
  using journal = leaveJournal(namespace, dead(), [JSON.stringify(CHANGE), ""], { cookie: "1" });
  await namespace.output(vpnCommand("cleanup"));
  assertEquals([timeToLive(namespace), journal.isThere], ["100", false]);
});
