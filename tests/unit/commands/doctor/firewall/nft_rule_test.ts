/**
 * Tests of `lib/commands/doctor/firewall/nft_rule.ts`: what expressions of nftables hold for a packet of which little
 * is known.
 */
import { assertEquals } from "../../../../support/assert.ts";
import { fate, firewall, type Name } from "../../../../support/doctor/recorded.ts";

const FATES: Readonly<Partial<Record<Name, string>>> = {
  "a meter beyond which is dropped": "accepted",
  "a meter up to which is accepted": "accepted",
  "connections of a source beyond which is rejected": "accepted",
  "a set that fills, and accepts": "accepted",
  "a named limit beyond which is dropped": "accepted",
  "a named limit up to which is accepted": "accepted",
  "broadcasts alone are dropped": "accepted",
  "sources of no host are dropped": "accepted",
  "another destination than this host is dropped": "accepted",
  "the way back": "accepted",
  "invalid packets are dropped": "accepted",
  "invalid packets are dropped too early": "dropped",
  "an untracked port where new connections come in": "dropped",
  "an untracked port where untracked packets come in": "accepted",
  "notrack behind connection tracking": "accepted",
  "the direction of a connection": "accepted",
  "packets without a helper": "dropped",
  "a segment size that is set": "accepted",
  "IPsec alone": "dropped",
};

for (const [name, expected] of Object.entries(FATES)) {
  Deno.test(`what comes to the port is ${expected} by rules of nftables: ${name}`, () => {
    assertEquals(fate(firewall(name as Name)), expected);
  });
}
