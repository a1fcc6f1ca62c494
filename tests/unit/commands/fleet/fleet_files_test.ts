/** Tests of lib/commands/fleet/fleet_files.ts. */
import {
  requireFree,
  storeFilesOf,
  writeFiles,
} from "../../../../lib/commands/fleet/fleet_files.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { withFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

hostTest(
  "files are written for their owner alone, in new folders, all of them or none",
  async () => {
    await withFolder((folder) => {
      const file = (name: string) => ({ path: `${folder}/${name}`, text: name });
      writeFiles([file("new/a"), file("b")], { overwrite: false });
      assertEquals(Deno.statSync(`${folder}/new/a`).mode! & 0o777, 0o600);
      assertEquals(Deno.statSync(`${folder}/new`).mode! & 0o777, 0o700);

      // The third is in the way of the first two; what was there stays.
      const three = [file("c"), file("d"), file("b")];
      assertThrows(() => writeFiles(three, { overwrite: false }), Error, "it exists already");
      const fail = () => {
        throw new Error("no room");
      };
      assertThrows(() => writeFiles([file("c"), file("b")], { overwrite: true }, fail), Error);
      assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name).sort(), ["b", "new"]);
      return Promise.resolve();
    });
  },
);

hostTest("a link that leads nowhere is in the way, too", async () => {
  await withFolder((folder) => {
    requireFree([`${folder}/a`, `${folder}/none/b`], "give another");
    Deno.symlinkSync(`${folder}/nowhere`, `${folder}/a`);
    const path = `${folder}/a`;
    assertEquals(
      assertThrows(() => requireFree([path], "give another"), Error).message,
      `Cannot write ${path}: it exists already: give another`,
    );
    return Promise.resolve();
  });
});

Deno.test("files of a store are called by their configuration", () => {
  assertEquals(storeFilesOf("/etc/vpn/vpn0.conf"), {
    credentials: "vpn0.nk",
    ca: "vpn0-store-ca.pem",
  });
});
