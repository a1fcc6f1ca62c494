/** Shows what the command line of `vpn usage` means. */
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
