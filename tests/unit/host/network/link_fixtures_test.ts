/** Tests of `lib/host/network/link_fixtures.ts`: what the kernel refuses keeps nothing else from being put back. */
import { parsePrefix } from "../../../../ffi/netlink/ip_address.ts";
import { RouteTable } from "../../../../ffi/netlink/routes.ts";
import type { Rtnetlink } from "../../../../ffi/netlink/rtnetlink.ts";
import { linkFixtures } from "../../../../lib/host/network/link_fixtures.ts";
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
