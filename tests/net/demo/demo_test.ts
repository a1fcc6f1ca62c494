/** Shows `vpn demo` from outside: what it prints, its exit code, and that it leaves nothing, however it ends. */
import { tmpdir } from "node:os";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import { type BackgroundProcess, netTest, run, spawn } from "../../support/net.ts";
import { assertPassed, COUNT, journals, processes, traces } from "../support/demo_traces.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { eventually } from "../../support/time/patience.ts";
import { vpnCommand } from "../support/programs/vpn.ts";

/** Starts a demo; the test ends it, if it does not end by itself. */
function startDemo(...args: readonly string[]): BackgroundProcess {
  return spawn(null, vpnCommand("demo", ...args));
}

netTest("demo passes every step, ends with the count and leaves nothing", async (net) => {
  const home = net.namespace("home");
  const before = await hostState(home);
  const demo = home.spawn(vpnCommand("demo"));
  const { code } = await demo.status;
  assertPassed(demo, code);
  for (
    const line of [
      /✓ client-1 connects +10\.66\.77\.2, over IPv6 +[\d.]+ m?s\n/,
      /✓ client-2, UDP dropped +10\.66\.77\.3, by fake TCP +[\d.]+ m?s\n/,
      /✓ ping gateway to client-1 +5 of 5 answered, best [\d.]+ ms +[\d.]+ m?s\n/,
      /✓ ping client-1 to internet +5 of 5 answered, best [\d.]+ ms +[\d.]+ m?s\n/,
      /✓ page from internet +says "hello 203\.0\.113\.1" +[\d.]+ m?s\n/,
      /✓ page by IPv6 +says "hello 2001:db8:2::1" +[\d.]+ m?s\n/,
      /✓ DNS question to gateway +whoami\.example is 203\.0\.113\.1 +[\d.]+ m?s\n/,
      /✓ DNS question to internet +whoami\.example is 203\.0\.113\.1 +[\d.]+ m?s\n/,
      /✓ page from gateway +says "hello 10\.66\.77\.2" +[\d.]+ m?s\n/,
      /✓ download of 64 MiB +SHA-256 is the same +[\d.]+ m?s +[\d.]+ [MG]bit\/s\n/,
      /✓ page from client-1 +says "hello 10\.66\.77\.3" +[\d.]+ m?s\n/,
      /✓ client-2 as a contractor +all but one port prohibited; out [\d.]+ m?s after expiry +[\d.]+ m?s\n/,
      /✓ no RST and no unreachable +all packets came from 203\.0\.113\.1 +[\d.]+ m?s\n/,
      /✓ gateway killed +client-1 noticed after [\d.]+ s +[\d.]+ s\n/,
      /✓ gateway returns +client-1 reconnected by itself after [\d.]+ m?s +[\d.]+ m?s\n/,
      /✓ client-2 killed, cleanup +\d+ changes left behind, then none +[\d.]+ m?s\n/,
      /✓ clean end +exit code 0, nothing is left +[\d.]+ m?s\n/,
    ]
  ) assertMatch(demo.stdout, line);
  assertEquals(traces(demo.pid), []);
  assertEquals(await hostState(home), before);
}, { programs: HOST_STATE_PROGRAMS });

