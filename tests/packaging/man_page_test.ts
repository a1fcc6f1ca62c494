/** Tests that the manual is whole: its commands, keys and exit codes are the program's, and roff takes it. */
import { ExitCode } from "../../lib/process/errors.ts";
import { manPage } from "../../lib/cli/man_page.ts";
import { parseArguments } from "../../lib/cli/parse_arguments.ts";
import { INTERFACE_KEYS, PEER_KEYS } from "../../lib/core/config/values/keys.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "../support/assert.ts";
import { isInstalled } from "../support/net.ts";
import { run } from "../support/process.ts";
import { hostTest, whereAllowed } from "../support/permissions.ts";

const FRAME = await whereAllowed(() =>
  Deno.readTextFile(new URL("../../lib/packaging/vpn.8", import.meta.url))
);
const PAGE = whereAllowed(() => manPage(FRAME));

/** What the program prints, without colours. */
function textOf(...argv: string[]): string {
  const command = parseArguments(argv, { colour: false, width: 100, version: "vpn" });
  assert(command.command === "show");
  return command.text;
}

/** The first words of the lines of a help page that begin with two blanks and match. */
function listed(help: string, pattern: RegExp): string[] {
  return Array.from(help.matchAll(pattern), ([, word]) => word!);
}

hostTest("manPage() has every command with its options", () => {
  const commands = listed(textOf("--help"), /^ {2}([a-z]+) {2}/gm)
    .filter((name) => !["help", "version", "completion"].includes(name));
  assert(commands.includes("server") && commands.includes("peer"));
  for (const command of commands) {
    const [, section = ""] = PAGE.split(`.It Nm Cm ${command}\n`);
    assert(section !== "", `${command} is missing`);
    const [own = ""] = section.split("\n.It Nm ");
    if (command === "peer") continue;
    for (const option of listed(textOf(command, "--help"), /^ {2}(--[a-z-]+)/gm)) {
      assertStringIncludes(own, `.It Fl ${option.slice(1).replaceAll("-", "\\-")}`);
    }
  }
  assertStringIncludes(PAGE, ".It Nm Cm peer show\nShow a client");
  assertStringIncludes(PAGE, ".It Fl \\-allowed\\-ips Ar NETWORKS\n");
  assertStringIncludes(PAGE, "Default: server.conf.\n");
});

hostTest("manPage() throws when its commands have no place", () => {
  assertThrows(() => manPage(".Dd today\n"), RangeError, "@COMMANDS@");
});

hostTest("the manual explains every key of a configuration, and no other", () => {
  const [, section = ""] = /\.Sh CONFIGURATION\n(.*?)\n\.Sh /s.exec(FRAME) ?? [];
  const explained = Array.from(section.matchAll(/^\.It Cm (.*)$/gm))
    .flatMap(([, keys]) => keys!.split(" , "));
  const known = [...Object.keys(INTERFACE_KEYS), ...Object.keys(PEER_KEYS)];
  assertEquals(explained.sort(), known.sort());
});

hostTest("the manual explains every exit code", () => {
  const [, section = ""] = /\.Sh EXIT STATUS\n(.*?)\n\.Sh /s.exec(FRAME) ?? [];
  const explained = Array.from(section.matchAll(/^\.It (\d)$/gm), ([, code]) => Number(code));
  assertEquals(explained, Object.values(ExitCode).sort());
});

for (
  const [program, ...args] of [
    ["groff", "-mandoc", "-ww", "-z", "-Tutf8"],
    ["mandoc", "-Tlint", "-Wstyle"],
  ]
) {
  const missing = isInstalled(program!) ? "" : ` (ignored: it needs the program ${program})`;
  hostTest({
    name: `the manual is what ${program} takes without a warning${missing}`,
    ignore: missing !== "",
    fn: async () => {
      const { stdout, stderr } = await run(null, [program!, ...args], { stdin: PAGE });
      // Whether other manuals are installed says nothing of this one.
      const said = (stdout + stderr).split("\n").filter((line) =>
        line !== "" && !/outdated mandoc\.db|referenced manual not found/.test(line)
      );
      assertEquals(said, []);
    },
  });
}
