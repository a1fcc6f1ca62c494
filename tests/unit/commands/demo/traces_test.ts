/** Shows the names of a demo's traces, and its private folder. */
import { makePrivateFolder, ownerOf, removeFolder } from "../../../../lib/commands/demo/traces.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import { hostTest, whereAllowed } from "../../../support/permissions.ts";

Deno.test("ownerOf() reads the process id from a demo's own names alone", () => {
  assertEquals(ownerOf("vpn-demo-123-gateway"), 123);
  const others = [
    "vpn-demo-123",
    "vpn-demo-123-",
    "vpn-demo-0-x",
    "vpn-demo-x-1",
    "my-vpn-demo-1-x",
  ];
  assertEquals(others.map(ownerOf), others.map(() => null));
});

hostTest(
  "makePrivateFolder() keeps all others out, removeFolder() takes its files too, twice if need be",
  () => {
    const folder = makePrivateFolder();
    try {
      assertEquals(ownerOf(folder.split("/").at(-1)!), Deno.pid);
      assertEquals(Deno.statSync(folder).mode! & 0o777, 0o700);
      Deno.writeTextFileSync(`${folder}/key`, "");
    } finally {
      removeFolder(folder);
    }
    assertThrows(() => Deno.statSync(folder), Deno.errors.NotFound);
    removeFolder(folder);
  },
);

hostTest({
  name: "removeFolder() leaves another user's folder alone, and says so",
  ignore: whereAllowed(() => Deno.uid()) !== 0,
  fn: () => {
    const folder = makePrivateFolder();
    Deno.chownSync(folder, 1234, 1234);
    assertEquals(removeFolder(folder), false);
    Deno.chownSync(folder, 0, 0);
    assertEquals([removeFolder(folder), removeFolder(folder)], [true, false]);
  },
});

hostTest("removeFolder() leaves alone what a symbolic link leads to", () => {
  const folder = makePrivateFolder();
  const link = `${folder}-link`;
  try {
    Deno.symlinkSync(folder, link);
    removeFolder(link);
    assert(Deno.statSync(folder).isDirectory);
  } finally {
    Deno.removeSync(link);
    removeFolder(folder);
  }
});
