/**
 * A network in memory: a server and two clients, whose engines run on ports of memory. Nothing in it allocates once it
 * runs.
 */
import type { Paths } from "../../../lib/core/transport/paths.ts";
import type { Ipv4SocketAddress } from "../../../lib/core/wire/socket_address.ts";
import { Arena } from "../../../ffi/arena.ts";
import { openLibcrypto } from "../../../ffi/crypto/libcrypto.ts";
import { RECEIVE_BUFFER_SIZE } from "../../../ffi/sockets/udp_buffers.ts";
import { AccessControl } from "../../../lib/core/access/access_control.ts";
import type { AccessItem } from "../../../lib/core/access/access_items.ts";
import { Engine, ENGINE_SCRATCH_SIZE } from "../../../lib/core/engine/engine.ts";
import { Pipeline, PIPELINE_SCRATCH_SIZE } from "../../../lib/core/engine/pipeline.ts";
import { shapingRegion } from "../../../lib/core/engine/shaping.ts";
import { FlowMeter } from "../../../lib/core/flows/flow_meter.ts";
import type { DatagramPort, Datagrams, ReceivedMessages } from "../../../lib/core/engine/ports.ts";
import type { AeadProvider } from "../../../lib/core/noise/aead.ts";
import type { KeyPair } from "../../../lib/core/noise/key_pair.ts";
import { builtinX25519, keyPair } from "../../../lib/core/noise/x25519.ts";
import { Router } from "../../../lib/core/routing/router.ts";
import { SendQueue } from "../../../lib/core/transport/send_queue.ts";
import { Transport } from "../../../lib/core/transport/transport.ts";
import { DropCounters } from "../../../lib/core/wire/drop_reason.ts";
import { type Ipv4Prefix, parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { PacketQueue } from "../../../lib/core/wire/packet_queue.ts";
import { Device } from "../../../lib/core/wireguard/device.ts";
import { createFastAead } from "../packets/fast_aead.ts";
import { Random } from "../random.ts";
import { TemplateTun } from "./template_tun.ts";
import { type WorkerPart, workerPart } from "./worker_part.ts";

const SLOTS = 256;
/** Bytes in which packets wait for their peer's rate. */
const SHAPING_SPACE = 512 * 1024;
const QUEUE_CAPACITY = 1024;
/** Messages that one end has room for. */
const MESSAGES = 16;

/** Where an end is, inside and outside. */
interface Place {
  readonly inside: string;
  readonly inside6: string;
  readonly outside: number;
  readonly port: number;
}

// Addresses and indices of 2^31 and more do not fit the engine's small integers, so they would show.
const SERVER: Place = {
  inside: "192.168.77.1",
  inside6: "fd00:77:8000::ffff:1",
  outside: 0xcb007101,
  port: 51820,
};
const CLIENT: Place = {
  inside: "192.168.77.2",
  inside6: "fd00:77:8000::ffff:2",
  outside: 0xcb007102,
  port: 51821,
};
const NEIGHBOUR: Place = {
  inside: "192.168.77.3",
  inside6: "fd00:77:8000::ffff:3",
  outside: 0xcb007103,
  port: 51822,
};

/** Monotonic ms at which everything begins, with a fraction as the real clock has it. */
export const START = 1_000_000.25;

/**
 * A wire's end: neighbours of one size that are sent arrive in one message, as UDP_GRO merges them. It allocates
 * nothing.
 */
class WireEnd implements DatagramPort {
  readonly transport = Transport.udp;
  readonly batch = MESSAGES;
  readonly messages: ReceivedMessages;
  /** The other ends. */
  readonly others: WireEnd[] = [];
  readonly #bytes: Uint8Array;
  readonly #paths: Paths;
  /** Its address outside, int32, and port. */
  readonly #address: number;
  readonly #end: Ipv4SocketAddress;
  /** By message. */
  readonly #senders: Ipv4SocketAddress[] = [];
  #waiting = 0;

  constructor(arena: Arena, paths: Paths, place: Place) {
    this.#paths = paths;
    this.#bytes = arena.bytes;
    this.#address = place.outside | 0;
    this.#end = { address: this.#address, port: place.port };
    const buffers = arena.allocate(MESSAGES * RECEIVE_BUFFER_SIZE);
    this.messages = {
      offsets: Int32Array.from({ length: MESSAGES }, (_, i) => buffers + i * RECEIVE_BUFFER_SIZE),
      lengths: new Int32Array(MESSAGES),
      segmentSizes: new Int32Array(MESSAGES),
      pathIds: new Int32Array(MESSAGES),
      ecns: new Uint8Array(MESSAGES),
    };
  }

  receive(): number {
    const count = this.#waiting;
    this.#waiting = 0;
    return count;
  }

  take(index: number): boolean {
    const { address, port } = this.#senders[index]!;
    this.messages.pathIds[index] = this.#paths.intern(address, port, this.#address, this.transport);
    return true;
  }

  authenticated(): void {}

  send(queue: Datagrams, from: number, to: number): number {
    let next = from;
    while (next < to) {
      const address = queue.paths.ipv4Address(queue.pathIds[next]!);
      for (let i = 0; i < this.others.length; i++) {
        const other = this.others[i]!;
        if (other.#address === address) next = other.#arrive(this, queue, next, to);
      }
    }
    return next;
  }

  /** Takes what makes one message. Returns the index behind it. */
  #arrive(sender: WireEnd, { pathIds, lengths, offsets }: Datagrams, from: number, to: number) {
    const { messages } = this;
    const i = this.#waiting++;
    const size = lengths[from]!;
    const start = messages.offsets[i]!;
    const limit = start + RECEIVE_BUFFER_SIZE;
    const path = pathIds[from]!;
    let at = start;
    let next = from;
    let last = size;
    while (
      next < to && last === size && lengths[next]! <= size && at + size <= limit &&
      pathIds[next] === path
    ) {
      last = lengths[next]!;
      this.#bytes.copyWithin(at, offsets[next]!, offsets[next]! + last);
      at += last;
      next++;
    }
    messages.lengths[i] = at - start;
    messages.segmentSizes[i] = size;
    this.#senders[i] = sender.#end;
    return next;
  }

  probe(): boolean {
    return false;
  }

  flush(): boolean {
    return true;
  }

  awaitRoom(): void {}
}

/** One end of a tunnel: the engine on ports of memory. */
export class End {
  readonly place: Place;
  readonly identity: KeyPair;
  readonly drops = new DropCounters();
  readonly device: Device;
  readonly engine: Engine;
  readonly tun: TemplateTun;
  readonly wire: WireEnd;
  /** Null where packets are this engine's. */
  readonly #worker: WorkerPart | null;

  constructor(
    arena: Arena,
    aead: AeadProvider,
    place: Place,
    { mtu, hasWorker = false, access: items = [], isMetered = false }: NetworkOptions,
  ) {
    const random = new Random(place.port);
    const slotSize = SendQueue.slotSize(mtu + 32);
    const { drops } = this;
    this.place = place;
    this.identity = keyPair(new Uint8Array(32).fill(place.port));
    this.tun = new TemplateTun(arena);
    const sendQueue = new SendQueue({
      offset: arena.allocate(SLOTS * slotSize),
      slots: SLOTS,
      slotSize,
    });
    this.wire = new WireEnd(arena, sendQueue.paths, place);
    const hostQueue = new PacketQueue(QUEUE_CAPACITY);
    const worker = this.#worker = hasWorker
      ? workerPart({ arena, aead, drops, mtu, sendQueue })
      : null;
    this.device = new Device({
      memory: arena,
      sendQueue,
      identity: this.identity,
      x25519: builtinX25519,
      aead,
      drops,
      mtu,
      random: (length) => random.bytes(length),
      wallClock: Date.now,
      carriesIpv6: true,
      ...(worker && {
        shared: {
          sharing: worker.board,
          scratch: { offset: arena.allocate(slotSize), length: slotSize },
        },
      }),
    });
    const device = worker?.device ?? this.device;
    const access = place !== SERVER ? undefined : new AccessControl({
      view: arena.view,
      allowedIps: device.allowedIps,
      allowedIps6: device.allowedIps6,
      seed: 7,
      items,
    });
    const pipeline = new Pipeline({
      memory: arena,
      device,
      ...(access && { access }),
      router: new Router({
        allowedIps: device.allowedIps,
        isGateway: place === SERVER,
        addresses: [hostPrefix(place)],
        addresses6: [`${place.inside6}/128`],
        allowedIps6: device.allowedIps6,
        clientToClient: true,
        egress: "off",
        egressRules: [],
      }),
      sendQueue,
      hostQueue,
      drops,
      nat: null,
      scratch: arena.allocate(PIPELINE_SCRATCH_SIZE),
      shaping: shapingRegion(arena.allocate(SHAPING_SPACE), mtu, SHAPING_SPACE),
      seed: 7,
    });
    if (isMetered) pipeline.shaping.meter = new FlowMeter(arena.view, 7);
    this.engine = new Engine({
      memory: arena,
      scratch: arena.allocate(ENGINE_SCRATCH_SIZE),
      device,
      pipeline,
      sendQueue,
      hostQueue,
      drops,
      outside: null,
      offload: true,
    });
    this.engine.attachTun(this.tun);
    this.engine.attach(this.wire);
  }

  /** Takes what has come by the wire, and sends what follows. */
  receive(now: number): void {
    this.engine.receive(this.wire, now);
    this.endTurn(now);
  }

  endTurn(now: number): void {
    this.engine.release(now);
    this.engine.flush(now);
    this.#worker?.device.endTurn(now);
  }

  /** Has a worker and the device tell each other what there is to tell. */
  settle(now: number): void {
    const worker = this.#worker;
    if (worker === null) return;
    this.device.workerNews!.take(worker.news, now);
    this.engine.flush(now);
    worker.board.publish(this.device.peers, now);
    worker.device.learn(now);
    this.endTurn(now);
  }
}

export interface NetworkOptions {
  readonly mtu: number;
  /** Of both clients at the server, bits a second; null for none. */
  readonly rateLimit?: number | null;
  /** Whether the server's packets are a packet worker's. */
  readonly hasWorker?: boolean;
  /** Access rules at the server, where the clients have the access ids 1 and 2. */
  readonly access?: readonly AccessItem[];
  /** Whether the server counts its packets by flow. */
  readonly isMetered?: boolean;
}

/** A server, two clients, sessions between them, and wires. */
export class Network {
  readonly server: End;
  readonly client: End;
  readonly neighbour: End;
  readonly #arena = new Arena(16 << 20);

  constructor(options: NetworkOptions) {
    const { mtu, rateLimit = null } = options;
    const arena = this.#arena;
    const aead = openLibcrypto(arena) ?? createFastAead(arena);
    this.server = new End(arena, aead, SERVER, options);
    this.client = this.#connect(new End(arena, aead, CLIENT, { mtu }), rateLimit);
    this.neighbour = this.#connect(new End(arena, aead, NEIGHBOUR, { mtu }), rateLimit);
  }

  #connect(client: End, rateLimit: number | null): End {
    const { server } = this;
    const now = START;
    client.wire.others.push(server.wire);
    server.wire.others.push(client.wire);
    server.device.addPeer({
      publicKey: client.identity.public,
      allowedIps: [hostPrefix(client.place)],
      allowedIps6: [`${client.place.inside6}/128`],
      rateLimit,
      accessId: client.place === CLIENT ? 1 : 2,
    }, now);
    const peer = client.device.addPeer({
      publicKey: server.identity.public,
      allowedIps: [{ address: 0, prefixLength: 0 }],
      allowedIps6: ["::/0"],
      endpoint: { address: SERVER.outside, port: SERVER.port },
    }, now);
    client.device.initiate(peer, now);
    client.engine.flush(now);
    for (const end of [server, client, server]) {
      end.receive(now);
      server.settle(now);
    }
    server.settle(now);
    server.device.events.length = client.device.events.length = 0;
    return client;
  }
}

function hostPrefix({ inside }: Place): Ipv4Prefix {
  return { address: parseIpv4(inside)!, prefixLength: 32 };
}
