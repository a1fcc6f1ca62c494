/**
 * Simulated device: a whole core for tests, engine, device, router and pipeline over a memory of their own, on fake
 * ports: a TUN at one end and a callback for datagrams at the other.
 */
import type { AeadProvider } from "../../../lib/core/noise/aead.ts";
import { createBuiltinAead } from "../../../lib/core/noise/aead_builtin.ts";
import type { KeyPair, X25519Provider } from "../../../lib/core/noise/key_pair.ts";
import { builtinX25519, keyPair } from "../../../lib/core/noise/x25519.ts";
import { AccessControl } from "../../../lib/core/access/access_control.ts";
import type { AccessItem } from "../../../lib/core/access/access_items.ts";
import { FLOW_CAPACITY, flowTableSize } from "../../../lib/core/access/flow_table.ts";
import { Engine, ENGINE_SCRATCH_SIZE, MAX_MERGED } from "../../../lib/core/engine/engine.ts";
import { shapingRegion } from "../../../lib/core/engine/shaping.ts";
import type { Nat } from "../../../lib/core/nat/nat.ts";
import { Pipeline, PIPELINE_SCRATCH_SIZE } from "../../../lib/core/engine/pipeline.ts";
import { Router, type RouterOptions } from "../../../lib/core/routing/router.ts";
import { Device } from "../../../lib/core/wireguard/device.ts";
import type { DeviceEvent } from "../../../lib/core/wireguard/device_events.ts";
import { type Elsewhere, ELSEWHERE_SIZE } from "../../../lib/core/wireguard/elsewhere.ts";
import type { WatchOptions } from "../../../lib/core/wireguard/liveness/liveness.ts";
import type { Peer, PeerOptions } from "../../../lib/core/wireguard/peer.ts";
import type { Datagrams } from "../../../lib/core/engine/ports.ts";
import { SendQueue } from "../../../lib/core/transport/send_queue.ts";
import { Transport } from "../../../lib/core/transport/transport.ts";
import {
  DROP_REASON_NAMES,
  DropCounters,
  type DropReason,
} from "../../../lib/core/wire/drop_reason.ts";
import { parseCidr, parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { createMemory, type Memory } from "../../../lib/core/wire/memory.ts";
import { TRANSPORT_OVERHEAD } from "../../../lib/core/wire/messages.ts";
import { PacketQueue } from "../../../lib/core/wire/packet_queue.ts";
import type { FakeClock } from "../time/fake_clock.ts";
import { type Arrival, type FakeCapture, FakeDatagramPort, FakeTun } from "./fake_ports.ts";
import type { Datagram } from "./memory_link.ts";
import { Random } from "../random.ts";
import * as outsides from "./simulated_outside.ts";
import { SHAPING_SPACE, SimulatedWorkers } from "./simulated_workers.ts";

/** Unix ms when a fake clock shows 0. */
const WALL_CLOCK_START = 1_700_000_000_000;
/** As in the data plane: a read may bring 64 datagrams, and a quarter of the queue is kept free for it. */
const SEND_SLOTS = 4 * MAX_MERGED;
/** Where a datagram lies that `receive()` is given. */
export const RECEIVE_OFFSET = 1024;

export interface SimulatedDeviceOptions {
  readonly name: string;
  readonly clock: FakeClock;
  readonly random: Random;
  /** Outer address, dotted decimal, and port. */
  readonly address: string;
  readonly port?: number;
  /** Inner address with its network. */
  readonly tunnelAddress: string;
  /** The same of IPv6; none if left out. */
  readonly tunnelAddress6?: string;
  readonly isGateway?: boolean;
  readonly clientToClient?: boolean;
  readonly egress?: RouterOptions["egress"];
  readonly mtu?: number;
  /** Its address outside, dotted decimal, where it translates; `egress` is "nat" then. */
  readonly external?: string;
  /** The same of IPv6, besides. */
  readonly external6?: string;
  /** Messages that one receive brings. */
  readonly batch?: number;
  /** Whether nothing is open for fake TCP. */
  readonly hasUdpAlone?: boolean;
  /** Its keys; some of its own if left out. */
  readonly identity?: KeyPair;
  readonly watch?: WatchOptions;
  /** Makes the pairs of handshakes; the built-in one if left out. */
  readonly x25519?: X25519Provider;
  /** Makes the cipher; the real one that is always there unless told otherwise. */
  readonly aead?: (memory: Memory, owner?: string) => AeadProvider;
  /** The rules of peers; left out, they have none. */
  readonly access?: readonly AccessItem[];
  /** Where other gateways answer under its key as well. */
  readonly elsewhere?: (memory: Memory, shared: SharedArrayBuffer) => Elsewhere;
  /** Packet workers; its own thread has the packets if left out. And whether the first of them translates for all. */
  readonly workers?: number;
  readonly hasOneNat?: boolean;
}

export class SimulatedDevice {
  readonly name: string;
  readonly identity: KeyPair;
  readonly tun: FakeTun;
  readonly drops: DropCounters = new DropCounters();
  readonly memory: Memory;
  readonly device: Device;
  readonly engine: Engine;
  /** Empty between calls: whatever is sent goes to `onDatagram` at once. */
  readonly sendQueue: SendQueue;
  /** All that the device reported, oldest first. */
  readonly events: DeviceEvent[] = [];
  /** Outer address and port, host order; a test may change them: the device then has moved. */
  address: number;
  port: number;
  /** Added to the wall clock, which may be set at any time. */
  wallClockOffset = 0;
  /** Takes what the device sends. */
  onDatagram: ((datagram: Datagram) => void) | null = null;

  readonly #clock: FakeClock;
  readonly udp: FakeDatagramPort;
  readonly fakeTcp: FakeDatagramPort;
  /** The network outside of a gateway that translates. */
  readonly capture: FakeCapture | null;
  readonly nat: Nat | null;
  readonly outside6: outsides.Outside | null;
  readonly workers: SimulatedWorkers | null;
  readonly #access: AccessControl;

  constructor(options: SimulatedDeviceOptions) {
    const { clock, random, mtu = 1420, batch = 1, external, external6 } = options;
    this.name = options.name;
    this.#clock = clock;
    this.address = ipv4(options.address);
    this.port = options.port ?? 51_820;
    this.identity = options.identity ?? keyPair(random.bytes(32));
    const slotSize = SendQueue.slotSize(mtu + TRANSPORT_OVERHEAD);
    let end = RECEIVE_OFFSET;
    const allocate = (size: number) => {
      const offset = end;
      end = (end + size + 63) & -64;
      return offset;
    };
    const udpOffset = allocate(FakeDatagramPort.arenaSize(batch));
    const fakeTcpOffset = allocate(FakeDatagramPort.arenaSize(batch));
    const scratch = allocate(PIPELINE_SCRATCH_SIZE);
    const engineScratch = allocate(ENGINE_SCRATCH_SIZE);
    const queueOffset = allocate(SEND_SLOTS * slotSize);
    const outsideAt = allocate(external === undefined ? 0 : outsides.outsideSize(batch));
    const outsideAt6 = allocate(external6 === undefined ? 0 : outsides.outsideSize(batch));
    const forwarded = allocate(slotSize);
    const shaping = allocate(SHAPING_SPACE);
    this.memory = createMemory(end);
    this.sendQueue = new SendQueue({ offset: queueOffset, slots: SEND_SLOTS, slotSize });
    const router = {
      isGateway: options.isGateway ?? false,
      addresses: [parseCidr(options.tunnelAddress)!],
      ...(options.tunnelAddress6 && { addresses6: [options.tunnelAddress6] }),
      clientToClient: options.clientToClient ?? true,
      egress: options.egress ?? (external === undefined ? "off" : "nat"),
      isTranslated6: external6 !== undefined,
      egressRules: external6 === undefined ? [] : [outsides.ALL_PASS6],
    };
    const items = options.access ?? [];
    const elsewhere = new SharedArrayBuffer(ELSEWHERE_SIZE);
    const flows = Array.from(
      { length: options.access === undefined ? 0 : (options.workers ?? 0) + 1 },
      () => new SharedArrayBuffer(flowTableSize(FLOW_CAPACITY)),
    );
    const { workers } = options;
    this.workers = workers === undefined ? null : new SimulatedWorkers({
      count: workers,
      mtu,
      random: new Random(random.uint32()),
      aead: options.aead ?? createBuiltinAead,
      ...{ router, hasOneNat: options.hasOneNat ?? false },
      ...(external !== undefined && {
        outside: {
          external: ipv4(external),
          inner: parseCidr(options.tunnelAddress)!.address,
        },
      }),
      access: { items, flows },
      elsewhere,
      memory: this.memory,
      paths: this.sendQueue.paths,
    });
    this.device = new Device({
      memory: this.memory,
      sendQueue: this.sendQueue,
      identity: this.identity,
      x25519: options.x25519 ?? builtinX25519,
      aead: (options.aead ?? createBuiltinAead)(this.memory),
      drops: this.drops,
      mtu,
      random: (length) => random.bytes(length),
      wallClock: () => WALL_CLOCK_START + clock.now + this.wallClockOffset,
      followsTransport: options.isGateway ?? false,
      carriesIpv6: options.tunnelAddress6 !== undefined,
      ...(options.watch && { watch: options.watch }),
      ...(options.elsewhere && { elsewhere: options.elsewhere(this.memory, elsewhere) }),
      ...(this.workers && {
        shared: {
          sharing: this.workers.board,
          scratch: { offset: forwarded, length: slotSize },
        },
      }),
    });
    const ofBoth = {
      memory: this.memory,
      drops: this.drops,
      mtu,
      batch,
      random: () => random.uint32(),
    };
    const outside = outsides.openOutside4(ofBoth, outsideAt, options);
    this.outside6 = outsides.openOutside6(this.device, ofBoth, outsideAt6, options);
    this.capture = outside?.capture ?? null;
    this.nat = outside?.nat ?? null;
    this.#access = new AccessControl({
      view: this.memory.view,
      allowedIps: this.device.allowedIps,
      allowedIps6: this.device.allowedIps6,
      seed: 7,
      items,
      ...(flows.length > 0 && { shared: { flows, own: flows.length - 1 } }),
    });
    const hostQueue = new PacketQueue(MAX_MERGED * batch);
    const pipeline = new Pipeline({
      memory: this.memory,
      device: this.device,
      router: new Router({
        ...router,
        allowedIps: this.device.allowedIps,
        allowedIps6: this.device.allowedIps6,
      }),
      nat: this.nat,
      nat6: this.outside6?.nat ?? null,
      access: this.#access,
      sendQueue: this.sendQueue,
      hostQueue,
      drops: this.drops,
      scratch,
      shaping: shapingRegion(shaping, mtu, SHAPING_SPACE),
      seed: 7,
    });
    this.engine = new Engine({
      memory: this.memory,
      scratch: engineScratch,
      device: this.device,
      pipeline,
      sendQueue: this.sendQueue,
      hostQueue,
      drops: this.drops,
      outside: this.capture,
      outside6: this.outside6?.capture ?? null,
      offload: false,
    });
    this.tun = new FakeTun(this.memory);
    this.engine.attachTun(this.tun);
    const { paths } = this.sendQueue;
    this.udp = new FakeDatagramPort(this.memory, { offset: udpOffset, paths, batch });
    this.fakeTcp = new FakeDatagramPort(this.memory, {
      offset: fakeTcpOffset,
      paths,
      batch,
      transport: Transport.fakeTcp,
    });
    const ports = options.hasUdpAlone ? [this.udp] : [this.udp, this.fakeTcp];
    for (const port of ports) {
      port.onSent = (queue, index) => this.#sent(this.memory, queue, port.transport, index);
      this.engine.attach(port);
    }
    for (const { memory, tun, udp } of this.workers?.all ?? []) {
      udp.onSent = (queue, index) => this.#sent(memory, queue, udp.transport, index);
      tun.onWritten = (packet) => {
        if (this.tun.onWritten === null) this.tun.written.push(packet);
        else this.tun.onWritten(packet);
      };
    }
  }

  /** Adds `other` as a peer with these allowed IPs. */
  addPeer(
    other: { readonly identity: Pick<KeyPair, "public"> },
    allowedIps: readonly string[],
    options: Partial<PeerOptions> = {},
  ): Peer {
    const peer = this.device.addPeer({
      publicKey: other.identity.public,
      allowedIps: allowedIps.flatMap((cidr) => parseCidr(cidr) ?? []),
      allowedIps6: allowedIps.filter((cidr) => cidr.includes(":")),
      ...options,
    }, this.#clock.now);
    this.#settle();
    return peer;
  }

  /** Changes the rules of peers, in each thread. */
  changeAccess(items: readonly AccessItem[]): void {
    for (const each of [this.#access, ...this.workers?.all.map(({ access }) => access) ?? []]) {
      each.change(items);
    }
  }

  /** What has been dropped for `reason`. */
  dropped(reason: DropReason): number {
    return this.drops.counts[reason]!;
  }

  /** All drops by name, for messages. */
  dropReport(): string {
    const parts = Array.from(
      this.drops.counts,
      (count, reason) => `${DROP_REASON_NAMES[reason]} ${count}`,
    );
    return parts.filter((part) => !part.endsWith(" 0")).join(", ");
  }

  /** The host sends packets into the tunnel. */
  send(...packets: Uint8Array[]): void {
    for (const packet of packets) {
      if (this.workers !== null) {
        this.workers.send(packet, this.#clock.now);
        this.#flush();
        continue;
      }
      this.tun.send(packet);
      this.readTun();
    }
  }

  /** Reads what the host has sent. */
  readTun(): void {
    while (this.tun.waiting > 0 && this.tun.isAwaited) this.engine.readTun(this.#clock.now);
    this.#flush();
  }

  /** A datagram arrives, or several that the kernel merged. */
  receive(bytes: Uint8Array, from: Arrival & { readonly transport?: Transport }): void {
    const port = from.transport === Transport.fakeTcp ? this.fakeTcp : this.udp;
    const { address, port: sourcePort, segmentSize = 0, ecn = 0, length = bytes.length } = from;
    const arrival = {
      address,
      port: sourcePort,
      source: this.address,
      segmentSize,
      ecn,
      length,
    };
    if (!this.workers?.receive(bytes, arrival, this.#clock.now)) {
      port.arrive(bytes, arrival);
      this.engine.receive(port, this.#clock.now);
    }
    this.#flush();
  }

  /** A packet arrives from outside at a gateway whose workers translate. */
  receiveOutside(packet: Uint8Array<ArrayBuffer>): void {
    this.workers!.receiveOutside(packet, this.#clock.now);
    this.#flush();
  }

  /** When `poll()` has something to do. */
  pollAt(): number {
    return Math.min(this.device.pollAt(), this.engine.pollAt(), this.workers?.pollAt() ?? Infinity);
  }

  /** Does what is due. */
  poll(): void {
    this.device.poll(this.#clock.now);
    this.engine.release(this.#clock.now);
    this.#flush();
  }

  /** Asks for a handshake now, as the application does when it connects. */
  initiate(peer: Peer): void {
    this.device.initiate(peer, this.#clock.now);
    this.#flush();
  }

  #flush(): void {
    const now = this.#clock.now;
    this.engine.flush(now);
    this.#settle();
    this.events.push(...this.device.events.splice(0));
  }

  /** Has packet workers and the device's thread tell each other what there is to tell. */
  #settle(): void {
    const now = this.#clock.now;
    this.workers?.settle(this.device, () => this.engine.flush(now), now);
  }

  #sent(memory: Memory, queue: Datagrams, transport: Transport, index: number): void {
    const at = queue.offsets[index]!;
    this.onDatagram?.({
      bytes: memory.bytes.slice(at, at + queue.lengths[index]!),
      sourceAddress: this.address,
      sourcePort: this.port,
      destinationAddress: queue.paths.ipv4Address(queue.pathIds[index]!) >>> 0,
      destinationPort: queue.paths.port(queue.pathIds[index]!),
      transport,
    });
  }
}

/** An address in dotted decimal as a number in host order. */
export function ipv4(text: string): number {
  const address = parseIpv4(text);
  if (address === null) throw new Error(`Cannot read the address "${text}"`);
  return address;
}
