/** Shows which peers count as up. */
import { presenceOf } from "../../../../../lib/core/wireguard/liveness/presence.ts";
import { assertEquals } from "../../../../support/assert.ts";

Deno.test("presenceOf() takes no peer for up that was never seen", () => {
  assertEquals(presenceOf({ silence: null, isDown: false }), "never");
  assertEquals(presenceOf({ silence: null, isDown: true }), "never");
});

Deno.test("presenceOf() reports a peer as up within the life of a session after it was last seen", () => {
  assertEquals(presenceOf({ silence: 0, isDown: false }), "up");
  assertEquals(presenceOf({ silence: 180_000, isDown: false }), "up");
  assertEquals(presenceOf({ silence: 180_001, isDown: false }), "silent");
});

Deno.test("presenceOf() takes no peer for up that was found missing, or has said goodbye", () => {
  assertEquals(presenceOf({ silence: 100, isDown: true }), "down");
});
