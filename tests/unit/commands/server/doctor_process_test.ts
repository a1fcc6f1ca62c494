/** Tests of how a gateway has `vpn doctor` examine its host: what it is asked, what is told, and its end. */
import { examineByProcess } from "../../../../lib/commands/server/doctor_process.ts";
import { privilegeRemedy } from "../../../../lib/process/privileges.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";
import { eventually } from "../../../support/time/patience.ts";

const SUBJECT = { configPath: "/etc/vpn/vpn0.conf", interfaceName: "vpn0", netns: undefined };

/** A script in place of the program; `"$@"` has what that is told. */
function by(script: string, subject: object = {}, signal = new AbortController().signal) {
  const command = { program: "/bin/sh", args: ["-c", script, "vpn"] };
  return examineByProcess({ ...SUBJECT, ...subject, command }, signal);
}

hostTest(
  "the gateway's own file, interface and namespace are examined, as a gateway's",
  async () => {
    const script =
      `printf '{"checks": [{"name": "asked", "status": "ok", "why": "%s", "remedy": null}]}' "$*"`;
    const asked = "doctor --json --config /etc/vpn/vpn0.conf --role server --interface vpn0";
    assertEquals((await by(script)).map(({ why }) => why), [asked]);
    assertEquals((await by(script, { netns: "blue" })).map(({ why }) => why), [
      `${asked} --netns blue`,
    ]);
  },
);

hostTest(
  "of what only who starts a gateway must have nothing is told, nor of what it may not look at",
  async () => {
    const checks = ["capabilities", "clock", "tun-device", "journal", "nat"].map((name) => ({
      ...{ name, status: "warn", why: "", remedy: name === "nat" ? privilegeRemedy() : null },
    }));
    // With findings, the exit code is 1.
    const report = JSON.stringify({ checks }).replaceAll("'", "\\u0027");
    const found = await by(`printf %s '${report}'; exit 1`);
    assertEquals(found.map(({ name }) => name), ["clock"]);
  },
);

hostTest("one that ends without a report says what to do", async () => {
  for (const script of ["exit 5", "echo nonsense", "echo '{}'"]) {
    await assertRejects(() => by(script), Error, "ended without a report");
  }
});

hostTest("one that is given up ends with all that it has started", async () => {
  const folder = temporaryFolder();
  const given = new AbortController();
  // Its own child has the pipe as well, and would hold it open.
  const examined = by(`sleep 600 & echo $! >${folder}/started; wait`, {}, given.signal);
  const rejected = assertRejects(() => examined, Error, "ended without a report");
  const pid = await eventually(() => {
    try {
      return Number(Deno.readTextFileSync(`${folder}/started`)) || null;
    } catch {
      return null;
    }
  });
  given.abort();
  await rejected;
  await eventually(() => {
    try {
      // Killed, and not yet waited for by who has taken it over.
      return /^State:\s+Z/m.test(Deno.readTextFileSync(`/proc/${pid}/status`)) || null;
    } catch {
      return true;
    }
  });
});
