/** Tests that README.md says what is so: its commands, configurations, keys and exit codes. */
import { ExitCode } from "../../lib/process/errors.ts";
import { parseArguments } from "../../lib/cli/parse_arguments.ts";
import type { Config } from "../../lib/core/config/config.ts";
import { encodeKey } from "../../lib/core/config/values/key_text.ts";
import { INTERFACE_KEYS, PEER_KEYS } from "../../lib/core/config/values/keys.ts";
import { parseConfig } from "../../lib/core/config/parse_config.ts";
import { validateClient, validateServer } from "../../lib/core/config/roles.ts";
import { assert, assertEquals } from "../support/assert.ts";
import { STEPS } from "../run/steps.ts";
import { hostTest, whereAllowed } from "../support/permissions.ts";

const ROOT = new URL("../../", import.meta.url);
const README = await whereAllowed(() => Deno.readTextFile(new URL("README.md", ROOT)));

/** The contents of the code blocks in this language. */
function blocks(language: string): string[] {
  return Array.from(README.matchAll(/^```(\w*)\n(.*?)^```$/gms))
    .filter(([, name]) => name === language)
    .map(([, , content]) => content);
}

/** The commands in shell blocks, pipelines taken apart, without their redirections. */
function commands(): string[][] {
  return blocks("sh")
    .flatMap((block) => block.split(/[\n|]/))
    .map((command) => command.replace(/>.*$/, "").trim().split(/\s+/))
    .filter(([program]) => program !== "");
}

function keysIn(text: string): string[] {
  return Array.from(text.matchAll(/`([A-Za-z0-9]+)`/g), ([, name]) => name);
}

/** A configuration with placeholders for keys, each replaced by a key of its own. */
function filledIn(block: string): string {
  const keys = new Map<string, string>();
  return block.replace(/<[a-z.]+>/g, (placeholder) => {
    const bytes = new Uint8Array(32).fill(keys.size + 1);
    if (!keys.has(placeholder)) keys.set(placeholder, encodeKey(bytes));
    return keys.get(placeholder)!;
  });
}

const PRESENTATION = { colour: false, width: 80, version: "vpn" };

/** The commands that the help page lists. */
function commandNames(): string[] {
  const help = parseArguments(["--help"], PRESENTATION);
  assert(help.command === "show");
  return Array.from(help.text.matchAll(/^ {2}([a-z]+) {2}/gm), ([, name]) => name);
}

hostTest("README.md's vpn commands are ones that the program takes", () => {
  const used = commands().filter(([program]) => program === "vpn");
  assert(used.length >= 5, `only ${used.length} were found`);
  for (const [, ...args] of used) {
    parseArguments(args, PRESENTATION);
  }
});

hostTest("README.md's tasks and steps are there", async () => {
  const { tasks } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  const used = commands().flatMap((command) => {
    const at = command.indexOf("task");
    return at < 0 ? [] : [command.slice(at + 1)];
  });
  assert(used.length >= 4, `only ${used.length} were found`);
  for (const [task, ...steps] of used) {
    assert(task in tasks, `there is no task ${task}`);
    for (const name of steps) {
      assert(task === "test" && STEPS.some((step) => step.name === name), `no step ${name}`);
    }
  }
});

hostTest(
  "README.md's test command is what CI runs, and both name the Deno that builds",
  async () => {
    const ci = await Deno.readTextFile(new URL(".ci/run", ROOT));
    const build = await Deno.readTextFile(new URL("compile.sh", ROOT));
    const command = "npx -y deno@2.9.6 task test";
    assert(commands().some((words) => words.join(" ") === command));
    assert(ci.split("\n").includes(`exec ${command}`));
    assert(build.split("\n").includes("npm_deno=deno@2.9.6"));
  },
);

hostTest("CI changes no version: the lock file is frozen", async () => {
  const { lock } = JSON.parse(await Deno.readTextFile(new URL("deno.json", ROOT)));
  assertEquals(lock, { frozen: true });
});

hostTest("README.md's configurations are taken, without a warning", () => {
  const roles: ((config: Config) => Config)[] = [validateServer, validateClient, validateClient];
  const files = blocks("ini");
  assertEquals(files.length, roles.length);
  files.forEach((file, index) => {
    const config = roles[index](parseConfig(filledIn(file), `block ${index + 1}`));
    assertEquals(config.warnings, []);
  });
});

hostTest("README.md names each key of a configuration in its list of them, and no other", () => {
  const section = README.split("## Configuration\n")[1].split("\n## ")[0];
  const known = [...Object.keys(INTERFACE_KEYS), ...Object.keys(PEER_KEYS)];
  assertEquals(keysIn(section).sort(), known.sort());
});

hostTest("README.md's exit codes are the program's", () => {
  const rows = Array.from(README.matchAll(/^\| (\d+) +\|/gm), ([, code]) => Number(code));
  assertEquals(rows, Object.values(ExitCode).sort());
});

hostTest("README.md does not miss a command", () => {
  const names = commandNames();
  assert(names.includes("server"));
  for (const name of names) {
    // These explain themselves.
    if (["help", "version", "completion"].includes(name)) continue;
    assert(new RegExp(`(?:vpn|task) ${name}\\b`).test(README), `vpn ${name} is not mentioned`);
  }
});
