/**
 * Fleet node: a gateway's part in its fleet, in the thread that has the sessions: whether the others are alive, whose
 * turn it is to have the virtual address, and the peers of one that is gone.
 *
 * Which of them has the address, `MeshMachine` says; the store's word, and the host's address, are the main thread's.
 */
import type { Arena } from "../../../ffi/arena.ts";
import type { Libc } from "../../../ffi/libc.ts";
import { ipv4ToNumber } from "../../../ffi/netlink/ip_address.ts";
import type { NetworkEvent } from "../../../ffi/netlink/monitor.ts";
import { decodeKey } from "../../core/config/values/key_text.ts";
import type { HandedPacket } from "../../core/engine/from_gateway.ts";
import type { DatagramSource } from "../../core/engine/ports.ts";
import { NO_GATEWAY } from "../../core/fleet/claim.ts";
import { FleetFlows } from "../../core/fleet/fleet_flows.ts";
import { FleetPeers } from "../../core/fleet/fleet_peers.ts";
import { decodeHeartbeat, encodeHeartbeat } from "../../core/fleet/mesh/heartbeat.ts";
import {
  type MeshAction,
  type MeshEvent,
  MeshMachine,
} from "../../core/fleet/mesh/mesh_machine.ts";
import {
  MISDIRECTED_HEADER_SIZE,
  misdirectedPath,
  misdirectedSize,
} from "../../core/fleet/mesh/misdirected.ts";
import type { AeadProvider } from "../../core/noise/aead.ts";
import { blake2sHash } from "../../core/noise/blake2s.ts";
import type { X25519Provider } from "../../core/noise/key_pair.ts";
import type { ReplicatedFlows } from "../../core/nat/replicas/replicated_flows.ts";
import { NO_PATH } from "../../core/transport/paths.ts";
import type { DropCounters } from "../../core/wire/drop_reason.ts";
import { hash } from "../../core/wire/hash.ts";
import type { Device } from "../../core/wireguard/device.ts";
import type { DeviceEvent } from "../../core/wireguard/device_events.ts";
import type { Elsewhere } from "../../core/wireguard/elsewhere.ts";
import { randomUint32 } from "../../core/wireguard/handshake/handshake_gate.ts";
import { IndexLayout } from "../../core/wireguard/handshake/index_layout.ts";
import type { Peer } from "../../core/wireguard/peer.ts";
import type { EventLoop } from "../event_loop.ts";
import { Announcer } from "./announcer.ts";
import type { FleetCommand, FleetConfig, FleetGateway, FleetReport } from "./fleet_protocol.ts";
import { HandedPackets } from "./handed_packets.ts";
import { MeshLink } from "./mesh_link.ts";
import { MisdirectedSource } from "./misdirected_source.ts";

/** What tells the key of indices from other uses of the fleet's secret. */
const INDEX_KEY = new TextEncoder().encode("vpn fleet index");

export interface FleetNodeOptions {
  readonly config: FleetConfig;
  readonly loop: EventLoop;
  readonly device: Device;
  readonly aead: AeadProvider;
  readonly x25519: X25519Provider;
  readonly mark: number;
  readonly report: (report: FleetReport) => void;
  /** What has the device's indices name this gateway, as soon as it has its number. */
  readonly elsewhere: Elsewhere;
  /** The flows of the NAT that is in this thread; null for none. */
  readonly nat: () => ReplicatedFlows | null;
  /** Bytes of the longest packet inside. */
  readonly mtu: number;
  /** Takes a datagram for the device that came by another gateway. */
  readonly receive: (source: DatagramSource, now: number) => void;
  readonly drops: DropCounters;
  /** Takes a packet that another gateway has handed over, which is overwritten after the call. */
  readonly takeHanded: (packet: HandedPacket, gateway: number, now: number) => void;
}

