/** Tests of the cache of others' programs: when they cannot be had, and when the cached ones are used. */
import { assertEquals } from "../../support/assert.ts";
import { withFolder } from "../../support/folder.ts";
import { hostTest } from "../../support/permissions.ts";
import { cached, missingSource, reasonOf } from "./newest.ts";

const yes = () => true;

Deno.test("missingSource() names what a host lacks to get packages of Debian's", () => {
  assertEquals(missingSource({ hasProgram: yes, hasFile: yes }), null);
  assertEquals(
    missingSource({ hasProgram: (name) => name !== "apt-get", hasFile: yes }),
    "it is had from Debian's archive, and there is no apt-get here",
  );
  assertEquals(
    missingSource({ hasProgram: yes, hasFile: () => false }),
    "the keys of Debian's archive are not here: /usr/share/keyrings/debian-archive-keyring.gpg",
  );
});

Deno.test("reasonOf() is the first thing that apt complains of", () => {
  const error = new Error(
    "Cannot run `apt-get update`: exit code 100: W: Cannot reach it\nE: Some index files failed",
  );
  assertEquals(reasonOf(error), "Cannot reach it");
  assertEquals(reasonOf(new Error("No such file\nand more")), "No such file");
  assertEquals(reasonOf("text"), "text");
});

hostTest(
  "cached() gives what is whole, and nothing where a file of it is gone",
  () =>
    withFolder(async (folder) => {
      assertEquals(cached("nebula", folder), null);
      const loader = `${folder}/nebula/ld.so`;
      const program = `${folder}/nebula/usr/bin/nebula`;
      await Deno.mkdir(`${folder}/nebula/usr/bin`, { recursive: true });
      const manifest = {
        version: "1.11.0",
        says: "1.11.0",
        commands: { nebula: [loader, "--library-path", `${folder}/nebula/usr/bin`, program] },
      };
      await Deno.writeTextFile(`${folder}/nebula/manifest.json`, JSON.stringify(manifest));
      assertEquals(cached("nebula", folder), null);
      await Deno.writeTextFile(loader, "");
      await Deno.writeTextFile(program, "");
      assertEquals(cached("nebula", folder), manifest);
      await Deno.remove(loader);
      assertEquals(cached("nebula", folder), null);
    }),
);
