/** Shows how two pictures of a network are compared. */
import { difference } from "../../../../lib/commands/demo/network_state.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("difference() names what is left and what is lost", () => {
  const before = new Set(["interface lo, up", "interface wan, up"]);
  assertEquals(difference(before, new Set(before)), []);
  assertEquals(difference(before, new Set(["interface lo, up", "interface vpn0, up"])), [
    "left behind: interface vpn0, up",
    "lost: interface wan, up",
  ]);
});
