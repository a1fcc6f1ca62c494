/** Tests of tests/support/source/names.ts. */
import { assertEquals } from "../assert.ts";
import { exportedNames, takenNames } from "./names.ts";

Deno.test("exportedNames() finds every kind of declaration and list, and no other word", () => {
  const source = `
    export const a = 1;
    export async function b(): Promise<void> {}
    export function* c(): Generator {}
    export abstract class D {}
    export interface E { export: number }
    export type F = 1;
    const g = 1, inner = "export const no = 1";
    export { g, type F as H };
    export { no } from "./other.ts";
    // export const no = 1;
  `;
  assertEquals(exportedNames(source), ["a", "b", "c", "D", "E", "F", "g", "H"]);
});

Deno.test("takenNames() follows imports, re-exports, namespaces, import() and its types", () => {
  const source = `
    import { a, type B as C } from "./a.ts";
    import d, { e } from "./b.ts";
    export type { F } from './c.ts';
    export * from "./d.ts";
    import * as space from "./e.ts";
    space.g(space.H);
    other.space.no;
    const { i, j: k } = await import("./f.ts");
    type L = import("./g.ts").M;
    // import { no } from "./no.ts";
  `;
  const taken = takenNames(source).map(({ specifier, name }) => `${specifier} ${name}`);
  assertEquals(taken.sort(), [
    "./a.ts B",
    "./a.ts a",
    "./b.ts e",
    "./c.ts F",
    "./d.ts *",
    "./e.ts H",
    "./e.ts g",
    "./f.ts i",
    "./f.ts j",
    "./g.ts M",
  ]);
});
