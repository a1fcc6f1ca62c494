/** Tests that the sources keep to the architecture, and that the rules which say so can fail. */
import { assert, assertEquals, assertStringIncludes } from "../support/assert.ts";
import { offencesOf, partOf } from "../support/source/architecture.ts";
import { hostTest } from "../support/permissions.ts";

const ROOT = new URL("../../", import.meta.url);

/** Modules that act when they are imported, each with the reason; nothing but a `new Worker` names them. */
const ACT_ON_IMPORT: Readonly<Record<string, string>> = {
  "lib/dataplane/data_plane_worker.ts": "the entry of the data-plane thread takes over `onmessage`",
  "lib/commands/demo/demo_worker.ts": "the entry of a demo's thread takes over `onmessage`",
  "lib/dataplane/relay/relay_worker.ts": "the entry of a relay's thread takes over `onmessage`",
};

/** The paths of all TypeScript sources, from the root. */
async function sources(): Promise<string[]> {
  const found = ["main.ts"];
  const walk = async (folder: string) => {
    for await (const entry of Deno.readDir(new URL(folder, ROOT))) {
      if (entry.isDirectory) await walk(`${folder}${entry.name}/`);
      else if (entry.name.endsWith(".ts")) found.push(folder + entry.name);
    }
  };
  for (const folder of ["lib/", "ffi/", "tests/"]) await walk(folder);
  return found.sort();
}

interface Outcome {
  readonly success: boolean;
  readonly stderr: string;
}

/** Imports modules, by their URLs, in a process that has no permission at all. */
async function importWithoutPermission(urls: readonly string[]): Promise<Outcome> {
  const entry = await Deno.makeTempFile({ suffix: ".ts" });
  try {
    const lines = urls.map((url) => `import ${JSON.stringify(url)};`);
    await Deno.writeTextFile(entry, lines.join("\n"));
    const config = new URL("deno.json", ROOT).pathname;
    const { success, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", "--no-check", "--quiet", "--config", config, entry],
      stdin: "null",
      stdout: "null",
      stderr: "piped",
    }).output();
    return { success, stderr: new TextDecoder().decode(stderr) };
  } finally {
    await Deno.remove(entry);
  }
}

/** The URL of a module with the given source. */
function moduleUrl(source: string): string {
  return `data:application/typescript,${encodeURIComponent(source)}`;
}

hostTest("the sources keep to the architecture", async () => {
  const paths = await sources();
  for (const part of ["core/wire", "core/wireguard", "commands", "ffi", "main", "tests"]) {
    assert(paths.some((path) => partOf(path) === part), `no source of ${part} was found`);
  }
  const offences: string[] = [];
  for (const path of paths) {
    offences.push(...offencesOf(path, await Deno.readTextFile(new URL(path, ROOT))));
  }
  assertEquals(offences, []);
});

hostTest("importing any module opens no library and needs no permission", async () => {
  const paths = await sources();
  for (const path of Object.keys(ACT_ON_IMPORT)) assert(paths.includes(path), `${path} is gone`);
  const modules = paths.filter((path) =>
    /^(?:lib|ffi)\//.test(path) && ACT_ON_IMPORT[path] === undefined
  );
  assert(modules.length > 20, `only ${modules.length} modules were found`);
  const outcome = await importWithoutPermission(modules.map((path) => new URL(path, ROOT).href));
  assert(outcome.success, outcome.stderr);
});

hostTest("importing a module that opens a library, or reads a file, is found out", async () => {
  for (
    const [action, permission] of [
      [`Deno.dlopen("libc.so.6", {});`, "ffi access"],
      [`Deno.readTextFileSync("/etc/hostname");`, "read access"],
      [`Deno.env.get("HOME");`, "env access"],
      [`await Deno.connect({ port: 1 });`, "net access"],
    ] as const
  ) {
    const outcome = await importWithoutPermission([moduleUrl(action)]);
    assertEquals(outcome.success, false, action);
    assertStringIncludes(outcome.stderr, permission);
  }
});

Deno.test("partOf() takes folders of lib and files in it for parts", () => {
  assertEquals(partOf("main.ts"), "main");
  assertEquals(partOf("lib/core/routing/router.ts"), "core/routing");
  assertEquals(partOf("lib/core/wire/ipv4.ts"), "core/wire");
  assertEquals(partOf("lib/host/deep/file.ts"), "host");
  assertEquals(partOf("ffi/netlink/links.ts"), "ffi");
  assertEquals(partOf("tests/unit/core/wire/ipv4_test.ts"), "tests");
  assertEquals(partOf("deno.json"), null);
});

