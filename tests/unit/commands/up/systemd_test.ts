/** Tests what `vpn up` and `vpn down` ask of systemd, by a `systemctl` that only takes notes. */
import { AppError, ExitCode } from "../../../../lib/process/errors.ts";
import {
  hasUnit,
  startUnit,
  stopUnits,
  type Systemctl,
  systemctl,
  type SystemctlResult,
} from "../../../../lib/commands/up/systemd.ts";
import { assert, assertEquals, assertRejects } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

/** Answers calls by their first words, the longest that fit; others succeed, and say nothing. */
function scripted(answers: Readonly<Record<string, Partial<SystemctlResult>>>) {
  const asked: string[] = [];
  const call: Systemctl = (...args) => {
    const line = args.join(" ");
    asked.push(line);
    const [key] = Object.keys(answers).filter((each) => line.startsWith(each))
      .sort((one, other) => other.length - one.length);
    const answer = key === undefined ? {} : answers[key];
    return Promise.resolve({ code: 0, stdout: "", stderr: "", ...answer });
  };
  return { asked, call };
}

Deno.test("a tunnel that its unit has started is told by its status", async () => {
  const { asked, call } = scripted({
    show: { stdout: "StatusText=connected to 192.0.2.1:51820 by UDP\nExecMainStatus=0\n" },
  });
  assertEquals(await startUnit(call, "laptop"), {
    unit: "vpn@laptop.service",
    status: "connected to 192.0.2.1:51820 by UDP",
  });
  assertEquals(asked[0], "start vpn@laptop.service");
});

Deno.test("one that could not start fails with its own words and exit code, and is not left trying", async () => {
  const failing = {
    start: { code: 1, stderr: "Job for vpn@laptop.service failed.\nSee journalctl.\n" },
    show: { stdout: "StatusText=vpn: Cannot connect: no answer = none\nExecMainStatus=3\n" },
  };
  const once = scripted({ ...failing, "is-enabled": { code: 1 } });
  const error = await assertRejects(() => startUnit(once.call, "laptop"), AppError);
  assertEquals([error.message, error.exitCode], [
    "Cannot connect: no answer = none",
    ExitCode.connect,
  ]);
  assert(once.asked.includes("stop vpn@laptop.service"));

  const enabled = scripted(failing);
  const other = await assertRejects(() => startUnit(enabled.call, "laptop"), AppError);
  assert(other.message.endsWith("vpn@laptop.service is enabled, so systemd retries it"));
  assert(!enabled.asked.includes("stop vpn@laptop.service"));
});

Deno.test("what systemd says itself is told where the tunnel said nothing", async () => {
  const { call } = scripted({
    start: { code: 1, stderr: "Failed to start vpn@laptop.service: Access denied\nmore\n" },
    show: { stdout: "StatusText=\nExecMainStatus=203\n" },
    "is-enabled": { code: 1 },
  });
  const error = await assertRejects(() => startUnit(call, "laptop"), AppError);
  assertEquals([error.message, error.exitCode], [
    "Failed to start vpn@laptop.service: Access denied",
    ExitCode.unexpected,
  ]);
});

Deno.test("whichever unit of ours has a tunnel is stopped, one that waits to be tried again too", async () => {
  const { asked, call } = scripted({
    "show vpn@": { stdout: "ActiveState=inactive\n" },
    "show vpn-server@": { stdout: "ActiveState=activating\n" },
    "show vpn-client@": { stdout: "ActiveState=failed\n" },
  });
  assertEquals(await stopUnits(call, "laptop"), ["vpn-server@laptop.service"]);
  assertEquals(asked.filter((line) => line.startsWith("stop")), ["stop vpn-server@laptop.service"]);
});

hostTest("without systemd at the helm there is nobody to ask", async () => {
  assertEquals(systemctl("/nowhere"), null);
  assert(systemctl("/") !== null);
  assertEquals(await hasUnit(scripted({ cat: { code: 1 } }).call, "laptop"), false);
});
