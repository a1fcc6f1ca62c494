/** Tests of what routers keep of the packet before: their verdicts are those of a router that has kept none. */
import { Router } from "../../../../lib/core/routing/router.ts";
import type { EgressRule, EgressVerdict } from "../../../../lib/core/access/egress_rules.ts";
import { AllowedIps } from "../../../../lib/core/wireguard/allowed_ips.ts";
import { AllowedIps6 } from "../../../../lib/core/wireguard/allowed_ips6.ts";
import type { Peer } from "../../../../lib/core/wireguard/peer.ts";
import { parseCidr } from "../../../../lib/core/wire/ipv4_text.ts";
import { assertEquals } from "../../../support/assert.ts";
import { ipv4 } from "../../../support/packets/simulated_device.ts";
import { buildUdp6 } from "../../../support/packets/packet_builder6.ts";
import { Random } from "../../../support/random.ts";
import { stubPeer } from "../../../support/wireguard/peer_stub.ts";

const RUNS = 500;

const VERDICTS: readonly EgressVerdict[] = ["pass", "host", "private", "denied", "nowhere"];
const LENGTHS4 = [0, 8, 24, 31, 32];
const LENGTHS6 = [0, 16, 32, 33, 64, 65, 96, 97, 127, 128];
const ADDRESSES4 = [
  ...["0.0.0.0", "255.255.255.255", "8.8.8.8", "8.8.8.9", "128.0.0.1", "127.255.255.255"],
  ...["10.66.77.1", "10.66.77.2", "10.66.77.9", "203.0.113.9"],
];
/** Such that any two of the words that they are made of differ in the high half or the low half alone, or the sign. */
const WORDS = ["0:0", "0:1", "1:0", "8000:0", "ffff:ffff"];
const INSIDE6 = ["fd00:77:0:0:0:0:0:1", "fd00:77:0:0:0:0:0:9"];

Deno.test("no verdict differs from that of a router that has judged nothing before", () => {
  for (let seed = 0; seed < RUNS; seed++) {
    const random = new Random(seed);
    const below = (limit: number) => random.below(limit);
    const one = <T>(of: readonly T[]): T => random.pick(of);
    const peers = [1, 2, 3].map((index) => stubPeer(null, index));
    const allowedIps = new AllowedIps<Peer>();
    const allowedIps6 = new AllowedIps6<Peer>();
    // Close to where the count wraps around, or at none.
    const begin = [0, 2 ** 31 - 1 - below(4), -1 - below(3)][below(3)]!;
    allowedIps.changes = allowedIps6.changes = begin;
    let rules: readonly EgressRule[] = [];
    let clientToClient = true;
    const options = {
      allowedIps,
      allowedIps6,
      isGateway: below(8) > 0,
      addresses: [parseCidr("10.66.77.1/24")!],
      addresses6: ["fd00:77::1/64"] as const,
      isTranslated6: below(2) === 0,
      egress: one(["nat", "kernel", "off"] as const),
    };
    const make = () => new Router({ ...options, clientToClient, egressRules: rules });
    const router = make();
    const base = Array.from({ length: 4 }, () => one(WORDS));
    // Those of one run differ in a word or two.
    const addresses6 = [
      ...INSIDE6,
      ...Array.from({ length: 8 }, () => {
        const words = [...base];
        words[below(4)] = one(WORDS);
        return words.join(":");
      }),
    ];
    let last4 = one(ADDRESSES4);
    let last6 = one(addresses6);
    for (let step = 0; step < 60; step++) {
      const what = below(12);
      if (what === 0) {
        rules = Array.from(
          { length: below(5) },
          (): EgressRule =>
            below(2) === 0
              ? {
                address: ipv4(one(ADDRESSES4)),
                prefixLength: one(LENGTHS4),
                verdict: one(VERDICTS),
              }
              : { address: one(addresses6), prefixLength: one(LENGTHS6), verdict: one(VERDICTS) },
        );
        router.setEgressRules(rules);
      } else if (what === 1) {
        clientToClient = !clientToClient;
        router.setClientToClient(clientToClient);
      } else if (what === 2) {
        allowedIps.insert(ipv4(below(2) ? last4 : one(ADDRESSES4)), one(LENGTHS4), one(peers));
      } else if (what === 3) {
        allowedIps6.insert(`${below(2) ? last6 : one(addresses6)}/${one(LENGTHS6)}`, one(peers));
      } else if (what === 4) allowedIps.removeByValue(one(peers));
      else if (what === 5) allowedIps6.removeByValue(one(peers));
      // Packets come in runs.
      if (below(3) === 0) last4 = one(ADDRESSES4);
      if (below(3) === 0) last6 = one(addresses6);
      const source = one(peers);
      const packet = buildUdp6({ source: "fd00:77::2", destination: last6 });
      const buffer = new Uint8Array(packet.length + 8);
      const at = 4 * below(3);
      buffer.set(packet, at);
      const view = new DataView(buffer.buffer);
      const verdicts = (of: Router) => [
        of.fromPeer(source, ipv4(last4) | 0),
        of.ipv6!.fromPeer(source, view, at),
      ];
      assertEquals(
        verdicts(router),
        verdicts(make()),
        `seed ${seed}, step ${step}: ${last4}, ${last6}`,
      );
    }
  }
});

/** Allowed IPs that count the walks. */
class Counted extends AllowedIps<Peer> {
  walks = 0;
  override lookup(address: number): Peer | null {
    this.walks++;
    return super.lookup(address);
  }
}

class Counted6 extends AllowedIps6<Peer> {
  walks = 0;
  override lookup(view: DataView, offset: number): Peer | null {
    this.walks++;
    return super.lookup(view, offset);
  }
}

Deno.test("a packet to the destination of the one before takes no walk, whatever its words", () => {
  const allowedIps = new Counted();
  const allowedIps6 = new Counted6();
  const peer = stubPeer(null, 1);
  const router = new Router({
    allowedIps,
    allowedIps6,
    isGateway: true,
    clientToClient: true,
    egress: "nat",
    addresses: [parseCidr("10.66.77.1/24")!],
    addresses6: ["fd00:77::1/64"],
    egressRules: [],
  });
  for (const destination of ["2001:db8::9", "8001:0:8001:0:8001:0:8001:0", "::", "::8000:0:0:0"]) {
    const view = new DataView(buildUdp6({ source: "fd00:77::2", destination }).buffer);
    const before = allowedIps6.walks;
    for (let i = 0; i < 3; i++) router.ipv6!.fromPeer(peer, view, 0);
    assertEquals(allowedIps6.walks - before, 1, destination);
  }
  for (const destination of ["8.8.8.8", "203.0.113.9", "0.0.0.0"]) {
    const before = allowedIps.walks;
    for (let i = 0; i < 3; i++) router.fromPeer(peer, ipv4(destination) | 0);
    assertEquals(allowedIps.walks - before, 1, destination);
  }
});
