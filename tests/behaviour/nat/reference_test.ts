/** Tests of the NAT against the slow and obvious one, with random traffic: what either sends is equal byte for byte. */
import { assert, assertEquals } from "../../support/assert.ts";
import { buildIcmp, buildTcp, buildUdp, type Bytes } from "../../support/packets/packet_builder.ts";
import { Random } from "../../support/random.ts";
import { ReferenceNat, type ReferenceOptions } from "../../support/nat/reference.ts";
import { EXTERNAL, read, REMOTE, REMOTE_2, World } from "../../support/nat/world.ts";
import { environment } from "../../support/permissions.ts";

const CLIENTS = ["10.66.77.2", "10.66.77.3", "192.168.5.9"];
const REMOTES = [REMOTE, REMOTE_2, "8.8.8.8"];
const PORTS = [0, 53, 1023, 1024, 40_000, 65_535];
const FLAGS = [2, 2, 18, 16, 16, 24, 17, 4, 20];
const ROUNDS = Number(environment("VPN_FUZZ_COUNT") ?? 6000);

/** What traffic is drawn from: more inner endpoints than a client has ports for, or not. */
interface TrafficKind {
  readonly innerPorts: readonly number[];
  readonly remotePorts: readonly number[];
  /** Of TCP. */
  readonly flags: readonly number[];
  /** Whether clients write to the external address. */
  readonly hairpins: boolean;
}

const ORDINARY: TrafficKind = {
  innerPorts: PORTS,
  remotePorts: PORTS,
  flags: FLAGS,
  hairpins: true,
};
/**
 * Nothing in it finishes a flow: which of the finished ones ends for another, the reference could not see. Nor is
 * anything hairpinned: to nobody, it would never show whether its port is a shared one.
 */
const CROWDED: TrafficKind = {
  innerPorts: Array.from({ length: 12 }, (_, i) => 2000 + i),
  remotePorts: [80, 5000],
  flags: [2, 2, 18, 16, 16, 24],
  hairpins: false,
};

/** Random traffic that knows what was seen outside, and so hits mappings more often than not. */
class Traffic {
  readonly #random: Random;
  readonly #kind: TrafficKind;
  readonly #seenOutside: Bytes[] = [];
  readonly #seenInside: Bytes[] = [];

  constructor(seed: number, kind: TrafficKind) {
    this.#random = new Random(seed);
    this.#kind = kind;
  }

