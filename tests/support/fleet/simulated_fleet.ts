/**
 * Simulated fleet: gateways that have the virtual address by turns, and their peers, which know that address alone. A
 * peer is a stock client: it sends now and then, takes a handshake that a gateway begins, and begins one itself when it
 * has not been answered for 15 s.
 */
import { FleetPeers } from "../../../lib/core/fleet/fleet_peers.ts";
import { encodeTai64n } from "../../../lib/core/noise/tai64n.ts";
import { Transport } from "../../../lib/core/transport/transport.ts";
import type { Device } from "../../../lib/core/wireguard/device.ts";
import type { Peer } from "../../../lib/core/wireguard/peer.ts";
import type { PeerSession } from "../../../lib/core/wireguard/session/peer_session.ts";
import type { Random } from "../random.ts";
import { SimulatedMesh } from "./simulated_mesh.ts";

const VIRTUAL = 0xcb007105;
/** ms between what a peer sends, quiet or busy; and without an answer until it begins a handshake. */
const QUIETEST = 25_000;
const BUSIEST = 1_000;
const SILENCE = 15_000;
const ROUND_TRIP = 20;
/** Initiations of a gateway to a peer that it takes over, and ms between them. */
const ATTEMPTS = 18;
const ATTEMPT_INTERVAL = 1_000;

/** What both ends of a handshake have. */
interface Session extends Pick<PeerSession, "isInitiator" | "timestamp" | "createdAt"> {
  readonly gateway: number;
}

interface Client {
  readonly publicKey: Uint8Array;
  readonly number: number;
  session: Session | null;
  answeredAt: number;
  /** Unix ms of the last initiation that it has taken. */
  initiationTime: number;
}

/** A gateway's part of a peer, as far as a take-over looks at it. */
interface GatewayPeer {
  readonly client: Client;
  readonly peer: Peer;
}

interface Gateway {
  readonly peers: readonly GatewayPeer[];
  readonly byKey: (publicKey: Uint8Array) => GatewayPeer;
  readonly fleet: FleetPeers;
  readonly up: Set<number>;
  holds: boolean;
  wakesAt: number;
}

export interface SimulatedFleetOptions {
  readonly gateways: number;
  readonly clients: number;
  readonly random: Random;
  readonly loss: number;
}

export class SimulatedFleet {
  readonly mesh: SimulatedMesh;
  readonly #clients: readonly Client[];
  /** ms for which two gateways have had a session with a peer that both would have used, at the most. */
  longestSharing = 0;
  readonly #options: SimulatedFleetOptions;
  readonly #gateways: (Gateway | null)[] = [];
  /** Who has taken the virtual address, the last one last: it has announced it. */
  #takers: number[] = [];
  /** By client, who has a session and since when there have been two. */
  readonly #owners: Set<number>[];
  readonly #sharedSince = new Map<number, number>();

