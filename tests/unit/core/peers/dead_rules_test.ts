/** Tests of lib/core/peers/dead_rules.ts: rules that can never decide, each planted. */
import { atOnce } from "../../../../lib/core/config/at_once.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { deadRules } from "../../../../lib/core/peers/dead_rules.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";

/** What is dead among the rules of the laptop, and of a group that only it is in. */
function dead(
  laptop: readonly string[],
  more: { readonly own?: readonly string[]; readonly group?: readonly string[] } = {},
): string[] {
  const config = parseConfig(
    [
      "[Interface]",
      `PrivateKey = ${sampleKeys(1).privateKey}`,
      ...more.own ?? [],
      "[Peer]",
      "Name = laptop",
      `PublicKey = ${sampleKeys(2).publicKey}`,
      "Groups = staff",
      ...laptop,
      "[Peer]",
      "Name = printer",
      `PublicKey = ${sampleKeys(3).publicKey}`,
      "Groups = office",
      "[Group]",
      "Name = staff",
      ...more.group ?? [],
      "[Group]",
      "Name = office",
      "[Group]",
      "Name = empty",
    ].join("\n"),
    "t.conf",
  );
  return atOnce(deadRules(config)).map(({ rule, why }) => `${rule}: ${why}`);
}

Deno.test("rules that decide about some packet are not dead", () => {
  const rules = [
    "Allow = internet, 10.20.0.0/16 tcp/443 tcp/8443, peer:printer udp/631, group:office, gateway",
    "Allow = 10.20.0.0/16 udp, 10.20.0.0/15 tcp/443, 0.0.0.0/0 icmp",
    "Deny = 10.20.1.5 tcp/443, peers tcp/25, 10.20.1.0/24 tcp/443",
  ];
  assertEquals(dead(rules), []);
});

for (
  const [rules, why, own] of [
    ["Allow = peer:nobody", "there is no such peer"],
    ["Deny = peer:laptop", "it is the peer itself"],
    ["Allow = group:empty", "nobody is in that group"],
    ["Allow = @staff", "nobody else is in that group"],
    ["Allow = lan", "EgressAllow opens none of these networks"],
    ["Allow = internet tcp/443", "Egress = off leads nowhere", "Egress = off"],
    [
      "Deny = peers",
      "ClientToClient = off keeps all peers from each other",
      "ClientToClient = off",
    ],
    ["Deny = 169.254.169.254", "no packet to there is forwarded in any case"],
    ["Allow = 10.0.0.0/8, 10.1.0.0/16 tcp/22", "Allow = 10.0.0.0/8 holds before it"],
    ["Allow = fd00::/8, fd00:1::/32", "Allow = fd00::/8 holds before it"],
    ["Allow = tcp, peers tcp/1-9", "Allow = tcp holds before it"],
    ["Deny = peers\nAllow = peer:printer udp/631", "Deny = peers holds before it"],
    ["Deny = tcp/1-1023, gateway tcp/80", "Deny = tcp/1-1023 holds before it"],
  ] as const
) {
  Deno.test(`a rule that can never decide is found: ${rules.replace("\n", ", ")}`, () => {
    const found = dead(rules.split("\n"), { own: own === undefined ? [] : [own] });
    assertEquals(found.length, 1);
    assertEquals(found[0]!.endsWith(`: ${why}`), true, found[0]);
  });
}

Deno.test("rules of a group are looked at for all who are in it", () => {
  assertEquals(dead([], { group: ["Allow = @staff, peer:laptop, @empty"] }), [
    "[Group] staff: Allow = group:empty: nobody is in that group",
  ]);
});

Deno.test("each peer is looked at as often, however many there are", () => {
  const count = 200;
  let looks = 0;
  const config = parseConfig(
    [
      "[Interface]",
      `PrivateKey = ${sampleKeys(1).privateKey}`,
      ...Array.from({ length: count }, (_, i) => [
        "[Peer]",
        `Name = p${i}`,
        `PublicKey = ${sampleKeys(2 + i).publicKey}`,
        `Groups = g${i % 10}`,
        `Allow = peer:p${(i + 1) % count}, group:g${(i + 1) % 10}`,
      ]).flat(),
      ...Array.from({ length: 10 }, (_, i) => ["[Group]", `Name = g${i}`]).flat(),
    ].join("\n"),
    "t.conf",
  );
  const peers = config.peers.map((peer) =>
    new Proxy(peer, {
      get: (target, key) => {
        if (key === "name" || key === "groups") looks++;
        return Reflect.get(target, key);
      },
    })
  );
  assertEquals(atOnce(deadRules({ ...config, peers })), []);
  assert(looks <= 10 * count, `${looks} looks at ${count} peers`);
});
