/** Shows what a gateway's peers and groups are asked and have changed, and that it is made everywhere or nowhere. */
import { liveGateway } from "../../../../lib/control/application/live_gateway.ts";
import { PeerApplication } from "../../../../lib/control/application/peer_application.ts";
import { changedPeers } from "../../../../lib/control/changed_peers.ts";
import {
  type LiveChange,
  type LiveChangeOptions,
  type LivePeer,
} from "../../../../lib/control/live_peers.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { type RefusalCode, RefusalError } from "../../../../lib/core/config/refusal_error.ts";
import { validateClient } from "../../../../lib/core/config/roles.ts";
import { encodeKey } from "../../../../lib/core/config/values/key_text.ts";
import { atOnce } from "../../../../lib/core/config/at_once.ts";
import { assert, assertEquals, assertNotEquals, assertRejects } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";
import { MemoryPeerStore } from "../../../support/control/memory_peer_store.ts";
import { peerStoreSuite } from "../../../support/control/peer_store_suite.ts";

const NOW = Date.UTC(2027, 0, 1);
const PSK = encodeKey(new Uint8Array(32).fill(9));
const [ANN, BOB, CARL] = [11, 12, 13].map((byte) => sampleKeys(byte).publicKey) as [
  string,
  string,
  string,
];
const BY = { by: "ann (console)" };

peerStoreSuite("memory", () =>
  Promise.resolve({
    store: new MemoryPeerStore(),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }), (name, test) => Deno.test(name, test));

/** A gateway with a store in memory, whose peers are as they would be. */
class Stage {
  readonly store = new MemoryPeerStore();
  readonly recorded: string[] = [];
  readonly told: { readonly changes: readonly LiveChange[]; readonly by: string | undefined }[] =
    [];
  running: ReadonlyMap<string, LivePeer> = new Map();
  /** What the data plane says to the next change. */
  refusal: Error | null = null;
  readonly application: PeerApplication;

  constructor(...lines: readonly string[]) {
    const text = ["[Interface]", `PrivateKey = ${sampleKeys(1).privateKey}`, ...lines].join("\n");
    const config = parseConfig(text, "server.conf");
    const peers = {
      peers: this.running,
      change: (changes: unknown, { by }: LiveChangeOptions = {}) => {
        if (this.refusal !== null) return Promise.reject(this.refusal);
        const all = changes as readonly LiveChange[];
        this.told.push({ changes: all, by });
        this.running = atOnce(changedPeers(this.running, all));
        return Promise.resolve();
      },
    };
    const live = liveGateway(peers, (detail) => this.recorded.push(detail));
    this.application = new PeerApplication({
      store: this.store,
      live: { ...live, peers: () => this.running },
      gateway: () => config,
      now: () => NOW,
      newPresharedKey: () => PSK,
    });
  }

  add(name: string, publicKey: string, set = {}) {
    const request = { name, publicKey, set, hasPresharedKey: true };
    return this.application.create(request, BY);
  }
}

function stage(...lines: readonly string[]): Stage {
  return new Stage(
    "Address = 10.66.77.1/24, fd77::1/64",
    "PublicEndpoint = vpn.example.org:443",
    "DnsProxy = 9.9.9.9",
    "MTU = 1380",
    ...lines,
  );
}

async function refused(work: Promise<unknown>, code: RefusalCode, message = ""): Promise<void> {
  const refusal = await assertRejects(() => work, RefusalError, message);
  assertEquals(refusal.code, code, refusal.message);
}

Deno.test("a peer that is added has the next free addresses, and its client is told all it needs", async () => {
  const site = stage();
  const { peer, client } = await site.add("laptop", ANN);
  assertEquals([peer.name, peer.publicKey, peer.hasPresharedKey], ["laptop", ANN, true]);
  assertEquals(peer.allowedIps, ["10.66.77.2/32", "fd77::2/128"]);
  assertEquals(client.addresses, peer.allowedIps);
  assertEquals([client.dns, client.mtu, client.endpoint], [
    "10.66.77.1",
    1380,
    "vpn.example.org:443",
  ]);
  assertEquals(client.presharedKey, PSK);
  // The secret is told there alone.
  assert(!JSON.stringify(peer).includes(PSK));
  assert(!JSON.stringify(await site.application.list()).includes(PSK));
  const text = client.text.replace("{PRIVATE_KEY}", sampleKeys(11).privateKey);
  const config = validateClient(parseConfig(text, "laptop.conf"));
  assertEquals([config.warnings, encodeKey(config.interface.publicKey)], [[], ANN]);
  assertEquals((await site.add("phone", BOB)).peer.allowedIps[0], "10.66.77.3/32");
  assertEquals([...site.running.keys()], [ANN, BOB]);
  assertEquals(site.told.map(({ by }) => by), ["ann (console)", "ann (console)"]);
});

