/** Tests the systemd units by systemd's own checks, where they are installed. */
import { assert, assertEquals, assertMatch } from "../support/assert.ts";
import { temporaryFolder } from "../support/folder.ts";
import { isInstalled } from "../support/net.ts";
import { run } from "../support/process.ts";
import { hostTest } from "../support/permissions.ts";

const PACKAGING = new URL("../../lib/packaging/", import.meta.url);
const SERVICES = ["vpn@.service", "vpn-server@.service", "vpn-client@.service"] as const;
/** Those that may run a client. */
const CLIENTS = ["vpn@.service", "vpn-client@.service"] as const;
const CONSOLE = "vpn-console@.service";
const NAMES = [...SERVICES, "vpn-killswitch@.service", CONSOLE] as const;
/** systemd's measure of what a service is exposed to, in tenths: below 50 is "OK", an unrestricted one has 96. */
const MOST_EXPOSED = 35;

/** Registers a test for each unit, installed into a folder. */
function unitTest(name: string, test: (path: string) => Promise<void>): void {
  const missing = isInstalled("systemd-analyze") ? "" : " (ignored: it needs systemd-analyze)";
  for (const unit of NAMES) {
    hostTest({
      name: `${unit} ${name}${missing}`,
      ignore: missing !== "",
      fn: async () => {
        const folder = temporaryFolder();
        const text = await Deno.readTextFile(new URL(unit, PACKAGING));
        await Deno.writeTextFile(`${folder}/${unit}`, text.replaceAll("@BINDIR@", folder));
        await Deno.writeTextFile(`${folder}/vpn`, "#!/bin/sh\n", { mode: 0o755 });
        await test(`${folder}/${unit}`);
      },
    });
  }
}

unitTest("is what systemd takes, to the last key", async (path) => {
  const { code, stdout, stderr } = await run(null, [
    ...["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", path],
  ]);
  assertEquals({ code, stdout, stderr }, { code: 0, stdout: "", stderr: "" });
});

unitTest(`leaves a service exposed by less than ${MOST_EXPOSED / 10}, of 10`, async (path) => {
  const command = ["systemd-analyze", "security", "--offline=true", `--threshold=${MOST_EXPOSED}`];
  const { code, stdout, stderr } = await run(null, [...command, path]);
  assertEquals(code, 0, stderr);
  assertMatch(stdout, /Overall exposure level/);
});

hostTest("each unit does not start again what exit codes 2 and 5 say cannot work", async () => {
  for (const unit of [...SERVICES, CONSOLE]) {
    const text = await Deno.readTextFile(new URL(unit, PACKAGING));
    assert(text.includes("\nRestartPreventExitStatus=2 5\n"), unit);
    assert(text.includes("\nRestart=on-failure\n"), unit);
  }
});

hostTest("a unit has started when its tunnel is up, and reloads without a restart", async () => {
  for (const unit of SERVICES) {
    const text = await Deno.readTextFile(new URL(unit, PACKAGING));
    for (const line of ["Type=notify", "ExecReload=@BINDIR@/vpn reload %i"]) {
      assert(text.includes(`\n${line}\n`), `${unit}: ${line}`);
    }
  }
});

hostTest("no unit opens a host that a kill switch has closed", async () => {
  for (const unit of NAMES) {
    const text = await Deno.readTextFile(new URL(unit, PACKAGING));
    for (const [line] of text.matchAll(/^Exec\w+=.* cleanup.*$/gm)) {
      assert(line.endsWith(" --keep-kill-switch"), `${unit}: ${line}`);
    }
  }
});

hostTest("what a clean-up could not undo decides on no restart of a unit", async () => {
  for (const unit of SERVICES) {
    const text = await Deno.readTextFile(new URL(unit, PACKAGING));
    assertMatch(text, /^ExecStopPost=-@BINDIR@\/vpn cleanup /m);
  }
});

hostTest(
  "the client's unit keeps the host closed over `systemctl restart`, and at shutdown",
  async () => {
    for (const unit of CLIENTS) {
      const text = await Deno.readTextFile(new URL(unit, PACKAGING));
      assertMatch(text, /^RestartKillSignal=SIGUSR2$/m);
      assertMatch(
        text,
        /^ExecStop=-.*is-system-running.*!= stopping \|\| kill -USR2 \$\{MAINPID\}/m,
      );
    }
  },
);

hostTest(
  "the kill switch's unit stands before there is a network, and before its client",
  async () => {
    const read = (unit: string) => Deno.readTextFile(new URL(unit, PACKAGING));
    const killSwitch = await read("vpn-killswitch@.service");
    assertMatch(killSwitch, /^Before=.*\bnetwork-pre\.target\b/m);
    assertMatch(killSwitch, /^Wants=network-pre\.target$/m);
    assertMatch(killSwitch, /^DefaultDependencies=no$/m);
    assert(!/^ExecStop/m.test(killSwitch), "it opens at shutdown");
    for (const unit of CLIENTS) {
      assertMatch(await read(unit), /^After=.*\bvpn-killswitch@%i\.service\b/m);
    }
  },
);

hostTest(
  "the console's unit has no capability, and neither reads nor writes what is the gateway's",
  async () => {
    const text = await Deno.readTextFile(new URL(CONSOLE, PACKAGING));
    const users = await Deno.readTextFile(new URL("vpn-console.sysusers", PACKAGING));
    const [, user = ""] = /^User=(\S+)$/m.exec(text) ?? [];
    assertMatch(users, new RegExp(`^u ${user} - `, "m"));
    assertMatch(text, /^CapabilityBoundingSet=$/m);
    assertMatch(text, /^NoNewPrivileges=yes$/m);
    assertMatch(text, /^InaccessiblePaths=-\/etc\/vpn -\/run\/vpn -\/var\/lib\/vpn$/m);
  },
);
