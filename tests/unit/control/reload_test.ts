/** Tests of `lib/control/reload.ts`: what a reload makes of an edited file; on stand-ins for what runs. */
import type { LiveChange } from "../../../lib/control/live_peers.ts";
import { livePeer } from "../../../lib/control/peer_params.ts";
import { ExitCode } from "../../../lib/process/errors.ts";
import { ReloadRequests, summaryOf } from "../../../lib/control/reload.ts";
import { formatCidr } from "../../../lib/core/wire/ipv4_text.ts";
import { sampleKeys } from "../../support/config/sample_keys.ts";
import { assert, assertEquals, assertStringIncludes, assertThrows } from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";
import { peer, PEERS, section, serverRole, Site } from "../../support/control/reload_site.ts";

hostTest(
  "a reload of a file that says the same changes nothing, and asks nothing of any peer",
  async () => {
    const { role, asked } = serverRole();
    const text = section("DnsProxy = 1.1.1.1") + peer(0, "AllowedIPs = 10.66.77.2/32") + peer(1);
    using site = new Site(text, role);
    const result = await site.edit(`# a comment\n\n${text.replace("[Peer]", "\n\n[Peer]")}`);
    assertEquals([result.changes, result.restart, result.problems], [[], [], []]);
    assertEquals(result.exitCode, ExitCode.ok);
    assertEquals(summaryOf(result), "nothing to change");
    assertEquals([site.peers.asked, asked], [[], []]);
    assertEquals(site.told, ["reloading", "reloaded"]);
  },
);

hostTest("a reload changes the peers that differ, and no others", async () => {
  const { role } = serverRole();
  using site = new Site(
    section() + peer(0, "AllowedIPs = 10.66.77.2/32", "Name = stays") +
      peer(1, "AllowedIPs = 10.66.77.3/32"),
    role,
  );
  const result = await site.edit(
    section() + peer(0, "AllowedIPs = 10.66.77.2/32", "Name = stays") +
      peer(2, "AllowedIPs = 10.66.77.3/32"),
  );
  assertEquals(result.changes, ["1 peer added", "1 peer removed"]);
  assertEquals(site.peers.asked.map(({ kind }) => kind), ["remove", "put"]);
  assertEquals([...site.peers.peers.keys()], [PEERS[0], PEERS[2]]);
  const changed = await site.edit(
    section() + peer(0, "AllowedIPs = 10.66.77.2/32", "PersistentKeepalive = 25") +
      peer(2, "AllowedIPs = 10.66.77.3/32", "RateLimit = 10M"),
  );
  assertEquals(changed.changes, ["2 peers changed"]);
});

hostTest("a reload runs no command for a key that one has given at the start", async () => {
  const { role } = serverRole();
  using site = new Site(section(), role);
  const ran = `${site.path}.ran`;
  const command = `PostUp = wg set %i private-key <(touch ${ran})`;
  const text = ["[Interface]", command, "Address = 10.66.77.1/24", "EgressDeny = lan", ""];
  const result = await site.edit(text.join("\n"));
  assertEquals([result.changes, result.restart, result.problems], [["EgressDeny"], [], []]);
  assertThrows(() => Deno.statSync(ran), Deno.errors.NotFound);
});

hostTest("a peer that was added meanwhile, as the file has it, is none that changes", async () => {
  const { role } = serverRole();
  using site = new Site(section(), role);
  const added = peer(0, "Name = ann", "AllowedIPs = 10.66.77.2/32");
  const params = {
    PublicKey: PEERS[0]!,
    Name: "ann",
    AllowedIPs: "10.66.77.2/32",
    PersistentKeepalive: "0",
  };
  await site.peers.change([{ kind: "put", peer: livePeer(params) }]);
  site.peers.asked.length = 0;
  assertEquals((await site.edit(section() + added)).changes, []);
  assertEquals(site.peers.asked, []);
});

hostTest("a reload leaves a peer the preshared key that a command has set", async () => {
  const { role } = serverRole();
  using site = new Site(section() + peer(0, "AllowedIPs = 10.66.77.2/32"), role);
  const [only] = site.peers.peers.values();
  const presharedKey = new Uint8Array(32).fill(7);
  await site.peers.change([{ kind: "put", peer: { ...only!, presharedKey } }]);
  const command = `PostUp = wg set %i peer ${PEERS[0]} preshared-key <(exit 1)`;
  const result = await site.edit(section(command) + peer(0, "AllowedIPs = 10.66.77.2/32"));
  assertEquals([result.changes, result.restart, result.problems], [[], [], []]);
});