Deno.test("a client is not told that the gateway finds its MTU by itself: it may be a phone", async () => {
  const { client } = await stage("MTU = auto").add("phone", ANN);
  assertEquals([client.mtu, client.text.includes("MTU")], [null, false]);
});

Deno.test("what a new peer is given counts: other addresses, no preshared key, an expiry from now on", async () => {
  const site = stage();
  const { peer, client } = await site.application.create({
    name: "tv",
    publicKey: ANN,
    set: { AllowedIPs: "10.66.77.99/32", Expires: "30d", Quota: "100G/month" },
    hasPresharedKey: false,
    allowedIps: "10.0.0.0/8",
    dns: "10.1.1.1",
  }, BY);
  assertEquals([peer.allowedIps, peer.hasPresharedKey], [["10.66.77.99/32"], false]);
  assertEquals([peer.expires, peer.quota], ["2027-01-31T00:00:00Z", "100G/month"]);
  assertEquals([client.allowedIps, client.dns, client.presharedKey], [
    "10.0.0.0/8",
    "10.1.1.1",
    null,
  ]);
});

Deno.test("a peer whose name or key is taken, or is the gateway's, is not added", async () => {
  const site = stage();
  await site.add("laptop", ANN);
  await refused(site.add("laptop", BOB), "conflict", "another peer has this name");
  await refused(site.add("other", ANN), "conflict");
  await refused(site.add("self", sampleKeys(1).publicKey), "conflict");
  await refused(site.add("x", "nonsense"), "invalid");
  await refused(site.add("../x", BOB), "invalid", "Name: cannot use");
  await refused(site.add("x", BOB, { Groups: "nobody" }), "invalid", "there is no [Group]");
  assertEquals([...site.running.keys()], [ANN]);
});

Deno.test("a peer is not added where no address is free, or nobody knows where the gateway is", async () => {
  const full = new Stage("Address = 10.66.77.1/32", "PublicEndpoint = vpn.example.org:443");
  await refused(full.add("laptop", ANN), "conflict", "no address is free");
  const nowhere = new Stage("Address = 10.66.77.1/24");
  await refused(nowhere.add("laptop", ANN), "invalid", "PublicEndpoint is missing");
  assertEquals([full.told, nowhere.told], [[], []]);
  assertEquals((await nowhere.store.snapshot()).peers.size, 0);
});

Deno.test("peers are changed by name or key, all or none of them, and null takes a key out", async () => {
  const site = stage();
  await site.add("laptop", ANN);
  await site.add("phone", BOB);
  const off = await site.application.change(["laptop", BOB, ANN], { Enabled: "no" }, BY);
  assertEquals(off.map(({ name, admission }) => [name, admission]), [
    ["laptop", "disabled"],
    ["phone", "disabled"],
  ]);
  assertEquals(site.told.at(-1)!.changes.length, 2);
  await refused(
    site.application.change(["laptop", "phon"], { RateLimit: "1M" }, BY),
    "not-found",
    'did you mean "phone"?',
  );
  await refused(site.application.change(["laptop", "phone"], { Name: "x" }, BY), "invalid");
  await refused(site.application.change(["laptop"], { Name: "phone" }, BY), "conflict");
  const [on] = await site.application.change(["laptop"], { Enabled: null }, BY);
  assertEquals([on!.admission, on!.settings.RateLimit], ["admitted", undefined]);
});

Deno.test("a peer that is changed stays where it has roamed to, unless its endpoint is what changes", async () => {
  const site = stage();
  await site.add("laptop", ANN, { Endpoint: "192.0.2.1:7" });
  const moved = async (set: object) => {
    await site.application.change(["laptop"], set, BY);
    const [change] = site.told.at(-1)!.changes;
    return change?.kind === "put" ? change.peer.endpoint?.port ?? null : "none";
  };
  assertEquals(await moved({ RateLimit: "1M" }), null);
  assertEquals(await moved({ Endpoint: "192.0.2.1:8" }), 8);
  // A gateway looks up no name.
  assertEquals(await moved({ Endpoint: "home.example.org:9" }), null);
});

