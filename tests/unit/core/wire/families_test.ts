/** Tests of lib/core/wire/families.ts: in which order the addresses of one name are tried. */
import { inTurn, withoutUnrouted } from "../../../../lib/core/wire/families.ts";
import { assertEquals } from "../../../support/assert.ts";

const [A, B, C] = ["2001:db8::a", "2001:db8::b", "2001:db8::c"];

Deno.test("inTurn() changes the family with each address, from that of the first (RFC 8305 section 4)", () => {
  assertEquals(inTurn([]), []);
  assertEquals(inTurn([1, 2]), [1, 2]);
  assertEquals(inTurn([A!, B!, C!, 1, 2]), [A, 1, B, 2, C]);
  assertEquals(inTurn([1, A!, B!]), [1, A, B]);
  assertEquals(inTurn([1, 2, A!]), [1, A, 2]);
});

Deno.test("withoutUnrouted() leaves out IPv6 that no route leads to, unless that is all there is", () => {
  const reaches = (...routed: unknown[]) => (address: unknown) => routed.includes(address);
  assertEquals(withoutUnrouted([A!, 1, B!], reaches(A)), [A, 1]);
  // Whether there is a route for IPv4 was never asked.
  assertEquals(withoutUnrouted([A!, 1], reaches()), [1]);
  assertEquals(withoutUnrouted([A!, B!], reaches()), [A, B]);
});
