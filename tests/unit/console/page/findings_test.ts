/** Tests of what the console's page says of a gateway's health. */
import { findingsOf } from "../../../../lib/console/page/screens/overview/health_card.tsx";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("what is lacking comes before what is unwise, and nothing is said where all is well", () => {
  const well = {
    state: "up" as const,
    missing: [],
    warnings: [],
    pending: [],
    restart: [],
    problem: null,
    deadRules: [],
  };
  assertEquals(findingsOf(well), []);
  const findings = findingsOf({
    ...well,
    missing: ["the route"],
    warnings: ["w"],
    pending: ["DNS"],
    restart: ["ListenPort"],
    problem: "line 3",
    deadRules: ["dead"],
  });
  assertEquals(findings.map(({ tone, text }) => `${tone} ${text}`), [
    "bad Lacking: the route",
    "bad line 3",
    "warn Until a reload: DNS",
    "warn Until a restart: ListenPort",
    "warn w",
    "warn dead",
  ]);
});
