/** Tests of `lib/commands/doctor/port_checks.ts`: a port whose owner a user does not see may be our own gateway's. */
import { assertEquals } from "../../../support/assert.ts";
import { isHidden } from "../../../../lib/commands/doctor/port_checks.ts";
import { HIDDEN_OWNER } from "../../../../lib/host/network/port_safety.ts";

Deno.test("an owner that is not seen is hidden from a user, and from root is another one", () => {
  assertEquals(isHidden(HIDDEN_OWNER, 1000), true);
  assertEquals(isHidden(HIDDEN_OWNER, 0), false);
  assertEquals(isHidden('"dnsmasq" (process 812)', 1000), false);
});