hostTest(
  "a reload follows no file of another tunnel, and names a key that is another alone",
  async () => {
    const { role } = serverRole();
    const text = section() + peer(0, "AllowedIPs = 10.66.77.2/32");
    using site = new Site(text, role);
    const other = (file: string) =>
      file.replace(sampleKeys(1).privateKey, sampleKeys(9).privateKey);
    const refused = await site.edit(other(section("EgressDeny = lan") + peer(1)));
    assertEquals([refused.changes, refused.exitCode], [[], ExitCode.usage]);
    assertStringIncludes(refused.problems[0]!, "this is the file of another tunnel");
    assertEquals(site.peers.asked, []);
    const named = await site.edit(other(text + peer(1)));
    assertEquals([named.changes, named.restart], [["1 peer added"], ["PrivateKey (line 2)"]]);
  },
);

hostTest("a reload waits for no pipe that has taken the place of the file", async () => {
  const { role } = serverRole();
  const text = section() + peer(0, "AllowedIPs = 10.66.77.2/32");
  using site = new Site(text, role);
  Deno.removeSync(site.path);
  assert(new Deno.Command("mkfifo", { args: [site.path] }).outputSync().success);
  const { changes, problems, exitCode } = await site.reloader.reload();
  assertEquals([changes, exitCode], [[], ExitCode.usage]);
  assertStringIncludes(problems[0]!, "it is not a regular file");
});

hostTest("a peer whose endpoint the file has as before stays where it has roamed to", async () => {
  const { role } = serverRole();
  const text = (endpoint: string, keepalive: number) =>
    section() + peer(0, `Endpoint = ${endpoint}`, `PersistentKeepalive = ${keepalive}`);
  using site = new Site(text("192.0.2.1:1", 1), role);
  const endpointOf = (change: LiveChange | undefined) =>
    change?.kind === "put" ? change.peer.endpoint?.host ?? null : undefined;
  await site.edit(text("192.0.2.1:1", 2));
  assertEquals(endpointOf(site.peers.asked.at(-1)), null);
  await site.edit(text("192.0.2.1:1", 3));
  assertEquals(endpointOf(site.peers.asked.at(-1)), null);
  await site.edit(text("192.0.2.7:1", 3));
  assertEquals(endpointOf(site.peers.asked.at(-1)), "192.0.2.7");
});

hostTest("a reload makes peers that were changed meanwhile what the file says", async () => {
  const { role } = serverRole();
  const text = section() + peer(0, "AllowedIPs = 10.66.77.2/32");
  using site = new Site(text, role);
  const [only] = site.peers.peers.values();
  await site.peers.change([
    { kind: "put", peer: { ...only!, allowedIps: [] } },
    { kind: "put", peer: { ...only!, publicKey: new Uint8Array(32).fill(9) } },
  ]);
  const { changes } = await site.edit(text);
  assertEquals(changes, ["1 peer changed", "1 peer removed"]);
  assertEquals([...site.peers.peers.values()].map(({ allowedIps }) => allowedIps.map(formatCidr)), [
    ["10.66.77.2/32"],
  ]);
});

hostTest("a file with a mistake changes nothing, and is named with the line", async () => {
  const { role, asked } = serverRole();
  const text = section("ClientToClient = on") + peer(0);
  using site = new Site(text, role);
  const running = site.reloader.config;
  for (
    const [broken, problem] of [
      [section("ClientToClient = off", "ListenPort = x") + peer(1), ":5: ListenPort: cannot use"],
      ["", "there is no [Interface] section"],
      [text.replace(/Address.*\n/, ""), "Address is missing"],
      [section("ClientToClient = off", "Nonsense = 1"), ":5: "],
    ] as const
  ) {
    const { changes, problems, exitCode } = await site.edit(broken);
    assertEquals(changes, []);
    assertStringIncludes(problems[0]!, `${site.path}`);
    assertStringIncludes(problems[0]!, problem);
    assertEquals(exitCode, ExitCode.usage);
  }
  Deno.removeSync(site.path);
  const { problems } = await site.reloader.reload();
  assertStringIncludes(problems[0]!, "Cannot read configuration");
  Deno.writeTextFileSync(site.path, text);
  assertEquals([site.peers.asked, asked], [[], []]);
  assert(site.reloader.config === running);
  assertEquals(site.told.filter((each) => each === "reloaded").length, 5);
});

Deno.test("a request by signal that comes before the tunnel is up is kept until then, once", () => {
  const requests = new ReloadRequests();
  let count = 0;
  const reloader = { reload: () => Promise.resolve(count++) };
  requests.notice();
  requests.notice();
  assertEquals(count, 0);
  requests.serveBy(reloader);
  assertEquals(count, 1);
  requests.notice();
  assertEquals(count, 2);
});
