/** Tests of a tunnel's beginning, where it may be kept waiting, and of its end: in which order all is undone. */
import { closeSync, constants, openSync } from "node:fs";
import { endTunnel, type TunnelToEnd } from "../../../lib/commands/tunnel_lifecycle.ts";
import { Journal } from "../../../lib/host/journal/journal.ts";
import { assertEquals } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { spawn } from "../../support/process.ts";
import { eventually } from "../../support/time/patience.ts";
import { hostTest, whereAllowed } from "../../support/permissions.ts";

// Whoever is not root may have no place for journals.
whereAllowed(() => {
  if (Deno.uid() !== 0 && !Deno.env.get("XDG_RUNTIME_DIR")) {
    Deno.env.set("XDG_RUNTIME_DIR", temporaryFolder());
  }
});

for (const commands of [[], [{ command: "true", place: "t.conf:1: PostDown" }]]) {
  const how = commands.length === 0 ? "without PostDown" : "with PostDown";
  hostTest(
    `what guards a tunnel's addresses is there until the device is gone, ${how}`,
    async () => {
      const root = temporaryFolder();
      const there = () => Array.from(Deno.readDirSync(root), ({ name }) => name);
      const journal = new Journal("t");
      // Instead of tables and rules, folders.
      const make = (name: string) => journal.make({ kind: "directory", path: `${root}/${name}` });
      make("guard");
      journal.deviceComes();

      if (commands.length > 0) journal.make({ kind: "hook", commands });
      make("rule");
      const found: string[][] = [];
      const dataPlane = { stop: () => Promise.resolve(void found.push(there())) };
      await endTunnel({
        hooks: { preDown: () => Promise.resolve() },
        services: new AsyncDisposableStack(),
        journal,
        dataPlane,
      } as unknown as TunnelToEnd);
      assertEquals([...found, there()], [["guard"], []]);
      Deno.removeSync(root);
    },
  );
}

hostTest("one that waits for a pipe as its configuration ends by a signal", async () => {
  const folder = temporaryFolder();
  const path = `${folder}/pipe`;
  assertEquals(new Deno.Command("mkfifo", { args: [path] }).outputSync().code, 0);
  const key = ["--cert", path, "--key", path, "--listen", "127.0.0.1:51821", "--state", folder];
  for (
    const args of [["server", "--config", path], ["client", "--config", path], ["console", ...key]]
  ) {
    const command = ["run", "--quiet", "--no-check", "--allow-all", "main.ts", ...args];
    await using process = spawn(null, [Deno.execPath(), ...command]);
    const writer = await eventually(() => openToWrite(path), { what: "a reader of the pipe" });
    process.signal("SIGTERM");
    assertEquals((await process.ended()).signal, "SIGTERM", process.stderr);
    closeSync(writer);
  }
});

/** Null as long as nobody reads. */
function openToWrite(path: string): number | null {
  try {
    return openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
  } catch {
    return null;
  }
}
