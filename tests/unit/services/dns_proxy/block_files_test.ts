/** Shows how block lists are read from files, and what is said of those that are none. */
import { ConfigError } from "../../../../lib/core/config/config_error.ts";
import { wireName } from "../../../../lib/core/dns/wire_name.ts";
import { getLogger } from "../../../../lib/process/logging.ts";
import { readBlockFiles } from "../../../../lib/services/dns_proxy/block_files.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";
import { output } from "../../../support/process.ts";

/** A folder with a configuration's lists in it. */
class Lists implements Disposable {
  readonly folder = temporaryFolder();

  write(name: string, content: string | Uint8Array): string {
    const bytes = typeof content === "string" ? new TextEncoder().encode(content) : content;
    Deno.writeFileSync(`${this.folder}/${name}`, bytes);
    return name;
  }

  read(...paths: readonly string[]) {
    return readBlockFiles({
      paths,
      configPath: `${this.folder}/server.conf`,
      logger: getLogger("dns"),
    });
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.folder, { recursive: true });
  }
}

hostTest(
  "lists of several files are one, found beside the configuration or by their whole path",
  async () => {
    using lists = new Lists();
    const hosts = lists.write("my hosts", "127.0.0.1 localhost\n0.0.0.0 ads.example\r\n");
    const rules = lists.write("rules.txt", "! list\n||bad.example^\n||ads.example^");
    const list = await lists.read(hosts, `${lists.folder}/${rules}`);
    assertEquals(list?.count, 2);
    assertEquals(list?.find(wireName("x.bad.example")!)?.kind, "domain");
    assertEquals(await lists.read(), null);
  },
);

hostTest("a list that cannot be one is named in one line, with the reason", async () => {
  using lists = new Lists();
  await output(null, ["mkfifo", `${lists.folder}/pipe`]);
  Deno.mkdirSync(`${lists.folder}/folder`);
  using _long = Deno.createSync(`${lists.folder}/long`);
  _long.truncateSync(2 ** 27 + 1);
  for (
    const [name, why] of [
      ["missing", "no such file"],
      ["pipe", "it is not a regular file"],
      ["folder", "it is a directory"],
      ["long", "it is longer than 128 MiB"],
      [lists.write("binary", "0.0.0.0 ads.example\n\0\n"), "it is not a text file"],
      [lists.write("empty", ""), "no line of it is a name"],
      [lists.write("page", "<html>\n<p>404 not found</p>\n"), "no line of it is a name"],
      [lists.write("line", "a".repeat(5_000_000)), "no line of it is a name"],
    ] as const
  ) {
    const { message } = await assertRejects(() => lists.read(name), ConfigError, why);
    assertEquals(
      message.startsWith(`Cannot use DnsBlock = ${lists.folder}/${name}: `),
      true,
      message,
    );
    assertEquals(message.includes("\n"), false);
  }
});

hostTest("a huge line between others costs only itself", async () => {
  using lists = new Lists();
  const name = lists.write("list", `a.example\n${"x".repeat(3_000_000)}\nb.example\n`);
  assertEquals((await lists.read(name))?.count, 2);
});
