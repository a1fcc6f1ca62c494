/**
 * Simulated packet workers: those of a simulated device, each with an engine and a memory of its own, as threads have
 * them. They take their turns one after the other, in an order that a seed chooses.
 */
import type { AeadProvider } from "../../../lib/core/noise/aead.ts";
import { AccessControl } from "../../../lib/core/access/access_control.ts";
import type { AccessItem } from "../../../lib/core/access/access_items.ts";
import { Engine, ENGINE_SCRATCH_SIZE, MAX_MERGED } from "../../../lib/core/engine/engine.ts";
import { ForOutside, ForOutsidePort } from "../../../lib/core/engine/for_outside.ts";
import { ForwardedPort } from "../../../lib/core/engine/forwarded_port.ts";
import { HANDED_OVER_SIZE, HandedOverPort } from "../../../lib/core/engine/handed_over_port.ts";
import { Nat } from "../../../lib/core/nat/nat.ts";
import { HandOver } from "../../../lib/core/nat/slices/hand_over.ts";
import { Pipeline, PIPELINE_SCRATCH_SIZE } from "../../../lib/core/engine/pipeline.ts";
import { shapingRegion } from "../../../lib/core/engine/shaping.ts";
import { MAX_PEERS } from "../../../lib/core/limits/max_peers.ts";
import { Router, type RouterOptions } from "../../../lib/core/routing/router.ts";
import { Outbox } from "../../../lib/core/threads/outbox.ts";
import { createRing, RingReader, RingWriter } from "../../../lib/core/threads/record_ring.ts";
import { Turn } from "../../../lib/core/threads/shared_counter.ts";
import { SendQueue } from "../../../lib/core/transport/send_queue.ts";
import type { DropCounters } from "../../../lib/core/wire/drop_reason.ts";
import { ipv6Bytes, isIpv6 } from "../../../lib/core/wire/host_address.ts";
import * as wire from "../../../lib/core/wire/ipv4.ts";
import * as wire6 from "../../../lib/core/wire/ipv6.ts";
import { createMemory, type Memory } from "../../../lib/core/wire/memory.ts";
import { TRANSPORT_OVERHEAD } from "../../../lib/core/wire/messages.ts";
import { PacketQueue } from "../../../lib/core/wire/packet_queue.ts";
import type { Device } from "../../../lib/core/wireguard/device.ts";
import { ElsewhereOfWorker } from "../../../lib/core/wireguard/elsewhere.ts";
import { WorkerBoard } from "../../../lib/core/wireguard/workers/worker_board.ts";
import { WorkerDevice } from "../../../lib/core/wireguard/workers/worker_device.ts";
import { bucketWords } from "../../../lib/core/wireguard/workers/worker_peer.ts";
import { DropCounters as Counters } from "../../../lib/core/wire/drop_reason.ts";
import type { Random } from "../random.ts";
import { outsideSteering } from "../../../lib/dataplane/filters/steering.ts";
import { runBpf } from "./bpf.ts";
import { type Arrival, FakeCapture, FakeDatagramPort, FakeTun } from "./fake_ports.ts";
import type { Bytes } from "./packet_builder.ts";

/** Bytes in which packets wait for their peer's rate. */
export const SHAPING_SPACE = 512 * 1024;

const RING_SIZE = 1 << 18;
const SEND_SLOTS = 4 * MAX_MERGED;
const SESSIONS = 256;
/** Packets outside; more than inside, as usual. */
const EXTERNAL_MTU = 1500;
/** External ports of all workers together. */
const PORTS = { first: 20_000, last: 29_999 };

interface SimulatedWorker {
  readonly device: WorkerDevice;
  readonly engine: Engine;
  readonly access: AccessControl;
  readonly tun: FakeTun;
  readonly udp: FakeDatagramPort;
  readonly drops: DropCounters;
  readonly memory: Memory;
  readonly sendQueue: SendQueue;
  readonly news: RingReader;
  /** Indices of peers whose flows it was to give up. */
  readonly released: readonly number[];
  /** Null where nothing is translated. */
  readonly outside: SimulatedOutside | null;
}

