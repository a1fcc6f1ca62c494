/** Tests of lib/host/fleet/node_key.ts. */
import { nodeKey } from "../../../../lib/host/fleet/node_key.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

hostTest("a gateway's own key is made once, and is its owner's alone", () => {
  const folder = temporaryFolder();
  const path = `${folder}/state/vpn0.node.key`;
  const made = new Uint8Array(32).fill(7);
  assertEquals(nodeKey(path, () => made), made);
  assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
  assertEquals(nodeKey(path, () => new Uint8Array(32)), made);
  Deno.writeTextFileSync(path, "damaged");
  assertThrows(() => nodeKey(path, () => made), Error, "it has no key");
  assertEquals(Deno.readTextFileSync(path), "damaged");
});
