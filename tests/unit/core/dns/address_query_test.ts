/** Tests of `lib/core/dns/address_query.ts` against messages that were built byte by byte. */
import { addressQuery, AddressType } from "../../../../lib/core/dns/address_query.ts";
import { assertEquals } from "../../../support/assert.ts";
import { buildQuery } from "../../../support/dns/messages.ts";

Deno.test("addressQuery() asks for a name's A records", () => {
  const expected = buildQuery({ name: "vpn.example.org", id: 0xbeef });
  assertEquals(addressQuery("vpn.example.org", 0xbeef), expected);
  assertEquals(addressQuery("vpn.example.org.", 0xbeef), expected);
});

Deno.test("addressQuery() asks for AAAA records where it is told to (RFC 3596)", () => {
  const expected = buildQuery({ name: "vpn.example.org", id: 7, type: 28 });
  assertEquals(addressQuery("vpn.example.org", 7, AddressType.ipv6), expected);
});

Deno.test("addressQuery() takes the longest label and name, and none that are longer", () => {
  const label = "a".repeat(63);
  assertEquals(addressQuery(label, 1), buildQuery({ name: label, id: 1 }));
  assertEquals(addressQuery(`${label}a`, 1), null);
  const longest = [label, label, label, "b".repeat(61)].join(".");
  assertEquals(addressQuery(longest, 1), buildQuery({ name: longest, id: 1 }));
  assertEquals(addressQuery(`${longest}b`, 1), null);
});

for (const name of ["", ".", "a..b", ".a"]) {
  Deno.test(`addressQuery() makes no query for "${name}"`, () => {
    assertEquals(addressQuery(name, 1), null);
  });
}
