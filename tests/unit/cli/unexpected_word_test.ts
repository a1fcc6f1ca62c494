/** Shows what is said of a word that may not stand where it stands, of commands with actions and without. */
import { parseArguments } from "../../../lib/cli/parse_arguments.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

for (
  const [words, problem] of [
    ["statsu", 'unknown command "statsu": did you mean "status"?'],
    ["--vresion", 'unknown option "--vresion": did you mean "--version"?'],
    ["status --jsn", '"vpn status" has no option "--jsn": did you mean "--json"?'],
    ["status laptop", '"vpn status" takes no argument "laptop"'],
    ["status -- --json", '"vpn status" takes no argument "--json"'],
    ["version --json", '"vpn version" takes no argument "--json"'],
    ["peer lst", '"vpn peer" has no action "lst": did you mean "list"?'],
    ["peer --json list", '"--json" comes after the action: see "vpn peer --help"'],
    ["peer list -- --json", '"vpn peer list" takes no argument "--json"'],
    ["peer show a --json", '"vpn peer show" has no option "--json": see "vpn peer show --help"'],
    ["service lst", '"vpn service" has no action "lst": did you mean "list"?'],
    ["service --json list", '"--json" comes after the action: see "vpn service --help"'],
    ["service list --jsn", '"vpn service list" has no option "--jsn": did you mean "--json"?'],
    ["access", "no action given: use test"],
    ["access tst", '"vpn access" has no action "tst": did you mean "test"?'],
    ["access test --jsn", '"vpn access test" has no option "--jsn": did you mean "--json"?'],
    ["fleet stats", '"vpn fleet" has no action "stats": did you mean "status"?'],
  ] as const
) {
  Deno.test(`vpn ${words}: ${problem}`, () => {
    const options = { colour: false, width: 100, version: "vpn 1.2.3" };
    const error = assertThrows(() => parseArguments(words.split(" "), options), Error);
    assertEquals(error.message, problem);
  });
}
