/**
 * Tests of `lib/commands/server/egress_choice.ts`: a configuration that makes more rules than can be followed is
 * refused.
 */
import { requireFewRules } from "../../../../lib/commands/server/egress_choice.ts";
import { ConfigError } from "../../../../lib/core/config/config_error.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { validateServer } from "../../../../lib/core/config/roles.ts";
import { MAX_EGRESS_RULES } from "../../../../lib/dataplane/message_parts.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { section } from "../../../support/control/reload_site.ts";

const rules = (count: number) =>
  Array.from({ length: count }, () => ({ address: 0, prefixLength: 32, verdict: "pass" as const }));

Deno.test("more rules than can be followed are refused, with the line of the key that asks for them", () => {
  for (
    const [lines, place] of [
      [["EgressAllow = lan"], ":4: EgressAllow"],
      [["MTU = 1400", "EgressDeny = lan"], ":5: EgressDeny"],
      [[], ":1: EgressAllow"],
    ] as const
  ) {
    const config = validateServer(parseConfig(section(...lines), "home.conf"));
    requireFewRules(config, rules(MAX_EGRESS_RULES));
    const error = assertThrows(
      () => requireFewRules(config, rules(MAX_EGRESS_RULES + 1)),
      ConfigError,
    );
    assertEquals(
      error.message,
      `home.conf${place}: together with this host's networks and routes this gives ${
        MAX_EGRESS_RULES + 1
      } rules, more than the maximum of ${MAX_EGRESS_RULES}: use fewer and larger networks`,
    );
  }
});
