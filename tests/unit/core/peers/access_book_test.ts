/** Tests of lib/core/peers/access_book.ts: what the data plane is told of rules, and of changes of them. */
import { type AccessItem, NO_SURROUNDINGS } from "../../../../lib/core/access/access_items.ts";
import { AccessTable } from "../../../../lib/core/access/access_table.ts";
import { prefixWords } from "../../../../lib/core/access/inner_address.ts";
import { PacketFacts } from "../../../../lib/core/access/packet_facts.ts";
import {
  AccessBook,
  accessParts,
  type AccessPeer,
  hostPrefix,
  type KnownHosts,
} from "../../../../lib/core/peers/access_book.ts";
import { accessPeer, type PeerText, rules } from "../../../support/access/world.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

type Texts = Readonly<Record<string, PeerText>>;

class Site {
  readonly book = new AccessBook();
  hosts: KnownHosts = new Map();
  /** A peer that is not changed is the same object, as in a gateway. */
  readonly #made = new Map<string, AccessPeer>();

  update(peers: Texts, groups: Texts = {}): { before: string[]; after: string[] } {
    const given = new Map(
      Object.entries(peers).map(([name, text]) => {
        const key = JSON.stringify([name, text]);
        const peer = this.#made.get(key) ?? accessPeer(name, text);
        this.#made.set(key, peer);
        return [name, peer];
      }),
    );
    const { before, after } = this.book.update({
      peers: given,
      groups: Object.entries(groups).map(([name, { allow, deny }]) => ({
        name,
        allow: rules(allow),
        deny: rules(deny),
      })),
      surroundings: NO_SURROUNDINGS,
      hosts: this.hosts,
    });
    return { before: before.map(described), after: after.map(described) };
  }
}

/** Kind and number, and of a list how many rules. */
function described(item: AccessItem): string {
  switch (item.kind) {
    case "list":
      return `list ${item.list}: ${item.allow.length}+${item.deny.length}`;
    case "no-list":
      return `no list ${item.list}`;
    case "peer":
      return `peer ${item.id}: ${item.lists.join(" ")}`;
    case "no-peer":
      return `no peer ${item.id}`;
    default:
      return item.kind;
  }
}

Deno.test("peers without rules and groups cost nothing", () => {
  assertEquals(new Site().update({ a: {}, b: {} }), { before: [], after: [] });
});

Deno.test("a change is told by what differs alone", () => {
  const site = new Site();
  const peers = { a: { allow: "lan, internet" }, b: { groups: ["g"] }, c: {} };
  const groups = { g: { deny: "lan tcp/1 tcp/2" } };
  const [a, b, c] = ["a", "b", "c"].map((name) => site.book.idOf(name));
  const { before } = site.update(peers, groups);
  const list = Number(/list (\d+): 0\+2/.exec(before.join())![1]);
  assertEquals(
    before.toSorted(),
    [
      `list ${a}: 2+0`,
      `list ${list}: 0+2`,
      `peer ${a}: ${a}`,
      `peer ${b}: ${list}`,
    ].toSorted(),
  );
  assertEquals(site.update(peers, groups), { before: [], after: [] });
  assertEquals(site.update({ ...peers, c: { deny: "lan" } }, groups).before, [
    `list ${c}: 0+1`,
    `peer ${c}: ${c}`,
  ]);
  // Its rules are gone only after whatever is told of peers.
  assertEquals(site.update(peers, groups), {
    before: [],
    after: [`no list ${c}`, `no peer ${c}`],
  });
  assertEquals(site.update(peers, { g: { deny: "lan" } }).before, [`list ${list}: 0+1`]);
  assertEquals(site.update({ a: peers.a, c: {} }, { g: { deny: "lan" } }), {
    before: [],
    after: [`no peer ${b}`],
  });
});

Deno.test("a rule that names a peer follows who has that name", () => {
  const site = new Site();
  const isThere = (peers: Texts) => {
    const { before } = site.update({ a: { allow: "peer:b" }, ...peers });
    return before.some((text) => /^list 1: 1/.test(text));
  };
  assertEquals([isThere({}), isThere({ b: {} }), isThere({ b: {} })], [false, true, false]);
  assertEquals(site.update({ a: { allow: "peer:b" } }).before, ["list 1: 0+0"]);
});