netTest(
  "demos run at the same time, one whose processes log nothing, one that shows all they log",
  async () => {
    await using quiet = startDemo("--log-level", "error");
    await using debug = startDemo("--log-level", "debug", "--log-format", "json");
    const [{ code }, { code: debugCode }] = await Promise.all([quiet.status, debug.status]);
    assertPassed(quiet, code);
    assertEquals(debugCode, 0);
    assertMatch(debug.stdout, COUNT);
    assertMatch(debug.stderr, /^gateway: \{"@timestamp":/m);
    assertMatch(debug.stderr, /^client-2: \{.*connected to 203\.0\.113\.1:51820/m);
    assertEquals([...traces(quiet.pid), ...traces(debug.pid)], []);
  },
);

netTest("demo fails when the gateway's kernel answers the internet", async () => {
  await using demo = startDemo();
  await demo.waitFor(/✓ gateway starts/);
  // To a port that is neither the NAT's nor a service's.
  const connect = `await Deno.connect({ hostname: "203.0.113.1", port: 81 }).catch(() => {});`;
  await run(`vpn-demo-${demo.pid}-internet`, [Deno.execPath(), "eval", connect]);
  const { code } = await demo.status;
  assertEquals(code, 1);
  assertMatch(
    demo.stdout,
    /✗ no RST and no unreachable +RST from 203\.0\.113\.1:81 to 203\.0\.113\.2:\d+\n/,
  );
  assertMatch(demo.stdout, /\n\d+ passed, 1 failed\n$/, demo.stderr);
  assertEquals(traces(demo.pid), []);
});

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) {
  netTest(
    `demo takes everything away and exits with 1 when ${signal} comes in the middle`,
    async () => {
      await using demo = startDemo();
      await demo.waitFor(/✓ client-1 connects/);
      // The processes show that `traces()` can see what would be left.
      assert(traces(demo.pid).length >= 6, traces(demo.pid).join("\n"));
      demo.signal(signal);
      const { code } = await demo.status;
      assertEquals(
        [code, demo.stderr],
        [1, `vpn: Demo interrupted by ${signal}: everything it created is removed\n`],
      );
      assertEquals(COUNT.test(demo.stdout), false);
      assertEquals(traces(demo.pid), []);
    },
  );
}

netTest(
  "demo counts a failed step, shows the logs and leaves nothing when a process dies",
  async () => {
    await using demo = startDemo();
    // By then, client-1 has said all that it says at its start.
    await demo.waitFor(/✓ client-2, UDP dropped/);
    const [client] = processes(`--netns vpn-demo-${demo.pid}-client-1`);
    Deno.kill(client!.pid, "SIGKILL");
    const { code } = await demo.status;
    assertEquals(code, 1);
    assertMatch(demo.stdout, /✗ .* client-1 has ended with exit code 137\n/);
    assertMatch(demo.stdout, /- page from client-1 +not run\n/);
    assertMatch(
      demo.stdout,
      /✗ clean end +client-1 ended with exit code 137; client-1: left behind: /,
    );
    assertMatch(demo.stdout, /left behind: \/proc\/sys\/net\/ipv4\/conf\/all\/src_valid_mark = 1;/);
    assertEquals(journals([client!.pid]), []);
    // The step that was under way may have failed by itself, before the death was noticed.
    assertMatch(demo.stdout, /\n\d+ passed, [23] failed\n$/);
    assertMatch(demo.stderr, /^ +gateway: .* vpn\.server: listening on UDP port 51820/m);
    assertMatch(demo.stderr, /^ +client-1: .* vpn\.client: connected to \[2001:db8:1::1\]:51820/m);
    assertEquals(traces(demo.pid), []);
  },
);

/** Waits until nothing is left of a demo. Its processes take a moment to end, also when they are killed. */
function untilGone({ pid, left }: { pid: number; left: readonly number[] }): Promise<boolean> {
  return eventually(() => traces(pid).length + journals(left).length === 0 || null);
}

/** Starts a demo and kills it in the middle. Returns its process id, and those of the processes that it left. */
async function killDemo(): Promise<{ readonly pid: number; readonly left: readonly number[] }> {
  await using killed = startDemo();
  await killed.waitFor(/✓ client-1 connects/);
  killed.signal("SIGKILL");
  await killed.status;
  const left = processes(`--netns vpn-demo-${killed.pid}-`).map(({ pid }) => pid);
  assert(left.length >= 2 && journals(left).length > 0);
  assert(traces(killed.pid).length >= 6, traces(killed.pid).join("\n"));
  return { pid: killed.pid, left };
}

netTest("demo removes what one left that was killed", async () => {
  const killed = await killDemo();
  await using demo = startDemo();
  const { code } = await demo.status;
  assertPassed(demo, code);
  assertEquals(traces(demo.pid), []);
  await untilGone(killed);
});

netTest("cleanup removes what a killed demo left, and leaves a running one alone", async (net) => {
  await using demo = startDemo();
  const killed = await killDemo();
  const home = net.namespace("home");
  const removed = await home.output(vpnCommand("cleanup"));
  for (const host of ["gateway", "hotel", "client-1", "client-2", "internet"]) {
    assertStringIncludes(removed, `removed network namespace vpn-demo-${killed.pid}-${host}\n`);
  }
  assertStringIncludes(removed, `removed ${tmpdir()}/vpn-demo-${killed.pid}-`);
  await untilGone(killed);
  assertPassed(demo, (await demo.status).code);
});

netTest("demo exits with 5 and one line when a privilege is missing", async () => {
  for (const capability of ["net_admin", "sys_admin", "net_raw"]) {
    const command = ["setpriv", `--bounding-set=-${capability}`, ...vpnCommand("demo")];
    const { code, stdout, stderr } = await run(null, command);
    assertEquals([code, stdout], [5, ""], stderr);
    assertMatch(stderr, /^vpn: Cannot [^\n]+\n$/);
    const name = capability.toUpperCase();
    assertStringIncludes(stderr, `CAP_${name} is missing: `);
    assertStringIncludes(stderr, `--cap-add ${name}`);
  }
}, { programs: ["setpriv"] });