  note(sent: { outside: Bytes[]; inside: Bytes[] }): void {
    for (
      const [packets, seen] of [[sent.outside, this.#seenOutside], [sent.inside, this.#seenInside]]
    ) {
      for (const packet of packets) {
        if ((packet[6] & 0x3f) !== 0 || packet[7] !== 0) continue;
        seen.push(packet);
        if (seen.length > 50) seen.shift();
      }
    }
  }

  fromClient(): Bytes {
    const random = this.#random;
    const hairpins = this.#kind.hairpins && this.#seenOutside.length > 0 && random.chance(0.15);
    if (random.chance(0.1) && this.#seenInside.length > 0) {
      const about = random.pick(this.#seenInside);
      const { source, destination } = read(about);
      return this.#error(about, random.chance(0.9) ? destination : CLIENTS[0], source);
    }
    const seen = hairpins ? read(random.pick(this.#seenOutside)) : null;
    return this.#packet({
      source: random.pick(CLIENTS),
      destination: seen === null ? random.pick(REMOTES) : EXTERNAL,
      sourcePort: random.pick(this.#kind.innerPorts),
      destinationPort: seen === null ? random.pick(this.#kind.remotePorts) : seen.sourcePort,
      identifier: random.pick(this.#kind.innerPorts),
      type: random.chance(0.9) ? 8 : random.below(20),
    });
  }

  /** A packet of a flow that leaves for certain. */
  probe(
    { protocol, address, port, firstRemote }: NonNullable<ReferenceNat["hidden"]>,
  ): Bytes {
    const [destination, destinationPort] = firstRemote.split(":");
    // What is hairpinned to nobody shows no port.
    const isLost = destination === EXTERNAL;
    const fields = {
      source: address,
      destination: isLost ? "192.0.2.1" : destination,
      sourcePort: port,
      destinationPort: Number(destinationPort),
      identifier: port,
    };
    return protocol === 1
      ? buildIcmp(fields)
      : protocol === 6
      ? buildTcp(fields)
      : buildUdp(fields);
  }

  fromOutside(): Bytes {
    const random = this.#random;
    if (this.#seenOutside.length === 0 || random.chance(0.1)) {
      return this.#packet({
        source: random.pick(REMOTES),
        destination: random.chance(0.9) ? EXTERNAL : "203.0.113.2",
        sourcePort: random.pick(this.#kind.remotePorts),
        destinationPort: random.below(65_536),
        identifier: random.below(65_536),
        type: random.below(20),
      });
    }
    const about = random.pick(this.#seenOutside);
    const seen = read(about);
    if (random.chance(0.15)) return this.#error(about, random.pick(REMOTES), EXTERNAL);
    return this.#packet({
      source: random.chance(0.8) ? seen.destination : random.pick(REMOTES),
      destination: EXTERNAL,
      sourcePort: seen.destinationPort,
      destinationPort: seen.sourcePort,
      identifier: seen.identifier,
      type: 0,
      protocol: seen.protocol,
    });
  }

  #packet(fields: {
    source: string;
    destination: string;
    sourcePort: number;
    destinationPort: number;
    identifier: number;
    type: number;
    protocol?: number;
  }): Bytes {
    const random = this.#random;
    const common = {
      ...fields,
      typeOfService: random.below(256),
      identification: random.below(65_536),
      dontFragment: random.chance(0.5),
      timeToLive: random.chance(0.05) ? random.below(2) : random.between(2, 255),
      options: random.chance(0.05) ? [7, 7, 4, 1, 2, 3, 4] : [],
      payload: random.bytes(random.chance(0.1) ? random.between(1300, 2900) : random.below(50)),
    };
    const { type, ...plain } = common;
    const isError = [3, 4, 5, 11, 12].includes(type);
    switch (fields.protocol ?? random.pick([1, 6, 17])) {
      case 1:
        return buildIcmp({ ...plain, protocol: 1, type: isError ? 8 : type });
      case 17: {
        const checksum = random.chance(0.1) ? { checksum: 0 } : {};
        return buildUdp({ ...plain, protocol: 17, ...checksum });
      }
      default:
        return buildTcp({
          ...plain,
          protocol: 6,
          sequenceNumber: random.uint32(),
          acknowledgmentNumber: random.uint32(),
          flags: random.pick(this.#kind.flags),
          window: random.below(65_536),
          urgentPointer: random.below(65_536),
          tcpOptions: random.pick([[], [2, 4, 5, 180], [1, 2, 4, 255, 255], [4, 2, 2, 4, 2, 24]]),
        });
    }
  }

  #error(about: Bytes, source: string, destination: string): Bytes {
    const random = this.#random;
    return buildIcmp({
      source,
      destination,
      type: random.pick([3, 3, 3, 11, 12, 4, 5]),
      code: random.below(14),
      timeToLive: random.chance(0.05) ? 1 : 64,
      dontFragment: random.chance(0.5),
      identification: random.between(1, 65_535),
      identifier: 0,
      sequenceNumber: random.below(1500),
      payload: about.slice(0, random.pick([28, 40, 60, 548])),
    });
  }
}

/**
 * Offers the NAT and the reference the same traffic; what they send, and how many mappings they have, must be equal.
 */
function compare(options: ReferenceOptions, kind: TrafficKind, seed: number, workers = 1): void {
  const world = new World({ ...options, seed, workers });
  const reference = new ReferenceNat(options);
  const traffic = new Traffic(seed + 100, kind);
  const random = new Random(seed + 200);
  const counts = { outside: 0, inside: 0, nothing: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    if (reference.hidden === undefined && random.chance(0.1)) {
      // Sweeps come once a second, the reference's at once: so time goes by in seconds and more.
      const step = random.pick([1, 1, 1, 30, 61, 130, 300]) * 1000;
      world.advance(step + random.below(5));
    }
    const { hidden } = reference;
    const isOutbound = hidden !== undefined || random.chance(0.5);
    const packet = hidden !== undefined
      ? traffic.probe(hidden)
      : isOutbound
      ? traffic.fromClient()
      : traffic.fromOutside();
    const sent = isOutbound ? world.outbound(packet) : world.inbound(packet);
    const { now } = world.clock;
    const expected = isOutbound
      ? reference.outbound(packet, now, sent)
      : reference.inbound(packet, now);
    assertEquals(sent, expected, `round ${round}: ${isOutbound ? "out" : "in"} ${packet}`);
    // Until its port is seen, it is not known what ended for a new mapping.
    if (reference.hidden === undefined) {
      assertEquals(world.nat.mappingCount, reference.mappingCount);
    }
    traffic.note(sent);
    counts.outside += sent.outside.length;
    counts.inside += sent.inside.length;
    if (sent.outside.length + sent.inside.length === 0) counts.nothing++;
  }
  assertEquals(reference.overlaps > ROUNDS / 30, kind === CROWDED, `${reference.overlaps}`);
  // The traffic must be of use: much of it passes, and some does not.
  for (const [what, count] of Object.entries(counts)) assert(count > ROUNDS / 20, what);
  world.advance(10_000_000);
  assertEquals(world.nat.mappingCount, 0);
}

const MTUS = { externalMtu: 1500, innerMtu: 1420 };

for (const seed of [1, 2, 3]) {
  for (const filtering of ["endpoint", "address"] as const) {
    Deno.test(`the NAT sends what the reference sends, filtering by ${filtering}, seed ${seed}`, () => {
      const ports = { first: 512, last: 65_535 };
      compare({ ...MTUS, filtering, ports, clientQuota: 4096 }, ORDINARY, seed);
    });
  }

  Deno.test(`several workers, each with its slice, send what the reference sends, seed ${seed}`, () => {
    const ports = { first: 512, last: 65_535 };
    const filtering = seed === 1 ? "address" : "endpoint";
    compare({ ...MTUS, filtering, ports, clientQuota: 4096 }, ORDINARY, seed, 1 + seed);
  });

  Deno.test(`the NAT sends what the reference sends, with clients beyond their quota, seed ${seed}`, () => {
    const ports = { first: 20_000, last: 20_799 };
    compare({ ...MTUS, filtering: "endpoint", ports, clientQuota: 3 }, CROWDED, seed);
  });
}
