/**
 * Tests that no packet of IPv6 whatever breaks the NAT, as fuzz_test.ts has it for IPv4: what leaves has the external
 * address for its source, and neither state nor known addresses outlive their time.
 */
import { checkIpv6, isIpv6, totalLength } from "../../../lib/core/wire/ipv6.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import type { Bytes } from "../../support/packets/packet_builder.ts";
import { buildIcmp6, buildTcp6, buildUdp6, bytes6 } from "../../support/packets/packet_builder6.ts";
import { environment } from "../../support/permissions.ts";
import { Random } from "../../support/random.ts";
import {
  address6Text,
  CLIENT6,
  CLIENT6_2,
  createWorld6,
  EXTERNAL6,
  fragment6,
  GATEWAY6,
  REMOTE6,
  REMOTE6_2,
} from "../../support/nat/world6.ts";

const COUNT = Number(environment("VPN_FUZZ_COUNT") ?? 20_000);
const SEED = Number(environment("VPN_FUZZ_SEED") ?? 1);
const PORTS = [0, 53, 80, 1023, 1024, 30_000, 30_001, 30_030, 30_063, 40_000];
/** Extension headers that are whole: hop-by-hop, routing with and without stops, options, authentication. */
const EXTENSIONS = [
  [0, [0, 0, 1, 4, 0, 0, 0, 0]],
  [43, [0, 0, 4, 0, 0, 0, 0, 0]],
  [43, [0, 0, 4, 1, 0, 0, 0, 0]],
  [60, [0, 0, 1, 4, 0, 0, 0, 0]],
  [51, [0, 1, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1]],
  [44, [0, 0, 0, 0, 0, 0, 0, 9]],
] as const;

/** Where `World` puts packets. */
const PACKET_AT = 10;

function seedPacket(random: Random, seen: readonly Bytes[]): Bytes {
  const known = [CLIENT6, CLIENT6_2, REMOTE6, REMOTE6_2];
  if (seen.length > 0 && random.chance(0.3)) {
    const about = random.pick(seen);
    const sourceOf = address6Text(about.slice(8, 24));
    return random.chance(0.5) ? about : buildIcmp6({
      source: random.pick(known),
      destination: random.pick([EXTERNAL6, sourceOf, address6Text(about.slice(24, 40))]),
      type: random.pick([1, 2, 3, 4, 100]),
      code: random.below(8),
      payload: about.slice(0, random.between(0, Math.min(about.length, 1232))),
    });
  }
  // A reply to something that was sent, a good part of the time.
  const about = seen.length > 0 && random.chance(0.5) ? random.pick(seen) : null;
  const fields = {
    source: random.pick(known),
    destination: random.pick([EXTERNAL6, EXTERNAL6, REMOTE6, REMOTE6_2, CLIENT6]),
    sourcePort: random.pick(PORTS),
    destinationPort: about === null ? random.pick(PORTS) : about[40]! * 256 + about[41]!,
    hopLimit: random.pick([0, 1, 2, 64, 255]),
    extensions: random.chance(0.2) ? [random.pick(EXTENSIONS), random.pick(EXTENSIONS)] : [],
    payload: random.bytes(random.pick([0, 1, 8, 40, 1400, 3000])),
  };
  const packet = random.pick([
    () => buildUdp6(fields),
    () =>
      buildTcp6({
        ...fields,
        flags: random.below(256),
        tcpOptions: random.bytes(4 * random.below(11)),
      }),
    () => buildIcmp6({ ...fields, type: random.pick([128, 129, random.below(256)]) }),
  ])();
  const isPlain = fields.extensions.length === 0 && packet.length > 200;
  return isPlain && random.chance(0.4)
    ? random.pick(fragment6(packet, random.between(100, 1500), random.below(20)))
    : packet;
}

for (const filtering of ["endpoint", "address"] as const) {
  Deno.test(`no packet of IPv6 breaks the NAT, filtering by ${filtering}`, () => {
    const random = new Random(SEED);
    const forwards = [{ protocol: "tcp", externalPort: 80, address: CLIENT6, port: 80 }] as const;
    const ports = { first: 30_000, last: 30_299 };
    const world = createWorld6({ filtering, clientQuota: 100, ports, forwards });
    const { nat: { all: [first] }, memory, clock, headers } = world;
    const nat = first!;
    const external = [...bytes6(EXTERNAL6)].join();
    const gateway = [...bytes6(GATEWAY6)].join();
    const seen: Bytes[] = [];
    let taken = 0;
    let sent = 0;
    for (let round = 0; round < COUNT; round++) {
      let packet = seedPacket(random, seen);
      if (random.chance(0.5)) packet = random.mutate(packet, 4);
      if (random.chance(0.02)) world.advance(random.pick([100, 1000, 20_000, 300_000]));
      memory.bytes.set(packet, PACKET_AT);
      if (packet.length === 0 || !isIpv6(memory.view, PACKET_AT)) continue;
      if (checkIpv6(memory.view, PACKET_AT, packet.length) !== 0) continue;
      taken++;
      const kind = random.below(8);
      if (kind < 4) {
        const isForeign = nat.isForExternal(PACKET_AT) && !nat.takeExternal(PACKET_AT, clock.now);
        if (!isForeign) nat.outbound(PACKET_AT, clock.now);
      } else if (kind < 7) nat.inbound(PACKET_AT, clock.now);
      else nat.inboundMerged(PACKET_AT, random.between(60, 1500), clock.now);
      const { outside, inside } = world.drain();
      for (const each of [...outside, ...inside]) {
        assertEquals(each.length, totalLength(new DataView(each.buffer), 0));
        seen.push(each);
        if (seen.length > 30) seen.shift();
      }
      for (const each of outside) {
        assertEquals(each.slice(8, 24).join(), external);
        assert(each.length <= 1500);
      }
      // The gateway's address inside is that of its own errors alone.
      for (const each of inside) {
        assert(each.length <= 1420);
        if (each.slice(8, 24).join() === gateway) assertEquals(each[6], 58);
      }
      sent += outside.length + inside.length;
      assert(nat.mappingCount <= 1 + 3 * 300);
      assert(nat.sessionCount <= 400 * nat.mappingCount);
    }
    world.advance(100_000_000);
    assertEquals([nat.mappingCount, nat.sessionCount, nat.pollAt()], [1, 0, Infinity]);
    // The gateway's two, and the one that a port is forwarded to.
    assertEquals(headers.holds.size, 3);
    assert(taken > COUNT / 6, `only ${taken} packets were fit for the NAT`);
    assert(sent > COUNT / 25, `only ${sent} packets were sent`);
  });
}
