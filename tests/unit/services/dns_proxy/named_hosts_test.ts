/** Tests of lib/services/dns_proxy/named_hosts.ts, with a resolver that answers from a table. */
import {
  LOOK_PAUSE,
  type NamedAddresses,
  NamedHosts,
} from "../../../../lib/services/dns_proxy/named_hosts.ts";
import { assertEquals } from "../../../support/assert.ts";
import { addressData, buildAnswer, buildQuery, questionOf } from "../../../support/dns/messages.ts";
import { FakeTimers } from "../../../support/time/fake_timers.ts";

const GIT = "git.example.org";
const TYPE_AAAA = 28;

class Site implements Disposable {
  readonly timers = new FakeTimers();
  /** Addresses by name; a name that is not there has no answer. */
  readonly table: Record<string, string[]> = { [GIT]: ["198.51.100.7"] };
  readonly asked: string[] = [];
  readonly told: Record<string, NamedAddresses>[] = [];
  readonly hosts: NamedHosts;
  now = 0;
  /** Resolves when rules go by what was told. */
  holds: Promise<void> = Promise.resolve();

  constructor({ hasIpv6 = false, domains = [] }: { hasIpv6?: boolean; domains?: string[] } = {}) {
    this.hosts = new NamedHosts({
      ask: (query) => {
        const { name, type } = questionOf(query);
        this.asked.push(`${name} ${type}`);
        return Promise.resolve(type === TYPE_AAAA ? null : this.answer(name));
      },
      hasIpv6,
      onChange: (hosts) => {
        this.told.push(Object.fromEntries(hosts));
        return this.holds;
      },
      now: () => this.now,
    }, domains);
  }

  answer(name: string, flags?: number): Uint8Array | null {
    const addresses = this.table[name.toLowerCase()];
    if (addresses === undefined) return null;
    const answers = addresses.map((address) => ({ data: addressData(address) }));
    return buildAnswer(buildQuery({ name }), { answers, ...flags !== undefined && { flags } });
  }

  async pass(ms: number): Promise<void> {
    this.now += ms;
    await this.timers.advance(ms);
  }

  [Symbol.dispose](): void {
    this.hosts[Symbol.dispose]();
    this.timers[Symbol.dispose]();
  }
}

Deno.test("the addresses of a host are asked for when a rule names it, in both families where clients have both, and again", async () => {
  using site = new Site({ hasIpv6: true });
  await site.hosts.follow(new Set([GIT]));
  assertEquals(site.asked.splice(0), [`${GIT} 1`, `${GIT} 28`]);
  assertEquals(site.told.splice(0), [{ [GIT]: { addresses: [0xc6336407], isOwn: false } }]);
  site.table[GIT] = ["198.51.100.8"];
  await site.pass(900_000 + LOOK_PAUSE);
  assertEquals(site.asked.splice(0), [`${GIT} 1`, `${GIT} 28`]);
  assertEquals(site.told.at(-1)![GIT]!.addresses, [0xc6336407, 0xc6336408]);
  await site.hosts.follow(new Set());
  assertEquals(site.timers.size, 0);
});

Deno.test("a client's answer waits until rules have its addresses, in whatever letters it asked", async () => {
  using site = new Site();
  await site.hosts.follow(new Set([GIT]));
  site.table[GIT] = ["198.51.100.9"];
  const { promise, resolve } = Promise.withResolvers<void>();
  site.holds = promise;
  let isDone = false;
  const learnt = site.hosts.learn(site.answer("GIT.example.ORG")!).then(() => isDone = true);
  await site.timers.advance(0);
  assertEquals([isDone, site.told.length], [false, 2]);
  resolve();
  await learnt;
  site.holds = new Promise(() => {});
  // Nothing is new in it.
  await site.hosts.learn(site.answer(GIT)!);
  assertEquals(site.told.length, 2);
});

Deno.test("nothing is learnt of a query, a failure, another name, or what is no message", async () => {
  using site = new Site();
  await site.hosts.follow(new Set([GIT]));
  site.told.length = 0;
  site.table[GIT] = site.table["www.example.org"] = ["198.51.100.9"];
  for (
    const message of [
      site.answer(GIT, 0x0100)!,
      site.answer(GIT, 0x8183)!,
      site.answer("www.example.org")!,
      site.answer(GIT)!.subarray(0, 20),
      new Uint8Array(),
    ]
  ) await site.hosts.learn(message);
  assertEquals(site.told, []);
});

Deno.test("a host is our own where a resolver of ours, by DnsRoute, has its domain", async () => {
  using site = new Site({ domains: ["corp.example"] });
  Object.assign(site.table, {
    "wiki.corp.example": ["10.20.1.5"],
    "evilcorp.example": ["10.20.1.5"],
  });
  const isOwn = () => Object.values(site.told.at(-1)!).map(({ isOwn }) => isOwn);
  await site.hosts.follow(new Set(["wiki.corp.example", "evilcorp.example"]));
  assertEquals(isOwn(), [true, false]);
  await site.hosts.setRoutes([]);
  assertEquals(isOwn(), [false, false]);
});

Deno.test("a host that nobody answers for is asked for each minute, and keeps no other waiting", async () => {
  using site = new Site();
  const names = Array.from({ length: 20 }, (_, i) => `h${i}.example.org`);
  await site.hosts.follow(new Set([...names, GIT]));
  assertEquals([site.asked.length, site.told.length], [21, 1]);
  await site.pass(60_000 + LOOK_PAUSE);
  assertEquals(site.asked.length > 40, true);
});
