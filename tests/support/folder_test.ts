/** Tests that nothing is left of what tests/support/folder.ts makes, however a test file ends. */
import { dirname } from "node:path";
import { assertEquals } from "./assert.ts";
import { temporaryFolder } from "./folder.ts";
import { hostTest } from "./permissions.ts";
import { run } from "./process.ts";

const MODULE = new URL("folder.ts", import.meta.url);

/** Ends of a test file. */
const ENDS: Readonly<Record<string, string>> = {
  "a test fails": `throw new Error("boo");`,
  "nothing catches an error": `setTimeout(() => { throw new Error("boo"); }); await never;`,
  "the program ends by itself": "Deno.exit(1);",
};

for (const [how, end] of Object.entries(ENDS)) {
  hostTest(`nothing is left of temporary folders and files when ${how}`, async () => {
    const folder = temporaryFolder();
    const temporary = `${folder}/temporary`;
    Deno.mkdirSync(temporary);
    const text = [
      `import { emptyFile, temporaryFolder } from ${JSON.stringify(MODULE.href)};`,
      `const made = [temporaryFolder(), temporaryFolder(), emptyFile({ suffix: ".conf" })];`,
      // One that its test has removed is no error, nor one with files in it.
      `Deno.removeSync(made[0]);`,
      `Deno.writeTextFileSync(made[1] + "/file", "text");`,
      `Deno.writeTextFileSync(${JSON.stringify(`${folder}/made`)}, made.join("\\n"));`,
      "const never = new Promise(() => {});",
      `Deno.test("ends", async () => { ${end} });`,
    ];
    await Deno.writeTextFile(`${folder}/a_test.ts`, text.join("\n"));
    const { code, stderr } = await run(null, [
      ...[Deno.execPath(), "test", "--quiet", "--no-check", "--allow-all", `${folder}/a_test.ts`],
    ], { env: { TMPDIR: temporary } });
    assertEquals(code, 1, stderr);
    const made = Deno.readTextFileSync(`${folder}/made`).split("\n");
    assertEquals(made.map((path) => dirname(path)), [temporary, temporary, temporary]);
    assertEquals(Array.from(Deno.readDirSync(temporary), ({ name }) => name), []);
  });
}
