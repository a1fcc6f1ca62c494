/** Tests of the way of a captured packet through lib/core/engine/pipeline.ts: check, NAT, split, client. */
import type { Device } from "../../../lib/core/wireguard/device.ts";
import { AllowedIps } from "../../../lib/core/wireguard/allowed_ips.ts";
import type { Peer } from "../../../lib/core/wireguard/peer.ts";
import type { SendQueue } from "../../../lib/core/transport/send_queue.ts";
import { Pipeline, PIPELINE_SCRATCH_SIZE } from "../../../lib/core/engine/pipeline.ts";
import { Router } from "../../../lib/core/routing/router.ts";
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { HandOver, Origin } from "../../../lib/core/nat/slices/hand_over.ts";
import { createRing, RingReader, RingWriter } from "../../../lib/core/threads/record_ring.ts";
import { parseCidr } from "../../../lib/core/wire/ipv4_text.ts";
import { createMemory } from "../../../lib/core/wire/memory.ts";
import { Nat } from "../../../lib/core/nat/nat.ts";
import { DropCounters } from "../../../lib/core/wire/drop_reason.ts";
import { PacketQueue } from "../../../lib/core/wire/packet_queue.ts";
import { assertEquals } from "../../support/assert.ts";
import { buildTcp, buildUdp, type Bytes } from "../../support/packets/packet_builder.ts";
import { Random } from "../../support/random.ts";
import { stubPeer } from "../../support/wireguard/peer_stub.ts";
import {
  ACK,
  address,
  CLIENT,
  CLIENT_2,
  EXTERNAL,
  GATEWAY,
  read,
  REMOTE,
  SYN,
} from "../../support/nat/world.ts";

const NOW = 5000;
const SCRATCH_AT = 0;
const CAPTURED_AT = 16 * 1024;
const GENERATED_AT = 96 * 1024;
const VNET_HEADER_SIZE = 10;
const GSO_TCPV4 = 1;
const NEEDS_CHECKSUM = 1;

/** A gateway whose tunnel keeps what is sent to clients as it is. */
class Gateway {
  readonly drops = new DropCounters();
  /** What reached a client's session, and whose. */
  readonly sent: { peer: Peer; packet: Bytes }[] = [];
  readonly alice = stubPeer();
  readonly bob = stubPeer();
  readonly #memory = createMemory(GENERATED_AT + Nat.generatedSize(1500));
  readonly #nat: Nat;
  readonly #pipeline: Pipeline;
  /** What is handed over to the second of two workers, of which this is the first; or this is alone. */
  readonly handedOver: RingReader;

  constructor({ isFirstOfTwo = false }: { readonly isFirstOfTwo?: boolean } = {}) {
    const ring = createRing(1 << 18);
    this.handedOver = new RingReader(ring);
    const random = new Random(1);
    const memory = this.#memory;
    const allowedIps = new AllowedIps<Peer>();
    allowedIps.insert(address(CLIENT), 32, this.alice);
    allowedIps.insert(address(CLIENT_2), 32, this.bob);
    this.#nat = new Nat({
      memory,
      drops: this.drops,
      generated: GENERATED_AT,
      externalAddress: address(EXTERNAL),
      innerAddress: address(GATEWAY),
      externalMtu: 1500,
      innerMtu: 1420,
      ports: { first: 30_000, last: 39_999 },
      filtering: "endpoint",
      forwards: [],
      clientQuota: 10,
      random: () => random.uint32(),
      slice: !isFirstOfTwo ? null : {
        number: 0,
        count: 2,
        workerOf: () => 0,
        handOver: new HandOver(memory, [null, new RingWriter(ring)]),
      },
    });
    const device = {
      allowedIps,
      send: (peer: Peer, offset: number, length: number) => {
        this.sent.push({ peer, packet: memory.bytes.slice(offset, offset + length) });
      },
    };
    this.#pipeline = new Pipeline({
      memory,
      device: device as unknown as Device,
      router: new Router({
        allowedIps,
        isGateway: true,
        addresses: [parseCidr(`${GATEWAY}/24`)!],
        clientToClient: true,
        egress: "nat",
        egressRules: [],
      }),
      sendQueue: { free: 1000 } as SendQueue,
      hostQueue: new PacketQueue(10),
      drops: this.drops,
      nat: this.#nat,
      scratch: SCRATCH_AT,
      seed: 7,
    });
    assertEquals(CAPTURED_AT > PIPELINE_SCRATCH_SIZE, true);
  }

  /** Sends a client's packet and returns it as it stands outside. */
  send(packet: Bytes): Bytes {
    const { bytes } = this.#memory;
    bytes.set(packet, CAPTURED_AT);
    this.#nat.outbound(CAPTURED_AT, NOW);
    this.#nat.outside.clear();
    return bytes.slice(CAPTURED_AT, CAPTURED_AT + packet.length);
  }

  /** Captures a packet behind its virtio-net header, little endian as the kernel's. */
  capture(
    packet: Bytes,
    header: { flags?: number; gsoType?: number; gsoSize?: number } = {},
    origin: Origin = Origin.outside,
  ): void {
    const { bytes, view } = this.#memory;
    bytes.fill(0, CAPTURED_AT, CAPTURED_AT + VNET_HEADER_SIZE);
    view.setUint8(CAPTURED_AT, header.flags ?? 0);
    view.setUint8(CAPTURED_AT + 1, header.gsoType ?? 0);
    view.setUint16(CAPTURED_AT + 4, header.gsoSize ?? 0, true);
    view.setUint16(CAPTURED_AT + 6, 20, true);
    view.setUint16(CAPTURED_AT + 8, packet[9] === 6 ? 16 : 6, true);
    bytes.set(packet, CAPTURED_AT + VNET_HEADER_SIZE);
    const length = VNET_HEADER_SIZE + packet.length;
    this.#pipeline.fromOutside!.takeCaptured(CAPTURED_AT, length, NOW, origin);
  }
}

