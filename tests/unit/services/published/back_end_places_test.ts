/** Tests of where back ends are: by a peer's name or an address, in the tunnel or outside. */
import type { ForwardBackEnd } from "../../../../lib/core/config/config.ts";
import { parseCidr, parseIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { BackEndPlaces } from "../../../../lib/services/published/back_end_places.ts";
import { assertEquals } from "../../../support/assert.ts";

const PEERS = new Map([
  ["key-1", peer("web-1", "10.66.77.2/32")],
  ["key-2", peer("site", "10.66.77.9/32", "10.20.0.0/16")],
  ["key-3", peer("behind", "10.30.0.0/16")],
  ["key-4", peer(null, "10.66.77.8/32")],
]);
const PLACES = new BackEndPlaces(PEERS, [parseCidr("10.66.77.1/24")!]);

function peer(name: string | null, ...networks: string[]) {
  return { name, allowedIps: networks.map((text) => parseCidr(text)!) };
}

function backEnd(text: string): ForwardBackEnd {
  const address = parseIpv4(text);
  return { text: `${text}:80`, peer: address === null ? text : null, address, port: 80 };
}

Deno.test("a back end by name is where its peer has an address of its own, one by address whose peer has it", () => {
  const cases: [string, string | null, string][] = [
    ["web-1", "key-1", "10.66.77.2"],
    ["site", "key-2", "10.66.77.9"],
    ["10.66.77.2", "key-1", "10.66.77.2"],
    ["10.66.77.8", "key-4", "10.66.77.8"],
    ["10.20.3.4", "key-2", "10.20.3.4"],
  ];
  for (const [text, key, address] of cases) {
    assertEquals(
      PLACES.of(backEnd(text)),
      { address: parseIpv4(address), isOutside: false, peer: key, problem: null },
      text,
    );
  }
});

Deno.test("an address that neither a peer nor the tunnel has is outside", () => {
  const { address, isOutside, peer } = PLACES.of(backEnd("192.0.2.7"));
  assertEquals([address, isOutside, peer], [parseIpv4("192.0.2.7"), true, null]);
});

Deno.test("a peer that is not there, or has no address of its own, and an address inside that nobody has, are nowhere", () => {
  const cases = {
    "web-9": "there is no such peer, or it has no access",
    behind: "the peer has no IPv4 address of its own",
    "10.66.77.99": "no peer with access has this address",
  };
  for (const [text, problem] of Object.entries(cases)) {
    assertEquals(PLACES.of(backEnd(text)), {
      ...{ address: null, isOutside: false, peer: null, problem },
    }, text);
  }
});

Deno.test("only a forward to one address inside has nothing to be decided", () => {
  const forward = { protocol: "tcp", externalPort: 80, method: "hash", check: "port" } as const;
  const isPlain = (externalAddress: number | null, ...texts: string[]) =>
    PLACES.isPlain({ ...forward, externalAddress, backEnds: texts.map(backEnd) });
  assertEquals(isPlain(null, "10.66.77.2"), true);
  // Who has it may come later.
  assertEquals(isPlain(null, "10.66.77.99"), true);
  assertEquals(isPlain(null, "web-1"), false);
  assertEquals(isPlain(null, "192.0.2.7"), false);
  assertEquals(isPlain(5, "10.66.77.2"), false);
  assertEquals(isPlain(null, "10.66.77.2", "10.66.77.8"), false);
});
