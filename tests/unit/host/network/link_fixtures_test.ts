/** Tests of the TUN's fixtures: what the kernel refuses keeps nothing else, and what it makes by and by is not lost. */
import { parsePrefix } from "../../../../ffi/netlink/ip_address.ts";
import { RouteTable, RouteType } from "../../../../ffi/netlink/routes.ts";
import type { Rtnetlink } from "../../../../ffi/netlink/rtnetlink.ts";
import { linkFixtures, settle } from "../../../../lib/host/network/link_fixtures.ts";
import { parseCidr } from "../../../../lib/core/wire/ipv4_text.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";

Deno.test("addresses and routes of IPv4 are put back where the kernel refuses those of IPv6", () => {
  const made: string[] = [];
  const take = (kind: string, address: Uint8Array) => {
    if (address.length === 16) throw new Error(`no ${kind} of IPv6`);
    made.push(kind);
  };
  // A host that has nothing, and takes nothing of IPv6.
  const netlink = {
    addresses: {
      list: () => [],
      replace: (_: number, { address }: { address: Uint8Array }) => take("address", address),
    },
    routes: {
      list: () => [],
      replace: ({ destination }: { destination: { address: Uint8Array } }) =>
        take("route", destination.address),
    },
  } as unknown as Rtnetlink;
  const table = RouteTable.main;
  const fixtures = linkFixtures(netlink, () => ({
    name: "vpn0",
    index: 5,
    addresses: [parseCidr("10.66.77.2/32")!, parseCidr("10.66.78.2/32")!],
    addresses6: ["fd00:77::2/64"],
    mtu: 1420,
    routes: ["::/0", "0.0.0.0/0"].map((text) => ({ destination: parsePrefix(text), table })),
  }));
  const [, , , addresses, , , routes] = fixtures;
  for (
    const [fixture, expected] of [[addresses, ["address", "address"]], [routes, ["route"]]] as const
  ) {
    made.length = 0;
    assertThrows(() => fixture!.putBack(fixture!.missing()), Error, "of IPv6");
    assertEquals(made, [...expected]);
  }
});

/** A host with one IPv6 address of ours, whose local route the kernel makes in its own time. */
function ipv6Host() {
  const host = { hasLocalRoute: false, replaced: 0, now: 0, looks: 0 };
  const netlink = {
    addresses: { list: () => [], delete: () => {}, replace: () => host.replaced++ },
    routes: {
      list: () => {
        host.looks++;
        const destination = { address: parsePrefix("fd00:77::2/128").address, length: 128 };
        return host.hasLocalRoute ? [{ type: RouteType.local, destination }] : [];
      },
    },
  } as unknown as Rtnetlink;
  const state = {
    name: "vpn0",
    index: 5,
    addresses: [],
    addresses6: ["fd00:77::2/64"],
    mtu: 1420,
    routes: [],
  } as const;
  const fixture = linkFixtures(netlink, () => state, () => host.now)[5]!;
  return { host, netlink, state, fixture };
}

Deno.test("a local route of IPv6 that the kernel has yet to make is not lost, but for one that never comes", () => {
  const { host, fixture } = ipv6Host();
  for (const now of [0, 20, 40, 1_000, 4_900]) {
    host.now = now;
    assertEquals(fixture.missing(), []);
  }
  host.now = 5_000;
  fixture.missing();
  assertEquals(fixture.missing(), ["local route of fd00:77::2/64"]);
  fixture.putBack(["local route of fd00:77::2/64"]);
  assertEquals(host.replaced, 1);
  // The kernel makes it again by and by.
  for (const now of [5_020, 5_040, 9_900]) {
    host.now = now;
    assertEquals(fixture.missing(), []);
  }
});

Deno.test("a local route of IPv6 that has been there is lost at a second look", () => {
  const { host, fixture } = ipv6Host();
  host.hasLocalRoute = true;
  assertEquals(fixture.missing(), []);
  host.hasLocalRoute = false;
  assertEquals(fixture.missing(), []);
  assertEquals(fixture.missing(), ["local route of fd00:77::2/64"]);
});

Deno.test("a tunnel takes packets once the kernel has made the local routes of its IPv6 addresses", async () => {
  const { host, netlink, state } = ipv6Host();
  let isDone = false;
  const made = settle(netlink, state).then(() => isDone = true);
  while (host.looks < 3) await new Promise((resolve) => setTimeout(resolve, 1));
  assertEquals(isDone, false);
  host.hasLocalRoute = true;
  await made;
  await settle(netlink, { ...state, addresses6: [] });
});
