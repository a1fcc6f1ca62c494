/** Tests of lib/core/dns/host_addresses.ts. */
import { HostAddresses, KEPT_FOR, MAX_ADDRESSES } from "../../../../lib/core/dns/host_addresses.ts";
import { assertEquals } from "../../../support/assert.ts";

const GIT = "git.example.org";

function watching(...names: string[]): HostAddresses {
  const hosts = new HostAddresses();
  hosts.watch(new Set(names));
  return hosts;
}

function known(hosts: HostAddresses): Record<string, unknown> {
  return Object.fromEntries(hosts.known);
}

Deno.test("addresses of all answers count, each for an hour after the last answer that had it", () => {
  const hosts = watching(GIT);
  assertEquals(hosts.learn(GIT, { addresses: [1, 2], timeToLive: 60 }, 0), true);
  assertEquals(hosts.learn(GIT, { addresses: [2], timeToLive: 60 }, 1000), false);
  assertEquals(hosts.learn(GIT, { addresses: ["2001:db8::3"], timeToLive: 60 }, 2000), true);
  assertEquals(known(hosts), { [GIT]: [1, 2, "2001:db8::3"] });
  assertEquals(hosts.expire(KEPT_FOR - 1), false);
  assertEquals(hosts.expire(KEPT_FOR), true);
  assertEquals(known(hosts), { [GIT]: [2, "2001:db8::3"] });
  assertEquals(hosts.expire(KEPT_FOR + 2000), true);
  assertEquals(known(hosts), { [GIT]: [] });
});

Deno.test("a name keeps its last addresses, and of those a bounded number, whatever it is answered", () => {
  const hosts = watching(GIT);
  hosts.learn(GIT, { addresses: [1], timeToLive: 0 }, 0);
  assertEquals(hosts.learn(GIT, { addresses: [], timeToLive: 0 }, 1), false);
  assertEquals(known(hosts), { [GIT]: [1] });
  const many = Array.from({ length: 10 * MAX_ADDRESSES }, (_, i) => i + 2);
  hosts.learn(GIT, { addresses: many, timeToLive: 0 }, 2);
  assertEquals(hosts.known.get(GIT)!.length, MAX_ADDRESSES);
  hosts.learn(GIT, { addresses: [1_000_000], timeToLive: 0 }, 3);
  assertEquals(hosts.known.get(GIT)!.length, MAX_ADDRESSES);
  assertEquals(hosts.known.get(GIT)!.at(-1), 1_000_000);
});

Deno.test("nothing is learnt of names that are not watched, nor kept of those that are no longer", () => {
  const hosts = watching(GIT, "b.example");
  assertEquals(hosts.isUsed, true);
  assertEquals(hosts.learn("c.example", { addresses: [1], timeToLive: 60 }, 0), false);
  hosts.learn(GIT, { addresses: [1], timeToLive: 60 }, 0);
  hosts.watch(new Set([GIT]));
  assertEquals(known(hosts), { [GIT]: [1] });
  hosts.watch(new Set());
  assertEquals([known(hosts), hosts.isUsed], [{}, false]);
});

Deno.test("a name is asked for at once, each minute until it has an answer, then by its time to live within bounds", () => {
  const hosts = watching(GIT);
  assertEquals(hosts.takeDue(0), [GIT]);
  assertEquals(hosts.takeDue(59_999), []);
  assertEquals(hosts.takeDue(60_000), [GIT]);
  for (const [timeToLive, pause] of [[1, 60_000], [300, 300_000], [86_400, 900_000]] as const) {
    const now = timeToLive * 10_000_000;
    hosts.learn(GIT, { addresses: [1], timeToLive }, now);
    assertEquals([hosts.takeDue(now + pause - 1), hosts.takeDue(now + pause)], [[], [GIT]]);
  }
});
