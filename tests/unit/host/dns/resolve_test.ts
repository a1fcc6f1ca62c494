/**
 * Tests of `lib/host/dns/resolve.ts` without a network: what is known without asking, and what is done without an
 * answer.
 */
import { addressesInHosts, resolveAgain } from "../../../../lib/host/dns/resolve.ts";
import type { HostAddress } from "../../../../lib/core/wire/host_address.ts";
import { assertEquals } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";

const HOSTS = `127.0.0.1 localhost # localhost2
# 192.0.2.1 vpn.example
::1 vpn.example
192.0.2.2\tother.example VPN.Example
192.0.2.3 vpn.example
`;
const LAST = [0xc0000207, 0xc0000208];
const OPTIONS = {
  last: LAST,
  mark: 0,
  timeout: 10,
  hasRoute: () => true,
  whileAsking: <Result>(_: readonly HostAddress[], call: () => Promise<Result>) => call(),
};

Deno.test("addressesInHosts() finds the first address of each family of a name or alias, in whatever capitals", () => {
  assertEquals(addressesInHosts(HOSTS, "vpn.example"), ["::1", 0xc0000202]);
  assertEquals(addressesInHosts(HOSTS, "Localhost"), [0x7f000001]);
  assertEquals(addressesInHosts(HOSTS, "localhost2"), []);
  assertEquals(addressesInHosts(HOSTS, "192.0.2.2"), []);
});

Deno.test("resolveAgain() takes an address as it is", async () => {
  const endpoint = { host: "192.0.2.5", address: 0xc0000205, port: 1 };
  const options = { ...OPTIONS, nameServers: ["127.0.0.1"] };
  assertEquals(await resolveAgain(endpoint, options), [0xc0000205]);
});

hostTest("resolveAgain() goes by what is listed on this host", async () => {
  const endpoint = { host: "localhost", address: null, port: 1 };
  const options = { ...OPTIONS, nameServers: [] };
  assertEquals(await resolveAgain(endpoint, options), [0x7f000001]);
});

hostTest("resolveAgain() stays with the last address when nobody answers", async () => {
  const endpoint = { host: "vpn.invalid", address: null, port: 1 };
  // No resolver listens there.
  const options = { ...OPTIONS, nameServers: ["127.255.255.254", "2001:db8::1"], timeout: 100 };
  assertEquals(await resolveAgain(endpoint, options), LAST);
});
