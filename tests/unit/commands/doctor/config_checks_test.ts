/** Tests of lib/commands/doctor/config_checks.ts: access rules, with the fault planted. */
import { CONFIG_CHECKS } from "../../../../lib/commands/doctor/config_checks.ts";
import type { Verdict } from "../../../../lib/commands/doctor/check.ts";
import type { Subject } from "../../../../lib/commands/doctor/subject.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { assertEquals } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";

async function look(...lines: readonly string[]): Promise<readonly Verdict[]> {
  const head = ["[Interface]", `PrivateKey = ${sampleKeys(1).privateKey}`];
  const peer = ["[Peer]", `PublicKey = ${sampleKeys(2).publicKey}`, "Name = laptop"];
  const config = parseConfig([...head, ...peer, ...lines].join("\n"), "s.conf");
  const check = CONFIG_CHECKS.find(({ name }) => name === "access-rules")!;
  return await check.look({ config, role: "server" } as Subject);
}

Deno.test("doctor names the access rules that can never decide, and says nothing where there are none", async () => {
  assertEquals(await look(), []);
  assertEquals(
    (await look("Allow = internet", "Deny = tcp/25")).map(({ status }) => status),
    ["ok"],
  );
  assertEquals(await look("Allow = internet, internet tcp/443"), [{
    status: "warn",
    why: "s.conf:3: [Peer] laptop: Allow = internet tcp/443 can never decide about a packet: " +
      "Allow = internet holds before it",
    remedy: "correct the rule, or remove it",
  }]);
});
