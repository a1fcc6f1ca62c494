/** That a gateway that runs is asked and changed by its application's methods, over the console's socket and root's. */
import type {
  ClientNeeds,
  EventEntry,
  PeerEntry,
  SettingsPreview,
  SettingsResult,
  SettingsText,
} from "../../../lib/control/application/methods.ts";
import { ControlClient } from "../../../lib/control/client.ts";
import type { Params } from "../../../lib/control/protocol.ts";
import { publicKeyText } from "../../../lib/commands/keys.ts";
import { allJournals } from "../../../lib/host/journal/journal_files.ts";
import { assert, assertEquals, assertMatch, assertRejects } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { type BackgroundProcess, netTest } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { newIdentity } from "../support/config.ts";
import { GATEWAY_PROGRAMS, GatewayNetwork, INSIDE } from "../support/gateway.ts";
import { ask, statusOf } from "../support/programs/instance.ts";
import { ping } from "../support/traffic/traffic.ts";
import { vpnCommand } from "../support/programs/vpn.ts";

/** One that every distribution has. */
const GROUP = "daemon";

/** Where a process listens for the console. */
function consoleOf({ pid }: BackgroundProcess): string {
  const paths = allJournals().filter(({ owner }) => owner.pid === pid)
    .flatMap(({ changes }) => changes)
    .flatMap((change) => change.kind === "socket" ? [change.path] : []);
  return paths.find((path) => path.includes("-console/"))!;
}

