/** Tests of encryption by a passphrase, in the format of age. */
import { seal, unseal } from "../../../../lib/host/files/sealed_file.ts";
import { unpackArchive } from "../../../../lib/host/files/backup_archive.ts";
import { AppError } from "../../../../lib/process/errors.ts";
import { assertEquals, assertRejects, assertStringIncludes } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

/** log2 of scrypt's cost, for tests. */
const CHEAP = 4;
const TEXT = new TextEncoder().encode("PrivateKey = secret\n".repeat(5_000));

Deno.test("what was sealed opens by its passphrase alone", async () => {
  const sealed = await seal(TEXT, "correct horse", CHEAP);
  assertEquals(await unseal(sealed, "correct horse", "b.age"), TEXT);
  const error = await assertRejects(() => unseal(sealed, "correct house", "b.age"), AppError);
  assertStringIncludes(error.message, "Cannot open b.age: the passphrase is wrong");
});

Deno.test("sealed bytes that were changed anywhere, or cut off, do not open", async () => {
  const sealed = await seal(TEXT.subarray(0, 300), "correct horse", CHEAP);
  for (let at = 0; at < sealed.length; at += 7) {
    const changed = sealed.slice();
    changed[at]! ^= 1;
    await assertRejects(() => unseal(changed, "correct horse", "b.age"), AppError);
  }
  for (let length = 0; length < sealed.length; length += 13) {
    const cut = sealed.subarray(0, length);
    await assertRejects(() => unseal(cut, "correct horse", "b.age"), AppError);
  }
});

Deno.test("a cost that would keep the program busy for hours is refused at once", async () => {
  const sealed = await seal(TEXT, "correct horse", CHEAP);
  const text = new TextDecoder("latin1").decode(sealed).replace(/ 4\n/, " 30\n");
  const costly = Uint8Array.from(text, (character) => character.charCodeAt(0));
  const error = await assertRejects(() => unseal(costly, "correct horse", "b.age"), AppError);
  assertStringIncludes(error.message, "work factor is too high");
});

hostTest("a backup that tar and age 1.1.1 made opens", async () => {
  const path = new URL("../../../vectors/backup/age-1.1.1.age", import.meta.url).pathname;
  const files = await unpackArchive(
    await unseal(Deno.readFileSync(path), "correct horse", path),
    path,
  );
  assertEquals(files.map(({ name }) => name), ["server.conf", "server.peers/laptop.conf"]);
});
