/** Tests of lib/core/access/access_control.ts: where packets may go, with fragments, ICMP errors and counts. */
import { assertEquals } from "../../../support/assert.ts";
import { prefixWords } from "../../../../lib/core/access/inner_address.ts";
import { PacketFacts } from "../../../../lib/core/access/packet_facts.ts";
import { AccessWorld, GATEWAY } from "../../../support/access/world.ts";
import {
  buildIpv4,
  buildUdp,
  type Bytes,
  fragment,
} from "../../../support/packets/packet_builder.ts";
import {
  echo,
  error,
  laptop,
  phone,
  printer,
  server,
  tcp,
  udp,
  udpAnswer,
} from "../../../support/access/packets.ts";

/** What of these passes that the laptop sends, by the rules that it has. */
function reached(
  rules: { allow?: string; deny?: string; groups?: readonly string[] },
  packets: Readonly<Record<string, Bytes>>,
  others: Readonly<Record<string, { groups?: readonly string[] }>> = {},
  groups: Readonly<Record<string, { allow?: string; deny?: string }>> = {},
): string[] {
  return Object.entries(packets).flatMap(([name, packet]) => {
    const world = new AccessWorld({ ...others, laptop: rules }, groups);
    return world.sends(packet) ? [name] : [];
  });
}

const PLACES = {
  internet: tcp(laptop, "198.51.100.7", 443),
  private: tcp(laptop, "10.20.1.5", 443),
  lan: tcp(laptop, "192.168.1.9", 443),
  uplink: tcp(laptop, "203.0.113.9", 443),
  "own address outside": tcp(laptop, "203.0.113.5", 443),
  gateway: tcp(laptop, GATEWAY, 443),
  "gateway's DNS": udp(laptop, GATEWAY, 53),
  "gateway's DNS by TCP": tcp(laptop, GATEWAY, 53),
  "gateway's ping": echo(laptop, GATEWAY),
  printer: tcp(laptop, printer, 443),
  phone: tcp(laptop, phone, 443),
};
const ALWAYS = ["gateway's DNS", "gateway's DNS by TCP", "gateway's ping"];

for (
  const [allow, passes] of [
    ["internet", ["internet", ...ALWAYS]],
    ["lan", ["lan", "uplink", ...ALWAYS]],
    ["gateway", ["own address outside", "gateway", ...ALWAYS]],
    ["peers", [...ALWAYS, "printer", "phone"]],
    ["peer:printer", [...ALWAYS, "printer"]],
    ["group:office", [...ALWAYS, "phone"]],
    ["@office", [...ALWAYS, "phone"]],
    ["10.20.0.0/16", ["private", ...ALWAYS]],
    ["10.20.1.5", ["private", ...ALWAYS]],
    ["10.20.1.4", ALWAYS],
    ["0.0.0.0/0", Object.keys(PLACES)],
    ["::/0", ALWAYS],
    ["::/80 tcp/443", ALWAYS],
    ["any", Object.keys(PLACES)],
    ["tcp/443", Object.keys(PLACES).filter((name) => !/DNS|ping/.test(name)).concat(ALWAYS)],
    ["tcp/1-442", ALWAYS],
    ["tcp/444-65535", ALWAYS],
    ["udp", ALWAYS],
    ["peer:nobody", ALWAYS],
  ] as const
) {
  Deno.test(`Allow = ${allow}: there, and nowhere else`, () => {
    const others = { phone: { groups: ["office"] } };
    const given = reached({ allow }, PLACES, others, { office: {} });
    assertEquals(given.toSorted(), passes.toSorted());
  });
}

for (
  const [deny, stopped] of [
    ["internet", ["internet"]],
    ["lan", ["lan", "uplink"]],
    ["gateway", ["own address outside", "gateway", ...ALWAYS]],
    ["gateway icmp", ["gateway's ping"]],
    ["udp/53", ["gateway's DNS"]],
    ["peers", ["printer", "phone"]],
    ["peer:printer tcp/443", ["printer"]],
    ["peer:printer tcp/80 udp/443", []],
    ["10.0.0.0/8", ["private", "gateway", ...ALWAYS, "printer", "phone"]],
    ["::/0", []],
  ] as const
) {
  Deno.test(`Deny = ${deny}: everywhere else`, () => {
    const given = reached({ deny }, PLACES);
    assertEquals(
      given.toSorted(),
      Object.keys(PLACES).filter((name) => !(stopped as readonly string[]).includes(name))
        .toSorted(),
    );
  });
}

