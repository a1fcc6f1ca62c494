/** Tests of what `vpn doctor` says of published services, by what a gateway that runs tells of them. */
import { judgeServices } from "../../../../lib/commands/doctor/service_checks.ts";
import type { BackEndState } from "../../../../lib/core/peers/service_status.ts";
import { assertEquals } from "../../../support/assert.ts";

const service = (...states: readonly BackEndState[]) => ({
  name: "tcp:443",
  method: "hash" as const,
  backEnds: states.map((state, i) => ({
    name: `web-${i}:1`,
    address: "10.66.77.2:1",
    isOutside: false,
    state,
    reason: state === "down" ? "connection refused" : null,
    connections: 0,
    totalConnections: 0,
  })),
});

const judged = (...states: readonly BackEndState[]) =>
  judgeServices([service(...states)]).map(({ status, why }) => `${status} ${why}`);

Deno.test("services are judged by who is left of their back ends", () => {
  assertEquals(judgeServices([]), []);
  assertEquals(judged("up", "unchecked"), [
    "ok all back ends of published services are there, as far as they are checked: 2",
  ]);
  assertEquals(judged("up", "down"), [
    "warn service tcp:443: 1 of 2 back ends serve: web-1:1 is down (connection refused)",
  ]);
  assertEquals(judged("absent", "drained"), [
    "fail service tcp:443: no back end is left for new connections: web-0:1 is absent, web-1:1 is drained",
  ]);
});