export class FleetNode implements Disposable {
  readonly packets: HandedPackets;
  readonly #options: FleetNodeOptions;
  readonly #resources: DisposableStack;
  readonly #link: MeshLink;
  readonly #announcer: Announcer;
  readonly #peers: FleetPeers;
  readonly #flows: FleetFlows;
  /** Null before it is known who the others are. */
  #machine: MeshMachine | null = null;
  /** The other gateways: number by public key, and public key by number. */
  #numbers = new Map<string, number>();
  #keys = new Map<number, Uint8Array>();
  /** The way to each of them, and whose it is. */
  #links = new Map<number, Peer>();
  #numberOf = new Map<Peer, number>();
  readonly #view: DataView;
  readonly #misdirected = new MisdirectedSource();
  #self = 0;
  readonly #up = new Set<number>();
  #holds = false;
  /** Whether the host has the virtual address, by what the kernel has told. */
  #isOnHost = false;
  #viewTold = "";
  /** Who has the virtual address, this gateway included. */
  #holder = NO_GATEWAY;

  /** Bytes of arena that it takes, with packets inside of up to `mtu` bytes. */
  static arenaSize(mtu: number): number {
    return MeshLink.arenaSize(mtu) + Announcer.arenaSize;
  }

  /** @throws {SystemCallError} when the port is taken or a privilege is missing */
  constructor(libc: Libc, arena: Arena, options: FleetNodeOptions) {
    const { config, device, x25519 } = this.#options = options;
    this.#view = arena.view;
    this.packets = new HandedPackets({
      ...options,
      view: arena.view,
      seed: drawUint32(),
      gatewayOf: (peer) => this.#gatewayOf(peer),
      wayTo: (gateway) => this.#links.get(gateway),
      link: () => this.#link,
    });
    using opened = new DisposableStack();
    const identity = opened.adopt(x25519.keyPair(config.nodeKey), (pair) => pair.destroy());
    this.#link = opened.use(
      new MeshLink(libc, arena, {
        ...options,
        ...config,
        identity,
        onMessage: (publicKey, message, now) => this.#receive(publicKey, message, now),
        onDatagram: (offset, now) => this.#receiveDatagram(offset, now),
        onPacket: (gateway, packet, now) => {
          const from = this.#numberOf.get(gateway);
          if (from !== undefined) options.takeHanded(packet, from, now);
        },
      }),
    );
    this.#announcer = opened.use(
      new Announcer(libc, arena, { address: config.virtual, mark: options.mark }),
    );
    const tell = (message: Uint8Array, to?: number) => {
      for (const [gateway, key] of this.#keys) {
        if (to === undefined || to === gateway) this.#link.send(key, message, options.loop.now());
      }
    };
    this.#peers = new FleetPeers({ device, virtual: config.virtual, tell });
    this.#flows = new FleetFlows({ ...options, tell, seed: drawUint32() });
    device.lastingSource = config.virtual | 0;
    this.#resources = opened.move();
  }

  /** Unix ms of the next initiation: later than any that the fleet has sent. */
  unixTime(): number {
    return this.#machine?.fleetTime(this.#options.loop.now(), Date.now()) ?? Date.now();
  }

  /** Does what the main thread asks for. */
  obey(command: FleetCommand, now: number): void {
    switch (command.kind) {
      case "fleet-members":
        this.#setMembers(command.self, command.gateways, now);
        break;
      case "fleet-left":
        this.#leave(now);
        break;
      case "fleet-store":
        this.#tell({ kind: "store", isReached: command.isReached }, now);
        break;
      case "fleet-term":
        this.#tell({ kind: "term-entry", entry: command.entry, revision: command.revision }, now);
        break;
      case "fleet-term-written":
        this.#tell({ kind: "term-written", id: command.id, revision: command.revision }, now);
        break;
      case "fleet-address-held":
        // It may have been given up meanwhile.
        if (!this.#holds) break;
        this.#options.report({ kind: "fleet-flows", ...this.#flows.hold(now) });
        this.#announcer.hold(command.link, now);
        this.#takeOver(now);
        break;
      case "fleet-drain":
        // Before others hear of it, and take the address.
        this.#flows.setDraining(command.isDraining, now);
        this.#tell({ kind: command.isDraining ? "drain" : "rebalance" }, now);
        break;
    }
    this.#link.flush();
  }

  #setMembers(self: number, gateways: readonly FleetGateway[], now: number): void {
    const others = gateways.filter(({ number }) => number !== self);
    this.#keys = new Map(others.map(({ number, publicKey }) => [number, decodeKey(publicKey)!]));
    this.#numbers = new Map(others.map(({ number, publicKey }) => [publicKey, number]));
    this.#link.setGateways(
      others.map(({ number, endpoint }) => ({ publicKey: this.#keys.get(number)!, endpoint })),
      now,
    );
    this.#links = new Map(
      others.flatMap(({ number }) => {
        const gateway = this.#link.gateway(this.#keys.get(number)!);
        return gateway === null ? [] : [[number, gateway]];
      }),
    );
    this.#numberOf = new Map(Array.from(this.#links, ([number, gateway]) => [gateway, number]));
    this.#tellReachable();
    const members = gateways.map(({ number }) => number);
    if (this.#machine !== null) {
      this.#tell({ kind: "members", members }, now);
      return;
    }
    this.#self = this.#peers.self = self;
    const { config, elsewhere } = this.#options;
    elsewhere.layout = new IndexLayout(self, blake2sHash(INDEX_KEY, config.presharedKey));
    this.#machine = new MeshMachine({
      self,
      members,
      generation: drawUint32(),
      addressKey: hash(this.#options.config.virtual | 0, 0, 0) >>> 0,
      isDraining: false,
    }, now);
    this.#tell({ kind: "time" }, now);
  }

  /** With the address, as the others no longer hear this one, nor it them. */
  #leave(now: number): void {
    if (this.#holds) this.#giveUp("this gateway was removed from the fleet", now);
    this.#machine = null;
    this.#options.elsewhere.layout = null;
    this.#links.clear();
    this.#numberOf.clear();
    this.#keys.clear();
    this.#numbers.clear();
    this.#up.clear();
    this.#tellReachable();
    this.#link.setGateways([], now);
  }

  /** Whom `handMessage()` has a way to. */
  #tellReachable(): void {
    this.#options.elsewhere.setReachable([...this.#up].filter((number) => this.#links.has(number)));
  }

  #giveUp(reason: string, now: number): void {
    this.#holds = false;
    this.#announcer.hold(null, now);
    this.#flows.giveUp(now);
    this.#peers.giveUp();
    this.#options.report({ kind: "fleet-address", holds: false, reason });
  }

  /** Hands a client's datagram over to the gateway whose session it is of; false where there is no way to it. */
  handMessage(gateway: number, offset: number, length: number, path: number): boolean {
    const { device, loop } = this.#options;
    const link = this.#links.get(gateway);
    if (link === undefined || !this.#up.has(gateway)) return false;
    return this.#link.handOver(link, offset, length, device.paths, path, loop.now());
  }

  /** The gateway that has a peer, or will have it: who has the virtual address takes over whom it has reached. */
  #gatewayOf(peer: Peer): number {
    const gateway = this.#peers.gatewayOf(peer);
    if (this.#up.has(gateway)) return gateway;
    const holder = this.#holder;
    return holder !== NO_GATEWAY && this.#up.has(holder) && this.#peers.isByVirtual(peer)
      ? holder
      : NO_GATEWAY;
  }

  /** Takes such a datagram from the gateway that a client has sent it to. */
  #receiveDatagram(offset: number, now: number): void {
    const { device, receive } = this.#options;
    const path = misdirectedPath(this.#view, offset, device.paths);
    const size = misdirectedSize(this.#view, offset);
    if (path === NO_PATH || size <= 0) return;
    this.#misdirected.put(offset + MISDIRECTED_HEADER_SIZE, size, path);
    receive(this.#misdirected, now);
  }

  #receive(publicKey: Uint8Array, message: Uint8Array, now: number): void {
    const from = this.#numbers.get(publicKey.toBase64());
    if (from === undefined) return;
    if (this.#peers.take(message, now) || this.#flows.take(message, now)) return;
    const heartbeat = decodeHeartbeat(message);
    if (heartbeat === null) return;
    this.#tell({ kind: "heartbeat", from, heartbeat }, now);
  }

  #tell(event: MeshEvent, now: number): void {
    for (const action of this.#machine?.take(event, now, Date.now()) ?? []) this.#do(action, now);
    this.#report();
  }

  #do(action: MeshAction, now: number): void {
    const { report } = this.#options;
    switch (action.kind) {
      case "send": {
        const key = this.#keys.get(action.to);
        if (key !== undefined) this.#link.send(key, encodeHeartbeat(action.heartbeat), now);
        break;
      }
      case "gateway-up":
        this.#up.add(action.gateway);
        this.#tellReachable();
        this.#peers.gatewayUp(now);
        this.#flows.gatewayUp(action.gateway, now);
        break;
      case "gateway-down":
        this.#up.delete(action.gateway);
        this.#tellReachable();
        this.#flows.gatewayDown(action.gateway);
        if (this.#holds) this.#takeOver(now);
        break;
      case "write-term":
        report({ ...action, kind: "fleet-write-term" });
        break;
      case "take-address":
        this.#holds = true;
        report({ kind: "fleet-address", holds: true, reason: "" });
        break;
      case "give-address-up":
        this.#giveUp(action.reason, now);
        break;
    }
  }

  #takeOver(now: number): void {
    this.#peers.takeOver((gateway) => !this.#up.has(gateway), now);
  }

  #report(): void {
    const state = this.#machine?.state;
    if (state === undefined) return;
    const { holder, term, isDraining, isNeeded, isKnown, gateways } = state;
    const heard = gateways.filter(({ isUp }) => isUp)
      .map(({ gateway: number, isDraining, skew }) => ({ number, isDraining, skew }));
    this.#holder = holder ?? NO_GATEWAY;
    const view = { self: this.#self, holder, term, isDraining, isNeeded, isKnown, heard };
    const text = JSON.stringify(view);
    if (text === this.#viewTold) return;
    this.#viewTold = text;
    this.#options.report({ kind: "fleet-view", view });
  }

  /**
   * Whether a notification says no more than that the host has the virtual address for another while, as it is told
   * each second: nothing is to be looked up again for that.
   */
  isRenewal(event: NetworkEvent): boolean {
    if (event.kind !== "address" || event.address.address.length !== 4) return false;
    if (ipv4ToNumber(event.address.address) !== this.#options.config.virtual) return false;
    const wasThere = this.#isOnHost;
    this.#isOnHost = !event.removed;
    return wasThere && this.#isOnHost;
  }

  /** Takes note of what happened to a peer. */
  follow({ kind, peer }: DeviceEvent, now: number): void {
    if (kind === "handshake-completed" || kind === "endpoint-changed") {
      this.#peers.changed(peer, now);
    }
  }

  /** When there is something to do, monotonic ms. */
  pollAt(): number {
    return Math.min(
      this.#machine?.dueAt ?? Infinity,
      this.#link.pollAt(),
      this.#peers.pollAt(),
      this.#flows.pollAt(),
      this.#announcer.pollAt(),
    );
  }

  poll(now: number): void {
    if (now >= (this.#machine?.dueAt ?? Infinity)) {
      this.#tell({ kind: "time" }, now);
    }
    this.#peers.poll(now);
    this.#flows.poll(now);
    this.#announcer.poll(now);
    this.#link.poll(now);
  }

  /** Datagrams that the kernel has dropped before they were received. */
  receiveDrops(): number {
    return this.#link.receiveDrops();
  }

  [Symbol.dispose](): void {
    this.#resources[Symbol.dispose]();
  }
}

function drawUint32(): number {
  return randomUint32((length) => crypto.getRandomValues(new Uint8Array(length)));
}
