/** Tests of `lib/host/network/neighbour_claims.ts`: nobody's address is answered for but a client's. */
import type { Neighbour } from "../../../../ffi/netlink/neighbours.ts";
import { formatIp, parseIp, parsePrefix } from "../../../../ffi/netlink/ip_address.ts";
import { type Route, RouteType } from "../../../../ffi/netlink/routes.ts";
import { NeighbourClaims } from "../../../../lib/host/network/neighbour_claims.ts";
import { assertEquals } from "../../../support/assert.ts";
import { FakeTimers } from "../../../support/time/fake_timers.ts";

const LINK = { name: "eth0", link: 2 };
const [A, B, ROUTER, OWN, ANYCAST] = [1, 2, 3, 4, 5].map((i) => `2001:db8::${i}`) as [
  ...[string, string, string, string, string],
];

/** A gateway's link with hosts on it. */
class Stage implements Disposable {
  readonly timers = new FakeTimers();
  readonly warnings: string[] = [];
  readonly asked: string[] = [];
  /** Those who answer. */
  readonly hosts = new Set<string>();
  changes = 0;
  readonly claims = new NeighbourClaims({
    host: {
      neighbours: {
        use: ({ address }) => void this.asked.push(formatIp(address)),
        find: ({ address }) =>
          ({
            hardwareAddress: this.hosts.has(formatIp(address))
              ? Uint8Array.of(2, 0, 0, 0, 0, 9)
              : null,
          }) as unknown as Neighbour,
      },
      routes: {
        list: () => [
          route("::/0", { gateway: ROUTER }),
          route(`${OWN}/128`, { type: RouteType.local, link: 1 }),
          route(`${ANYCAST}/128`, { type: RouteType.anycast }),
          // Of another link, and of a network.
          route("2001:db8:7::/64", { gateway: A, link: 3 }),
          route(`${B}/64`, {}),
        ],
      },
    },
    logger: {
      warn: (_: string, { address, owner }: Record<string, unknown>) =>
        void this.warnings.push(`${address}: ${owner}`),
    } as never,
    onChange: () => this.changes++,
  });

  [Symbol.dispose](): void {
    this.claims[Symbol.dispose]();
    this.timers[Symbol.dispose]();
  }
}

function route(
  destination: string,
  { gateway = null, type = RouteType.unicast, link = LINK.link }: {
    readonly gateway?: string | null;
    readonly type?: number;
    readonly link?: number;
  },
): Route {
  return {
    destination: parsePrefix(destination),
    type,
    link,
    gateway: gateway === null ? null : parseIp(gateway),
  } as Route;
}

Deno.test("an address is free once nobody on the link has answered for a second", async () => {
  using stage = new Stage();
  stage.claims.want(LINK, [A, B]);
  await stage.timers.advance(999);
  assertEquals([stage.asked, stage.claims.free, stage.changes], [[A, B], [], 0]);
  await stage.timers.advance(1);
  assertEquals([stage.claims.free, stage.changes, stage.warnings], [[A, B], 1, []]);
  assertEquals(stage.timers.size, 0);
});

Deno.test("an address that a host there has is not free, is told of once, and is free when that has gone", async () => {
  using stage = new Stage();
  stage.hosts.add(B);
  stage.claims.want(LINK, [A, B]);
  await stage.timers.advance(60_000);
  assertEquals(stage.claims.free, [A]);
  assertEquals(stage.warnings, [`${B}: a host there (02:00:00:00:00:09)`]);
  stage.hosts.clear();
  await stage.timers.advance(11_000);
  assertEquals([stage.claims.free, stage.warnings.length], [[A, B], 1]);
});

Deno.test("this host's addresses and its routers' are never free, also where all are silent", async () => {
  using stage = new Stage();
  stage.claims.want(LINK, [ROUTER, OWN, ANYCAST, A]);
  await stage.timers.advance(60_000);
  assertEquals([stage.claims.free, stage.asked], [[A], [A]]);
  assertEquals(stage.warnings, [
    `${ROUTER}: a router`,
    `${OWN}: this host`,
    `${ANYCAST}: this host`,
  ]);
});

Deno.test("more addresses are asked for by and by, those that are known no more", async () => {
  using stage = new Stage();
  const many = Array.from({ length: 150 }, (_, i) => `2001:db8:1::${(i + 1).toString(16)}`);
  stage.claims.want(LINK, many);
  assertEquals(stage.asked.length, 64);
  await stage.timers.advance(3_000);
  assertEquals([stage.asked.length, stage.claims.free.length], [150, 150]);
  stage.claims.want(LINK, [...many, A]);
  assertEquals(stage.asked.slice(150), [A]);
});

Deno.test("what is wanted no more is forgotten, and on another link all are asked for again", async () => {
  using stage = new Stage();
  stage.claims.want(LINK, [A, B]);
  await stage.timers.advance(1_000);
  stage.claims.want(LINK, [B]);
  assertEquals(stage.claims.free, [B]);
  stage.claims.want({ name: "eth1", link: 3 }, [B]);
  assertEquals(stage.claims.free, []);
  await stage.timers.advance(1_000);
  assertEquals([stage.claims.free, stage.asked], [[B], [A, B, B]]);
  stage.claims.want(null, [B]);
  assertEquals([stage.claims.free, stage.timers.size], [[], 0]);
});
