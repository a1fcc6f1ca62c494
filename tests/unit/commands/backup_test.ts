/** Shows `vpn export` and `vpn import` from outside. */
import { assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { emptyFile, temporaryFolder } from "../../support/folder.ts";
import { hostTest } from "../../support/permissions.ts";
import { run, type RunResult } from "../../support/process.ts";

const MAIN = new URL("../../../main.ts", import.meta.url).pathname;
const KEPT = { code: 2, stdout: "" };

hostTest(
  "a backup is restored as it was, replaces nothing unasked, and opens by its passphrase alone",
  async () => {
    const folder = temporaryFolder();
    const vpn = (...args: string[]): Promise<RunResult> =>
      run(null, [
        ...["sh", "-c", `cd "$0" && exec "$@"`, folder],
        ...[Deno.execPath(), "run", "--quiet", "--no-check", "--allow-all", MAIN, ...args],
      ]);
    const refused = async (words: string, ...args: string[]) => {
      const { code, stdout, stderr } = await vpn(...args);
      assertEquals({ code, stdout }, KEPT);
      assertStringIncludes(stderr, words);
    };
    const read = (path: string) => Deno.readTextFileSync(`${folder}/${path}`);
    await vpn("init", "--endpoint", "vpn.example.org");
    await vpn("peer", "add", "Ann's phone (new)");
    for (
      const [name, text] of [["right", "correct horse\nno more\n"], ["wrong", "correct house"], [
        "short",
        "1234567",
      ]]
    ) {
      Deno.writeTextFileSync(`${folder}/${name}`, text!);
    }
    const save = ["export", "server.conf", "--out", "b.age", "--passphrase-file"];
    await refused("it is too short", ...save, "short");
    await refused("No such file", ...save, "missing");
    assertEquals(await vpn(...save, "right"), {
      code: 0,
      stdout: "b.age: 1 configuration, 1 client file, encrypted\n",
      stderr: "",
    });
    assertEquals(Deno.statSync(`${folder}/b.age`).mode! & 0o777, 0o600);
    await refused("it exists already", ...save, "right");

    const restore = ["import", "b.age", "--to", "new", "--passphrase-file"];
    const { code, stdout } = await vpn(...restore, "right");
    assertEquals({ code, stdout }, {
      code: 0,
      stdout: "new/server.conf: restored\nnew/server.peers/Ann's phone (new).conf: restored\n",
    });
    for (const name of ["server.conf", "server.peers/Ann's phone (new).conf"]) {
      assertEquals(read(`new/${name}`), read(name));
      assertEquals(Deno.statSync(`${folder}/new/${name}`).mode! & 0o777, 0o600);
    }
    Deno.writeTextFileSync(`${folder}/new/server.conf`, "precious");
    await refused("new/server.conf: exists with other content", ...restore, "right");
    assertEquals(read("new/server.conf"), "precious");
    assertEquals(await vpn(...restore, "right", "--overwrite"), {
      code: 0,
      stdout: "new/server.conf: restored\n1 of 2 files were there already\n",
      stderr: "",
    });
    assertEquals(read("new/server.conf"), read("server.conf"));
  },
);

hostTest("without a terminal or a file, no passphrase can be taken", async () => {
  const path = emptyFile();
  const program = [Deno.execPath(), "run", "--quiet", "--no-check", "--allow-all", MAIN];
  assertEquals(await run(null, [...program, "import", path]), {
    ...KEPT,
    stderr:
      "vpn: Cannot take the passphrase: standard input is no terminal: give it with --passphrase-file FILE\n",
  });
});