/** A worker's part of the egress. */
interface SimulatedOutside {
  readonly nat: Nat;
  readonly capture: FakeCapture;
  /** Of one that has a slice of the NAT; of one that has all of it, the other. */
  readonly handedOver: HandedOverPort | null;
  readonly forOutside: ForOutsidePort | null;
}

export interface SimulatedWorkersOptions {
  readonly count: number;
  readonly mtu: number;
  readonly random: Random;
  readonly aead: (memory: Memory, owner: string) => AeadProvider;
  readonly router: Omit<RouterOptions, "allowedIps" | "allowedIps6">;
  /** The addresses of a gateway that translates. */
  readonly outside?: { readonly external: number; readonly inner: number };
  /** Whether the first of them translates for all. */
  readonly hasOneNat?: boolean;
  /** The rules of peers, and the memory of flow tables, by worker. */
  readonly access: {
    readonly items: readonly AccessItem[];
    readonly flows: readonly SharedArrayBuffer[];
  };
  readonly elsewhere: SharedArrayBuffer;
  /** Of the device's own thread. */
  readonly memory: Memory;
  readonly paths: SendQueue["paths"];
}

export class SimulatedWorkers {
  readonly board: WorkerBoard;
  readonly all: readonly SimulatedWorker[];
  /** What the NAT has sent outside; a test may empty it. */
  readonly sentOutside: Bytes[] = [];
  readonly #random: Random;
  readonly #hasOneNat: boolean;
  readonly #turn = new Turn();

  constructor(options: SimulatedWorkersOptions) {
    const { count, memory, paths, random } = options;
    this.#random = random;
    this.#hasOneNat = options.hasOneNat ?? false;
    const counters = new Int32Array(new SharedArrayBuffer(4 * SESSIONS));
    const limits = new Int32Array(new SharedArrayBuffer(4 * bucketWords(MAX_PEERS)));
    const toWorkers = Array.from({ length: count }, () => createRing(RING_SIZE));
    this.board = new WorkerBoard({
      memory,
      paths,
      outboxes: toWorkers.map((ring) => new Outbox(new RingWriter(ring))),
      counters,
      limits,
      turn: this.#turn,
      workerOfAddress: (address) =>
        this.#workerOf(
          isIpv6(address) ? new DataView(ipv6Bytes(address).buffer).getInt32(12) : address,
        ),
    });
    const between = toWorkers.map(() => toWorkers.map(() => createRing(RING_SIZE)));
    const shared = { ...options, counters, limits, between, sentOutside: this.sentOutside };
    this.all = toWorkers.map((ring, number) => makeWorker(number, new RingReader(ring), shared));
  }

  /** A packet arrives from outside. */
  receiveOutside(packet: Bytes, now: number): void {
    const { length: count } = this.all;
    const program = outsideSteering({ range: PORTS, count, forwards: [] });
    const worker = this.all[this.#hasOneNat ? 0 : runBpf(program, packet)]!;
    worker.outside!.capture.arrive(packet);
    worker.engine.readCapture(now);
    this.#endTurn(worker, now);
  }

  /** A datagram arrives, or several that were merged: the kernel goes by the first. */
  receive(bytes: Uint8Array, arrival: Arrival, now: number): boolean {
    const isTransport = bytes.length >= 8 && bytes[0] === 4;
    if (!isTransport) return false;
    const worker = this.all[(bytes[4]! & 15) % this.all.length]!;
    worker.udp.arrive(bytes, arrival);
    worker.engine.receive(worker.udp, now);
    this.#endTurn(worker, now);
    return true;
  }

  /** The host sends a packet into the tunnel. */
  send(packet: Uint8Array, now: number): void {
    const worker = this.all[this.#workerOf(lastWordOfDestination(packet))]!;
    worker.tun.send(packet);
    worker.engine.readTun(now);
    this.#endTurn(worker, now);
  }

  /** When one of them has something to do. */
  pollAt(): number {
    return Math.min(
      ...this.all.map(({ device, engine }) => Math.min(device.pollAt(), engine.pollAt())),
    );
  }

  /** Has all of them, and the device, take turns until nobody has anything to say. */
  settle(device: Device, flush: () => void, now: number): void {
    for (let quiet = 0; quiet < 2; quiet++) {
      const order = this.#random.chance(0.5) ? this.all : this.all.toReversed();
      for (const worker of order) {
        if (device.workerNews!.take(worker.news, now)) quiet = 0;
      }
      this.#turn.end();
      flush();
      this.board.publish(device.peers, now);
      for (const worker of order) {
        const { handedOver = null, forOutside = null } = worker.outside ?? {};
        const hasMore = handedOver?.hasMore || forOutside?.hasMore;
        if (worker.device.learn(now) || hasMore) quiet = 0;
        worker.engine.flush(now);
        this.#endTurn(worker, now);
      }
    }
  }

  #endTurn({ device, engine, outside }: SimulatedWorker, now: number): void {
    device.takeForwarded(now);
    const { handedOver = null, forOutside = null } = outside ?? {};
    if (handedOver !== null) engine.receiveHandedOver(handedOver, now);
    if (forOutside !== null) engine.receiveForOutside(forOutside, now);
    engine.release(now);
    engine.flush(now);
    device.endTurn(now);
  }

  #workerOf(address: number): number {
    return (address >>> 0) % this.all.length;
  }
}

