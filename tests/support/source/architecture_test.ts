/** Tests of tests/support/source/architecture.ts: planted offences of every kind are found. */
import { assertEquals, assertStringIncludes } from "../assert.ts";
import { offencesOf, partOf } from "./architecture.ts";

Deno.test("partOf() takes folders of lib and files in it for parts", () => {
  assertEquals(partOf("main.ts"), "main");
  assertEquals(partOf("lib/core/routing/router.ts"), "core/routing");
  assertEquals(partOf("lib/core/wire/ipv4.ts"), "core/wire");
  assertEquals(partOf("lib/host/deep/file.ts"), "host");
  assertEquals(partOf("ffi/netlink/links.ts"), "ffi");
  assertEquals(partOf("tests/unit/core/wire/ipv4_test.ts"), "tests");
  assertEquals(partOf("deno.json"), null);
});

const DOC = "/** Thing: does something. */\n";
const offenders: [path: string, source: string, offence: string][] = [
  ["lib/core/wire/a.ts", "// Thing: does something.\n", "first line is no doc comment"],
  ["lib/core/wire/a.ts", "/** Owns a thing. */\n", 'does not begin with "Owns"'],
  ["tests/wire/a.ts", "/**\n * Owns a thing.\n */\n", 'does not begin with "Owns"'],
  [
    "ffi/a.ts",
    `${DOC}// ${"a".repeat(118)}\n`,
    "ffi/a.ts:2: the comment is longer than 120 columns",
  ],
  ["tests/a.ts", `${DOC}/**\n * ${"a".repeat(118)}\n */\n`, "tests/a.ts:3: the comment is longer"],
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
  ["ffi/a.ts", `${DOC}import "./sockets/a.ts";`, "ffi may not import ffi/sockets"],
  ["ffi/sockets/a.ts", `${DOC}import "../netlink/a.ts";`, "ffi/sockets may not import ffi/netlink"],
  ["ffi/crypto/a.ts", `${DOC}import "../sockets/a.ts";`, "ffi/crypto may not import ffi/sockets"],
  [
    "ffi/netlink/a.ts",
    `${DOC}import "./nftables/a.ts";`,
    "ffi/netlink may not import ffi/netlink/nftables",
  ],
  ["ffi/new/a.ts", `${DOC}import "../a.ts";`, 'no row in the table of arrows for "ffi/new"'],
  [
    "lib/commands/cleanup.ts",
    `${DOC}import "./demo/traces.ts";`,
    "commands may not import commands/demo",
  ],
  [
    "lib/commands/doctor/a.ts",
    `${DOC}import "../demo/ping.ts";`,
    "commands/doctor may not import commands/demo",
  ],
  [
    "lib/commands/server/a.ts",
    `${DOC}import type { A } from "../client/a.ts";`,
    "commands/server may not import commands/client",
  ],
  ["lib/host/a.ts", `${DOC}import "../commands/demo/a.ts";`, "host may not import commands"],
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