const DOC = "/** Owns something. */\n";
const offenders: [path: string, source: string, offence: string][] = [
  ["lib/core/wire/a.ts", "// Owns something.\n", "first line is no doc comment"],
  ["tests/wire/a_test.ts", "import './b.ts';\n", "first line is no doc comment"],
  ["lib/new/a.ts", DOC, 'no row in the table of arrows for "new"'],

  [
    "lib/core/wire/a.ts",
    `${DOC}import { a } from "../noise/a.ts";`,
    "core/wire may not import core/noise",
  ],
  [
    "lib/core/noise/a.ts",
    `${DOC}import "../wireguard/a.ts";`,
    "core/noise may not import core/wireguard",
  ],
  [
    "lib/core/noise/a.ts",
    `${DOC}export * from "../wireguard/a.ts";`,
    "core/noise may not import core/wireguard",
  ],
  [
    "lib/core/wireguard/a.ts",
    `${DOC}import a from "../../../ffi/a.ts";`,
    "core/wireguard may not import ffi",
  ],
  [
    "lib/core/wireguard/a.ts",
    `${DOC}import type { A } from "../../host/a.ts";`,
    "core/wireguard may not import host",
  ],
  [
    "lib/core/wireguard/a.ts",
    `${DOC}type A = import("../../host/a.ts").A;`,
    "core/wireguard may not import host",
  ],
  ["lib/core/nat/a.ts", `${DOC}await import("../../host/a.ts");`, "core/nat may not import host"],
  [
    "lib/core/routing/router.ts",
    `${DOC}import "../../host/a.ts";`,
    "core/routing may not import host",
  ],
  ["lib/host/a.ts", `${DOC}import "../../tests/a.ts";`, "host may not import tests"],
  ["lib/host/a.ts", `${DOC}import "../../main.ts";`, "host may not import main"],
  ["ffi/a.ts", `${DOC}import "../lib/core/wire/a.ts";`, "ffi may not import core/wire"],
  ["main.ts", `${DOC}import "./ffi/a.ts";`, "main may not import ffi"],
  ["lib/host/a.ts", `${DOC}import "../../../elsewhere.ts";`, "may not import what lies outside"],
  ["lib/host/a.ts", `${DOC}import("../" + name);`, "cannot be checked"],
  ["lib/core/wire/a.ts", `${DOC}import "node:crypto";`, 'may not import the package "node:crypto"'],
  ["lib/core/noise/a.ts", `${DOC}import "node:fs";`, 'may not import the package "node:fs"'],
  ["lib/core/config/a.ts", `${DOC}import "npm:x";`, 'may not import the package "npm:x"'],

  [
    "lib/core/wire/a.ts",
    `${DOC}Deno.readFileSync(a);`,
    "lib/core/wire/a.ts:2: core/wire may not name Deno",
  ],
  [
    "lib/core/wire/a.ts",
    `${DOC}\nconst d = Deno;`,
    "lib/core/wire/a.ts:3: core/wire may not name Deno",
  ],
  ["lib/core/wireguard/a.ts", `${DOC}const now = Date.now();`, "may not name Date"],
  ["lib/core/wireguard/a.ts", `${DOC}const now = new Date();`, "may not name Date"],
  ["lib/core/wireguard/a.ts", `${DOC}a(performance.now());`, "may not name performance"],
  ["lib/core/wireguard/a.ts", `${DOC}a(performance\n  ?.now());`, "may not name performance"],
  ["lib/core/wireguard/a.ts", `${DOC}setTimeout(a, 1);`, "may not name setTimeout"],
  ["lib/core/wireguard/a.ts", `${DOC}a(setInterval);`, "may not name setInterval"],
  ["lib/core/nat/a.ts", `${DOC}a(Math.random());`, "may not name Math.random"],
  ["lib/core/nat/a.ts", `${DOC}a(Math\n  .random());`, "may not name Math.random"],
  ["lib/core/nat/a.ts", `${DOC}crypto.getRandomValues(a);`, "may not name getRandomValues"],
  [
    "lib/core/noise/a.ts",
    `${DOC}import { randomBytes } from "node:crypto";`,
    "may not name randomBytes",
  ],
  ["lib/core/noise/a.ts", `${DOC}crypto.subtle;`, "may not name crypto"],
  ["lib/core/config/a.ts", `${DOC}await fetch(a);`, "may not name fetch"],
  ["lib/core/config/a.ts", `${DOC}console.log(a);`, "may not name console"],
  ["lib/core/config/a.ts", `${DOC}a(process.env);`, "may not name process"],
  ["lib/core/config/a.ts", `${DOC}a(globalThis["Deno"]);`, "may not name globalThis"],
  ["lib/core/config/a.ts", DOC + "a(`${Deno.pid}`);", "may not name Deno"],
  ["lib/host/a.ts", `${DOC}Deno.exit(1);`, "host may not name Deno.exit"],
  ["lib/host/a.ts", `${DOC}Deno.exitCode = 1;`, "host may not name Deno.exitCode"],
  ["ffi/a.ts", `${DOC}process\n  .exit();`, "ffi may not name process.exit"],
];

for (const [path, source, offence] of offenders) {
  Deno.test(`offencesOf() finds ${JSON.stringify(source.replace(DOC, ""))} in ${path}`, () => {
    const found = offencesOf(path, source);
    assertStringIncludes(found.join("\n"), offence);
  });
}

Deno.test("offencesOf() finds nothing where all is well", () => {
  const core = `${DOC}
    import { a } from "../wire/a.ts";
    import type { B } from "./b.ts";
    // Deno, Date.now() and Math.random() may be spoken of
    const text = "Deno.exit(1)", pattern = /process.exit/;
    interface C { process: number; lastDate: number }
    const d = c.process.length + c.Date + this.#fetch + myDate + Math.max(1, 2);
    const f = "import x from '../app/x.ts'";
  `;
  assertEquals(offencesOf("lib/core/wireguard/a.ts", core), []);
  assertEquals(offencesOf("main.ts", `${DOC}import "./lib/commands/a.ts";\nDeno.exit(0);`), []);
  assertEquals(offencesOf("lib/host/a.ts", `${DOC}import "../../ffi/a.ts";\nDate.now();`), []);
  assertEquals(offencesOf("lib/core/noise/a.ts", `${DOC}import "@noble/hashes/blake2.js";`), []);
  assertEquals(offencesOf("ffi/netlink/a.ts", `${DOC}import "../b.ts";\nDeno.dlopen(a, b);`), []);
});
