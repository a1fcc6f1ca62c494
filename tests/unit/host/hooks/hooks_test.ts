/** Tests of `lib/host/hooks/hooks.ts`: what commands say when they run. */
import { Hooks } from "../../../../lib/host/hooks/hooks.ts";
import type { Journal } from "../../../../lib/host/journal/journal.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("%i in a command is the interface's name, whatever characters that has", async () => {
  for (const interfaceName of ["vpn0", "a$&b", "$'x", "$$"]) {
    const made: unknown[] = [];
    const hooks = new Hooks({
      config: parseConfig(
        `[Interface]\nPrivateKey = ${sampleKeys(1).privateKey}\nPostDown = echo %i, %i\n`,
        "s.conf",
      ),
      interfaceName,
      journal: { make: (change: unknown) => made.push(change) } as unknown as Journal,
      stop: new Promise(() => {}),
    });
    await hooks.preUp();
    const command = `echo ${interfaceName}, ${interfaceName}`;
    assertEquals(made, [{ kind: "hook", commands: [{ command, place: "s.conf:3: PostDown" }] }]);
  }
});
