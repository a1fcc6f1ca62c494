/** Tests that `vpn init --console` prints a link by which the console's first account is made. */
import { assert, assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { ConsoleFixture, PASSWORD } from "../../support/console/console_fixture.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { hostTest } from "../../support/permissions.ts";

/** Runs it with a state folder of a test's own. */
async function init(folder: string, out: string) {
  const { code, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      ...["run", "--quiet", "--no-check", "--allow-all", "main.ts"],
      ...["init", "--endpoint", "vpn.example.org", "--console", "--out", out],
    ],
    env: { STATE_DIRECTORY: `${folder}/state/vpn0` },
  }).output();
  const text = (bytes: Uint8Array) => new TextDecoder().decode(bytes);
  return { code, stdout: text(stdout), stderr: text(stderr) };
}

hostTest(
  "vpn init --console prints a link by which the first account is made, and opens the gateway to it",
  async () => {
    const folder = temporaryFolder();
    const state = `${folder}/state/vpn0`;
    const { code, stdout, stderr } = await init(folder, `${folder}/server.conf`);
    assertEquals([code, stderr], [0, ""]);
    // Where its user is still to be made, what was left is to be that user's.
    const [, command] = /^Its user: +(.*)$/m.exec(stdout) ?? [];
    const isRoot = Deno.uid() === 0;
    if (command !== undefined && isRoot) {
      assert(command.endsWith(` && chown -R vpn-console: ${state}`), command);
    }
    assertStringIncludes(
      Deno.readTextFileSync(`${folder}/server.conf`),
      "\nControlGroup = vpn-console\n",
    );
    const [, token = ""] = /http:\/\/127\.0\.0\.1:51821\/#\/setup\/([\w-]+)/.exec(stdout) ?? [];
    for (const { name } of Deno.readDirSync(state)) {
      const path = `${state}/${name}`;
      assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
      assert(!Deno.readTextFileSync(path).includes(token));
    }
    assertEquals(Deno.statSync(state).mode! & 0o777, 0o700);
    const again = await init(folder, `${folder}/again.conf`);
    assertStringIncludes(again.stdout, "its start prints a link");

    const fixture = await ConsoleFixture.open({ folder: state });
    try {
      const { status } = await fixture.browser().ask("POST", "/setup", {
        body: { token, name: "root", password: PASSWORD },
      });
      assertEquals(status, 201);
      const names = Array.from(Deno.readDirSync(state), ({ name }) => name);
      assertEquals(names.filter((name) => name.includes("setup")), []);
    } finally {
      await fixture.console[Symbol.asyncDispose]();
    }
  },
);
