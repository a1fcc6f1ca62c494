/** Tests of `lib/commands/doctor/egress6_checks.ts`: what is said of a gateway's way to the IPv6 internet. */
import {
  type Egress6Facts,
  type Forwarding6Facts,
  judgeEgress6,
  judgeForwarding6,
} from "../../../../lib/commands/doctor/egress6_checks.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";

const GOOD: Egress6Facts = {
  kind: "nat",
  external: { name: "eth0", link: 2, address: "2001:db8:1::1", linkHeaderSize: 14, mtu: 1500 },
  hasRoute: true,
  deaf: [],
  place: "server.conf:4",
  command: (text) => `\`${text}\``,
};

Deno.test("a gateway with an IPv6 route and an address is well, and is told by which it sends", () => {
  assertEquals(judgeEgress6(GOOD).status, "ok");
  assertMatch(judgeEgress6(GOOD).why, /through eth0 with source 2001:db8:1::1$/);
  assertMatch(judgeEgress6({ ...GOOD, kind: "routed" }).why, /with source their own$/);
});

Deno.test("no IPv6 route, no IPv6 address, and a host that listens to no router are told apart", () => {
  const verdict = (facts: Partial<Egress6Facts>) => {
    const { status, why, remedy } = judgeEgress6({ ...GOOD, external: null, ...facts });
    assertEquals(status, "warn");
    return [why, remedy!];
  };
  const [noAddress, giveOne] = verdict({});
  assertMatch(noAddress!, /no address there but the tunnel's: IPv6 packets .* are refused$/);
  assertMatch(giveOne!, /^give the uplink an IPv6 address, or Egress6 = routed \(server\.conf:4\)/);
  const [noRoute, addOne] = verdict({ hasRoute: false });
  assertMatch(noRoute!, /^no route of this host leads to the IPv6 internet/);
  assertMatch(addOne!, /^`ip -6 route add default via ROUTER dev DEVICE`, or Egress6 = off/);
  const [isDeaf, listen] = verdict({ hasRoute: false, deaf: ["eth0", "eth1"] });
  assertMatch(isDeaf!, /it takes none that a router advertises on eth0, eth1/);
  assertEquals(
    listen,
    "`sysctl -w net.ipv6.conf.eth0.accept_ra=2` and `sysctl -w net.ipv6.conf.eth1.accept_ra=2`",
  );
  // There is a route, by another interface than EgressInterface.
  assertMatch(verdict({ kind: "routed", deaf: ["eth0"] })[0]!, /^no route of this host leads/);
});

Deno.test("a kernel that forwards no IPv6, and may not be told to, is a fault where the file asks for it", () => {
  const facts: Forwarding6Facts = {
    isOn: false,
    isRunning: false,
    isWritable: true,
    hasNftables: true,
    isAsked: false,
  };
  const status = (more: Partial<Forwarding6Facts>) =>
    judgeForwarding6({ ...facts, ...more }).status;
  assertEquals([status({}), status({ isOn: true, isWritable: false })], ["ok", "ok"]);
  for (const bad of [{ isWritable: false }, { isRunning: true }, { hasNftables: false }]) {
    assertEquals([status(bad), status({ ...bad, isAsked: true })], ["warn", "fail"]);
  }
});
