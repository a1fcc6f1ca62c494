/** Tests of lib/core/peers/access_trial.ts, by way of lib/control/live_access.ts: which rule decides about a packet. */
import { LiveAccess } from "../../../../lib/control/live_access.ts";
import { parseAddress } from "../../../../lib/core/wire/host_address.ts";
import { parseCidr } from "../../../../lib/core/wire/ipv4_text.ts";
import { accessPeer, rules, SURROUNDINGS } from "../../../support/access/world.ts";
import { assertEquals } from "../../../support/assert.ts";

const laptop = accessPeer("laptop", {
  allow: "icmp, fd00:77::3",
  deny: "peer:printer tcp/22",
  groups: ["staff"],
});
const peers = new Map([
  ["laptop", { ...laptop, allowedIps: [parseCidr("10.66.77.2/32")!], allowedIps6: [] }],
  ["printer", {
    ...accessPeer("printer", {}),
    allowedIps: [parseCidr("10.66.77.3/32")!],
    allowedIps6: ["fd00:77::3/128"],
  }],
]);
const access = new LiveAccess({
  groups: [{
    name: "staff",
    allow: rules("10.20.0.0/16 tcp/443, peer:printer"),
    deny: [],
    line: 1,
  }],
  surroundings: SURROUNDINGS,
  peers,
});

for (
  const [from, protocol, address, port, isAllowed, rule] of [
    ["laptop", "tcp", "10.20.1.5", 443, true, "[Group] staff: Allow = 10.20.0.0/16 tcp/443"],
    ["laptop", "tcp", "10.20.1.5", 80, false, null],
    ["laptop", "icmp", "10.20.1.5", null, true, "[Peer] laptop: Allow = icmp"],
    ["laptop", "tcp", "10.66.77.3", 22, false, "[Peer] laptop: Deny = peer:printer tcp/22"],
    ["laptop", "tcp", "10.66.77.3", 23, true, "[Group] staff: Allow = peer:printer"],
    ["laptop", "tcp", "fd00:77::3", 22, false, "[Peer] laptop: Deny = peer:printer tcp/22"],
    ["laptop", "gre", "fd00:77::3", null, true, "[Peer] laptop: Allow = fd00:77::3"],
    ["laptop", "udp", "10.66.77.1", 53, true, null],
    ["laptop", "udp", "10.66.77.1", 54, false, null],
    ["printer", "tcp", "10.66.77.2", 22, true, null],
  ] as const
) {
  Deno.test(`access test: ${from} to ${address} ${protocol} ${port}`, () => {
    const packet = { from, protocol, destination: parseAddress(address)!, port };
    const hasRules = from === "laptop";
    assertEquals(access.test(packet, peers), { isAllowed, rule, hasRules });
  });
}
