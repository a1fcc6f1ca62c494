/** Shows how the command line that starts this program again is found. */
import { runtimeArguments } from "../../../lib/process/own_command.ts";
import { assertEquals } from "../../support/assert.ts";

Deno.test("runtimeArguments() is what stands between the runtime and the program's arguments", () => {
  const commandLine = "deno\0run\0--quiet\0--allow-all\0main.ts\0demo\0--log-level\0debug\0";
  assertEquals(
    runtimeArguments(commandLine, ["demo", "--log-level", "debug"]),
    ["run", "--quiet", "--allow-all", "main.ts"],
  );
  assertEquals(runtimeArguments("deno\0main.ts\0", []), ["main.ts"]);
  // An empty argument is an argument.
  assertEquals(runtimeArguments("deno\0main.ts\0\0", [""]), ["main.ts"]);
});
