/** Tests of lib/core/routing/router.ts: each verdict, in the order in which they are reached. */
import { Router, type RouterOptions } from "../../../../lib/core/routing/router.ts";
import { RoutingVerdict } from "../../../../lib/core/routing/routing_verdict.ts";
import { AllowedIps } from "../../../../lib/core/wireguard/allowed_ips.ts";
import type { Peer } from "../../../../lib/core/wireguard/peer.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { AllowedIps6 } from "../../../../lib/core/wireguard/allowed_ips6.ts";
import { buildUdp6 } from "../../../support/packets/packet_builder6.ts";
import { parseCidr } from "../../../../lib/core/wire/ipv4_text.ts";
import { assertEquals } from "../../../support/assert.ts";
import { ipv4 } from "../../../support/packets/simulated_device.ts";
import { stubPeer } from "../../../support/wireguard/peer_stub.ts";

const ALICE = stubPeer(null, 1);
const BOB = stubPeer(null, 2);

function gateway(options: Partial<RouterOptions> = {}): Router {
  const allowedIps = new AllowedIps<Peer>();
  allowedIps.insert(ipv4("10.66.77.2"), 32, ALICE);
  allowedIps.insert(ipv4("10.66.77.3"), 32, BOB);
  allowedIps.insert(ipv4("192.168.50.0"), 24, BOB);
  return new Router({
    allowedIps,
    isGateway: true,
    addresses: [parseCidr("10.66.77.1/24")!],
    clientToClient: true,
    egress: "nat",
    egressRules: [{ ...parseCidr("172.31.0.0/16")!, verdict: "private" }],
    ...options,
  });
}

/** The verdict on a packet from Alice. */
function fromAlice(router: Router, destination: string): number {
  return router.fromPeer(ALICE, ipv4(destination));
}

const dropped = (reason: DropReason): number => -reason;
const { host: HOST, outside: OUTSIDE } = RoutingVerdict;

Deno.test("fromHost() finds the peer by the longest prefix, or none", () => {
  const router = gateway();
  assertEquals(router.fromHost(ipv4("10.66.77.2")), ALICE);
  assertEquals(router.fromHost(ipv4("192.168.50.200")), BOB);
  for (const nobody of ["10.66.77.4", "10.66.77.255", "8.8.8.8"]) {
    assertEquals(router.fromHost(ipv4(nobody)), null);
  }
});

Deno.test("fromPeer() hands a client all that it receives", () => {
  const router = gateway({ isGateway: false, egress: "off" });
  for (const destination of ["10.66.77.2", "10.66.77.3", "8.8.8.8", "172.31.0.1"]) {
    assertEquals(fromAlice(router, destination), HOST);
  }
});

Deno.test("fromPeer() hands a client all of IPv6 that it receives", () => {
  const allowedIps6 = new AllowedIps6<Peer>();
  allowedIps6.insert("::/0", ALICE);
  const options = { isGateway: false, egress: "off", allowedIps6 } as const;
  const router = gateway({ ...options, addresses6: ["fd00:77::2/64"] }).ipv6!;
  for (const destination of ["fd00:77::2", "fd00:77::9", "2001:db8::9"]) {
    const view = new DataView(buildUdp6({ source: "fd00:77::1", destination }).buffer);
    for (let i = 0; i < 2; i++) assertEquals(router.fromPeer(ALICE, view, 0), HOST);
  }
});

Deno.test("fromPeer() keeps the gateway's own address, though a peer's allowed IPs cover it", () => {
  const allowedIps = new AllowedIps<Peer>();
  allowedIps.insert(0, 0, BOB);
  allowedIps.insert(ipv4("10.66.77.1"), 32, BOB);
  assertEquals(fromAlice(gateway({ allowedIps }), "10.66.77.1"), HOST);
});

Deno.test("fromPeer() knows each of several addresses of the gateway", () => {
  const addresses = [parseCidr("10.66.77.1/24")!, parseCidr("10.99.0.1/16")!];
  const router = gateway({ addresses });
  assertEquals(fromAlice(router, "10.99.0.1"), HOST);
  assertEquals(fromAlice(router, "10.99.200.1"), dropped(DropReason.noRoute));
});

Deno.test("fromPeer() forwards to another peer where clients may reach each other", () => {
  const router = gateway();
  assertEquals(fromAlice(router, "10.66.77.3"), BOB.index);
  assertEquals(
    fromAlice(gateway({ clientToClient: false }), "10.66.77.3"),
    dropped(DropReason.clientToClientOff),
  );
});

