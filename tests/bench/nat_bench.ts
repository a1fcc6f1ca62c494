/** Micro-benchmarks of lib/nat: a packet's translation among few and many mappings, and what happens now and then. */
import { Admission } from "../../lib/core/nat/admission.ts";
import { MAX_SESSIONS } from "../../lib/core/nat/constants.ts";
import { MappingTable } from "../../lib/core/nat/mapping_table.ts";
import { Nat } from "../../lib/core/nat/nat.ts";
import { PortAllocator } from "../../lib/core/nat/port_allocator.ts";
import { DropCounters } from "../../lib/core/wire/drop_reason.ts";
import { PROTOCOL_TCP } from "../../lib/core/wire/ipv4.ts";
import { createMemory } from "../../lib/core/wire/memory.ts";
import { buildTcp, buildUdp, type Bytes } from "../support/packets/packet_builder.ts";
import { Random } from "../support/random.ts";
import { Client } from "../../lib/core/nat/records.ts";

const EXTERNAL = "203.0.113.1";
const MTU = 1500;
const NOW = 1000.5;
/** Room for the packet that is translated, and for each packet of the rotation. */
const PACKET_AT = 0;
const TEMPLATES_AT = 2048;
const TEMPLATE_SIZE = 64;
/** Clients that the mappings belong to. */
const CLIENTS = 10;

type Build = typeof buildTcp | typeof buildUdp;

/** A NAT with `count` flows, and a packet of each in either direction: headers alone, for their bytes do not matter. */
class Rotation {
  readonly nat: Nat;
  readonly #bytes: Uint8Array;
  readonly #length: number;
  readonly #count: number;
  #next = 0;

  constructor(build: Build, count: number, direction: "outbound" | "inbound") {
    const generated = TEMPLATES_AT + count * TEMPLATE_SIZE;
    const memory = createMemory(generated + Nat.generatedSize(MTU));
    const random = new Random(1);
    this.#bytes = memory.bytes;
    this.#count = count;
    this.nat = new Nat({
      memory,
      drops: new DropCounters(),
      generated,
      externalAddress: 0xcb007101,
      innerAddress: 0x0a424d01,
      externalMtu: MTU,
      innerMtu: 1420,
      ports: { first: 1024, last: 65_535 },
      filtering: "endpoint",
      forwards: [],
      clientQuota: 65_536,
      random: () => random.uint32(),
    });
    let length = 0;
    for (let flow = 0; flow < count; flow++) {
      const remote = { address: `198.51.${flow & 0xff}.${flow % 7}`, port: 443 };
      const out = build({
        source: `10.66.77.${2 + flow % CLIENTS}`,
        sourcePort: 10_000 + Math.floor(flow / CLIENTS),
        destination: remote.address,
        destinationPort: remote.port,
        dontFragment: true,
      });
      const sent = this.#translate(out);
      const back = build({
        source: remote.address,
        sourcePort: remote.port,
        destination: EXTERNAL,
        destinationPort: sent[20] * 256 + sent[21],
        dontFragment: true,
      });
      const packet = direction === "outbound" ? out : back;
      memory.bytes.set(packet, TEMPLATES_AT + flow * TEMPLATE_SIZE);
      length = packet.length;
    }
    this.#length = length;
  }

  /** Puts the next flow's packet in its place; flows that follow one another do not lie side by side. */
  load(): void {
    this.#next = (this.#next + 7919) % this.#count;
    const at = TEMPLATES_AT + this.#next * TEMPLATE_SIZE;
    this.#bytes.copyWithin(PACKET_AT, at, at + this.#length);
  }

  drain(): void {
    this.nat.outside.clear();
    this.nat.inside.clear();
  }

  #translate(packet: Bytes): Bytes {
    this.#bytes.set(packet, PACKET_AT);
    this.nat.outbound(PACKET_AT, NOW);
    this.drain();
    return this.#bytes.slice(PACKET_AT, PACKET_AT + packet.length);
  }
}

for (const [protocol, build] of [["TCP", buildTcp], ["UDP", buildUdp]] as const) {
  for (const direction of ["outbound", "inbound"] as const) {
    for (const count of [1, 1000, 30_000]) {
      const name = `${protocol} ${direction}, ${count.toLocaleString("en")} mappings`;
      // Made by the first call, which the benchmark takes for warming up.
      let rotation: Rotation | null = null;
      Deno.bench(name, { group: `${protocol} ${direction}` }, () => {
        rotation ??= new Rotation(build, count, direction);
        rotation.load();
        rotation.nat[direction](PACKET_AT, NOW);
        rotation.drain();
      });
    }
  }
}

/** Of many clients, for one holds no more than it leaves to others. */
for (const count of [0, 30_000, MAX_SESSIONS / 2]) {
  const random = new Random(1);
  const mappings = new MappingTable({
    ports: { first: 1024, last: 65_535 },
    clientOf: (address) => address,
    random: () => random.uint32(),
  });
  const admission = new Admission(mappings, 4096, 1);
  for (let i = 0; i < count; i++) {
    const session = admission.open({
      protocol: PROTOCOL_TCP,
      innerAddress: i % 100,
      innerPort: Math.floor(i / 100),
      remoteAddress: random.uint32() | 0,
      remotePort: 443,
    }, NOW);
    if (typeof session === "string") throw new Error(session);
    admission.sessions.use(session, 240_000, session.mapping.lists.brief, NOW);
  }
  Deno.bench(`sweep() of ${count.toLocaleString("en")} sessions`, { group: "sweep" }, () => {
    admission.sessions.sweep(NOW);
  });
}

for (const size of [10, 60_000]) {
  const random = new Random(1);
  const ports = new PortAllocator({ first: 1024, last: 1023 + size }, () => random.uint32());
  const share = new Client(null).tcp;
  let now = 0;
  Deno.bench(`a port of ${size.toLocaleString("en")}, taken and given back`, () => {
    now += 120_000;
    ports.release(ports.allocate(40_000, now), share, now);
  });
}