  constructor(options: SimulatedFleetOptions) {
    const { clients, random, gateways, loss } = this.#options = options;
    this.#clients = Array.from({ length: clients }, (_, number) => {
      const publicKey = new Uint8Array(32);
      new DataView(publicKey.buffer).setUint32(0, number);
      return { publicKey, number, session: null, answeredAt: -Infinity, initiationTime: 0 };
    });
    this.#owners = this.#clients.map(() => new Set());
    this.mesh = new SimulatedMesh({
      gateways,
      random,
      loss,
      onAction: (gateway, action, now) => {
        const at = this.#gateways[gateway] ??= this.#gateway(gateway);
        switch (action.kind) {
          case "gateway-up":
            at.up.add(action.gateway);
            at.fleet.gatewayUp(now);
            break;
          case "gateway-down":
            at.up.delete(action.gateway);
            if (at.holds) at.fleet.takeOver((each) => !at.up.has(each), now);
            break;
          case "take-address":
            at.holds = true;
            this.#takers = [...this.#takers.filter((each) => each !== gateway), gateway];
            at.fleet.takeOver((each) => !at.up.has(each), now);
            break;
          case "give-address-up":
            at.holds = false;
            at.fleet.giveUp();
            break;
          default:
            return;
        }
        this.#wake(gateway);
      },
    });
    for (const client of this.#clients) {
      this.mesh.after((1 + random.float()) * BUSIEST, () => this.#live(client));
    }
  }

  kill(gateway: number): void {
    this.mesh.kill(gateway);
    for (const { client } of this.#gateways[gateway]!.peers) this.#lose(gateway, client);
    this.#gateways[gateway] = null;
  }

  start(gateway: number): void {
    this.#gateways[gateway] = this.#gateway(gateway);
    this.mesh.start(gateway);
  }

  /** Peers that are served: what they send reaches a gateway that has a session with them. */
  get served(): number {
    return this.#servedOf(this.#clients);
  }

  /** Those of them that send each second. */
  get servedBusy(): number {
    return this.#servedOf(this.#clients.filter(isBusy));
  }

  #servedOf(clients: readonly Client[]): number {
    const holder = this.#reached;
    if (holder === null) return 0;
    return clients.filter(({ session, number }) =>
      session?.gateway === holder && this.#owners[number]!.has(holder)
    ).length;
  }

  /** Peers with which more than one gateway has a session. */
  get shared(): number {
    return this.#sharedSince.size;
  }

  #gateway(number: number): Gateway {
    const peers = this.#clients.map((client) => ({ client, peer: stubPeer(client.publicKey) }));
    const byKey = (publicKey: Uint8Array) =>
      peers[new DataView(publicKey.buffer, publicKey.byteOffset).getUint32(0)]!;
    const clients = new Map(peers.map(({ peer, client }) => [peer, client]));
    const device: Pick<Device, "peers" | "peer" | "takeOver" | "disown"> = {
      peers: peers.map(({ peer }) => peer),
      peer: (publicKey) => byKey(publicKey).peer,
      takeOver: (peer) => this.#initiate(number, peer, clients.get(peer)!, ATTEMPTS),
      disown: (peer) => {
        Object.assign(peer, { current: null });
        this.#lose(number, clients.get(peer)!);
      },
    };
    const fleet = new FleetPeers({
      device,
      virtual: VIRTUAL,
      tell: (message) => {
        for (const to of this.mesh.numbers) {
          if (to === number) continue;
          this.mesh.transmit(number, to, () => {
            this.#gateways[to]!.fleet.take(message, this.mesh.now);
            this.#wake(to);
          });
        }
      },
    });
    fleet.self = number;
    return { peers, byKey, fleet, up: new Set(), holds: false, wakesAt: Infinity };
  }

  #wake(number: number): void {
    const gateway = this.#gateways[number]!;
    const at = gateway.fleet.pollAt();
    if (at >= gateway.wakesAt) return;
    gateway.wakesAt = at;
    this.mesh.after(Math.max(0, at - this.mesh.now), () => {
      if (this.#gateways[number] !== gateway) return;
      gateway.wakesAt = Infinity;
      gateway.fleet.poll(this.mesh.now);
      this.#wake(number);
    });
  }

  // The peers.

  /** The gateway that what is sent to the virtual address arrives at. */
  get #reached(): number | null {
    return this.#takers.findLast((each) => this.#gateways[each]?.holds) ?? null;
  }

  #live(client: Client): void {
    const { random } = this.#options;
    const { now } = this.mesh;
    const pause = isBusy(client) ? BUSIEST : QUIETEST;
    this.mesh.after(pause * (0.5 + random.float()), () => this.#live(client));
    const gateway = this.#reached;
    if (gateway === null || this.#isLost) return;
    if (now - client.answeredAt > SILENCE + pause) this.#connect(client, gateway);
    const { peer } = this.#gateways[gateway]!.peers[client.number]!;
    if (client.session === null || peer.current as unknown !== client.session) return;
    Object.assign(peer, { lastReceivedAt: now });
    if (!this.#isLost) client.answeredAt = now;
  }

  /** A handshake that the peer begins. */
  #connect(client: Client, gateway: number): void {
    const { peer } = this.#gateways[gateway]!.peers[client.number]!;
    peer.latestTimestamp = encodeTai64n(clockOf(client) + this.mesh.now);
    const timestamp = peer.latestTimestamp;
    client.session = { gateway, isInitiator: false, timestamp, createdAt: this.mesh.now };
    client.answeredAt = this.mesh.now;
    this.#begin(gateway, peer, client);
  }

  /** A handshake that a gateway begins. */
  #initiate(gateway: number, peer: Peer, client: Client, attempts: number): void {
    const running = this.#gateways[gateway]!;
    const heardAt = peer.lastReceivedAt;
    const time = this.mesh.fleetTime(gateway);
    if (!this.#isLost && time > client.initiationTime) {
      client.initiationTime = time;
      const session: Session = {
        gateway,
        isInitiator: true,
        timestamp: encodeTai64n(time),
        createdAt: this.mesh.now + ROUND_TRIP,
      };
      // To the address from which it came, which others may have by then.
      const isAnswered = !this.#isLost && this.#reached === gateway;
      this.mesh.after(ROUND_TRIP, () => {
        client.session = session;
        if (this.#gateways[gateway] !== running || !isAnswered || !running.holds) return;
        client.answeredAt = this.mesh.now;
        this.#begin(gateway, peer, client);
      });
    }
    if (attempts === 1) return;
    this.mesh.after(ATTEMPT_INTERVAL, () => {
      const isOver = this.#gateways[gateway] !== running || !running.holds ||
        peer.lastReceivedAt > heardAt;
      if (!isOver) this.#initiate(gateway, peer, client, attempts - 1);
    });
  }

  #begin(gateway: number, peer: Peer, client: Client): void {
    const { now } = this.mesh;
    Object.assign(peer, { current: client.session, lastReceivedAt: now });
    const owners = this.#owners[client.number]!;
    owners.add(gateway);
    if (owners.size > 1 && !this.#sharedSince.has(client.number)) {
      this.#sharedSince.set(client.number, now);
    }
    this.#gateways[gateway]!.fleet.changed(peer, now);
    this.#wake(gateway);
  }

  #lose(gateway: number, client: Client): void {
    const owners = this.#owners[client.number]!;
    owners.delete(gateway);
    const since = this.#sharedSince.get(client.number);
    if (since === undefined || owners.size > 1) return;
    this.#sharedSince.delete(client.number);
    this.longestSharing = Math.max(this.longestSharing, this.mesh.now - since);
  }

  get #isLost(): boolean {
    return this.#options.random.chance(this.#options.loss);
  }
}

/** Unix ms at the start, by the clock of a client: behind the gateways' by years, or ahead of them. */
function clockOf({ number }: Client): number {
  return number % 3 === 0 ? 2_500_000_000_000 : 1_000_000_000_000;
}

/** Every other one. */
function isBusy({ number }: Client): boolean {
  return number % 2 === 0;
}

const NEVER_TIMESTAMP = new Uint8Array(12);
const ENDPOINT = {
  address: 0xc6336407,
  port: 51_820,
  transport: Transport.udp,
  sourceDigest: VIRTUAL | 0,
};

/** What a take-over looks at. */
function stubPeer(publicKey: Uint8Array): Peer {
  return {
    publicKey,
    endpoint: ENDPOINT,
    latestTimestamp: NEVER_TIMESTAMP,
    lastReceivedAt: -Infinity,
    isRemoved: false,
    current: null,
    next: null,
    proof: { isProven: true },
    timers: { handshakeInterval: 0 },
  } as unknown as Peer;
}
