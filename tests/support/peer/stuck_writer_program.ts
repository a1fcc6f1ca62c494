/** Program for tests: is about to write a change of a configuration, says so and never comes to it. Argument: FILE. */
import { FilePeerStore } from "../../../lib/host/files/file_peer_store.ts";

async function main([path = ""]: readonly string[]): Promise<void> {
  const store = new FilePeerStore(path, { onProblem: () => {} });
  await store.change(
    () => [{ kind: "put-group", name: "stuck", settings: {} }],
    () =>
      new Promise(() => {
        Deno.stdout.writeSync(new TextEncoder().encode("about to write\n"));
        setInterval(() => {}, 60_000);
      }),
  );
}

if (import.meta.main) await main(Deno.args);
