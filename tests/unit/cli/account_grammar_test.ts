/** Shows what the command lines of `vpn usage`, `vpn events`, `vpn queries` and `vpn flows` mean. */
import { parseArguments } from "../../../lib/cli/parse_arguments.ts";
import { assertEquals } from "../../support/assert.ts";

const parse = (...argv: string[]) =>
  parseArguments(argv, { colour: false, width: 100, version: "vpn 1.2.3" });

Deno.test("parseArguments() reads what usage is asked for", () => {
  const request = { interfaceName: "vpn0", peer: null, by: "month", json: false } as const;
  assertEquals(parse("usage"), { command: "usage", request });
  assertEquals(
    parse(
      "usage",
      "--interface",
      "vpn1",
      "--netns",
      "blue",
      "--peer",
      "a",
      "--by",
      "day",
      "--json",
    ),
    {
      command: "usage",
      request: { interfaceName: "vpn1", netns: "blue", peer: "a", by: "day", json: true },
    },
  );
});

Deno.test("parseArguments() reads which events, queries or flows are asked for", () => {
  const request = {
    interfaceName: "vpn0",
    peer: null,
    since: null,
    follow: false,
    json: false,
  };
  assertEquals(parse("events"), { command: "events", request });
  assertEquals(parse("queries"), { command: "queries", request });
  assertEquals(parse("flows"), { command: "flows", request });
  assertEquals(parse("events", "--peer", "a", "--since", "2h", "--follow", "--json"), {
    command: "events",
    request: {
      ...request,
      peer: "a",
      since: { kind: "after", period: 7_200_000 },
      follow: true,
      json: true,
    },
  });
});
