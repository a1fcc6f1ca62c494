/** Tests of tests/support/source/house.ts: planted offences of every kind are found, and exceptions that are idle. */
import { assertEquals } from "../assert.ts";
import {
  crowdedFolders,
  deadExports,
  fileCycles,
  longFiles,
  repeatedNames,
  type Sources,
  unusedArrows,
} from "./house.ts";

/** Made-up sources. */
function made(files: Readonly<Record<string, string>>): Sources {
  return new Map(Object.entries(files));
}

Deno.test("unusedArrows() finds an arrow that no import uses, between rooms and inside one", () => {
  const sources = made({
    "lib/core/noise/a.ts": "",
    "ffi/sockets/a.ts": 'import type { A } from "../a.ts";',
    "ffi/netlink/a.ts": "",
    "ffi/a.ts": "",
  });
  assertEquals(unusedArrows(sources), [
    "core/noise -> core/wire: no import uses this arrow: take it out of the table",
    "ffi/netlink -> ffi: no import uses this arrow: take it out of the table",
  ]);
});

Deno.test("fileCycles() finds rings of values, of types and of import(), and files that import themselves", () => {
  const sources = made({
    "lib/a/a.ts": 'import { b } from "./b.ts";',
    "lib/a/b.ts": 'import type { C } from "../c/c.ts";',
    "lib/c/c.ts": 'const { a } = await import("../a/a.ts");',
    "lib/c/d.ts": 'import "./c.ts";',
    "ffi/a.ts": 'export * from "./a.ts";',
    "ffi/b.ts": 'type A = import("./c.ts").A;',
    "ffi/c.ts": 'export type { B } from "./b.ts";',
  });
  assertEquals(fileCycles(sources), [
    "lib/a/a.ts lib/a/b.ts lib/c/c.ts: these files import one another",
    "ffi/a.ts: these files import one another",
    "ffi/b.ts ffi/c.ts: these files import one another",
  ]);
});

Deno.test("repeatedNames() finds a name that two files export, but for modules that are named at every use", () => {
  const sources = made({
    "lib/a.ts": "export class Peer {}\nexport const port = 1, own = 2;",
    "lib/b.ts": "interface Peer { a: 1 }\nexport { type Peer, thing as other };",
    "lib/c.ts": "export function other(): void {}\nexport function headerSize(): void {}",
    "lib/d.ts": "export async function headerSize(): Promise<void> {}\n// export const port = 1;",
    "lib/e.ts": 'import * as d from "./d.ts";\nconst own = 2;\nexport { port } from "./a.ts";',
    "tests/a.ts": "export const port = 1;",
  });
  assertEquals(repeatedNames(sources), [
    "Peer: exported by lib/a.ts and lib/b.ts",
    "other: exported by lib/b.ts and lib/c.ts",
  ]);
});

Deno.test("deadExports() finds what only tests use, and what nobody does", () => {
  const sources = made({
    "lib/a.ts": [
      "export const taken = 1;",
      "export const later = 1;",
      "export const whole = 1;",
      "export const tested = 1;",
      "export const untested = 1;",
      "export function step(): void {}",
      "export interface Options { a: Part }",
      "export interface Part {}",
      "export type Lost = 1;",
      "export function main(options: Options): void { step(); inner(); }",
      "export function inner(): void {}",
    ].join("\n"),
    "lib/b.ts": 'import { type Lost as L, main, taken as other } from "./a.ts";',
    "main.ts":
      'const { later } = await import("./lib/a.ts");\nimport * as a from "./lib/a.ts";\na.whole;',
    "tests/a_test.ts": 'import { tested, step } from "../lib/a.ts";',
  });
  assertEquals(deadExports(sources), [
    "lib/a.ts: tested: the program does not use this export",
    "lib/a.ts: untested: the program does not use this export",
    "lib/a.ts: inner: the program does not use this export",
  ]);
  const exceptions = { "lib/a.ts: tested": "", "lib/a.ts: untested": "", "lib/a.ts: main": "" };
  assertEquals(deadExports(sources, exceptions), [
    "lib/a.ts: inner: the program does not use this export",
    "lib/a.ts: main: it needs no exception any more",
  ]);
  assertEquals(deadExports(sources, { "lib/a.ts": "" }), []);
});

Deno.test("longFiles() finds a file of 401 lines, and none of 400", () => {
  const lines = (count: number) => "a\n".repeat(count);
  const sources = made({
    "lib/a.ts": lines(401),
    "ffi/c.ts": lines(400),
  });
  assertEquals(longFiles(sources), ["lib/a.ts: 401 lines, more than 400"]);
});

Deno.test("crowdedFolders() finds a folder of 26 files; those of its folders do not count", () => {
  const files = (folder: string, count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, i) => [`${folder}/${i}.ts`, ""]));
  assertEquals(crowdedFolders(made({ ...files("lib/a", 25), ...files("lib/a/b", 26) })), [
    "lib/a/b/: 26 files, more than 25",
  ]);
});
