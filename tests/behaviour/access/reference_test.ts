/**
 * Access control against a slow and obvious judge: random rules and changes of them, random packets between peers, the
 * gateway, its networks and the internet, whole and in fragments, with one thread and with two.
 */
import { FLOW_CAPACITY, flowTableSize } from "../../../lib/core/access/flow_table.ts";
import {
  accessPeer,
  AccessWorld,
  ADDRESSES,
  GATEWAY,
  HOSTS,
  rules,
} from "../../support/access/world.ts";
import {
  type PacketModel,
  ReferenceAccess,
  type ReferenceRules,
} from "../../support/access/reference.ts";
import { assertEquals } from "../../support/assert.ts";
import {
  buildIcmp,
  buildIpv4,
  buildTcp,
  buildUdp,
  type Bytes,
  fragment,
} from "../../support/packets/packet_builder.ts";
import fc from "../../support/property.ts";
import { Random } from "../../support/random.ts";

const NAMES = Object.keys(ADDRESSES);
const GROUPS = ["staff", "guests"];
const TARGETS = [
  "internet",
  "lan",
  "gateway",
  "peers",
  "any",
  "10.20.0.0/16",
  "198.51.100.0/25",
  "192.168.1.9",
  ...HOSTS.keys(),
  ...NAMES.map((name) => `peer:${name}`),
  ...GROUPS.map((name) => `group:${name}`),
];
const SERVICES = ["tcp/443", "tcp/1-442", "udp/53", "udp/1000-2000", "tcp", "udp", "icmp", "esp"];
const OUTSIDE = [
  "198.51.100.7",
  "198.51.100.200",
  "10.20.1.5",
  "192.168.1.9",
  "203.0.113.5",
  GATEWAY,
];
const PORTS = [53, 443, 1500];
const FLAGS: readonly ReadonlySet<"syn" | "ack" | "fin" | "rst">[] = [
  new Set(["syn"]),
  new Set(["syn", "ack"]),
  new Set(["ack"]),
  new Set(["fin", "ack"]),
  new Set(["rst"]),
];
const SITE = {
  gateway: { inner: [GATEWAY], outer: ["203.0.113.5", "192.168.1.1"] },
  lan: ["203.0.113.0/24", "192.168.1.0/24"],
  own: ["10.66.77.0/24"],
  addresses: ADDRESSES,
  hosts: HOSTS,
};

type Texts = Record<string, { allow: string; deny: string; groups: string[] }>;

function randomRules(random: Random): string {
  const count = random.pick([0, 0, 1, 1, 2, 3]);
  return Array.from({ length: count }, () => {
    const services = Array.from({ length: random.pick([0, 0, 1, 2]) }, () => random.pick(SERVICES));
    return [random.pick(TARGETS), ...services].join(" ");
  }).join(", ");
}

function randomSite(random: Random): { peers: Texts; groups: Texts } {
  const texts = (names: readonly string[], groups: readonly string[]) =>
    Object.fromEntries(names.map((name) => [name, {
      allow: randomRules(random),
      deny: random.chance(0.4) ? randomRules(random) : "",
      groups: groups.filter(() => random.chance(0.3)),
    }]));
  return { peers: texts(NAMES, GROUPS), groups: texts(GROUPS, []) };
}

function modelOf({ peers, groups }: { peers: Texts; groups: Texts }): ReferenceRules {
  return {
    peers: Object.fromEntries(NAMES.map((name) => [name, accessPeer(name, peers[name]!)])),
    groups: Object.fromEntries(
      GROUPS.map((name) => [name, {
        allow: rules(groups[name]!.allow),
        deny: rules(groups[name]!.deny),
      }]),
    ),
  };
}

