/** The command line of the bench. */
import { assertEquals, assertThrows } from "../support/assert.ts";
import { CONTENDERS, parseOptions, SECTIONS } from "./options.ts";

Deno.test("parseOptions() takes everything when nothing is chosen", () => {
  const options = parseOptions([])!;
  assertEquals(options.contenders, [...CONTENDERS]);
  assertEquals(options.sections, [...SECTIONS]);
  assertEquals([options.rounds, options.seconds], [3, 2]);
  assertEquals(options.json, ".bench/bench.json");
});

Deno.test("parseOptions() chooses contenders and figures apart from each other", () => {
  const options = parseOptions(["--only", "vpn,wireguard-go,nebula", "tcp"])!;
  assertEquals(options.contenders, ["vpn", "wireguard-go", "nebula"]);
  assertEquals(options.sections, ["tcp"]);
  assertEquals(parseOptions(["--only", "tcp", "--only", "ping"])!.sections, ["tcp", "ping"]);
});

Deno.test("parseOptions() makes --quick one short round, unless told otherwise", () => {
  const quick = parseOptions(["--quick"])!;
  assertEquals([quick.rounds, quick.seconds], [1, 1]);
  assertEquals(parseOptions(["--quick", "--rounds", "2"])!.rounds, 2);
});

Deno.test("parseOptions() refuses what it does not know", () => {
  assertThrows(() => parseOptions(["--only", "ipsec"]), Error, "ipsec");
  assertThrows(() => parseOptions(["--rounds", "0"]), Error, "--rounds");
  assertThrows(() => parseOptions(["--fast"]), Error, "--fast");
  assertThrows(() => parseOptions(["tcp"]), Error, "tcp");
});

Deno.test("parseOptions() is null for --help", () => {
  assertEquals(parseOptions(["--help"]), null);
});
