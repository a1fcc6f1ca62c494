/** Tests of lib/host/dns/nat64.ts: when a translator is asked for, and what becomes of its prefix. */
import type { HostAddress } from "../../../../lib/core/wire/host_address.ts";
import { withNat64 } from "../../../../lib/host/dns/nat64.ts";
import { assertEquals } from "../../../support/assert.ts";

const SERVER = 0xc0000221;
const MADE = ["64:ff9b::c000:aa", "64:ff9b::c000:ab"];
const ONLY_IPV6 = (address: HostAddress) => typeof address === "string";

/** The addresses that are tried, and the names that were asked for. */
async function tried(
  addresses: readonly HostAddress[],
  hasRoute: (address: HostAddress) => boolean,
  answer: readonly HostAddress[] = MADE,
): Promise<[readonly HostAddress[], string[]]> {
  const asked: string[] = [];
  const lookUp = (name: string) => {
    asked.push(name);
    return Promise.resolve(answer);
  };
  return [await withNat64(addresses, { hasRoute, lookUp }), asked];
}

Deno.test("a server with IPv4 alone is reached by NAT64 from a host with IPv6 alone (RFC 7050)", async () => {
  const [addresses, asked] = await tried([SERVER], ONLY_IPV6);
  assertEquals(addresses, ["64:ff9b::c000:221", SERVER]);
  assertEquals(asked, ["ipv4only.arpa"]);
});

Deno.test("nobody is asked for a translator where an address is reached without, or nothing is", async () => {
  assertEquals(await tried([SERVER], () => true), [[SERVER], []]);
  assertEquals(await tried([SERVER], () => false), [[SERVER], []]);
  assertEquals(await tried(["2001:db8::1", SERVER], ONLY_IPV6), [["2001:db8::1", SERVER], []]);
});

Deno.test("where there is no translator, the addresses stay as they are", async () => {
  assertEquals((await tried([SERVER], ONLY_IPV6, []))[0], [SERVER]);
  assertEquals((await tried([SERVER], ONLY_IPV6, [0xc00000aa]))[0], [SERVER]);
});
