/** Tests of lib/core/dns/nat64.ts with the examples of RFC 6052 section 2.4. */
import { synthesisOf } from "../../../../lib/core/dns/nat64.ts";
import { parseIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { assertEquals } from "../../../support/assert.ts";

/** What stands for 192.0.0.170 and for 192.0.2.33 behind each length of prefix. */
const EXAMPLES: readonly (readonly [length: number, model: string, expected: string])[] = [
  [32, "2001:db8:c000:aa::", "2001:db8:c000:221::"],
  [40, "2001:db8:1c0:0:aa::", "2001:db8:1c0:2:21::"],
  [48, "2001:db8:122:c000:0:aa00::", "2001:db8:122:c000:2:2100::"],
  [56, "2001:db8:122:3c0:0:aa::", "2001:db8:122:3c0:0:221::"],
  [64, "2001:db8:122:344:c0:0:aa00:0", "2001:db8:122:344:c0:2:2100:0"],
  [96, "2001:db8:122:344::c000:aa", "2001:db8:122:344::c000:221"],
  [96, "64:ff9b::c000:ab", "64:ff9b::c000:221"],
];

for (const [length, model, expected] of EXAMPLES) {
  Deno.test(`synthesisOf() finds a prefix of ${length} bits in ${model}`, () => {
    const synthesis = synthesisOf([0xc00000aa, model])!;
    assertEquals(synthesis(parseIpv4("192.0.2.33")!), expected);
  });
}

Deno.test("synthesisOf() finds none in what no translator made", () => {
  assertEquals(synthesisOf([]), null);
  assertEquals(synthesisOf([0xc00000aa, 0xc00000ab]), null);
  assertEquals(synthesisOf(["2001:db8::1", "64:ff9b::c000:201"]), null);
});
