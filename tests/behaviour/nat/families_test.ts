/**
 * Tests that the NAT of IPv6 does what that of IPv4 does, which other tests hold against the RFCs and a slow reference:
 * random traffic, each packet made for both families, is given to two NATs that draw the same numbers. What either
 * sends says the same, read the slow way, with every checksum right; and both have as many mappings and sessions.
 */
import { Ipv6Headers } from "../../../lib/core/nat/headers/ipv6_headers.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { buildIcmp6, buildTcp6, buildUdp6, bytes6 } from "../../support/packets/packet_builder6.ts";
import { buildIcmp, buildTcp, buildUdp, type Bytes } from "../../support/packets/packet_builder.ts";
import { environment } from "../../support/permissions.ts";
import { Random } from "../../support/random.ts";
import {
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  GATEWAY,
  quotedBy,
  read,
  REMOTE,
  REMOTE_2,
  type Sent,
  World,
  type WorldOptions,
} from "../../support/nat/world.ts";
import {
  address6Text,
  CLIENT6,
  CLIENT6_2,
  createWorld6,
  EXTERNAL6,
  GATEWAY6,
  quotedBy6,
  read6,
  REMOTE6,
  REMOTE6_2,
} from "../../support/nat/world6.ts";

const ROUNDS = Number(environment("VPN_FUZZ_COUNT") ?? 6000);

/** By what they are called here. */
const ADDRESSES = {
  client: [CLIENT, CLIENT6],
  other: [CLIENT_2, CLIENT6_2],
  remote: [REMOTE, REMOTE6],
  server: [REMOTE_2, REMOTE6_2],
  external: [EXTERNAL, EXTERNAL6],
  gateway: [GATEWAY, GATEWAY6],
  stranger: ["192.0.2.9", "2001:db8:99:0:0:0:0:9"],
} as const;
type Name = keyof typeof ADDRESSES;
const CLIENTS: readonly Name[] = ["client", "other"];
const REMOTES: readonly Name[] = ["remote", "server"];
const PORTS = [0, 53, 1023, 1024, 40_000, 65_535];
const FLAGS = [2, 2, 18, 16, 16, 24, 17, 4, 20];

/** Types and codes of both families. */
const MESSAGES = {
  echo: [[8, 0], [128, 0]],
  reply: [[0, 0], [129, 0]],
  /** A query that is none of either's. */
  other: [[13, 0], [200, 0]],
  tooBig: [[3, 4], [2, 0]],
  expired: [[11, 0], [3, 0]],
  noPort: [[3, 3], [1, 4]],
  prohibited: [[3, 13], [1, 1]],
} as const;
type Message = keyof typeof MESSAGES;

/** A packet of either family. */
interface Packet {
  readonly source: Name;
  readonly destination: Name;
  readonly hopLimit: number;
  readonly body:
    | { readonly kind: "udp"; readonly ports: readonly [number, number]; readonly size: number }
    | {
      readonly kind: "tcp";
      readonly ports: readonly [number, number];
      readonly size: number;
      readonly flags: number;
      readonly options: readonly number[];
    }
    | {
      readonly kind: "query";
      readonly type: Message;
      readonly identifier: number;
      readonly size: number;
    }
    /** The packets of both families that it quotes, and how many bytes of each behind the IP header. */
    | {
      readonly kind: "error";
      readonly type: Message;
      readonly quoted: Pair;
      readonly size: number;
    };
}

/** What was sent, in both families. */
type Pair = readonly [Bytes, Bytes];

