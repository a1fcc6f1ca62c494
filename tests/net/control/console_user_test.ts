/** That the console runs as a user who can neither read the gateway's file nor do anything that takes a privilege. */
import type { CheckFinding } from "../../../lib/control/application/methods.ts";
import { allJournals } from "../../../lib/host/journal/journal_files.ts";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { type BackgroundProcess, netTest } from "../../support/net.ts";
import { environment } from "../../support/permissions.ts";
import { newIdentity } from "../support/config.ts";
import { eventually } from "../../support/time/patience.ts";
import { vpnCommand } from "../support/programs/vpn.ts";

/** One that every distribution has, and its group. */
const USER = "daemon";
const PORT = 51821;

/** The sources may lie where others cannot read them, as the runtime's cache does. */
const trouble = environment("VPN_EXECUTABLE") === undefined
  ? "another user may not read the sources; it needs VPN_EXECUTABLE"
  : undefined;

/** Where a process listens for the console. */
function consoleOf({ pid }: BackgroundProcess): string {
  const paths = allJournals().filter(({ owner }) => owner.pid === pid)
    .flatMap(({ changes }) => changes)
    .flatMap((change) => change.kind === "socket" ? [change.path] : []);
  return paths.find((path) => path.includes("-console/"))!;
}

netTest(
  "vpn console changes a gateway as another user, without a capability and without the gateway's file",
  async (topology) => {
    const folder = temporaryFolder();
    Deno.chmodSync(folder, 0o755);
    const host = topology.namespace("host");
    const config = `${folder}/server.conf`;
    await host.output(vpnCommand("init", "--endpoint", "198.51.100.1", "--out", config));
    const text = Deno.readTextFileSync(config).replace(/^DnsProxy.*\n/m, "Egress = off\n");
    Deno.writeTextFileSync(config, `${text}ControlGroup = ${USER}\n`);
    const server = host.spawn(vpnCommand("server", "--config", config));
    await server.waitFor(/listening on UDP port/);

    const [program, ...args] = vpnCommand("console", "--socket", consoleOf(server));
    const executable = `${folder}/vpn`;
    Deno.copyFileSync(program!, executable);
    const state = `${folder}/state`;
    await host.output(["install", "-d", "-o", USER, "-m", "700", state]);
    const user = ["setpriv", `--reuid=${USER}`, `--regid=${USER}`, "--clear-groups"];
    const console = host.spawn([
      ...[...user, "env", "HOME=/nonexistent", executable, ...args],
      ...["--listen", `127.0.0.1:${PORT}`, "--state", `${state}/vpn0`],
    ]);
    const [, token] = await console.waitFor(/#\/setup\/([\w-]+)/);
    const { code } = await host.run([...user, "cat", config]);
    assert(code !== 0, "the user can read the gateway's file");
    const status = Deno.readTextFileSync(`/proc/${console.pid}/status`);
    for (const [, set, value] of status.matchAll(/^(Cap(?:Inh|Prm|Eff|Amb)):\s+(\w+)$/gm)) {
      assertEquals([set, BigInt(`0x${value}`)], [set, 0n]);
    }
    assertMatch(status, /^NoNewPrivs:\s+1$/m);

    const origin = `http://127.0.0.1:${PORT}`;
    const ask = async (path: string, body?: unknown) => {
      const data = body === undefined ? [] : ["--data", JSON.stringify(body)];
      const answer = await host.output([
        ...[
          "curl",
          "--silent",
          "--show-error",
          "-b",
          `${folder}/cookies`,
          "-c",
          `${folder}/cookies`,
        ],
        ...["-H", `Origin: ${origin}`, "-H", "Content-Type: application/json", ...data],
        `${origin}/api/v1${path}`,
      ]);
      return JSON.parse(answer);
    };
    await ask("/setup", { token, name: "alice", password: "correct horse battery" });
    const first = await ask("/doctor");
    assertEquals(first.isRunning, true, JSON.stringify(first));
    const { publicKey } = newIdentity();
    const made = await ask("/peers", { name: "phone", publicKey });
    assertEquals(made.peer?.publicKey, publicKey, JSON.stringify(made));
    assertEquals((await ask("/status")).peers[0].name, "phone");
    assertMatch(Deno.readTextFileSync(config), /\nName = phone\n/);
    const [{ detail }] = await ask("/events");
    assertEquals(detail, "added by alice (console)");
    assert(!(await ask("/settings")).text.includes(/PrivateKey = (\S+)/.exec(text)![1]!));
    // By then the gateway has given up what its start took, and the checks see what they look at all the same.
    const { problem, checks } = await eventually(async () => {
      const found = await ask("/doctor");
      return found.isRunning ? null : found;
    });
    const statuses = new Map<string, string>(
      checks.map(({ name, status }: CheckFinding) => [name, status]),
    );
    assertEquals(problem, null);
    for (const name of ["configuration", "running", "listen-port", "input-firewall"]) {
      assertEquals([name, statuses.get(name)], [name, "ok"], JSON.stringify(checks));
    }
    assertEquals(statuses.has("capabilities"), false);
    assertEquals((await console.stop()).code, 0);
  },
  { programs: ["ip", "curl", "setpriv", "install"], ...(trouble === undefined ? {} : { trouble }) },
);
