/** Tests of the file of drained back ends: what was written is there again, and what cannot be used is nothing. */
import { DrainedFile } from "../../../../lib/host/accounts/drained_file.ts";
import { assertEquals } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

hostTest("what was written is read, for its owner alone, and a damaged file is as none", () => {
  const folder = temporaryFolder();
  const path = `${folder}/state/vpn0.drained.json`;
  const file = new DrainedFile(path);
  assertEquals(file.read(), []);
  file.write(["tcp:443 web-1:8443"]);
  file.write(["tcp:443 web-2:8443"]);
  assertEquals(new DrainedFile(path).read(), ["tcp:443 web-2:8443"]);
  assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
  for (const text of ["", "{", "null", '{"0": "a"}']) {
    Deno.writeTextFileSync(path, text);
    assertEquals(file.read(), [], text);
  }
  Deno.writeTextFileSync(path, '["a", 1, null]');
  assertEquals(file.read(), ["a"]);
});
