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
  plan: {
    isFullTunnel: true,
    inside: [parseIpv4("10.66.77.1")!, parseIpv4("9.9.9.9")!],
    plain: { networks: [] },
  },
  interfaceName: "vpn0",
};

Deno.test("a LAN with the tunnel's numbers is named, with what of it is reached by the tunnel", () => {
  const [line, ...rest] = conflictsOf(host(["10.66.77.0/24", 2], ["0.0.0.0/0", 2]), TUNNEL);
  assertMatch(
    line!,
    /^the network 10\.66\.77\.0\/24 on eth0 contains .* 10\.66\.77\.2, 10\.66\.77\.1: 10\.66\.77\.1 through the tunnel, the rest through eth0;/,
  );
  assertEquals(rest, []);
});

Deno.test("a LAN with the tunnel's own address alone is named, with what to do for the gateway's", () => {
  const tunnel = { ...TUNNEL, plan: { ...TUNNEL.plan, inside: [] } };
  const [line] = conflictsOf(host(["10.66.0.0/16", 2]), tunnel);
  assertMatch(line!, /10\.66\.77\.2: all of it is reached through eth0: add .* to AllowedIPs/);
});

Deno.test("other networks, the tunnel's own routes and the default route are no conflict", () => {
  const routes = host(["192.168.1.0/24", 2], ["0.0.0.0/0", 2], ["10.66.77.0/24", 1]);
  assertEquals(conflictsOf(routes, TUNNEL), []);
});

/** What of a tunnel that is no full one is named. */
function conflictsOfSplit(
  route: string,
  { address, networks, inside = [] }: {
    readonly address: string;
    readonly networks: readonly string[];
    readonly inside?: readonly string[];
  },
): string[] {
  return conflictsOf(host([route, 2]), {
    config: { interface: { addresses: [parseCidr(address)!] } },
    plan: {
      isFullTunnel: false,
      inside: inside.map((each) => parseIpv4(each)!),
      plain: { networks: networks.map((each) => parseCidr(each)!) },
    },
    interfaceName: "vpn0",
  });
}

Deno.test("a network that takes a split tunnel's own numbers, or a gateway's, is named", () => {
  for (
    const [address, networks] of [
      ["10.66.77.2/32", ["10.66.77.0/24"]],
      ["10.66.77.2/32", ["10.0.0.0/8"]],
      ["10.66.77.1/24", []],
    ] as const
  ) {
    const [line] = conflictsOfSplit("10.66.77.0/24", { address, networks });
    assertMatch(
      line!,
      /^the network 10\.66\.77\.0\/24 on eth0 .*, and none of it through the tunnel;/,
    );
  }
  const [line] = conflictsOfSplit("10.66.77.0/25", {
    address: "10.66.77.200/32",
    networks: ["10.66.77.0/24"],
    inside: ["10.66.77.1"],
  });
  assertMatch(
    line!,
    /^the network 10\.66\.77\.0\/25 on eth0 .* 10\.66\.77\.1 through the tunnel, the rest/,
  );
});

Deno.test("a network of which the tunnel's routes are the more exact ones, or without its numbers, is no conflict", () => {
  const split = { address: "10.66.77.2/32", networks: ["10.66.77.0/24"] };
  assertEquals(conflictsOfSplit("10.66.0.0/16", split), []);
  assertEquals(conflictsOfSplit("10.66.78.0/24", split), []);
  // A home within what a company's tunnel leads to.
  const company = { address: "10.200.0.5/32", networks: ["10.0.0.0/8", "192.168.0.0/16"] };
  assertEquals(conflictsOfSplit("10.1.2.0/24", company), []);
  assertEquals(conflictsOfSplit("192.168.1.0/24", company), []);
  // Nothing in the network of its own address goes by the tunnel.
  const other = { address: "10.66.77.2/32", networks: ["192.168.5.0/24"] };
  assertEquals(conflictsOfSplit("10.66.77.0/24", other), []);
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