netTest(
  "over the console's socket a peer is added, connects, is changed and taken out, all of it kept and told by whom",
  async (topology) => {
    const folder = temporaryFolder();
    const { gateway, client: { namespace } } = await GatewayNetwork.lay(topology);
    const config = `${folder}/server.conf`;
    await gateway.output(vpnCommand("init", "--endpoint", "198.51.100.1", "--out", config));
    const text = () => Deno.readTextFileSync(config);
    Deno.writeTextFileSync(config, `${text()}ControlGroup = ${GROUP} # the page\n`);
    const atStart = text();
    const server = gateway.spawn(vpnCommand("server", "--config", config));
    await server.waitFor(/listening on UDP port/);

    const path = consoleOf(server);
    const { mode, gid } = Deno.statSync(path);
    assertEquals([mode! & 0o777, gid === 0], [0o660, false]);
    using client = await ControlClient.connectTo(path, "vpn0");
    const say = (method: string, params: Params = {}) =>
      client.request(method, { by: "alice", ...params }) as Promise<never>;
    // What is root's alone is not offered.
    for (const method of ["capture", "log", "reload", "add-peer", "remove-peer"]) {
      await assertRejects(() => say(method), Error, `Cannot do "${method}"`);
    }
    assert(!JSON.stringify(await say("status")).includes("rivateKey"));

    using follower = await ControlClient.connectTo(path, "vpn0");
    const followed: EventEntry[] = [];
    const following = follower.request("follow-events", { after: 0 }, {
      onEvent: (event) => void followed.push(event as EventEntry),
    });
    // Where the test ends before it does.
    following.catch(() => {});

    const { privateKey, publicKey } = newIdentity();
    assertEquals(publicKeyText(privateKey), publicKey);
    const created: { peer: PeerEntry; client: ClientNeeds } = await say("create-peer", {
      name: "phone",
      publicKey,
    });
    const file = `${folder}/phone.conf`;
    Deno.writeTextFileSync(file, created.client.text.replace("{PRIVATE_KEY}", privateKey), {
      mode: 0o600,
    });
    const tunnel = namespace.spawn(vpnCommand("client", "--config", file));
    await tunnel.waitFor(/connected to/);
    assertEquals((await ping(namespace, INSIDE)).received, 3);
    assert(text().startsWith(atStart), "what was there is as it was");
    assertMatch(text(), /\nName = phone\n/);

    const revision = created.peer.revision!;
    await say("change-peers", { peers: ["phone"], set: { Enabled: "no" }, revision });
    assertEquals((await ping(namespace, INSIDE, { wait: 1 })).received, 0);
    const late = { peers: ["phone"], set: { Enabled: null }, revision };
    const error = await assertRejects(() => say("change-peers", late), Error, "changed meanwhile");
    assertEquals((error as { code?: unknown }).code, "revision");
    // The kernel says who root is, whatever root says.
    await ask(server, "change-peers", { peers: ["phone"], set: { Enabled: null }, by: "mallory" });
    await eventually(
      async () => (await ping(namespace, INSIDE, { wait: 1 })).received === 3 || null,
      { what: "the peer that is enabled again" },
    );

    // An edit by hand is no change of ours, and is not lost by one.
    Deno.writeTextFileSync(config, `${text()}\n[Group]\nName = staff\n`);
    await eventually(async () => {
      const { pending } = await say("health") as { pending: string[] };
      return pending.includes("groups") || null;
    });
    await eventually(() => followed.some(({ event }) => event === "configuration-edited") || null);
    await say("change-peers", { peers: ["phone"], set: { Groups: "staff", RateLimit: "50M" } });
    assertMatch(text(), /\nGroups = staff\nRateLimit = 50M\n/);
    await say("delete-peers", { peers: [publicKey] });
    assertEquals(text(), `${atStart}\n[Group]\nName = staff\n`);
    assertEquals((await statusOf(server)).peers, []);

    const settings: SettingsText = await say("settings");
    assert(!settings.text.includes(/PrivateKey = (\S+)/.exec(text())![1]!), settings.text);
    const edited = `${settings.text}DnsDomain = vpn # new\n`;
    const preview: SettingsPreview = await say("preview-settings", {
      text: `${edited}NatPorts = 20000-20999\n`,
    });
    assertEquals([preview.live, preview.restart], [["DnsDomain"], ["NatPorts"]]);
    assertEquals(preview.lines.filter(({ kind }) => kind !== "same").map((line) => line.text), [
      "DnsDomain = vpn # new",
      "NatPorts = 20000-20999",
    ]);
    const changed: SettingsResult = await say("change-settings", {
      text: edited,
      revision: settings.revision,
    });
    assertEquals([changed.changes, changed.restart, changed.problems], [
      ["DnsDomain", "groups"],
      [],
      [],
    ]);
    assertEquals(
      text().replace("DnsDomain = vpn # new\n", ""),
      `${atStart}\n[Group]\nName = staff\n`,
    );
    for (
      const [more, code] of [
        ["", "revision"],
        ["PostUp = touch /tmp/x\n", "refused"],
        ["ListenPort = 70000\n", "invalid"],
        ["Webhook = https://a.example/\n", "invalid"],
      ] as const
    ) {
      const old = code === "revision" ? settings.revision : changed.revision;
      const wrong = { text: `${edited}${more}`, revision: old };
      const error = await assertRejects(() => say("change-settings", wrong));
      assertEquals((error as { code?: unknown }).code, code, `${error}`);
    }

    const changes = await eventually(() => {
      const told = followed.filter(({ event }) => event === "configuration-changed");
      return told.length === 5 ? told.map(({ name, detail }) => `${name} ${detail}`) : null;
    });
    assertEquals(changes, [
      "phone added by alice (console)",
      "phone changed by alice (console)",
      "phone changed by root",
      "phone changed by alice (console)",
      "phone removed by alice (console)",
    ]);
    const kept = await say("events", { peer: "phone", after: followed[0]!.id - 1 });
    const ofPhone = followed.filter(({ name }) => name === "phone");
    assertEquals((kept as { events: EventEntry[] }).events, ofPhone);
    const reloads = await eventually(() => {
      const told = followed.filter(({ event }) => event === "reloaded");
      return told.length === 0 ? null : told;
    });
    assertEquals(reloads.map(({ detail }) => detail), [
      "DnsDomain, groups, by alice (console)",
    ]);
    follower.end();
    assertEquals(await following, null);
  },
  { programs: GATEWAY_PROGRAMS },
);