/** Whether the laptop's rules let it go to an address of IPv6 that is no peer's. */
function goesTo6(rules: { allow?: string; deny?: string }, address: string): boolean {
  const { control, peers } = new AccessWorld({ laptop: rules });
  const facts = new PacketFacts();
  facts.destination.set(prefixWords(`${address}/128`).slice(0, 4));
  return control.table.allows(peers.get("laptop")!.accessId, 0, facts);
}

Deno.test("a translator's addresses lead no further than rules for those of IPv4 let go", () => {
  const [internet, host, lan, own] = ["c633:6407", "a14:105", "c0a8:109", "cb00:7105"]
    .map((last) => `64:ff9b::${last}`) as [string, string, string, string];
  const goes = (rules: { allow?: string; deny?: string }) =>
    [internet, host, lan, own].map((address) => goesTo6(rules, address));
  assertEquals(goes({ allow: "internet" }), [true, false, false, false]);
  assertEquals(goes({ deny: "198.51.100.7" }), [false, true, true, true]);
  assertEquals(goes({ deny: "10.20.0.0/16, lan" }), [true, false, false, true]);
  assertEquals(goes({ deny: "gateway" }), [true, true, true, false]);
  assertEquals(goes({ allow: "64:ff9b::/96" }), [true, true, true, true]);
  assertEquals(goes({ deny: "0.0.0.0/0" }), [false, false, false, false]);
  // Others with the same end are none.
  assertEquals(goesTo6({ deny: "198.51.100.7" }, "2001:db8::c633:6407"), true);
});

Deno.test("a Deny wins over every Allow, that of a group as well", () => {
  const packets = { printer: PLACES.printer, phone: PLACES.phone };
  const groups = { staff: { deny: "peer:phone" }, office: { allow: "peer:phone" } };
  assertEquals(reached({ allow: "peers", groups: ["staff"] }, packets, {}, groups), ["printer"]);
  assertEquals(reached({ deny: "peers", groups: ["office"] }, packets, {}, groups), []);
});

Deno.test("what the groups of a peer allow is added to what it is allowed itself", () => {
  const groups = { a: { allow: "peer:phone" }, b: { allow: "internet" } };
  assertEquals(
    reached({ allow: "peer:printer", groups: ["a"] }, PLACES, {}, groups).toSorted(),
    [
      ...ALWAYS,
      "phone",
      "printer",
    ].toSorted(),
  );
});

Deno.test("several services of one target", () => {
  const allow = "peer:printer udp/631 tcp/9100-9102 icmp";
  const packets = {
    ipp: udp(laptop, printer, 631),
    "ipp by TCP": tcp(laptop, printer, 631),
    9099: tcp(laptop, printer, 9099),
    9100: tcp(laptop, printer, 9100),
    9102: tcp(laptop, printer, 9102),
    9103: tcp(laptop, printer, 9103),
    ping: echo(laptop, printer),
    "other's ping": echo(laptop, phone),
  };
  assertEquals(reached({ allow }, packets), ["9100", "9102", "ipp", "ping"]);
});

Deno.test("GRE and ESP are told by their protocol", () => {
  const packet = (protocol: number) =>
    buildIpv4({ source: laptop, destination: server, protocol, payload: new Uint8Array(20) });
  const packets = { gre: packet(47), esp: packet(50), other: packet(99), tcp: PLACES.internet };
  assertEquals(reached({ allow: "gre" }, packets), ["gre"]);
  assertEquals(reached({ deny: "esp" }, packets), ["gre", "other", "tcp"]);
});

Deno.test("a peer without rules may go everywhere, whatever others have", () => {
  const world = new AccessWorld({ laptop: { allow: "internet" } });
  assertEquals(world.sends(tcp(phone, printer, 443)), true);
  assertEquals(world.sends(tcp(phone, "192.168.1.9", 443)), true);
});

// Fragments.

