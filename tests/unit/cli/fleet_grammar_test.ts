/** Tests of the command line of `vpn fleet`. */
import { FLEET_ACTIONS } from "../../../lib/cli/fleet_grammar.ts";
import { parseArguments } from "../../../lib/cli/parse_arguments.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

function parse(...argv: string[]) {
  return parseArguments(["fleet", ...argv], { colour: false, width: 100, version: "vpn 1.2.3" });
}

Deno.test("vpn fleet reads what is asked for, and of which gateway", () => {
  for (
    const asked of [{ action: "status", watch: false }, { action: "import" }] as const
  ) {
    const { action } = asked;
    const request = { ...asked, configPath: "server.conf" };
    assertEquals(parse(action), { command: "fleet", request });
    assertEquals(parse(action, "--config", "a.conf"), {
      command: "fleet",
      request: { ...request, configPath: "a.conf" },
    });
  }
  assertEquals(parse("status", "--watch"), {
    command: "fleet",
    request: { action: "status", watch: true, configPath: "server.conf" },
  });
  assertEquals(parse("key", "a.nk"), {
    command: "fleet",
    request: { action: "key", file: "a.nk" },
  });
  for (const action of ["drain", "rebalance", "remove"] as const) {
    assertEquals(parse(action, "gw-1", "--config", "a.conf"), {
      command: "fleet",
      request: { action, gateway: "gw-1", configPath: "a.conf" },
    });
  }
  assertEquals(parse("drain"), {
    command: "fleet",
    request: { action: "drain", gateway: null, configPath: "server.conf" },
  });
});

Deno.test("vpn fleet says in one line what is wrong", () => {
  for (
    const [argv, message] of [
      [[], `no action given: use one of ${FLEET_ACTIONS.join(", ")}`],
      [["stats"], '"vpn fleet" has no action "stats": did you mean "status"?'],
      [
        ["status", "--confg"],
        '"vpn fleet status" has no option "--confg": did you mean "--config"?',
      ],
      [["key"], "FILE is missing: give the file for the key"],
      [["remove"], "GATEWAY is missing: give its number or its name"],
    ] as const
  ) assertEquals(assertThrows(() => parse(...argv), Error).message, message);
});
