/**
 * Tests of `lib/commands/server/egress_choice.ts`: a configuration that makes more rules than can be followed is
 * refused, and a host that comes to have as many networks shuts its clients in.
 */
import { followable, requireFewRules } from "../../../../lib/commands/server/egress_choice.ts";
import { ConfigError } from "../../../../lib/core/config/config_error.ts";
import { parseConfig } from "../../../../lib/core/config/parse_config.ts";
import { validateServer } from "../../../../lib/core/config/roles.ts";
import { MAX_EGRESS_RULES } from "../../../../lib/dataplane/message_parts.ts";
import { Router } from "../../../../lib/core/routing/router.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { AllowedIps } from "../../../../lib/core/wireguard/allowed_ips.ts";
import { AllowedIps6 } from "../../../../lib/core/wireguard/allowed_ips6.ts";
import type { PacketPeer } from "../../../../lib/core/wireguard/packet_peer.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { section } from "../../../support/control/reload_site.ts";
import { buildUdp6 } from "../../../support/packets/packet_builder6.ts";
import { ipv4 } from "../../../support/packets/simulated_device.ts";
import { stubPeer } from "../../../support/wireguard/peer_stub.ts";

const PLAN = { exits: ["eth0"], exits6: ["eth0"], uplink6: "eth0" };
const rules = (count: number) =>
  Array.from({ length: count }, () => ({ address: 0, prefixLength: 32, verdict: "pass" as const }));

Deno.test("more rules than can be followed are refused, with the line of the key that asks for them", () => {
  for (
    const [lines, place] of [
      [["EgressAllow = lan"], ":4: EgressAllow"],
      [["MTU = 1400", "EgressDeny = lan"], ":5: EgressDeny"],
      [[], ":1: EgressAllow"],
    ] as const
  ) {
    const config = validateServer(parseConfig(section(...lines), "home.conf"));
    requireFewRules(config, rules(MAX_EGRESS_RULES));
    const error = assertThrows(
      () => requireFewRules(config, rules(MAX_EGRESS_RULES + 1)),
      ConfigError,
    );
    assertEquals(
      error.message,
      `home.conf${place}: together with this host's networks and routes this gives ${
        MAX_EGRESS_RULES + 1
      } rules, more than the maximum of ${MAX_EGRESS_RULES}: use fewer and larger networks`,
    );
  }
});

Deno.test("of more rules than can be followed at run time, none is left out: nothing outside is reached", () => {
  const most = { ...PLAN, rules: rules(MAX_EGRESS_RULES) };
  assertEquals(followable(most), most);
  const { rules: shut, ...rest } = followable({ ...PLAN, rules: rules(MAX_EGRESS_RULES + 1) });
  assertEquals(rest, { exits: [], exits6: [], uplink6: null });
  const allowedIps = new AllowedIps<PacketPeer>();
  const allowedIps6 = new AllowedIps6<PacketPeer>();
  const router = new Router({
    allowedIps,
    allowedIps6,
    isGateway: true,
    addresses: [],
    addresses6: ["fd77::1/64"],
    clientToClient: true,
    egress: "nat",
    isTranslated6: true,
    egressRules: shut,
  });
  const client = stubPeer(null, 1);
  const packet = buildUdp6({ destination: "2001:db8::1" });
  const verdicts = [
    router.fromPeer(client, ipv4("192.168.5.9")),
    router.ipv6!.fromPeer(client, new DataView(packet.buffer, packet.byteOffset), 0),
  ];
  assertEquals(verdicts, [-DropReason.noEgress, -DropReason.noEgress]);
});