Deno.test("fragments follow their first", () => {
  const large = (port: number, identification: number) =>
    fragment(
      buildUdp({
        source: laptop,
        destination: printer,
        destinationPort: port,
        identification,
        payload: new Uint8Array(3000),
      }),
      1000,
    );
  const world = new AccessWorld({ laptop: { allow: "peer:printer udp/631" } });
  assertEquals(large(631, 1).map((each) => world.sends(each)), [true, true, true, true]);
  assertEquals(large(632, 2).map((each) => world.sends(each)), [false, false, false, false]);
  // Ahead of its first, a fragment passes where a packet of some port may: alone, nobody can make anything of it.
  assertEquals(large(631, 3).toReversed().map((each) => world.sends(each)), [
    true,
    true,
    true,
    true,
  ]);
  assertEquals(large(632, 4).toReversed().map((each) => world.sends(each)), [
    true,
    true,
    true,
    false,
  ]);
  world.set({ laptop: { deny: "peer:printer" } });
  assertEquals(large(631, 5).toReversed().map((each) => world.sends(each)), [
    false,
    false,
    false,
    false,
  ]);
});

Deno.test("fragments of an answer follow their first", () => {
  const world = new AccessWorld({ printer: { allow: "gateway" } });
  world.sends(udp(laptop, printer, 631));
  const answer = fragment(
    buildUdp({
      source: printer,
      destination: laptop,
      sourcePort: 631,
      destinationPort: 40_000,
      payload: new Uint8Array(3000),
    }),
    1000,
  );
  assertEquals(answer.map((each) => world.sends(each)), [true, true, true, true]);
});

// ICMP errors.

Deno.test("an ICMP error passes about a flow that passes, and no other", () => {
  const world = new AccessWorld({ printer: { allow: "internet" } });
  const begin = udp(laptop, printer, 631);
  assertEquals(world.sends(error(printer, begin, laptop)), false);
  world.sends(begin);
  assertEquals(world.sends(error(printer, begin, laptop)), true);
  assertEquals(world.sends(error(printer, begin, phone)), false);
  assertEquals(world.sends(error(printer, udp(laptop, printer, 632), laptop)), false);
  assertEquals(world.sends(error(printer, begin, laptop, 20)), false);
  assertEquals(world.sends(error(printer, begin, laptop, 0)), false);
});

Deno.test("an ICMP error passes where rules let ICMP pass", () => {
  const world = new AccessWorld({ printer: { allow: "peers icmp" } });
  assertEquals(world.sends(error(printer, udp(laptop, printer, 631), laptop)), true);
});

Deno.test("a peer's ICMP error about a flow of others does not pass, and opens and ends none", () => {
  const phoneRules = [{ allow: "internet" }, { allow: "internet, lan" }] as const;
  const quoted = udp(laptop, printer, 631);
  const world = new AccessWorld({ laptop: { allow: "peer:printer" }, phone: phoneRules[0] });
  world.sends(quoted);
  assertEquals(world.sends(error(phone, quoted, laptop)), false);
  // Where flows are judged again.
  world.set({ laptop: { allow: "peer:printer" }, phone: phoneRules[1] });
  assertEquals(world.sends(error(phone, quoted, laptop)), false);
  assertEquals(world.sends(udpAnswer(printer, laptop, 631)), true);
  world.set({ laptop: { deny: "peer:printer" }, phone: phoneRules[1] });
  assertEquals(world.sends(quoted), false);
  world.set({ laptop: { deny: "peer:printer" }, phone: phoneRules[0] });
  assertEquals(world.sends(error(phone, quoted, laptop)), false);
  assertEquals(world.sends(quoted), false);
});

// Counts.

Deno.test("denied packets are counted by peer and rule, over changes of other rules", () => {
  const peers = {
    laptop: { allow: "internet", deny: "tcp/25, 198.51.100.9", groups: ["staff"] },
  };
  const groups = { staff: { deny: "peer:phone" } };
  const world = new AccessWorld(peers, groups);
  world.sends(tcp(laptop, "198.51.100.7", 25));
  world.sends(tcp(laptop, "198.51.100.7", 25));
  world.sends(tcp(laptop, phone, 443));
  world.sends(tcp(laptop, printer, 443));
  const counts = {
    "[Peer] laptop: Deny = tcp/25": 2,
    "[Group] staff: Deny = peer:phone": 1,
    "no Allow": 1,
  };
  assertEquals(world.denials("laptop"), counts);
  world.set({ ...peers, phone: { deny: "lan" } }, groups);
  world.set({ laptop: { ...peers.laptop, deny: "tcp/25, 198.51.100.10" } }, groups);
  world.sends(tcp(laptop, "198.51.100.7", 25));
  assertEquals(world.denials("laptop"), { ...counts, "[Peer] laptop: Deny = tcp/25": 3 });
  world.set({ laptop: { allow: "internet" } });
  assertEquals(world.denials("laptop"), { "no Allow": 1 });
});
