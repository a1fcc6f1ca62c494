/** Shows what the command line of `vpn service` means, and what is said of a wrong one. */
import { parseArguments } from "../../../lib/cli/parse_arguments.ts";
import { UsageError } from "../../../lib/cli/usage_error.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

const parse = (...argv: string[]) =>
  parseArguments(argv, { colour: false, width: 100, version: "vpn 1.2.3" });

Deno.test("parseArguments() reads what is to be shown, drained and undrained", () => {
  assertEquals(parse("service", "list"), {
    command: "service",
    request: { action: "list", interfaceName: null, json: false },
  });
  assertEquals(parse("service", "list", "--json", "--interface", "vpn1"), {
    command: "service",
    request: { action: "list", interfaceName: "vpn1", json: true },
  });
  assertEquals(parse("service", "drain", "web-1:8443"), {
    command: "service",
    request: { action: "drain", backEnd: "web-1:8443", service: null, interfaceName: null },
  });
  assertEquals(parse("service", "undrain", "web-1", "--service", "tcp:443"), {
    command: "service",
    request: { action: "undrain", backEnd: "web-1", service: "tcp:443", interfaceName: null },
  });
});

for (
  const [words, problem] of [
    [[], "no action given: use one of list, drain, undrain"],
    [["drain"], "BACKEND is missing: give one that `vpn service list` shows"],
    [["drain", "a", "--sevice", "x"], 'did you mean "--service"?'],
  ] as const
) {
  Deno.test(`vpn service ${words.join(" ")}: ${problem}`, () => {
    assertThrows(() => parse("service", ...words), UsageError, problem);
  });
}
