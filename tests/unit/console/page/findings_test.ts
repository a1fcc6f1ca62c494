/** Tests of what the console's page says of a gateway's health. */
import { toFix } from "../../../../lib/console/page/screens/overview/doctor_card.tsx";
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

Deno.test("of vpn doctor's checks, those are shown that failed or warn, without what the gateway says itself", () => {
  const check = (name: string, status: "ok" | "warn" | "fail") => ({
    ...{ name, status, why: name, remedy: null },
  });
  const checks = [
    check("clock", "ok"),
    check("egress", "warn"),
    check("running", "fail"),
    check("listen-port", "fail"),
  ];
  assertEquals(toFix(checks).map(({ name }) => name), ["listen-port", "egress"]);
});
