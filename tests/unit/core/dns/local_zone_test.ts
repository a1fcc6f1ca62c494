/** Shows what the proxy answers for the domain of its peers, byte by byte where that matters. */
import { hostName, LocalZone, type LocalZoneOptions } from "../../../../lib/core/dns/local_zone.ts";
import { parse } from "../../../../lib/core/dns/message.ts";
import { assertEquals } from "../../../support/assert.ts";
import {
  buildAnswer,
  buildQuery,
  encodeName,
  type QueryFields,
  TYPE_OPT,
  TYPE_SOA,
  TYPE_TXT,
} from "../../../support/dns/messages.ts";

const TYPE_PTR = 12;
const TYPE_AAAA = 28;
const TYPE_ANY = 255;
const NAME_ERROR = 3;
/** Response, authoritative, recursion desired and available. */
const FLAGS = 0x8580;
const SOA = {
  name: encodeName("vpn"),
  type: TYPE_SOA,
  timeToLive: 10,
  data: [
    ...encodeName("vpn"),
    ...encodeName("nobody.invalid"),
    ...[1, 3_600, 600, 86_400, 10].flatMap((value) => [
      value >>> 24,
      value >>> 16 & 0xff,
      value >>> 8 & 0xff,
      value & 0xff,
    ]),
  ],
};
const HOSTS = [
  { name: "laptop", addresses: [0x0a42_4d02, 0x0a42_4d05] },
  { name: "phone.ann", addresses: [0x0a42_4d03] },
  { name: "site", addresses: [] },
];
const NETWORKS = [{ address: 0x0a42_4d01, mask: 0xffff_ff00 }];

function asked(fields: QueryFields, options: Partial<LocalZoneOptions> = {}, limit = 512) {
  const query = buildQuery(fields);
  const zone = new LocalZone({ domain: "vpn", hosts: HOSTS, networks: NETWORKS, ...options });
  return { query, answer: zone.answer(query, parse(query)!, limit) };
}

/** Addresses in an answer, or its code where there are none; null where others are to be asked. */
function said(
  fields: QueryFields,
  options: Partial<LocalZoneOptions> = {},
): number[] | number | null {
  const { answer } = asked(fields, options);
  if (answer === null) return null;
  const view = new DataView(answer.buffer);
  const count = view.getUint16(6);
  if (count === 0) return view.getUint16(2) & 0xf;
  const { questionEnd } = parse(answer)!;
  return Array.from({ length: count }, (_, index) => view.getUint32(questionEnd + 16 * index + 12));
}

Deno.test("LocalZone answers with a host's addresses, in any case of the name, under the asker's own spelling", () => {
  const { query, answer } = asked({ name: "LapTop.VPN", id: 0x4321 });
  const record = (last: number) => ({ timeToLive: 10, data: [10, 66, 77, last] });
  assertEquals(answer, buildAnswer(query, { flags: FLAGS, answers: [record(2), record(5)] }));
  assertEquals(said({ name: "laptop.vpn", type: TYPE_ANY }), [0x0a42_4d02, 0x0a42_4d05]);
});

Deno.test("LocalZone says NXDOMAIN of a name that nobody has, and NODATA of other types, each with an SOA", () => {
  const nobody = asked({ name: "nobody.vpn" });
  assertEquals(
    nobody.answer,
    buildAnswer(nobody.query, { flags: FLAGS | NAME_ERROR, authorities: [SOA] }),
  );
  for (const type of [TYPE_AAAA, TYPE_TXT, TYPE_SOA]) {
    const { query, answer } = asked({ name: "laptop.vpn", type });
    assertEquals(answer, buildAnswer(query, { flags: FLAGS, authorities: [SOA] }));
  }
  // Names that others stand below, and a host without an address, are names (RFC 8020).
  for (const name of ["ann.vpn", "site.vpn", "vpn"]) assertEquals(said({ name }), 0, name);
  assertEquals(said({ name: "x.laptop.vpn" }), NAME_ERROR);
});

