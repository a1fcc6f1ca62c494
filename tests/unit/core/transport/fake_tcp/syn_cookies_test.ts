/** Tests of SYN cookies: what they say of the SYN, and that nobody else makes one. */
import type { FourTuple } from "../../../../../lib/core/transport/fake_tcp/four_tuple.ts";
import { SynCookies } from "../../../../../lib/core/transport/fake_tcp/syn_cookies.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { Random } from "../../../../support/random.ts";

const TUPLE = { addresses: Int32Array.of(-2, 1), localPort: 443, remotePort: 40_000 };
const TUPLE6: FourTuple = { ...TUPLE, addresses: Int32Array.of(-2, 0, 0, 3, -2, 0, 0, 1) };
const cookies = new SynCookies(new Random(1).bytes(16));

Deno.test("a cookie tells the size, rounded down, and whether windows are scaled", () => {
  for (const [size, told] of [[1460, 1460], [1459, 1452], [1300, 1280], [65_495, 8960], [1, 536]]) {
    // Of IPv6 a link takes 20 bytes less.
    for (const [tuple, less] of [[TUPLE, 0], [TUPLE6, 20]] as const) {
      for (const isScaled of [true, false]) {
        const cookie = cookies.make(tuple, size! - less, isScaled);
        assert(cookies.check(tuple, cookie));
        assertEquals(SynCookies.size(tuple, cookie), told! - less);
        assertEquals(SynCookies.isScaled(cookie), isScaled);
      }
    }
  }
});

Deno.test("a cookie of another four-tuple, or of another server, is refused", () => {
  const cookie = cookies.make(TUPLE, 1460, true);
  for (const tuple of [TUPLE, TUPLE6]) {
    const made = cookies.make(tuple, 1460, true);
    const others = [
      { ...tuple, localPort: 444 },
      { ...tuple, remotePort: 40_001 },
      ...Array.from(tuple.addresses, (word, i) => ({
        ...tuple,
        addresses: tuple.addresses.with(i, word + 1),
      })),
    ];
    for (const other of others) assertEquals(cookies.check(other, made), false, `${other}`);
  }
  assertEquals(cookies.check(TUPLE6, cookie), false);
  assertEquals(new SynCookies(new Random(2).bytes(16)).check(TUPLE, cookie), false);
});

Deno.test("a cookie with any bit changed is refused", () => {
  const cookie = cookies.make(TUPLE, 1460, true);
  for (let bit = 0; bit < 32; bit++) assertEquals(cookies.check(TUPLE, cookie ^ 1 << bit), false);
});

Deno.test("guesses are right once in 2^27: of a million, hardly ever", () => {
  const random = new Random(5);
  let right = 0;
  for (let i = 0; i < 1_000_000; i++) if (cookies.check(TUPLE, random.uint32() | 0)) right++;
  assert(right <= 1, `${right}`);
});
