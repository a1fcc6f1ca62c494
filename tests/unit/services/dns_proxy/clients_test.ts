/** Tests of `lib/services/dns_proxy/clients.ts`: whose an inner address is. */
import { ClientDirectory } from "../../../../lib/services/dns_proxy/clients.ts";
import { parseIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

const address = (text: string) => parseIpv4(text)!;
const allowedIps6: string[] = [];
const network = (text: string, prefixLength: number) => ({ address: address(text), prefixLength });

Deno.test("an address is its peer's by the longest prefix, else its own; changes of the peers are followed", () => {
  let peers = new Map([
    ["site", {
      name: null,
      allowedIps: [network("10.66.77.2", 32), network("192.168.0.0", 16)],
      allowedIps6,
    }],
    ["room", { name: null, allowedIps: [network("192.168.7.9", 24)], allowedIps6 }],
    ["desk", { name: null, allowedIps: [network("192.168.7.1", 32)], allowedIps6 }],
  ]);
  const directory = new ClientDirectory(() => peers);
  const at = (text: string) => directory.at(address(text));
  assertEquals(
    ["10.66.77.2", "192.168.1.1", "192.168.7.200", "192.168.7.1", "10.66.77.3"].map(at),
    ["site", "site", "room", "desk", address("10.66.77.3")],
  );
  peers = new Map([["late", { name: null, allowedIps: [network("10.66.77.3", 32)], allowedIps6 }]]);
  assertEquals(["10.66.77.3", "192.168.7.1"].map(at), ["late", address("192.168.7.1")]);
});

Deno.test("addresses of IPv6 are their peer's as well, by the longest prefix: one has many, and no share for each", () => {
  const peer = (...networks: string[]) => ({ name: null, allowedIps: [], allowedIps6: networks });
  let peers = new Map([
    ["site", peer("fd00:77::2/128", "2001:db8:5::/48")],
    ["room", peer("2001:db8:5:7::/64")],
  ]);
  const directory = new ClientDirectory(() => peers);
  const at = (text: string) => directory.at(text);
  assertEquals(
    ["fd00:77::2", "2001:db8:5:1::1", "2001:db8:5:7::1", "fd00:77::3"].map(at),
    ["site", "site", "room", "fd00:77::3"],
  );
  peers = new Map([["late", peer("fd00:77::3/128")]]);
  assertEquals(["fd00:77::3", "fd00:77::2"].map(at), ["late", "fd00:77::2"]);
});

Deno.test("who is at an address is found in few steps, however many peers have networks", async () => {
  const peers = new Map(Array.from({ length: 2_000 }, (_, i) => [`key${i}`, {
    name: null,
    allowedIps: [network(`10.${i >> 8}.${i & 0xff}.0`, 24)],
    allowedIps6: [`2001:db8:0:${(i + 1).toString(16)}::/64`],
  }]));
  const directory = new ClientDirectory(() => peers);
  await directory.settled();
  // Anybody with a key asks thousands of times a second: texts of all networks took milliseconds to compare.
  const { split } = String.prototype;
  let steps = 0;
  String.prototype.split = function (...values: unknown[]) {
    steps++;
    return Reflect.apply(split, this, values);
  };
  try {
    assertEquals(directory.at("2001:db8:0:7d0::5"), "key1999");
    assertEquals(directory.at(address("10.7.207.9")), "key1999");
  } finally {
    String.prototype.split = split;
  }
  assert(steps < 20, `${steps} texts were taken apart`);
});

Deno.test("of thousands of peers, the one that has changed is read alone", async () => {
  let reads = 0;
  const peer = (index: number, prefixLength = 32) => ({
    name: null,
    get allowedIps() {
      reads++;
      return [network(`10.${index >> 8}.${index & 0xff}.7`, prefixLength)];
    },
    allowedIps6: [`2001:db8::${index.toString(16)}/128`, `2001:db8:1:${index.toString(16)}::/64`],
  });
  let peers = new Map(Array.from({ length: 3_000 }, (_, i) => [`key${i}`, peer(i)]));
  const directory = new ClientDirectory(() => peers);
  assertEquals(directory.at("2001:db8::bb7"), "2001:db8::bb7");
  assert(reads <= 300, `${reads} peers were read`);
  await directory.settled();
  assertEquals(directory.at("2001:db8::bb7"), "key2999");
  reads = 0;
  // One takes over what another had, another goes.
  peers = new Map(peers).set("key1", peer(2, 24)).set("key2", peer(1));
  peers.delete("key3");
  const at = (text: string) => directory.at(address(text));
  assertEquals(["10.0.2.7", "10.0.2.8", "10.0.1.7"].map(at), ["key1", "key1", "key2"]);
  assertEquals(directory.at("2001:db8::1"), "key2");
  assertEquals(directory.at("2001:db8:1:2::9"), "key1");
  assertEquals([at("10.0.3.7"), directory.at("2001:db8:1:3::9")], [
    address("10.0.3.7"),
    "2001:db8:1:3::9",
  ]);
  assert(reads <= 20, `${reads} peers were read`);
});
