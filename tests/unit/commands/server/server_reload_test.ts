/**
 * Tests of `lib/commands/server/server_reload.ts`: what a server's reload changes at once, and what needs a restart; on
 * stand-ins for what runs.
 */
import { RequestError } from "../../../../lib/control/protocol.ts";
import { ExitCode } from "../../../../lib/process/errors.ts";
import { restartLine } from "../../../../lib/control/reload.ts";
import { ConfigError } from "../../../../lib/core/config/config_error.ts";
import { parseIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { assert, assertEquals, assertMatch } from "../../../support/assert.ts";
import { emptyFile } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";
import { peer, section, serverRole, Site } from "../../../support/control/reload_site.ts";

hostTest("a peer of a gateway that the file gives a name as its place is looked up", async () => {
  const { role } = serverRole();
  using site = new Site(section() + peer(0, "AllowedIPs = 10.66.77.2/32"), role);
  await site.edit(section() + peer(0, "AllowedIPs = 10.66.77.2/32", "Endpoint = localhost:7"));
  const [change] = site.peers.asked;
  assert(change?.kind === "put");
  assertEquals(change.peer.endpoint, { host: "localhost", address: 0x7f000001, port: 7 });
});

hostTest(
  "peers that cannot be, and networks that cannot be followed, leave all as it was",
  async () => {
    const text = section() + peer(0);
    const edited = section("EgressAllow = lan", "ClientToClient = off") + peer(1);
    const refused = serverRole({ refusal: new ConfigError("too many") });
    using site = new Site(text, refused.role);
    assertEquals((await site.edit(edited)).problems, ["too many"]);
    assertEquals([site.peers.asked, refused.asked], [[], []]);

    const { role, asked } = serverRole();
    using other = new Site(text, role);
    other.peers.refusal = new RequestError("Cannot add the peer: another peer has the name one");
    const result = await other.edit(edited);
    assertEquals(result.problems, ["Cannot add the peer: another peer has the name one"]);
    assertEquals([result.changes, result.exitCode, asked], [[], ExitCode.usage, []]);
    other.peers.refusal = null;
    assertEquals((await other.edit(edited)).changes.length, 4);
  },
);

hostTest(
  "a server's reload sets what can change, and names what cannot, each time, with its line",
  async () => {
    const { role, asked } = serverRole();
    using site = new Site(section("DnsProxy = 1.1.1.1", "PostUp = true"), role);
    const text = section(
      "ListenPort = 999",
      "EgressAllow = lan",
      "ClientToClient = off",
      "DnsProxy = 9.9.9.9",
      "DnsDomain = vpn",
      "DnsRoute = corp.example -> 10.20.0.53",
      "DnsQueryLog = on",
      "FlowLog = on",
      "PublicEndpoint = vpn.example.org:1",
      "KillSwitch = on",
    );
    const result = await site.edit(text);
    assertEquals(result.changes.toSorted(), [
      "ClientToClient",
      "DnsDomain",
      "DnsProxy",
      "DnsQueryLog",
      "DnsRoute",
      "EgressAllow",
      "FlowLog",
      "PublicEndpoint",
    ]);
    const resolver = (text: string) => ({ address: parseIpv4(text), tlsName: null });
    const route = { domain: "corp.example", upstreams: [resolver("10.20.0.53")] };
    assertEquals(asked, [
      ...[["lan"], false, [resolver("9.9.9.9")], "vpn", [route], { isOn: true }],
      { keepsFlows: true },
    ]);
    assertEquals(result.restart, ["ListenPort (line 4)", "PostUp (removed)"]);
    assertEquals(result.exitCode, ExitCode.usage);
    assertMatch(
      restartLine(result)!,
      /conf: ListenPort \(line 4\), PostUp \(removed\): .*restart the tunnel$/,
    );
    const again = await site.edit(text);
    assertEquals([again.changes, again.restart], [[], result.restart]);
  },
);

hostTest(
  "a reload reads the lists of blocked names again, and a bad one changes nothing",
  async () => {
    const list = emptyFile();
    const { role, asked } = serverRole();
    using site = new Site(section("DnsProxy = 1.1.1.1"), role);
    const text = section("DnsProxy = 1.1.1.1", `DnsBlock = ${list}`);
    Deno.writeTextFileSync(list, "a.example\n");
    assertEquals((await site.edit(text)).changes, ["DnsBlock"]);
    Deno.writeTextFileSync(list, "a.example\nb.example\n");
    assertEquals((await site.edit(text)).changes, []);
    assertEquals(asked, [1, 2]);
    Deno.writeTextFileSync(list, "\0");
    const { problems, exitCode } = await site.edit(text + "# other\n");
    assertEquals(problems, [`Cannot use DnsBlock = ${list}: it is not a text file`]);
    assertEquals([asked.length, exitCode], [2, ExitCode.usage]);
    assertEquals((await site.edit(section("DnsProxy = 1.1.1.1"))).changes, ["DnsBlock"]);
    assertEquals(asked, [1, 2, null]);
  },
);

hostTest(
  "a DNS proxy that was not there at the start needs a restart, and one that is to go",
  async () => {
    const { role } = serverRole({ hasProxy: false });
    using site = new Site(section(), role);
    assertEquals((await site.edit(section("DnsProxy = 9.9.9.9"))).restart, ["DnsProxy (line 4)"]);
    using other = new Site(section("DnsProxy = 9.9.9.9"), serverRole().role);
    assertEquals((await other.edit(section())).restart, ["DnsProxy (removed)"]);
  },
);

hostTest(
  "a reload changes back ends at once, unless something else is published then",
  async () => {
    for (const canPublish of [true, false]) {
      const { role, asked } = serverRole({ canPublish });
      using site = new Site(section("Forward = tcp:443 -> a:1, b:1"), role);
      const result = await site.edit(section("Forward = tcp:443 -> a:1, c:1 (least)"));
      assertEquals(result.changes.length, canPublish ? 1 : 0);
      assertEquals(result.restart.length, canPublish ? 0 : 1);
      assertEquals(asked.length, canPublish ? 1 : 0);
    }
  },
);
