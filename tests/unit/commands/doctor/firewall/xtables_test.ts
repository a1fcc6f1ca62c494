/**
 * Tests of `lib/commands/doctor/firewall/xtables.ts`: what matches and targets of iptables do, as its translation keeps
 * them.
 */
import { assertEquals } from "../../../../support/assert.ts";
import { fate, firewall, type Name, sent } from "../../../../support/doctor/recorded.ts";

const FATES: Readonly<Partial<Record<Name, string>>> = {
  "hashlimit beyond which is dropped": "accepted",
  "hashlimit up to which is accepted": "accepted",
  "connlimit beyond which is dropped": "accepted",
  "connlimit up to which is accepted": "accepted",
  "recent that notes and accepts": "accepted",
  "recent that drops whom it knows": "accepted",
  "recent that drops whom it does not know": "dropped",
  "all but a range of addresses": "dropped",
  "all but one Ethernet address": "dropped",
  "types of addresses": "accepted",
  "types of packets": "accepted",
  "the mark of a connection": "accepted",
  "a mark of an earlier table": "dropped",
  "an untracked port in iptables": "dropped",
  "rpfilter": "accepted",
  "a state by its old name": "accepted",
  "a state in one direction": "accepted",
  "a state or a status": "dropped",
  "no IPsec": "accepted",
};

for (const [name, expected] of Object.entries(FATES)) {
  Deno.test(`what comes to the port is ${expected} by matches of iptables: ${name}`, () => {
    assertEquals(fate(firewall(name as Name)), expected);
  });
}

Deno.test("what this host sends is the work of root", () => {
  assertEquals(fate(firewall("output of root alone"), sent(), "out"), "accepted");
});