function build({ source, destination, hopLimit, body }: Packet): Pair {
  const [from, to] = [ADDRESSES[source], ADDRESSES[destination]];
  const header4 = {
    source: from[0],
    destination: to[0],
    timeToLive: hopLimit,
    dontFragment: true,
  };
  const header6 = { source: from[1], destination: to[1], hopLimit };
  if (body.kind === "udp" || body.kind === "tcp") {
    const [sourcePort, destinationPort] = body.ports;
    const ports = { sourcePort, destinationPort, payload: payloadOf(body.size) };
    if (body.kind === "udp") {
      return [buildUdp({ ...header4, ...ports }), buildUdp6({ ...header6, ...ports })];
    }
    const segment = { ...ports, flags: body.flags, tcpOptions: body.options };
    return [buildTcp({ ...header4, ...segment }), buildTcp6({ ...header6, ...segment })];
  }
  const [[type4, code4], [type6, code6]] = MESSAGES[body.type];
  if (body.kind === "query") {
    const { identifier } = body;
    const payload = payloadOf(body.size);
    const behind = Uint8Array.of(identifier >> 8, identifier & 0xff, 0, 1, ...payload);
    const message4 = { type: type4, code: code4, identifier, sequenceNumber: 1, payload };
    return [buildIcmp({ ...header4, ...message4 }), buildMessage6(header6, type6, code6, behind)];
  }
  const { quoted: [quoted4, quoted6], size } = body;
  const mtu = body.type === "tooBig" ? 1300 : 0;
  const error4 = { type: type4, code: code4, identifier: 0, sequenceNumber: mtu };
  const behind = Uint8Array.of(0, 0, mtu >> 8, mtu & 0xff, ...quoted6.slice(0, 40 + size));
  return [
    buildIcmp({ ...header4, ...error4, payload: quoted4.slice(0, 20 + size) }),
    buildMessage6(header6, type6, code6, behind),
  ];
}

/** A message whose header's last four bytes stand in front of its payload. */
function buildMessage6(
  header: { readonly source: string; readonly destination: string; readonly hopLimit: number },
  type: number,
  code: number,
  behind: Uint8Array,
): Bytes {
  const packet = buildIcmp6({ ...header, type, code, payload: behind.slice(4) });
  packet.set(behind.slice(0, 4), 44);
  const sum = buildIcmp6({ ...header, type, code, payload: behind.slice(4) });
  const view = new DataView(packet.buffer);
  // The four bytes join the sum, as RFC 1071 has it.
  let total = 0xffff - new DataView(sum.buffer).getUint16(42);
  total += view.getUint16(44) + view.getUint16(46);
  while (total > 0xffff) total = (total & 0xffff) + (total >>> 16);
  view.setUint16(42, 0xffff - total);
  return packet;
}

function payloadOf(size: number): Uint8Array {
  return Uint8Array.from({ length: size }, (_, i) => 7 * i + size);
}

// What a packet says, whichever family it is of.

function saying4(packet: Bytes, isQuoted = false): unknown {
  const fields = read(packet, { checked: !isQuoted });
  const { source, destination, protocol, timeToLive, transport } = fields;
  const ends = { source: nameOf(source, 0), destination: nameOf(destination, 0) };
  const ports = protocol === 1
    ? { identifier: fields.identifier, type: messageOf(fields.type, fields.code, 0) }
    : { source: fields.sourcePort, destination: fields.destinationPort };
  if (isQuoted) return { ends, protocol, ports };
  const common = { ends, protocol, hopLimit: timeToLive };
  return protocol === 1 && isError(ports.type!)
    ? {
      ...common,
      type: ports.type,
      mtu: fields.mtu,
      quoted: saying4(quotedBy(packet), true),
    }
    : { ...common, ports, rest: restOf(protocol, transport) };
}

function saying6(packet: Bytes, isQuoted = false): unknown {
  const fields = read6(packet, { checked: !isQuoted });
  const { source, destination, hopLimit, transport } = fields;
  const protocol = fields.protocol === 58 ? 1 : fields.protocol;
  const ends = { source: nameOf(source, 1), destination: nameOf(destination, 1) };
  const ports = protocol === 1
    ? { identifier: fields.identifier, type: messageOf(fields.type, fields.code, 1) }
    : { source: fields.sourcePort, destination: fields.destinationPort };
  if (isQuoted) return { ends, protocol, ports };
  const common = { ends, protocol, hopLimit };
  return protocol === 1 && isError(ports.type!)
    ? {
      ...common,
      type: ports.type,
      // Their links take so many bytes more as their headers are longer.
      mtu: fields.mtu - (fields.mtu > 1300 ? 20 : 0),
      quoted: saying6(quotedBy6(packet), true),
    }
    : { ...common, ports, rest: restOf(protocol, transport) };
}

