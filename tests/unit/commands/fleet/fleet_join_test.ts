/** Tests of lib/commands/fleet/fleet_join.ts; tests/net/fleet has gateways join. */
import { joinFleet } from "../../../../lib/commands/fleet/fleet_join.ts";
import { joinTokenText } from "../../../../lib/core/fleet/join/join_token.ts";
import { newAuthority } from "../../../../lib/host/fleet/certificates.ts";
import { newUserKey } from "../../../../lib/host/fleet/user_key.ts";
import { exitCodeOf } from "../../../../lib/process/errors.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";
import { withFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

hostTest("a token that cannot be used is refused in one line, with nothing written", async () => {
  const { certificate: ca } = await newAuthority(Date.now());
  const { seed } = newUserKey();
  const good: [string, string][] = [
    ["PrivateKey", sampleKeys(1).privateKey],
    ["Address", "10.66.77.1/24"],
    ["Store", "tls://192.0.2.7:4222"],
  ];
  await withFolder(async (folder) => {
    const configPath = `${folder}/server.conf`;
    const path = `${folder}/token`;
    const refused = async (text: string | null, configAt = configPath) => {
      if (text !== null) Deno.writeTextFileSync(path, text);
      const given = { token: path, endpoint: null, overwrite: false, configPath: configAt };
      const error = await assertRejects(() => joinFleet(given), Error);
      assertEquals(exitCodeOf(error), 2, error.message);
      assert(!error.message.includes("\n") && !error.message.includes(seed), error.message);
      const left = Array.from(Deno.readDirSync(folder), ({ name }) => name);
      assertEquals(left.filter((name) => name !== "token" && name !== "taken.nk"), []);
      return error.message.replaceAll(folder, "");
    };
    const token = (settings: [string, string][], more = {}) =>
      joinTokenText({ settings, seed, ca, ...more });

    assertEquals(
      await refused(null),
      "Cannot read the token from /token: no such file: give the file of a token",
    );
    assertMatch(await refused(""), /^Cannot use the token: it does not begin with/);
    assertMatch(await refused("x".repeat(70_000)), /it is longer than 65536 characters$/);
    // A file that is good by its form, and is no gateway's.
    for (
      const [key, value, message] of [
        ["Address", "10.66.77.300/24", /^Cannot use the token: token:4: Address: /],
        ["Store", "http://x", /^Cannot use the token: token:5: Store: /],
        ["PrivateKey", "AAAA", /^Cannot use the token: token:3: PrivateKey: /],
        ["ListenPort", "0x1ffff", /^Cannot use the token: token:6: ListenPort: /],
        ["VirtualAddress", "203.0.113.0/24", /^Cannot use the token: token:6: VirtualAddress: /],
      ] as const
    ) {
      const others = good.map((
        [each, text],
      ): [string, string] => [each, each === key ? value : text]);
      const isGiven = good.some(([each]) => each === key);
      assertMatch(await refused(token(isGiven ? others : [...good, [key, value]])), message);
    }
    const broken = ca.replace(/\n[\s\S]{40}/, "\nAAAA");
    assertMatch(await refused(token(good, { ca: broken })), /a certificate that cannot be read/);

    Deno.writeTextFileSync(`${folder}/taken.nk`, "");
    assertMatch(
      await refused(token(good), `${folder}/taken.conf`),
      /^Cannot write \/taken\.nk: it exists already: choose another file with --config FILE/,
    );
  });
});