Deno.test("a change that bears an old revision is refused, no matter who was first", async () => {
  const site = stage();
  const { peer } = await site.add("laptop", ANN);
  await site.add("phone", BOB);
  const list = await site.application.list();
  const revision = peer.revision!;
  const [changed] = await site.application.change(["laptop"], { RateLimit: "1M" }, {
    ...BY,
    revision,
  });
  assertNotEquals(changed!.revision, revision);
  const old = { ...BY, revision };
  await refused(site.application.change(["laptop"], { RateLimit: "2M" }, old), "revision");
  await refused(site.application.remove(["laptop"], old), "revision");
  const both = { ...BY, revision: list.revision };
  await refused(site.application.change(["laptop", "phone"], { Enabled: "no" }, both), "revision");
  await refused(site.application.remove(["laptop", "phone"], both), "revision");
  assertEquals([...site.running.keys()], [ANN, BOB]);
  // What others have changed is no hindrance.
  const phone = list.peers.find(({ name }) => name === "phone")!;
  await site.application.change(["phone"], { Enabled: "no" }, { ...BY, revision: phone.revision! });
});

Deno.test("what runs refuses is not kept, and what cannot be kept is taken back from what runs", async () => {
  const site = stage();
  await site.add("laptop", ANN);
  site.refusal = new Error("no room");
  await assertRejects(() => site.add("phone", BOB), Error, "no room");
  assertEquals((await site.store.snapshot()).peers.size, 1);
  site.refusal = null;
  site.store.failure = new RefusalError("unavailable", "the disk is full");
  await refused(site.add("phone", BOB), "unavailable", "the disk is full");
  await refused(site.application.change(["laptop"], { Enabled: "no" }, BY), "unavailable");
  assertEquals([...site.running.keys()], [ANN]);
  assertEquals(site.running.get(ANN)!.isEnabled, true);
  assertEquals(site.told.at(-1)!.by, "ann (console), taken back");
});

Deno.test("who is removed is cut off, even where the store cannot be written", async () => {
  const site = stage();
  await site.add("laptop", ANN);
  await site.add("phone", BOB);
  assertEquals(await site.application.remove(["laptop"], BY), [{ name: "laptop", publicKey: ANN }]);
  assertEquals([...site.running.keys()], [BOB]);
  site.store.failure = new RefusalError("unavailable", "the disk is full");
  await refused(site.application.remove(["phone"], BY), "unavailable", "access is cut off");
  assertEquals(site.running.size, 0);
  assertEquals((await site.store.snapshot()).peers.size, 1);
});

Deno.test("rules that name a peer follow its name: what was denied is denied under the new one", async () => {
  const site = stage();
  const { application } = site;
  await application.putGroup("staff", { allow: "internet", deny: "peer:tv tcp/80, lan" }, BY);
  await site.add("tv", ANN, { Allow: "peer:tv" });
  await site.add("laptop", BOB, { Deny: "peer:tv, 10.0.0.1", Allow: "host.tv.example" });
  await application.change(["tv"], { Name: "big screen" }, BY);
  const { groups, peers } = await application.list();
  assertEquals(groups[0]!.deny, 'peer:"big screen" tcp/80, lan');
  assertEquals(peers.map(({ settings: { Allow, Deny } }) => [Allow, Deny]), [
    ['peer:"big screen"', undefined],
    ["host.tv.example", 'peer:"big screen", 10.0.0.1'],
  ]);
  const [told] = site.told.slice(-1);
  assertEquals(told!.changes.map(({ kind }) => kind), ["put", "put"]);
});

Deno.test("groups are made, changed and taken out with their members' part in them", async () => {
  const site = stage();
  const { application } = site;
  const group = await application.putGroup("staff", { allow: "internet", deny: "" }, BY);
  await site.add("laptop", ANN, { Groups: "staff" });
  assertEquals(group.members, []);
  const changed = await application.putGroup("staff", { allow: "lan", deny: "internet" }, {
    ...BY,
    revision: group.revision,
  });
  assertEquals([changed.allow, changed.deny, changed.members], ["lan", "internet", ["laptop"]]);
  const old = { ...BY, revision: group.revision };
  await refused(application.putGroup("staff", { allow: "", deny: "" }, old), "revision");
  await refused(application.putGroup("staff", { allow: "nowhere", deny: "" }, BY), "invalid");
  await refused(application.removeGroup("stuff", BY), "not-found", 'did you mean "staff"?');
  await application.removeGroup("staff", BY);
  const { groups, peers } = await application.list();
  assertEquals([groups, peers[0]!.groups], [[], []]);
  assertEquals(site.recorded, [
    "group staff added by ann (console)",
    "group staff changed by ann (console)",
    "group staff removed by ann (console)",
  ]);
});