/** All behind the ports but the checksum. */
function restOf(protocol: number, transport: Bytes): Bytes {
  const rest = transport.slice(protocol === 1 ? 6 : 4);
  if (protocol === 6) rest.set([0, 0], 12);
  if (protocol === 17) rest.set([0, 0], 2);
  return rest;
}

function nameOf(address: string, family: 0 | 1): string {
  const [name] = Object.entries(ADDRESSES).find(([, both]) => both[family] === address) ?? [];
  assert(name !== undefined, `nobody has ${address}`);
  return name;
}

function messageOf(type: number, code: number, family: 0 | 1): Message {
  const [name] =
    Object.entries(MESSAGES).find(([, both]) =>
      both[family][0] === type && both[family][1] === code
    ) ?? [];
  assert(name !== undefined, `no message is ${type} ${code}`);
  return name as Message;
}

function isError(type: Message): boolean {
  return !["echo", "reply", "other"].includes(type);
}

// Traffic.

class Traffic {
  readonly #random: Random;
  readonly #isCrowded: boolean;
  readonly #seen: { readonly pair: Pair; readonly side: keyof Sent }[] = [];

  constructor(random: Random, isCrowded: boolean) {
    this.#random = random;
    this.#isCrowded = isCrowded;
  }

  note(side: keyof Sent, pair: Pair): void {
    this.#seen.push({ pair, side });
    if (this.#seen.length > 60) this.#seen.shift();
  }

  #lastOn(side: keyof Sent): Pair | null {
    const seen = this.#seen.filter((each) => each.side === side);
    return seen.length === 0 ? null : this.#random.pick(seen).pair;
  }

  fromClient(): Packet {
    const random = this.#random;
    const got = random.chance(0.1) ? this.#lastOn("inside") : null;
    if (got !== null) {
      const { source, destination } = read(got[0]);
      const sender = random.chance(0.9) ? destination : CLIENT_2;
      return this.#error(got, nameOf(sender, 0) as Name, nameOf(source, 0) as Name);
    }
    const seen = random.chance(0.15) ? this.#lastOn("outside") : null;
    const ports = this.#isCrowded ? Array.from({ length: 40 }, (_, i) => 2000 + i) : PORTS;
    return this.#packet({
      source: random.pick(CLIENTS),
      destination: seen === null ? random.pick(REMOTES) : "external",
      ports: [random.pick(ports), seen === null ? random.pick(PORTS) : read(seen[0]).sourcePort],
      type: random.chance(0.9) ? "echo" : random.pick(["reply", "other"]),
    });
  }

  fromOutside(): Packet {
    const random = this.#random;
    const seen = random.chance(0.9) ? this.#lastOn("outside") : null;
    if (seen === null) {
      return this.#packet({
        source: random.pick([...REMOTES, "stranger"]),
        destination: random.chance(0.9) ? "external" : "client",
        ports: [random.pick(PORTS), random.below(65_536)],
        type: random.pick(["reply", "echo", "other"]),
      });
    }
    if (random.chance(0.15)) return this.#error(seen, random.pick(REMOTES), "external");
    const { destination, sourcePort, destinationPort, identifier, protocol } = read(seen[0]);
    const to = nameOf(destination, 0) as Name;
    return this.#packet({
      source: random.chance(0.8) && to !== "external" ? to : random.pick(["remote", "stranger"]),
      destination: "external",
      ports: protocol === 1 ? [0, identifier] : [destinationPort, sourcePort],
      type: "reply",
      protocol,
    });
  }

  #packet({ source, destination, ports, type, protocol = this.#random.pick([1, 6, 17]) }: {
    readonly source: Name;
    readonly destination: Name;
    readonly ports: readonly [number, number];
    readonly type: Message;
    readonly protocol?: number;
  }): Packet {
    const random = this.#random;
    const hopLimit = random.chance(0.05) ? random.below(2) : random.between(2, 255);
    const size = random.chance(0.1) ? random.between(1300, 1600) : random.below(50);
    const identifier = type === "echo" ? ports[0] : ports[1];
    const options = random.pick([[], [2, 4, 5, 180], [1, 2, 4, 255, 255, 0, 0, 0]]);
    const flags = random.pick(FLAGS);
    return {
      source,
      destination,
      hopLimit,
      body: protocol === 1
        ? { kind: "query", type, identifier, size }
        : protocol === 6
        ? { kind: "tcp", ports, size, flags, options }
        : { kind: "udp", ports, size },
    };
  }

  #error(quoted: Pair, source: Name, destination: Name): Packet {
    const random = this.#random;
    const type = random.pick(["tooBig", "expired", "noPort"] as const);
    const hopLimit = random.chance(0.05) ? 1 : 64;
    // Less than the ports, no more than them, more.
    const size = random.pick([4, 8, 20, 40, 200]);
    return { source, destination, hopLimit, body: { kind: "error", type, quoted, size } };
  }
}