function lastWordOfDestination(packet: Uint8Array): number {
  const view = new DataView(packet.buffer, packet.byteOffset);
  if (packet.length < wire.MIN_HEADER_SIZE) return 0;
  if (!wire6.isIpv6(view, 0)) return wire.destinationAddress(view, 0);
  return packet.length < wire6.HEADER_SIZE
    ? 0
    : view.getUint32(wire6.DESTINATION_ADDRESS_OFFSET + 12);
}

function makeWorker(
  number: number,
  fromDevice: RingReader,
  options: SimulatedWorkersOptions & {
    counters: Int32Array;
    limits: Int32Array;
    between: readonly (readonly SharedArrayBuffer[])[];
    sentOutside: Bytes[];
  },
): SimulatedWorker {
  const { mtu } = options;
  const slotSize = SendQueue.slotSize(mtu + TRANSPORT_OVERHEAD);
  let end = 0;
  const allocate = (size: number) => {
    const offset = end;
    end = (end + size + 63) & -64;
    return offset;
  };
  const udpOffset = allocate(FakeDatagramPort.arenaSize());
  const scratch = allocate(PIPELINE_SCRATCH_SIZE);
  const engineScratch = allocate(ENGINE_SCRATCH_SIZE);
  const queueOffset = allocate(SEND_SLOTS * slotSize);
  const forwardedOffset = allocate(ForwardedPort.size(slotSize));
  const shaping = allocate(SHAPING_SPACE);
  const captureOffset = allocate(FakeDatagramPort.arenaSize());
  const handedOverOffset = allocate(HANDED_OVER_SIZE);
  const forOutsideOffset = allocate(ForOutsidePort.size(mtu));
  const generated = allocate(Nat.generatedSize(EXTERNAL_MTU));
  const memory = createMemory(end);
  const drops = new Counters();
  const sendQueue = new SendQueue({ offset: queueOffset, slots: SEND_SLOTS, slotSize });
  const { paths } = sendQueue;
  const toDevice = createRing(RING_SIZE);
  const forwarded = new ForwardedPort({ memory, offset: forwardedOffset, slotSize, paths });
  const released: number[] = [];
  const device: WorkerDevice = new WorkerDevice({
    onReleased: (peer) => {
      released.push(peer.index);
      outside?.nat.releaseClient(peer, 0);
    },
    number,
    workers: options.count,
    memory,
    sendQueue,
    aead: options.aead(memory, `worker ${number}`),
    drops,
    mtu,
    turn: new Turn(),
    counters: options.counters,
    limits: options.limits,
    fromDevice,
    toDevice: new RingWriter(toDevice),
    elsewhere: new ElsewhereOfWorker(options.elsewhere),
    forwarded: {
      put: (record, at, length) => forwarded.put(record, at, length),
      receive: (now) => engine.receive(forwarded, now),
    },
  });
  const translates = number === 0 || !options.hasOneNat;
  const outside: SimulatedOutside | null = options.outside === undefined || !translates
    ? null
    : makeOutside(number, {
      ...options,
      memory,
      drops,
      device,
      captureOffset,
      handedOverOffset,
      forOutsideOffset,
      generated,
      addresses: options.outside,
    });
  const hostQueue = new PacketQueue(MAX_MERGED);
  const { items, flows } = options.access;
  const access = new AccessControl({
    view: memory.view,
    allowedIps: device.allowedIps,
    allowedIps6: device.allowedIps6,
    seed: 7,
    items,
    ...(flows.length > 0 && { shared: { flows, own: number } }),
  });
  const shared = { memory, device, sendQueue, hostQueue, drops, access };
  const engine: Engine = new Engine({
    ...shared,
    scratch: engineScratch,
    pipeline: new Pipeline({
      ...shared,
      router: new Router({
        ...options.router,
        isTranslated6: false,
        allowedIps: device.allowedIps,
        allowedIps6: device.allowedIps6,
      }),
      nat: outside?.nat ?? null,
      forOutside: translates ? null : new ForOutside({
        memory,
        ring: new RingWriter(options.between[number]![0]!),
        drops,
        tagOf: (index) => device.peerAt(index)!.tag,
      }),
      scratch,
      shaping: shapingRegion(shaping, mtu, SHAPING_SPACE),
      seed: 7,
    }),
    outside: outside?.capture ?? null,
    offload: false,
  });
  const tun = new FakeTun(memory);
  engine.attachTun(tun);
  const udp = new FakeDatagramPort(memory, { offset: udpOffset, paths });
  engine.attach(udp);
  const news = new RingReader(toDevice);
  return { device, engine, access, tun, udp, drops, memory, sendQueue, news, released, outside };
}

