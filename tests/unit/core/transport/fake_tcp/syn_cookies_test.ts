/** Tests of SYN cookies: what they say of the SYN, and that nobody else makes one. */
import { SynCookies } from "../../../../../lib/core/transport/fake_tcp/syn_cookies.ts";
import { assert, assertEquals } from "../../../../support/assert.ts";
import { Random } from "../../../../support/random.ts";

const TUPLE = { localAddress: 1, localPort: 443, remoteAddress: -2, remotePort: 40_000 };
const cookies = new SynCookies(new Random(1).bytes(16));

Deno.test("a cookie tells the size, rounded down, and whether windows are scaled", () => {
  for (const [size, told] of [[1460, 1460], [1459, 1452], [1300, 1280], [65_495, 8960], [1, 536]]) {
    for (const isScaled of [true, false]) {
      const cookie = cookies.make(TUPLE, size!, isScaled);
      assert(cookies.check(TUPLE, cookie));
      assertEquals([SynCookies.size(cookie), SynCookies.isScaled(cookie)], [told!, isScaled]);
    }
  }
});

Deno.test("a cookie of another four-tuple, or of another server, is refused", () => {
  const cookie = cookies.make(TUPLE, 1460, true);
  for (const field of Object.keys(TUPLE) as (keyof typeof TUPLE)[]) {
    assertEquals(cookies.check({ ...TUPLE, [field]: TUPLE[field] + 1 }, cookie), false, field);
  }
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