Deno.test("fromPeer() follows a change of whether one client may reach another", () => {
  const router = gateway();
  router.setClientToClient(false);
  assertEquals(fromAlice(router, "10.66.77.3"), dropped(DropReason.clientToClientOff));
  router.setClientToClient(true);
  assertEquals(fromAlice(router, "10.66.77.3"), BOB.index);
});

Deno.test("fromPeer() sends nothing back to where it came from", () => {
  assertEquals(fromAlice(gateway(), "10.66.77.2"), dropped(DropReason.noRoute));
});

Deno.test("fromPeer() lets nothing of the VPN's own network out", () => {
  for (const nobody of ["10.66.77.4", "10.66.77.0", "10.66.77.255"]) {
    assertEquals(fromAlice(gateway(), nobody), dropped(DropReason.noRoute));
  }
});

Deno.test("fromPeer() judges by the longest prefix of the egress rules", () => {
  const router = gateway({
    egressRules: [
      { ...parseCidr("10.0.0.0/8")!, verdict: "denied" },
      { ...parseCidr("10.20.0.0/16")!, verdict: "host" },
      { ...parseCidr("10.20.30.0/24")!, verdict: "pass" },
      { ...parseCidr("10.20.30.255/32")!, verdict: "private" },
    ],
  });
  assertEquals(fromAlice(router, "10.1.2.3"), dropped(DropReason.egressDenied));
  assertEquals(fromAlice(router, "10.20.1.1"), HOST);
  assertEquals(fromAlice(router, "10.20.30.1"), OUTSIDE);
  assertEquals(fromAlice(router, "10.20.30.255"), dropped(DropReason.privateDestination));
  assertEquals(fromAlice(router, "11.0.0.1"), OUTSIDE);
  router.setEgressRules([{ ...parseCidr("0.0.0.0/0")!, verdict: "denied" }]);
  assertEquals(fromAlice(router, "10.20.30.1"), dropped(DropReason.egressDenied));
  // Peers and the gateway itself are no matter of the egress.
  assertEquals(fromAlice(router, "10.66.77.3"), BOB.index);
  assertEquals(fromAlice(router, "10.66.77.1"), HOST);
  router.setEgressRules([]);
  assertEquals(fromAlice(router, "10.20.30.1"), OUTSIDE);
});

Deno.test("fromPeer() sees at once whose an address has become that was nobody's in the packet before", () => {
  const allowedIps = new AllowedIps<Peer>();
  const router = gateway({ allowedIps });
  for (const address of ["8.8.8.8", "203.0.113.9"]) {
    const judge = () => router.fromPeer(ALICE, ipv4(address) | 0);
    assertEquals([judge(), judge()], [OUTSIDE, OUTSIDE]);
    allowedIps.insert(ipv4(address), 32, BOB);
    assertEquals([judge(), judge()], [BOB.index, BOB.index]);
    allowedIps.insert(ipv4(address), 32, ALICE);
    assertEquals(judge(), dropped(DropReason.noRoute));
    allowedIps.removeByValue(ALICE);
    assertEquals([judge(), judge()], [OUTSIDE, OUTSIDE]);
    router.setEgressRules([{ ...parseCidr(`${address}/32`)!, verdict: "host" }]);
    assertEquals([judge(), judge()], [HOST, HOST]);
    // The addresses of the gateway itself and of other peers, between two packets of the same destination.
    assertEquals(router.fromPeer(ALICE, ipv4("10.66.77.1") | 0), HOST);
    assertEquals(router.fromPeer(ALICE, ipv4("10.66.77.9") | 0), dropped(DropReason.noRoute));
    router.setEgressRules([]);
    assertEquals([judge(), judge()], [OUTSIDE, OUTSIDE]);
  }
});

Deno.test("fromPeer() keeps the gateway's private networks from peers", () => {
  for (const egress of ["nat", "kernel"] as const) {
    const router = gateway({ egress });
    assertEquals(fromAlice(router, "172.31.255.1"), dropped(DropReason.privateDestination));
    assertEquals(fromAlice(router, "172.30.255.1") >= 0, true);
  }
});

Deno.test("fromPeer() sends the rest outside as the egress has it", () => {
  assertEquals(fromAlice(gateway({ egress: "nat" }), "8.8.8.8"), OUTSIDE);
  assertEquals(fromAlice(gateway({ egress: "kernel" }), "8.8.8.8"), HOST);
  assertEquals(fromAlice(gateway({ egress: "off" }), "8.8.8.8"), dropped(DropReason.noEgress));
});