function compare(options: WorldOptions, seed: number, isCrowded: boolean): void {
  const shared = { ...options, seed };
  const four = new World({ ...shared, externalMtu: 1500, innerMtu: 1420 });
  const six = createWorld6({ ...shared, externalMtu: 1520, innerMtu: 1440 });
  const random = new Random(seed + 200);
  const traffic = new Traffic(random, isCrowded);
  const counts = { outside: 0, inside: 0, nothing: 0 };
  for (let round = 0; round < ROUNDS; round++) {
    if (random.chance(0.1)) {
      const step = random.pick([1, 1, 1, 30, 61, 130, 300, 8000]) * 1000 + random.below(5);
      four.advance(step);
      six.advance(step);
    }
    const isOutbound = random.chance(0.5);
    const packet = isOutbound ? traffic.fromClient() : traffic.fromOutside();
    const [packet4, packet6] = build(packet);
    const sent4 = isOutbound ? four.outbound(packet4) : four.inbound(packet4);
    const sent6 = isOutbound ? six.outbound(packet6) : six.inbound(packet6);
    const told = `round ${round}: ${isOutbound ? "out" : "in"} ${JSON.stringify(packet)}`;
    for (const side of ["outside", "inside"] as const) {
      assertEquals(
        sent6[side].map((each) => saying6(each)),
        sent4[side].map((each) => saying4(each)),
        told,
      );
      for (const [i, each] of sent4[side].entries()) traffic.note(side, [each, sent6[side][i]!]);
      counts[side] += sent4[side].length;
    }
    if (sent4.outside.length + sent4.inside.length === 0) counts.nothing++;
    assertEquals(
      [six.nat.mappingCount, six.nat.sessionCount],
      [four.nat.mappingCount, four.nat.sessionCount],
      told,
    );
    assertEquals([...six.drops.counts].map(Boolean), [...four.drops.counts].map(Boolean), told);
  }
  // The traffic must be of use: much of it passes, and some does not.
  for (const [what, count] of Object.entries(counts)) assert(count > ROUNDS / 20, what);
  four.advance(100_000_000);
  six.advance(100_000_000);
  assertEquals([six.nat.mappingCount, six.nat.sessionCount, six.nat.pollAt()], [0, 0, Infinity]);
  // The gateway's own two are left.
  assertEquals(six.nat.headers.map(({ holds }) => holds.size), six.nat.headers.map(() => 2));
}

for (const seed of [1, 2]) {
  for (const filtering of ["endpoint", "address"] as const) {
    Deno.test(`the NAT of IPv6 does what that of IPv4 does, filtering by ${filtering}, seed ${seed}`, () => {
      compare({ filtering, ports: { first: 512, last: 65_535 } }, seed, false);
    });
  }

  Deno.test(`the NAT of IPv6 does so with clients beyond their quota, seed ${seed}`, () => {
    compare({ ports: { first: 20_000, last: 20_799 }, clientQuota: 3 }, seed, true);
  });

  Deno.test(`the NAT of IPv6 does so where clients are kept apart, seed ${seed}`, () => {
    compare({ clientToClient: false, ports: { first: 20_000, last: 20_799 } }, seed, false);
  });
}

Deno.test("the NAT of IPv6 does so where three workers have it together", () => {
  compare({ workers: 3, ports: { first: 20_000, last: 20_799 } }, 1, false);
});

Deno.test("addresses are written and read as the configuration has them", () => {
  const world = createWorld6();
  assert(world.headers instanceof Ipv6Headers);
  assertEquals(address6Text(bytes6("2001:db8:1::1")), EXTERNAL6);
});