function makeOutside(
  number: number,
  { between, memory, drops, device, mtu, random, addresses, hasOneNat, ...options }: {
    between: readonly (readonly SharedArrayBuffer[])[];
    memory: Memory;
    drops: DropCounters;
    device: WorkerDevice;
    mtu: number;
    random: Random;
    addresses: { readonly external: number; readonly inner: number };
    captureOffset: number;
    hasOneNat?: boolean;
    handedOverOffset: number;
    forOutsideOffset: number;
    generated: number;
    sentOutside: Bytes[];
  },
): SimulatedOutside {
  const { allowedIps } = device;
  const writers = between[number]!.map((ring, to) => to === number ? null : new RingWriter(ring));
  const readers = between.filter((_, from) => from !== number)
    .map((rings) => new RingReader(rings[number]!));
  const nat = new Nat({
    memory,
    drops,
    generated: options.generated,
    externalAddress: addresses.external,
    innerAddress: addresses.inner,
    externalMtu: EXTERNAL_MTU,
    innerMtu: mtu,
    ports: PORTS,
    filtering: "endpoint",
    forwards: [],
    clientQuota: 4096,
    clientOf: (address) => allowedIps.lookup(address),
    random: () => random.uint32(),
    slice: hasOneNat ? null : {
      number,
      count: between.length,
      workerOf: (address) => allowedIps.lookup(address)?.worker ?? -1,
      handOver: new HandOver(memory, writers),
    },
  });
  const capture = new FakeCapture(memory, { offset: options.captureOffset });
  capture.onFlush = () => {
    const { outside } = nat;
    for (let i = 0; i < outside.length; i++) {
      const at = outside.offsets[i]!;
      options.sentOutside.push(memory.bytes.slice(at, at + outside.lengths[i]!));
    }
    outside.clear();
  };
  const handedOver = hasOneNat
    ? null
    : new HandedOverPort(memory, options.handedOverOffset, readers);
  const forOutside = !hasOneNat ? null : new ForOutsidePort({
    memory,
    offset: options.forOutsideOffset,
    mtu,
    rings: readers,
    peerOf: (tag) => device.peerTagged(tag),
  });
  return { nat, capture, handedOver, forOutside };
}