Deno.test("LocalZone says at its top that it is a zone", () => {
  const { query, answer } = asked({ name: "vpn", type: TYPE_SOA });
  assertEquals(
    answer,
    buildAnswer(query, { flags: FLAGS, answers: [{ ...SOA, name: [0xc0, 12] }] }),
  );
});

Deno.test("LocalZone names addresses, and says NXDOMAIN of others in the gateway's networks", () => {
  const { query, answer } = asked({ name: "3.77.66.10.in-addr.arpa", type: TYPE_PTR });
  assertEquals(
    answer,
    buildAnswer(query, {
      flags: FLAGS,
      answers: [{ type: TYPE_PTR, timeToLive: 10, data: encodeName("phone.ann.vpn") }],
    }),
  );
  assertEquals(said({ name: "9.77.66.10.in-addr.arpa", type: TYPE_PTR }), NAME_ERROR);
  assertEquals(said({ name: "3.77.66.10.in-addr.arpa", type: TYPE_TXT }), 0);
});

Deno.test("LocalZone answers with addresses of IPv6 where AAAA is asked, and leads from them to names", () => {
  const both = {
    hosts: [{ name: "laptop", addresses: [0x0a42_4d02, "fd00:77::2"] }, {
      name: "old",
      addresses: [1],
    }],
    networks6: ["fd00:77::1/64"],
  };
  const data = [0xfd, 0, 0, 0x77, ...Array<number>(11).fill(0), 2];
  const { query, answer } = asked({ name: "laptop.vpn", type: TYPE_AAAA }, both);
  const record = { type: TYPE_AAAA, timeToLive: 10, data };
  assertEquals(answer, buildAnswer(query, { flags: FLAGS, answers: [record] }));
  assertEquals(said({ name: "laptop.vpn" }, both), [0x0a42_4d02]);
  assertEquals(said({ name: "old.vpn", type: TYPE_AAAA }, both), 0);

  const reverse = (last: string) => `${last}${".0".repeat(23)}.7.7.0.0.0.0.d.f.ip6.arpa`;
  const named = asked({ name: reverse("2"), type: TYPE_PTR }, both);
  const target = { type: TYPE_PTR, timeToLive: 10, data: encodeName("laptop.vpn") };
  assertEquals(named.answer, buildAnswer(named.query, { flags: FLAGS, answers: [target] }));
  assertEquals(said({ name: reverse("9"), type: TYPE_PTR }, both), NAME_ERROR);
  for (
    const name of [reverse("0.2"), reverse("x"), "d.f.ip6.arpa", `1${".0".repeat(31)}.ip6.arpa`]
  ) {
    assertEquals(said({ name, type: TYPE_PTR }, both), null, name);
  }
});

Deno.test("LocalZone leaves all else to others", () => {
  for (
    const fields of [
      ...["www.example", "vpn.example", "xvpn", "laptop.xvpn", "arpa"].map((name) => ({ name })),
      ...["1.2.3.4.in-addr.arpa", "77.66.10.in-addr.arpa", "x.3.77.66.10.in-addr.arpa"]
        .map((name) => ({ name, type: TYPE_PTR })),
      ...["03.77.66.10.in-addr.arpa", "999.77.66.10.in-addr.arpa"]
        .map((name) => ({ name, type: TYPE_PTR })),
    ]
  ) {
    assertEquals(said(fields), null, fields.name);
  }
});

