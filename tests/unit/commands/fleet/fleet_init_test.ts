/** Tests of lib/commands/fleet/fleet_init.ts; tests/net/fleet runs what it sets up. */
import { parseArguments } from "../../../../lib/cli/parse_arguments.ts";
import { runFleet } from "../../../../lib/commands/fleet/fleet.ts";
import { readJoinToken } from "../../../../lib/core/fleet/join/join_token.ts";
import { publicUserKey } from "../../../../lib/host/fleet/user_key.ts";
import {
  assert,
  assertEquals,
  assertMatch,
  assertRejects,
  assertStringIncludes,
} from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";
import { withFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";
import { run } from "../../../support/process.ts";

const MAIN = new URL("../../../../main.ts", import.meta.url).pathname;
const NATS = "nats-a.example.org,192.0.2.7:5222,[2001:db8::1]";
const HEAD = `# Ours.
[Interface]
  PrivateKey = ${sampleKeys(1).privateKey}   # of 2024
  Address = 10.66.77.1/24
  PostUp = touch /tmp/x
  PublicEndpoint = vpn.example.org:51820  # see DNS

# The rest`;
const PEER = `\n[Peer]\nName = ann\nPublicKey = ${
  sampleKeys(2).publicKey
}\nAllowedIPs = 10.66.77.2/32\n`;

function argv(folder: string, ...more: readonly string[]): string[] {
  const config = `${folder}/vpn0.conf`;
  return ["fleet", "init", "--config", config, "--out", `${folder}/out`, ...more];
}

/** What it refuses, with nothing written. */
async function refused(folder: string, ...more: readonly string[]): Promise<string> {
  const before = tree(folder);
  const parsed = parseArguments(argv(folder, ...more), {
    colour: false,
    width: 100,
    version: "vpn 1.2.3",
  });
  assert(parsed.command === "fleet");
  const { message } = await assertRejects(() => runFleet(parsed.request), Error);
  assertEquals(tree(folder), before);
  return message.replaceAll(folder, "");
}

/** Files under a folder, with what is in them. */
function tree(folder: string): Record<string, string> {
  return Object.fromEntries(
    Array.from(Deno.readDirSync(folder)).flatMap(({ name, isDirectory }) =>
      isDirectory
        ? Object.entries(tree(`${folder}/${name}`)).map(([path, text]) => [`${name}/${path}`, text])
        : [[name, Deno.readTextFileSync(`${folder}/${name}`)]]
    ),
  );
}

hostTest(
  "a gateway's file keeps its bytes and comments, and the others get what they share",
  async () => {
    await withFolder(async (folder) => {
      Deno.writeTextFileSync(`${folder}/vpn0.conf`, HEAD + PEER, { mode: 0o600 });
      const { code, stdout, stderr } = await run(null, [
        ...[Deno.execPath(), "run", "--quiet", "--no-check", "--allow-all", MAIN],
        ...argv(folder, "--nats", NATS, "--virtual-address", "203.0.113.5/24", "--gateways", "2"),
      ]);
      assertEquals([code, stderr], [0, ""]);
      const files = tree(folder);
      const ca = files["out/ca.pem"]!;
      const store = "tls://nats-a.example.org:4222, tls://192.0.2.7:5222, tls://[2001:db8::1]:4222";
      const added = [
        `Store = ${store}`,
        "StoreCredentials = vpn0.nk",
        "StoreCA = vpn0-store-ca.pem",
        "VirtualAddress = 203.0.113.5/24",
      ];
      assertEquals(
        files["vpn0.conf"],
        HEAD.replace(
          "\n\n# The rest",
          `\n${added.map((each) => `  ${each}\n`).join("")}\n# The rest`,
        ) +
          PEER,
      );
      assertEquals(Object.keys(files).sort(), [
        ...["out/ca-key.pem", "out/ca.pem", "out/gateway-2.token"],
        ...[1, 2, 3].flatMap((number) =>
          ["ca.pem", "nats-server.conf", "server-key.pem", "server.pem"]
            .map((name) => `out/nats-${number}/${name}`)
        ),
        ...["vpn0-store-ca.pem", "vpn0.conf", "vpn0.nk"],
      ]);
      assertEquals(files["vpn0-store-ca.pem"], ca);

      const token = readJoinToken(files["out/gateway-2.token"]!);
      assertEquals(token.ca, ca);
      assertEquals(token.settings, [
        ["PrivateKey", sampleKeys(1).privateKey],
        ["Address", "10.66.77.1/24"],
        ["PublicEndpoint", "vpn.example.org:51820"],
        ["Store", store],
        ["VirtualAddress", "203.0.113.5/24"],
      ]);
      // A terminal takes 4,095 bytes of a line.
      assert(files["out/gateway-2.token"]!.length < 4_000);

      // Each gateway has a key of its own, and each server knows both.
      const keys = [files["vpn0.nk"]!, token.seed].map((seed) => publicUserKey(seed)!);
      assert(keys[0] !== keys[1]);
      for (const number of [1, 2, 3]) {
        const text = files[`out/nats-${number}/nats-server.conf`]!;
        assertEquals(text.match(/nkey: \w+/g), keys.map((key) => `nkey: ${key}`));
      }
      for (const key of keys) assertStringIncludes(stdout, key);
      assertMatch(stdout, /^Not in the tokens, as each gateway has its own: PostUp$/m);
      assertMatch(stdout, /vpn fleet import --config/);
      for (const secret of [token.seed, files["vpn0.nk"]!, sampleKeys(1).privateKey]) {
        assert(!stdout.includes(secret.trim()));
      }

      assertMatch(
        await refused(folder, "--nats", NATS),
        /^Cannot write \/vpn0\.nk: it exists already/,
      );
      for (const name of ["vpn0.nk", "vpn0-store-ca.pem"]) Deno.removeSync(`${folder}/${name}`);
      assertMatch(
        await refused(folder, "--nats", NATS),
        /it has [\w.-]+ already: give another folder/,
      );
      Deno.removeSync(`${folder}/out`, { recursive: true });
      assertMatch(
        await refused(folder, "--nats", NATS),
        /^\/vpn0\.conf:7: Store: this gateway is in a fleet already: `vpn fleet leave --keep-peers` takes it out$/,
      );
    });
  },
);

hostTest("what cannot be a gateway of a fleet is refused with nothing written", async () => {
  await withFolder(async (folder) => {
    const nats = ["--nats", NATS];
    assertEquals(
      await refused(folder, ...nats),
      "There is no /vpn0.conf: make it with `vpn init`, or give --endpoint HOST[:PORT], where clients reach this gateway",
    );
    Deno.writeTextFileSync(`${folder}/out`, "");
    assertEquals(
      await refused(folder, ...nats, "--endpoint", "vpn.example.org"),
      "Cannot write to /out: it is no folder: give another with --out",
    );
    Deno.removeSync(`${folder}/out`);
    const put = (text: string) =>
      Deno.writeTextFileSync(`${folder}/vpn0.conf`, text, { mode: 0o600 });
    put("[Interface]\nPrivateKey = no\n");
    assertMatch(await refused(folder, ...nats), /^\/vpn0\.conf:2: PrivateKey: /);
    put(
      `[Interface]\nPrivateKey = ${
        sampleKeys(1).privateKey
      }\nAddress = 10.0.0.1/24\nListenPort = 65535\n`,
    );
    assertMatch(
      await refused(folder, ...nats, "--virtual-address", "203.0.113.5/24"),
      /^\/vpn0\.conf:4: ListenPort: cannot use "65535": with VirtualAddress/,
    );
    put("[Interface]\nPostUp = wg set %i private-key /etc/key\nAddress = 10.0.0.1/24\n");
    await refused(folder, ...nats);
  });
});