Deno.test("a peer that runs and is not kept, as `wg set` adds one, is listed without a revision", async () => {
  const site = stage();
  await site.add("laptop", ANN);
  site.running = new Map([
    ...site.running,
    [CARL, { ...site.running.get(ANN)!, publicKey: Uint8Array.fromBase64(CARL), name: null }],
  ]);
  const { peers } = await site.application.list();
  assertEquals(peers.map(({ publicKey, revision }) => [publicKey, revision !== null]), [
    [ANN, true],
    [CARL, false],
  ]);
});

Deno.test("a peer that is given another key has both until it is used, and tells the client the new one's secret alone", async () => {
  const site = stage();
  await site.add("laptop", ANN, { Quota: "1G/month" });
  const request = { name: "laptop", publicKey: BOB, hasPresharedKey: true, keyExpires: "2d" };
  const { peer, client } = await site.application.rotate(request, BY);
  assertEquals([peer.publicKey, peer.nextPublicKey, peer.quota], [ANN, BOB, "1G/month"]);
  assertEquals(peer.keyExpires, "2027-01-03T00:00:00Z");
  assertEquals([client.presharedKey, client.addresses], [PSK, ["10.66.77.2/32", "fd77::2/128"]]);
  assert(!JSON.stringify([peer, await site.application.list()]).includes(PSK));
  assertEquals(site.running.get(ANN)?.nextKey?.publicKey.toBase64(), BOB);
  // Another one takes the place of the first, which counts no more.
  await site.application.rotate({ ...request, publicKey: CARL, keyExpires: undefined }, BY);
  const [after] = (await site.application.list()).peers;
  assertEquals([after?.nextPublicKey, after?.keyExpires], [CARL, null]);
  await site.application.change(["laptop"], { NextPublicKey: null }, BY);
  assertEquals(site.running.get(ANN)?.nextKey, null);
  assertEquals(Object.keys((await site.application.list()).peers[0]!.settings), [
    "Name",
    "AllowedIPs",
    "Quota",
  ]);
});

Deno.test("a key is one peer's, whether it has it or is to have it", async () => {
  const site = stage();
  await site.add("laptop", ANN);
  await site.add("phone", BOB);
  const rotate = (name: string, publicKey: string) =>
    site.application.rotate({ name, publicKey, hasPresharedKey: false }, BY);
  await refused(rotate("laptop", BOB), "conflict", "belongs to phone");
  await refused(rotate("laptop", ANN), "conflict", "belongs to laptop");
  await refused(rotate("laptop", sampleKeys(1).publicKey), "conflict", "this gateway");
  await rotate("laptop", CARL);
  await refused(rotate("phone", CARL), "conflict", "belongs to laptop");
  await refused(site.add("tablet", CARL), "conflict");
  await refused(
    site.application.change(["phone"], { NextPublicKey: CARL }, BY),
    "invalid",
    "new pair of keys",
  );
  await refused(site.application.change(["phone"], { KeyExpires: "1d" }, BY), "invalid");
});

Deno.test("a next key that has taken over is the peer's, once, and all else of it stays", async () => {
  const site = stage();
  await site.add("laptop", ANN, { Allow: "icmp" });
  await site.add("phone", CARL);
  await site.application.rotate({ name: "laptop", publicKey: BOB, hasPresharedKey: true }, BY);
  site.told.length = 0;
  await site.application.succeed((_, next) => next === BOB, "its next key");
  assertEquals(site.told.map(({ changes }) => changes.map(({ kind }) => kind)), [["put"]]);
  assertEquals([...site.running.keys()], [CARL, BOB]);
  const peers = new Map((await site.application.list()).peers.map((each) => [each.name, each]));
  const laptop = peers.get("laptop")!;
  assertEquals([laptop.publicKey, laptop.nextPublicKey, laptop.hasPresharedKey], [BOB, null, true]);
  assertEquals([laptop.settings.Allow, laptop.allowedIps[0]], ["icmp", "10.66.77.2/32"]);
  await site.application.succeed((_, next) => next === BOB, "its next key");
  assertEquals(site.told.length, 1);
});
