/** probe */
import { World } from "./world.ts";
import { assertEquals } from "../support/assert.ts";
Deno.test("basic", () => {
  const w = new World();
  w.client.connect();
  w.client.send("hello");
  w.run(100);
  assertEquals(w.server.received, ["hello"]);
  w.server.send("back");
  w.run(1000);
  assertEquals(w.client.received, ["back"]);
  assertEquals(w.client.events, ["established"]);
  assertEquals(w.client.dropped, {});
  assertEquals(w.server.dropped, {});
});
