/** Tests of what keeps a contender from a run. */
import { assertEquals } from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";
import { missingFor } from "./lineup.ts";

hostTest("missingFor() gives the reason for which a package could not be had", () => {
  const fetched = { version: "1", says: "1", commands: { nebula: ["/nebula"] } };
  const needs = { installed: [], fetched: "nebula" } as const;
  assertEquals(missingFor(needs, new Map([["nebula", { reason: "no apt" }]])), "no apt");
  assertEquals(missingFor(needs, new Map([["nebula", fetched]])), null);
});

hostTest("missingFor() names installed programs that are not there", () => {
  const needs = { installed: ["no-such-program"] };
  assertEquals(missingFor(needs, new Map()), "no-such-program is not installed");
});
