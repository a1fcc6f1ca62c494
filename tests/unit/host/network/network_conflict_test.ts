/** Tests of `lib/host/network/network_conflict.ts`: what is said where the host's networks use the tunnel's numbers. */
import type { Rtnetlink } from "../../../../ffi/netlink/rtnetlink.ts";
import { parsePrefix } from "../../../../ffi/netlink/ip_address.ts";
import { RouteType } from "../../../../ffi/netlink/routes.ts";
import { conflictsOf, NetworkConflict } from "../../../../lib/host/network/network_conflict.ts";
import { parseCidr, parseIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

const NAMES = ["", "vpn0", "eth0"];

/** A host with these routes in its main table, each by the number of its link. */
function host(...routes: readonly (readonly [network: string, link: number])[]) {
  return {
    links: {
      find: (wanted: string | number) => {
        const index = typeof wanted === "number" ? wanted : NAMES.indexOf(wanted);
        return NAMES[index] === undefined ? null : { index, name: NAMES[index] };
      },
    },
    routes: {
      list: () =>
        routes.map(([network, link]) => ({
          link,
          destination: parsePrefix(network),
          type: RouteType.unicast,
        })),
    },
  } as unknown as Rtnetlink;
}

const TUNNEL = {
  config: { interface: { addresses: [parseCidr("10.66.77.2/32")!] } },
  plan: { isFullTunnel: true, inside: [parseIpv4("10.66.77.1")!, parseIpv4("9.9.9.9")!] },
  interfaceName: "vpn0",
};

Deno.test("a LAN with the tunnel's numbers is named, with what of it is reached by the tunnel", () => {
  const [line, ...rest] = conflictsOf(host(["10.66.77.0/24", 2], ["0.0.0.0/0", 2]), TUNNEL);
  assertMatch(
    line!,
    /^the network 10\.66\.77\.0\/24 on eth0 has .* 10\.66\.77\.2, 10\.66\.77\.1: 10\.66\.77\.1 by the tunnel, the rest by eth0;/,
  );
  assertEquals(rest, []);
});

Deno.test("a LAN with the tunnel's own address alone is named, with what to do for the gateway's", () => {
  const tunnel = { ...TUNNEL, plan: { isFullTunnel: true, inside: [] } };
  const [line] = conflictsOf(host(["10.66.0.0/16", 2]), tunnel);
  assertMatch(line!, /10\.66\.77\.2: all of it is reached by eth0: add .* to AllowedIPs/);
});

Deno.test("other networks, the tunnel's own routes and the default route are no conflict", () => {
  const routes = host(["192.168.1.0/24", 2], ["0.0.0.0/0", 2], ["10.66.77.0/24", 1]);
  assertEquals(conflictsOf(routes, TUNNEL), []);
  const split = { ...TUNNEL, plan: { ...TUNNEL.plan, isFullTunnel: false } };
  assertEquals(conflictsOf(host(["10.66.77.0/24", 2]), split), []);
});

Deno.test("a conflict is told of once, and again when the host comes back into that network", () => {
  const told: unknown[] = [];
  let now: readonly string[] = [];
  using conflict = new NetworkConflict({
    ...TUNNEL,
    network: { conflicts: () => now },
    logger: { warn: (_, { conflict }) => told.push(conflict) },
  });
  for (const conflicts of [["a"], ["a"], ["a", "b"], [], ["a"]]) {
    now = conflicts;
    conflict.look();
  }
  assertEquals(told, ["a", "b", "a"]);
});