Deno.test("numbers of peers that are gone are given again, and those of rules are not", () => {
  const site = new Site();
  site.update({ a: { deny: "lan" }, b: {} });
  assertEquals([site.book.idOf("a"), site.book.idOf("b"), site.book.keyOf(1)], [1, 2, "a"]);
  assertEquals(site.book.ruleText(1), "[Peer] a: Deny = lan");
  site.update({ b: {} });
  assertEquals([site.book.keyOf(1), site.book.ruleText(1)], [undefined, "a former rule"]);
  site.update({ b: {}, c: { deny: "lan, peers" } });
  assertEquals(site.book.idOf("c"), 1);
  assertEquals([2, 3].map((rule) => site.book.ruleText(rule)), [
    "[Peer] c: Deny = lan",
    "[Peer] c: Deny = peers",
  ]);
  site.update({ b: {}, c: { deny: "peers, internet" } });
  assertEquals([2, 3, 4].map((rule) => site.book.ruleText(rule)), [
    "a former rule",
    "[Peer] c: Deny = peers",
    "[Peer] c: Deny = internet",
  ]);
});

Deno.test("thousands of rules come in parts that fit a message, and count all together", () => {
  const book = new AccessBook();
  const networks = Array.from({ length: 3000 }, (_, i) => `10.${i >> 8}.${i & 255}.0/24 tcp/443`);
  const peers = new Map([["a", accessPeer("a", { allow: networks.join(", ") })]]);
  const { before } = book.update({
    peers,
    groups: [],
    surroundings: NO_SURROUNDINGS,
    hosts: new Map(),
  });
  const parts = [...accessParts(before, 20_000)];
  assert(parts.length > 3);
  for (const part of parts) assert(JSON.stringify(part).length < 40_000);
  assertEquals(parts.flat(), before);
  const count = before.reduce(
    (sum, item) => sum + (item.kind === "list" ? item.allow.length : 0),
    0,
  );
  assertEquals(count, 3000);
  assertEquals(new AccessTable(before).hasRules[1], 1);
});

Deno.test("a host's thousands of addresses are told in parts that messages have room for, and all count", () => {
  const addresses = Array.from({ length: 2500 }, (_, i) => prefixWords(hostPrefix(0xc0000000 + i)));
  const last = prefixWords({ address: 0x0a000000, prefixLength: 8 });
  const { before } = new AccessBook().update({
    peers: new Map([["a", accessPeer("a", { deny: "gateway, lan" })]]),
    groups: [],
    surroundings: { inner: [], outer: addresses, lan: [last] },
    hosts: new Map(),
  });
  for (const part of accessParts(before, 16_384)) {
    assert(JSON.stringify(part).length < 40_000, `${JSON.stringify(part).length}`);
  }
  const told = before.flatMap((item) => item.kind === "surroundings" ? [item] : []);
  assertEquals(told.flatMap(({ surroundings }) => surroundings.outer), addresses);
  assertEquals(told.flatMap(({ surroundings }) => surroundings.lan), [last]);
  const table = new AccessTable(before);
  const mayReach = (address: number) => {
    const facts = new PacketFacts();
    facts.destination.set(prefixWords(hostPrefix(address)).slice(0, 4));
    return table.allows(1, 0, facts);
  };
  assertEquals([0xc0000000, 0xc0000000 + 2499, 0x0a010203].map(mayReach), [false, false, false]);
  assertEquals(mayReach(0xc6336401), true);
  // Others take the place of all of them.
  table.change([{ ...told[0]!, surroundings: { inner: [], outer: [], lan: [last] } }]);
  assertEquals([0xc0000000, 0xc0000000 + 2499].map(mayReach), [true, true]);
});

Deno.test("a rule that names a host holds for the addresses that it has now, and allows nothing else without any", () => {
  const site = new Site();
  const peers = { a: { allow: "git.example.org tcp/22 tcp/443" }, b: { allow: "internet" } };
  assertEquals(site.update(peers).before, ["list 1: 0+0", "peer 1: 1", "list 2: 1+0", "peer 2: 2"]);
  site.hosts = new Map([["git.example.org", { addresses: [7, "2001:db8::7"], isOwn: false }]]);
  assertEquals(site.update(peers), { before: ["list 1: 4+0"], after: [] });
  assertEquals(site.update(peers), { before: [], after: [] });
  site.hosts = new Map([["git.example.org", { addresses: [8], isOwn: false }]]);
  assertEquals(site.update(peers), { before: ["list 1: 2+0"], after: [] });
});
