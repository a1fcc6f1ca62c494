/**
 * Tests of `lib/commands/doctor/firewall/nft_sets.ts`: keys longer than a register, in intervals that are no prefixes.
 */
import { lookUp } from "../../../../../lib/commands/doctor/firewall/nft_sets.ts";
import type { ListedSet } from "../../../../../ffi/netlink/nftables/nftables_listing.ts";
import { addressBytes } from "../../../../../lib/core/wire/host_address.ts";
import { assertEquals } from "../../../../support/assert.ts";

const TABLE = { family: "ip6", name: "fw" } as const;
const [FROM, TO, BEHIND] = ["2001:db7:ffff::", "2001:db8::5", "2001:db8::6"].map(addressBytes);

function element(key: Uint8Array, { keyEnd = null, isEnd = false }: {
  readonly keyEnd?: Uint8Array | null;
  readonly isEnd?: boolean;
} = {}) {
  return { key, keyEnd, isEnd, isCatchall: false, data: null };
}

function found(
  set: Omit<ListedSet, "table" | "name">,
  key: Uint8Array,
  known = key.length,
): string {
  const bytes = { bytes: key, known: new Uint8Array(key.length).fill(0xff, key.length - known) };
  const { element, possible } = lookUp({ table: TABLE, name: "s", ...set }, bytes);
  return element !== null ? "yes" : possible.length > 0 ? "maybe" : "no";
}

Deno.test("an interval of IPv6 addresses is compared as one number", () => {
  const set = {
    isOfIntervals: true,
    fields: [],
    elements: [element(FROM!), element(BEHIND!, { isEnd: true })],
  };
  for (const [address, expected] of [["2001:db8::2", "yes"], ["2001:db7:ffff::", "yes"]] as const) {
    assertEquals(found(set, addressBytes(address)), expected, address);
  }
  for (const address of ["2001:db8::6", "2001:db7:fffe::9", "2001:db8:1::"]) {
    assertEquals(found(set, addressBytes(address)), "no", address);
  }
  assertEquals(found(set, addressBytes("::"), 0), "maybe");
});

Deno.test("a concatenation is compared field by field, each as one number", () => {
  const key = (address: Uint8Array, port: number) =>
    Uint8Array.of(...address, port >>> 8, port & 0xff, 0, 0);
  const set = {
    isOfIntervals: true,
    fields: [16, 2],
    elements: [element(key(FROM!, 51_000), { keyEnd: key(TO!, 52_000) })],
  };
  const inside = addressBytes("2001:db8::2");
  assertEquals(found(set, key(inside, 51_820)), "yes");
  assertEquals(found(set, key(inside, 53)), "no");
  assertEquals(found(set, key(BEHIND!, 51_820)), "no");
  // Of the address nothing is known.
  assertEquals(found(set, key(new Uint8Array(16), 51_820), 4), "maybe");
  assertEquals(found(set, key(new Uint8Array(16), 53), 4), "no");
});
