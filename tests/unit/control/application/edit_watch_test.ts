/** Shows that an edit of a gateway's file is told once, and what the gateway has written itself is not. */
import { watchEdits } from "../../../../lib/control/application/edit_watch.ts";
import { ConfigError } from "../../../../lib/core/config/config_error.ts";
import { assertEquals } from "../../../support/assert.ts";
import { MemoryPeerStore } from "../../../support/control/memory_peer_store.ts";

Deno.test("an edit is told with what of it is not in effect, once, and what is wrong with it", async () => {
  const store = new MemoryPeerStore();
  const told: string[] = [];
  let pending: { changes: string[]; restart: string[] } | Error = { changes: [], restart: [] };
  const reloader = {
    config: null as never,
    pending: () => pending instanceof Error ? Promise.reject(pending) : Promise.resolve(pending),
  };
  let count = 0;
  const edit = async (next: typeof pending) => {
    pending = next;
    await store.change(() => [{ kind: "put-group", name: `g${count++}`, settings: {} }]);
    // What is told is told behind a few promises.
    await new Promise((resolve) => setTimeout(resolve));
    return told.splice(0);
  };
  {
    using _watch = watchEdits(store, reloader, (what) => told.push(what));
    assertEquals(await edit({ changes: [], restart: [] }), []);
    const two = { changes: ["1 peer added"], restart: ["NatPorts"] };
    assertEquals(await edit(two), ["1 peer added, NatPorts from the next start"]);
    assertEquals(await edit(two), []);
    assertEquals(await edit(new ConfigError("server.conf:3: x")), ["server.conf:3: x"]);
    assertEquals(await edit({ changes: [], restart: [] }), []);
    assertEquals(await edit(two), ["1 peer added, NatPorts from the next start"]);
  }
  assertEquals(await edit({ changes: ["groups"], restart: [] }), []);
});