/** A packet from a peer, or to one from outside; few places and ports, so that flows meet again. */
function randomPacket(random: Random): Omit<PacketModel, "isLater"> {
  const peer = ADDRESSES[random.pick(NAMES)]!;
  let other = peer;
  while (other === peer) other = random.pick([...Object.values(ADDRESSES), ...OUTSIDE]);
  const isFromPeer = random.chance(0.6);
  const protocol = random.pick(["tcp", "tcp", "udp", "udp", "icmp", "esp"] as const);
  const hasPorts = protocol === "tcp" || protocol === "udp";
  const identifier = random.pick([1, 2]);
  return {
    source: isFromPeer ? peer : other,
    destination: isFromPeer ? other : peer,
    protocol,
    sourcePort: hasPorts ? random.pick(PORTS) : identifier * (protocol === "icmp" ? 1 : 0),
    destinationPort: hasPorts ? random.pick(PORTS) : identifier * (protocol === "icmp" ? 1 : 0),
    flags: protocol === "tcp" ? random.pick(FLAGS) : new Set(),
    isReply: protocol === "icmp" && random.chance(0.5),
    train: random.chance(0.2) ? random.pick([1, 2]) : null,
  };
}

function bytesOf(packet: Omit<PacketModel, "isLater">): Bytes {
  const { source, destination, sourcePort, destinationPort, flags, isReply, train } = packet;
  const payload = new Uint8Array(train === null ? 8 : 200);
  const common = { source, destination, payload, identification: train ?? 9 };
  const ports = { ...common, sourcePort, destinationPort };
  const bits = { fin: 1, syn: 2, rst: 4, ack: 16 };
  switch (packet.protocol) {
    case "tcp":
      return buildTcp({ ...ports, flags: [...flags].reduce((sum, flag) => sum | bits[flag], 0) });
    case "udp":
      return buildUdp(ports);
    case "icmp":
      return buildIcmp({ ...common, type: isReply ? 0 : 8, identifier: sourcePort });
    default:
      return buildIpv4({ ...common, protocol: 50 });
  }
}

function isPeer(address: string): boolean {
  return Object.values(ADDRESSES).includes(address);
}

/** Judges what a seed leads to by both, with the packets of peers shared out among so many threads. */
function compare(seed: number, threads: number, isChanging: boolean): void {
  const random = new Random(seed);
  let site = randomSite(random);
  const flows = Array.from(
    { length: threads },
    () => new SharedArrayBuffer(flowTableSize(FLOW_CAPACITY)),
  );
  const worlds = flows.map((_, own) =>
    new AccessWorld(
      site.peers,
      site.groups,
      threads === 1 ? {} : { shared: { flows, own } },
    )
  );
  const reference = new ReferenceAccess(SITE, modelOf(site));
  let now = 0;
  for (let step = 0; step < 150; step++) {
    now += random.pick([0, 0, 1, 10, threads === 1 ? 70 : 1, threads === 1 ? 250 : 1]);
    for (const world of worlds) world.now = now * 1000;
    if (isChanging && random.chance(0.08)) {
      site = random.chance(0.5) ? randomSite(random) : { ...site, peers: randomSite(random).peers };
      for (const world of worlds) world.set(site.peers, site.groups);
      reference.set(modelOf(site));
    }
    const packet = randomPacket(random);
    const parts = packet.train === null ? [bytesOf(packet)] : fragment(bytesOf(packet), 100);
    const order = random.chance(0.3) ? [...parts.keys()].toReversed() : [...parts.keys()];
    // The packets of a peer come to one thread, and what is for it from outside as well.
    const inside = isPeer(packet.source) ? packet.source : packet.destination;
    const world = worlds[Number(inside.split(".")[3]) % threads]!;
    for (const i of order) {
      const expected = reference.passes({ ...packet, isLater: i > 0 }, now);
      const given = isPeer(packet.source) ? world.sends(parts[i]!) : world.receives(parts[i]!);
      const what = JSON.stringify({ seed, step, part: i, packet, flags: [...packet.flags], site });
      assertEquals(given, expected, what);
    }
  }
}

Deno.test("access control judges as a slow and obvious judge does, while rules change", () => {
  fc.assert(fc.property(fc.nat(), (seed) => compare(seed, 1, true)), { numRuns: 60 });
});

Deno.test("two threads that share out the packets of peers judge as one does", () => {
  fc.assert(fc.property(fc.nat(), (seed) => compare(seed, 2, false)), { numRuns: 60 });
});
