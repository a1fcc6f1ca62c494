/** Tests of the end of a tunnel: in which order what it has changed is undone. */
import { endTunnel, type TunnelToEnd } from "../../../lib/commands/tunnel_lifecycle.ts";
import { Journal } from "../../../lib/host/journal/journal.ts";
import { assertEquals } from "../../support/assert.ts";
import { hostTest, whereAllowed } from "../../support/permissions.ts";

// Whoever is not root may have no place for journals.
whereAllowed(() => {
  if (Deno.uid() !== 0 && !Deno.env.get("XDG_RUNTIME_DIR")) {
    Deno.env.set("XDG_RUNTIME_DIR", Deno.makeTempDirSync());
  }
});

for (const commands of [[], [{ command: "true", place: "t.conf:1: PostDown" }]]) {
  const how = commands.length === 0 ? "without PostDown" : "with PostDown";
  hostTest(
    `what guards a tunnel's addresses is there until the device is gone, ${how}`,
    async () => {
      const root = Deno.makeTempDirSync({ prefix: "vpn-test-" });
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