/** A gateway with a connection of Alice's, and its port outside. */
function connected(): { gateway: Gateway; externalPort: number } {
  const gateway = new Gateway();
  const syn = buildTcp({
    source: CLIENT,
    destination: REMOTE,
    sourcePort: 40_000,
    destinationPort: 80,
    flags: SYN,
  });
  return { gateway, externalPort: read(gateway.send(syn)).sourcePort };
}

Deno.test("a captured answer reaches the client it is for", () => {
  const { gateway, externalPort } = connected();
  gateway.capture(
    buildTcp({
      source: REMOTE,
      destination: EXTERNAL,
      sourcePort: 80,
      destinationPort: externalPort,
    }),
  );
  assertEquals(gateway.sent.map(({ peer }) => peer === gateway.alice), [true]);
  const { destination, destinationPort } = read(gateway.sent[0].packet);
  assertEquals([destination, destinationPort], [CLIENT, 40_000]);
});

Deno.test("a captured packet that pretends to come from inside is dropped", () => {
  const { gateway, externalPort } = connected();
  for (const source of [CLIENT, CLIENT_2, GATEWAY, "10.66.77.200"]) {
    gateway.capture(buildTcp({ source, destination: EXTERNAL, destinationPort: externalPort }));
  }
  assertEquals(gateway.sent, []);
  assertEquals(gateway.drops.counts[DropReason.spoofedSource], 4);
});

Deno.test("a captured packet with a partial checksum gets a whole one", () => {
  const { gateway, externalPort } = connected();
  const packet = buildTcp({
    source: REMOTE,
    destination: EXTERNAL,
    destinationPort: externalPort,
    checksum: 0x1234,
    payload: Uint8Array.of(1, 2, 3),
  });
  // The sum of the pseudo-header alone: of both addresses, the protocol and the length.
  const view = new DataView(packet.buffer);
  let sum = 6 + packet.length - 20;
  for (let at = 12; at < 20; at += 2) sum += view.getUint16(at);
  view.setUint16(36, (sum & 0xffff) + (sum >>> 16));
  gateway.capture(packet, { flags: NEEDS_CHECKSUM });
  assertEquals(read(gateway.sent[0].packet).transport.slice(20), Uint8Array.of(1, 2, 3));
});

Deno.test("a captured super-packet of 52,000 bytes reaches the client as packets with right checksums", () => {
  const { gateway, externalPort } = connected();
  const payload = new Random(2).bytes(52_000);
  const packet = buildTcp({
    source: REMOTE,
    destination: EXTERNAL,
    sourcePort: 80,
    destinationPort: externalPort,
    dontFragment: true,
    sequenceNumber: 0xffff_ff00,
    flags: ACK,
    checksum: 0,
    payload,
  });
  gateway.capture(packet, { flags: NEEDS_CHECKSUM, gsoType: GSO_TCPV4, gsoSize: 1380 });
  assertEquals(gateway.sent.length, Math.ceil(52_000 / 1380));
  const received = gateway.sent.map((each) => read(each.packet));
  for (const { source, destination, sourcePort, destinationPort, timeToLive } of received) {
    assertEquals([source, sourcePort], [REMOTE, 80]);
    assertEquals([destination, destinationPort, timeToLive], [CLIENT, 40_000, 63]);
  }
  const bytes = received.flatMap(({ transport }) => [...transport.slice(20)]);
  assertEquals(Uint8Array.from(bytes), payload);
});

Deno.test("a captured super-packet for nobody is dropped", () => {
  const { gateway } = connected();
  const packet = buildTcp({
    source: REMOTE,
    destination: EXTERNAL,
    destinationPort: 7,
    payload: new Uint8Array(5000),
  });
  gateway.capture(packet, { flags: NEEDS_CHECKSUM, gsoType: GSO_TCPV4, gsoSize: 1380 });
  gateway.capture(buildUdp({ source: REMOTE, destination: EXTERNAL, destinationPort: 7 }));
  assertEquals(gateway.sent, []);
  assertEquals(gateway.drops.counts[DropReason.natNoMapping], 2);
});

Deno.test("a captured super-packet for another worker is handed over once: what was handed over stays", () => {
  const gateway = new Gateway({ isFirstOfTwo: true });
  const packet = buildTcp({
    source: REMOTE,
    destination: EXTERNAL,
    destinationPort: 30_008,
    payload: new Uint8Array(5000),
  });
  const header = { flags: NEEDS_CHECKSUM, gsoType: GSO_TCPV4, gsoSize: 1380 };
  gateway.capture(packet, header);
  assertEquals(gateway.handedOver.next(), Origin.captured);
  gateway.handedOver.done();
  gateway.capture(packet, header, Origin.captured);
  assertEquals(gateway.handedOver.next(), 0);
  assertEquals(gateway.sent, []);
  assertEquals(gateway.drops.counts[DropReason.natNoMapping], 1);
});