Deno.test("LocalZone answers EDNS with EDNS, repeats DO, and cuts what is too long", () => {
  const { query, answer } = asked({ name: "nobody.vpn", udpSize: 4096, dnssecOk: true });
  const option = { name: [0], type: TYPE_OPT, recordClass: 1232, timeToLive: 0x8000 };
  assertEquals(
    answer,
    buildAnswer(query, { flags: FLAGS | NAME_ERROR, authorities: [SOA], additional: [option] }),
  );
  const addresses = Array.from({ length: 100 }, (_, index) => 0x0a00_0000 + index);
  const many = asked({ name: "many.vpn" }, { hosts: [{ name: "many", addresses }] });
  assertEquals(many.answer, buildAnswer(many.query, { flags: FLAGS | 0x0200 }));
  const whole = asked({ name: "many.vpn" }, { hosts: [{ name: "many", addresses }] }, Infinity);
  assertEquals(new DataView(whole.answer!.buffer).getUint16(6), 100);
});

Deno.test("LocalZone gives a name that two could have to whom it is written so, or else to the first", () => {
  const hosts = [
    { name: "Ann's Phone", addresses: [1] },
    { name: "anns phone", addresses: [2] },
    { name: "anns-phone", addresses: [3] },
    { name: "A B", addresses: [4] },
    { name: "a-b", addresses: [] },
    { name: "c d", addresses: [5] },
    { name: "c.d", addresses: [6] },
  ];
  assertEquals(said({ name: "anns-phone.vpn" }, { hosts }), [3]);
  assertEquals(said({ name: "c-d.vpn" }, { hosts }), [5]);
});

Deno.test("LocalZone gives a name to the next one when who has it goes, with its addresses and those between", () => {
  const host = (name: string, address: number) => ({ name, addresses: [0x0a42_4d00 + address] });
  const [written, first, second] = [host("ann.b", 5), host("Ann.b", 3), host("ANN.b", 4)];
  const zone = new LocalZone({
    domain: "vpn",
    hosts: [first, second, written],
    networks: NETWORKS,
  });
  const ask = (name: string, type = 1) => {
    const query = buildQuery({ name, type });
    const answer = zone.answer(query, parse(query)!, 512)!;
    return [answer[3]! & 0xf, answer[7], answer.at(-1)];
  };
  const who = () => [ask("ann.b.vpn"), ask("b.vpn"), ask("5.77.66.10.in-addr.arpa", TYPE_PTR)[0]];
  const none = ask("b.vpn")[2];
  assertEquals(who(), [[0, 1, 5], [0, 0, none], 0]);
  zone.remove(written);
  assertEquals(who(), [[0, 1, 3], [0, 0, none], NAME_ERROR]);
  zone.remove(first);
  assertEquals(who(), [[0, 1, 4], [0, 0, none], NAME_ERROR]);
  zone.remove(second);
  assertEquals(who().map((each) => [each].flat()[0]), [NAME_ERROR, NAME_ERROR, NAME_ERROR]);
  zone.add(written);
  assertEquals(who(), [[0, 1, 5], [0, 0, none], 0]);
});

Deno.test("LocalZone that is not complete says of no name that there is none: it would be remembered", () => {
  const zone = new LocalZone({ domain: "vpn", hosts: HOSTS, networks: NETWORKS });
  zone.isComplete = false;
  const code = (name: string, type = 1) => {
    const query = buildQuery({ name, type });
    return zone.answer(query, parse(query)!, 512)![3]! & 0xf;
  };
  assertEquals([code("laptop.vpn"), code("late.vpn")], [0, 2]);
  assertEquals(code("9.77.66.10.in-addr.arpa", TYPE_PTR), 2);
});

Deno.test("hostName() makes a name of DNS of what a person writes", () => {
  for (
    const [name, host] of [
      ["laptop", "laptop"],
      ["Ann's phone (new)", "anns-phone-new"],
      ["laptop.anna", "laptop.anna"],
      ["a..b.", "a.b"],
      ["gr\u00f6\u00dfer 1", "xn--grer-1-cta7p"],
      ["\u0440\u043e\u0437\u0430", "xn--80anuh"],
      ["10.0.0.1", "10.0.0.1"],
      ["_-_", null],
    ] as const
  ) {
    assertEquals(hostName(name), host, name);
  }
});
