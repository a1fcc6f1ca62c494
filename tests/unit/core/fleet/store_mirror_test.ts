/** Tests of the mirror of a bucket: what others write there takes no memory without end. */
import { StoreMirror } from "../../../../lib/core/fleet/store_mirror.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("keys that are nobody's are told of, and remembered, up to a bound and as long as they are there", () => {
  let told = 0;
  const mirror = new StoreMirror({ maxPeers: 8, hash: (text) => text, onLeftOut: () => told++ });
  const value = new TextEncoder().encode("{}");
  mirror.take({ key: "elsewhere", value, revision: 1 });
  assertEquals([mirror.leftOut, told], [1, 1]);
  mirror.take({ key: "elsewhere", value: null, revision: 2 });
  assertEquals(mirror.leftOut, 0);
  for (let i = 0; i < 5_000; i++) mirror.take({ key: `junk.${i}`, value, revision: 3 + i });
  assertEquals([mirror.leftOut, told], [1_000, 1_001]);
});
