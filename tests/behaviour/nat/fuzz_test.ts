/**
 * Tests that no packet whatever breaks the NAT: random and mutated ones, millions where `VPN_FUZZ_COUNT` says so. What
 * leaves has the external address for its source, and no state outlives its time.
 */
import { checkIpv4 } from "../../../lib/core/wire/ipv4.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import {
  buildIcmp,
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
  referenceChecksum,
} from "../../support/packets/packet_builder.ts";
import { Random } from "../../support/random.ts";
import { settledMemory } from "../../support/settled_memory.ts";
import {
  addressText,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  REMOTE,
  REMOTE_2,
  World,
} from "../../support/nat/world.ts";
import { environment } from "../../support/permissions.ts";

const COUNT = Number(environment("VPN_FUZZ_COUNT") ?? 40_000);
const SEED = Number(environment("VPN_FUZZ_SEED") ?? 1);
const QUARTERS = 4;
/** Bytes that live objects may grow by from the first quarter to the last. */
const MEMORY_TOLERANCE = 2 * 1024 * 1024;
const PORTS = [0, 53, 80, 1023, 1024, 30_000, 30_001, 30_030, 30_063, 40_000];

/** Where `World` puts packets. */
const PACKET_AT = 10;

function seedPacket(random: Random, seen: readonly Bytes[]): Bytes {
  if (seen.length > 0 && random.chance(0.3)) {
    const about = random.pick(seen);
    return random.chance(0.5) ? about : buildIcmp({
      source: random.pick([CLIENT, CLIENT_2, REMOTE]),
      destination: random.pick([EXTERNAL, addressOf(about, 12), addressOf(about, 16)]),
      type: random.pick([3, 4, 5, 11, 12]),
      code: random.below(16),
      payload: about.slice(0, random.between(0, about.length)),
    });
  }
  // A reply to something that was sent, a good part of the time.
  const about = seen.length > 0 && random.chance(0.5) ? random.pick(seen) : null;
  const fields = {
    source: random.pick([CLIENT, CLIENT_2, REMOTE, REMOTE_2]),
    destination: random.pick([EXTERNAL, EXTERNAL, REMOTE, REMOTE_2, CLIENT]),
    sourcePort: random.pick(PORTS),
    destinationPort: about === null ? random.pick(PORTS) : about[20] * 256 + about[21],
    identification: random.below(20),
    dontFragment: random.chance(0.3),
    timeToLive: random.pick([0, 1, 2, 64, 255]),
    options: random.bytes(random.chance(0.1) ? 4 * random.below(11) : 0).fill(1),
    payload: random.bytes(random.pick([0, 1, 8, 40, 1400, 3000])),
  };
  const packet = random.pick([
    () => buildUdp(fields),
    () =>
      buildTcp({
        ...fields,
        flags: random.below(256),
        tcpOptions: random.bytes(4 * random.below(11)),
      }),
    () => buildIcmp({ ...fields, type: random.below(20), identifier: random.pick(PORTS) }),
  ])();
  const isPlain = (packet[0] & 15) === 5 && packet.length > 200;
  return isPlain && random.chance(0.5)
    ? random.pick(fragment(packet, random.between(68, 1500)))
    : packet;
}

function addressOf(packet: Bytes, at: number): string {
  return addressText(new DataView(packet.buffer).getUint32(at));
}

/** Makes the header's checksum right, where there is a header. */
function rechecksum(packet: Bytes): Bytes {
  const size = (packet[0] & 15) * 4;
  if (packet.length < Math.max(20, size) || size < 20) return packet;
  packet.set([0, 0], 10);
  const checksum = referenceChecksum(packet.subarray(0, size));
  packet.set([checksum >>> 8, checksum & 0xff], 10);
  return packet;
}

for (const filtering of ["endpoint", "address"] as const) {
  Deno.test(`no packet breaks the NAT, filtering by ${filtering}`, () => {
    const random = new Random(SEED);
    const world = new World({
      filtering,
      clientQuota: 100,
      ports: { first: 30_000, last: 30_299 },
      forwards: [{ protocol: "tcp", externalPort: 80, address: 0x0a424d02, port: 80 }],
    });
    const { nat: { all: [nat] }, memory, clock } = world;
    const used: number[] = [];
    let taken = 0;
    let sent = 0;
    for (let quarter = 0; quarter < QUARTERS; quarter++) {
      const seen: Bytes[] = [];
      for (let round = 0; round < COUNT / QUARTERS / 2; round++) {
        let packet = seedPacket(random, seen);
        if (random.chance(0.6)) packet = random.mutate(packet, 6);
        if (random.chance(0.9)) packet = rechecksum(packet.slice());
        if (random.chance(0.02)) world.advance(random.pick([100, 1000, 20_000, 300_000]));
        memory.bytes.set(packet, PACKET_AT);
        if (checkIpv4(memory, PACKET_AT, packet.length) !== 0) continue;
        taken++;
        const kind = random.below(8);
        if (kind < 4) {
          const isForeign = addressOf(packet, 16) === EXTERNAL &&
            !nat.takeExternal(PACKET_AT, clock.now);
          if (!isForeign) nat.outbound(PACKET_AT, clock.now);
        } else if (kind < 7) nat.inbound(PACKET_AT, clock.now);
        else nat.inboundMerged(PACKET_AT, random.between(40, 1500), clock.now);
        const { outside, inside } = world.drain();
        for (const each of outside) {
          assertEquals(addressOf(each, 12), EXTERNAL);
          assertEquals(each.length, each[2] * 256 + each[3]);
          assert(each.length <= 1500);
          assertEquals(referenceChecksum(each.subarray(0, (each[0] & 15) * 4)), 0);
        }
        for (const each of inside) {
          assert(each.length <= 1420);
          assertEquals(referenceChecksum(each.subarray(0, (each[0] & 15) * 4)), 0);
        }
        sent += outside.length + inside.length;
        for (const each of [...outside, ...inside]) {
          seen.push(each);
          if (seen.length > 30) seen.shift();
        }
        assert(nat.mappingCount <= 1 + 3 * 300);
        assert(nat.sessionCount <= 400 * nat.mappingCount);
      }
      world.advance(100_000_000);
      assertEquals([nat.mappingCount, nat.sessionCount, nat.pollAt()], [1, 0, Infinity]);
      const { heap, external } = settledMemory();
      used.push(heap + external);
    }
    assert(taken > COUNT / 6, `only ${taken} packets were fit for the NAT`);
    assert(sent > COUNT / 25, `only ${sent} packets were sent`);
    const growth = used[QUARTERS - 1] - used[0];
    assert(growth < MEMORY_TOLERANCE, `live objects grew by ${growth} bytes`);
  });
}
