/** Tests of a run of `deno test`: what passes and leaves temporary files behind has failed. */
import { assertEquals } from "../support/assert.ts";
import { temporaryFolder } from "../support/folder.ts";
import { hostTest } from "../support/permissions.ts";
import { runTests } from "./test_run.ts";

hostTest(
  "a run whose tests pass, and leave a temporary file, has failed and says which",
  async () => {
    const folder = temporaryFolder();
    const before = Deno.env.get("VPN_TEST_LOGS");
    Deno.env.set("VPN_TEST_LOGS", `${folder}/logs`);
    const temporary = `${folder}/temporary`;
    Deno.mkdirSync(temporary);
    const file = `${folder}/a_test.ts`;
    const runOf = async (body: string) => {
      Deno.writeTextFileSync(file, `Deno.test("does it", () => { ${body} });`);
      const said: string[] = [];
      const result = await runTests((line) => said.push(line), {
        ...{ args: [file], label: "unit/a", timeout: 60_000, temporary },
      });
      return { said, failures: result.failures, failed: result.counts.failed };
    };
    const log = `${folder}/logs/unit-a.log`;
    try {
      const path = 'Deno.env.get("TMPDIR") + "/x"';
      const [make, remove] = [`Deno.mkdirSync(${path});`, `Deno.removeSync(${path});`];
      assertEquals(await runOf(make + remove), { said: [], failures: [], failed: 0 });
      assertEquals(await runOf(make), {
        said: [`a left x in ${temporary}`],
        failures: [{ name: null, file: "a", log }],
        failed: 1,
      });
    } finally {
      if (before === undefined) Deno.env.delete("VPN_TEST_LOGS");
      else Deno.env.set("VPN_TEST_LOGS", before);
    }
  },
);
