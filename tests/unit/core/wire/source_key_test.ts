/** Tests of `lib/core/wire/source_key.ts`: who is one and the same behind several addresses. */
import { plainAddress, sourceKey } from "../../../../lib/core/wire/source_key.ts";
import { assertEquals } from "../../../support/assert.ts";

Deno.test("of IPv6, the network of a customer is one source", () => {
  assertEquals(sourceKey("198.51.100.7"), "198.51.100.7");
  assertEquals(sourceKey("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::/64");
  assertEquals(sourceKey("2001:db8:1:2::"), "2001:db8:1:2::/64");
  assertEquals(sourceKey("2001:db8::5"), "2001:db8::/64");
  assertEquals(sourceKey("::1"), "::/64");
  assertEquals(sourceKey("fe80::1%eth0"), "fe80::/64");
  assertEquals(sourceKey(""), "");
});

Deno.test("an address of IPv4 that is mapped into IPv6 is that of IPv4, and no network of all of them", () => {
  assertEquals(plainAddress("::ffff:198.51.100.7"), "198.51.100.7");
  assertEquals(plainAddress("::FFFF:c633:6407"), "198.51.100.7");
  assertEquals(plainAddress("2001:db8::7"), "2001:db8::7");
  assertEquals(plainAddress("unknown"), "unknown");
  assertEquals(sourceKey("::ffff:198.51.100.7"), "198.51.100.7");
});
