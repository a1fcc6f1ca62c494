/** Tests the process of `vpn console`: what it refuses to begin, and that it begins, and ends when it is asked to. */
import { assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { spawn } from "../../support/process.ts";
import { hostTest } from "../../support/permissions.ts";

/** Of loopback's network, one that no other process of these tests takes. */
const HOST = `127.${77 + (Deno.pid >> 16 & 63)}.${Deno.pid >> 8 & 255}.${(Deno.pid & 127) + 1}`;

function start(...args: string[]) {
  const command = ["run", "--quiet", "--no-check", "--allow-all", "main.ts", "console", ...args];
  return spawn(null, [Deno.execPath(), ...command]);
}

hostTest(
  "vpn console serves plain HTTP on loopback alone, begins with a link, and ends when it is asked to",
  async () => {
    const folder = temporaryFolder();
    const state = ["--state", `${folder}/state`];
    await using running = start("--listen", `${HOST}:51821`, ...state);
    await using refused = start("--listen", "0.0.0.0:51821", ...state);
    assertEquals((await refused.ended()).code, 2);
    assertMatch(refused.stderr, /Cannot serve plain HTTP on 0\.0\.0\.0:51821: others could read/);
    const link = /with this link, once: (http:\/\/[\d.:]+)\/#\/setup\/[\w-]{43}\n/;
    const [, origin] = await running.waitFor(link);
    assertEquals(origin, `http://${HOST}:51821`);
    const response = await fetch(`${origin}/`);
    assertEquals(response.status, 200);
    assertStringIncludes(await response.text(), "<html");
    const status = Deno.readTextFileSync(`/proc/${running.pid}/status`);
    assertMatch(status, /^NoNewPrivs:\s+1$/m);
    assertMatch(status, /^CapEff:\s+0+$/m);
    assertEquals((await running.stop()).code, 0);
  },
);