Deno.test("fromPeer() compares networks at and above 128.0.0.0 as unsigned numbers", () => {
  const router = gateway({
    addresses: [parseCidr("203.0.113.1/24")!],
    egressRules: [{ ...parseCidr("192.168.0.0/16")!, verdict: "private" }],
  });
  assertEquals(fromAlice(router, "203.0.113.1"), HOST);
  assertEquals(fromAlice(router, "203.0.113.9"), dropped(DropReason.noRoute));
  assertEquals(fromAlice(router, "192.168.1.1"), dropped(DropReason.privateDestination));
});

Deno.test("isInside() knows the peers' networks and the gateway's own", () => {
  const router = gateway();
  for (const inside of ["10.66.77.1", "10.66.77.2", "10.66.77.99", "192.168.50.7"]) {
    assertEquals([router.isInside(ipv4(inside)), router.isInside(ipv4(inside) | 0)], [true, true]);
  }
  for (const outside of ["10.66.78.1", "172.31.0.1", "192.168.51.7", "203.0.113.9"]) {
    assertEquals(router.isInside(ipv4(outside) | 0), false);
  }
});

Deno.test("of IPv6, what the rules let pass is the host's to forward, and without rules nothing is", () => {
  const allowedIps6 = new AllowedIps6<Peer>();
  allowedIps6.insert("fd00:77::2/128", ALICE);
  const router = gateway({ addresses6: ["fd00:77::1/64"], allowedIps6, egressRules: [] }).ipv6!;
  const verdicts = () =>
    ["2600::9", "2001:db8:1::9", "fd00:9::9", "fd00:77::9", "fd00:77::1"].map((destination) => {
      const packet = buildUdp6({ source: "fd00:77::2", destination });
      return router.fromPeer(ALICE, new DataView(packet.buffer), 0);
    });
  const inside = [dropped(DropReason.noRoute), HOST];
  assertEquals(verdicts(), [...Array(3).fill(dropped(DropReason.noEgress)), ...inside]);
  router.setEgressRules([
    { address: "::", prefixLength: 0, verdict: "pass" },
    { address: "2001:db8:1::", prefixLength: 64, verdict: "private" },
    { address: "fd00::", prefixLength: 8, verdict: "denied" },
    { ...parseCidr("0.0.0.0/0")!, verdict: "nowhere" },
  ]);
  const outside = [HOST, dropped(DropReason.privateDestination), dropped(DropReason.egressDenied)];
  assertEquals(verdicts(), [...outside, ...inside]);
});

Deno.test("of IPv6, too, it is seen at once whose an address has become", () => {
  const allowedIps6 = new AllowedIps6<Peer>();
  const router = gateway({ addresses6: ["fd00:77::1/64"], allowedIps6, isTranslated6: true }).ipv6!;
  const judge = (destination: string) => {
    const packet = buildUdp6({ source: "fd00:77::2", destination });
    return router.fromPeer(ALICE, new DataView(packet.buffer), 0);
  };
  const everywhere = [{ address: "::", prefixLength: 0, verdict: "pass" }] as const;
  const address = "2001:db8:9::9";
  const twice = () => [judge(address), judge(address)];
  const noEgress = dropped(DropReason.noEgress);
  assertEquals(twice(), [noEgress, noEgress]);
  router.setEgressRules(everywhere);
  assertEquals(twice(), [OUTSIDE, OUTSIDE]);
  allowedIps6.insert(`${address}/128`, BOB);
  assertEquals(twice(), [BOB.index, BOB.index]);
  router.setClientToClient(false);
  assertEquals(judge(address), dropped(DropReason.clientToClientOff));
  allowedIps6.insert(`${address}/128`, ALICE);
  assertEquals(judge(address), dropped(DropReason.noRoute));
  allowedIps6.removeByValue(ALICE);
  assertEquals(twice(), [OUTSIDE, OUTSIDE]);
  router.setEgressRules([...everywhere, { address, prefixLength: 128, verdict: "denied" }]);
  const denied = dropped(DropReason.egressDenied);
  assertEquals(twice(), [denied, denied]);
  // An address that differs in one word alone, each of the four, is judged by itself.
  for (const other of ["3001:db8:9::9", "2001:db8:9:1::9", "2001:db8:9::1:0:9", "2001:db8:9::8"]) {
    assertEquals([judge(other), judge(address)], [OUTSIDE, denied]);
  }
  // So are the addresses of the gateway itself, between two packets of the same destination.
  assertEquals([judge("fd00:77::1"), judge(address)], [HOST, denied]);
  assertEquals([judge("fd00:77::9"), judge(address)], [dropped(DropReason.noRoute), denied]);
});
