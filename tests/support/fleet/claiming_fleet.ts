/**
 * Claiming fleet: gateways with addresses of their own, real devices, and clients that go from one to another. What
 * gateways tell each other is lost, late, twice and out of order; an attacker sends recorded initiations to any of
 * them.
 */
import { NO_GATEWAY } from "../../../lib/core/fleet/claim.ts";
import { FleetPeers } from "../../../lib/core/fleet/fleet_peers.ts";
import { keyPair } from "../../../lib/core/noise/x25519.ts";
import type { Peer } from "../../../lib/core/wireguard/peer.ts";
import { assert } from "../assert.ts";
import { ipv4, type SimulatedDevice } from "../packets/simulated_device.ts";
import { Simulation } from "../packets/simulation.ts";
import { INITIATION, upward } from "../packets/tunnel_pair.ts";
import type { Random } from "../random.ts";

const ATTACKER = ipv4("192.0.2.250");
/** ms between looks at what gateways have to do. */
const TICK = 5;

interface Gateway {
  readonly device: SimulatedDevice;
  readonly fleet: FleetPeers;
}

interface Client {
  readonly device: SimulatedDevice;
  readonly peer: Peer;
  /** The indices of all sessions that it has had: what no other gateway can have one under. */
  readonly sessions: Set<number>;
  /** Since when two gateways send to it; null for one or none. */
  sharedSince: number | null;
}

/** What becomes of a message between gateways. */
export interface MeshConditions {
  readonly loss: number;
  readonly duplicates: number;
  /** ms at the most. */
  readonly delay: number;
}

export class ClaimingFleet {
  readonly simulation: Simulation;
  readonly gateways: readonly Gateway[];
  readonly clients: readonly Client[];
  conditions: MeshConditions;
  /** ms for which two gateways have sent to one client, at the most. */
  longestSharing = 0;
  replayed = 0;
  readonly #random: Random;
  readonly #recorded: Uint8Array[] = [];

  constructor(
    { seed, gateways, clients, conditions }: {
      readonly seed: number;
      readonly gateways: number;
      readonly clients: number;
      readonly conditions: MeshConditions;
    },
  ) {
    const simulation = this.simulation = new Simulation({ seed });
    this.#random = simulation.random;
    this.conditions = conditions;
    const identity = keyPair(this.#random.bytes(32));
    this.gateways = Array.from({ length: gateways }, (_, number) => {
      const device = simulation.addDevice({
        name: `gateway-${number}`,
        address: `198.51.100.${number + 1}`,
        tunnelAddress: "10.66.77.1/24",
        isGateway: true,
        identity,
      });
      const fleet = new FleetPeers({
        device: device.device,
        virtual: 0,
        tell: (message) => this.#tell(number, message),
      });
      fleet.self = number;
      return { device, fleet };
    });
    this.clients = Array.from({ length: clients }, (_, number) => {
      const device = simulation.addDevice({
        name: `client-${number}`,
        address: `192.0.2.${number + 2}`,
        port: 40_000,
        tunnelAddress: `10.66.77.${number + 2}/24`,
      });
      // Years from the gateways' clock.
      device.wallClockOffset = number % 2 === 0 ? 5e11 : -5e11;
      for (const gateway of this.gateways) {
        gateway.device.addPeer(device, [`10.66.77.${number + 2}/32`]);
      }
      const peer = device.addPeer(this.gateways[0]!.device, ["10.66.77.1/24"]);
      return { device, peer, sessions: new Set<number>(), sharedSince: null };
    });
    simulation.onDatagram = ({ bytes }, sender) => {
      if (bytes[0] === INITIATION && sender.name.startsWith("client")) {
        this.#recorded.push(bytes.slice());
      }
    };
    simulation.onStep = () => this.#follow();
    this.#tick();
  }

  #tell(from: number, message: Uint8Array): void {
    const random = this.#random;
    this.gateways.forEach(({ fleet }, to) => {
      if (to === from || random.chance(this.conditions.loss)) return;
      for (let copies = random.chance(this.conditions.duplicates) ? 2 : 1; copies > 0; copies--) {
        this.simulation.after(1 + random.float() * this.conditions.delay, () => {
          fleet.take(message, this.simulation.now);
        });
      }
    });
  }

  #tick(): void {
    const { now } = this.simulation;
    for (const { fleet } of this.gateways) if (now >= fleet.pollAt()) fleet.poll(now);
    this.simulation.after(TICK, () => this.#tick());
  }

  #follow(): void {
    const { now } = this.simulation;
    for (const { device, fleet } of this.gateways) {
      for (const { kind, peer } of device.events.splice(0)) {
        const isOfInterest = kind === "handshake-completed" || kind === "endpoint-changed";
        if (isOfInterest) fleet.changed(peer, now);
      }
    }
    for (const client of this.clients) this.#check(client);
  }

  #check(client: Client): void {
    const { now } = this.simulation;
    for (const session of [client.peer.current, client.peer.next, client.peer.previous]) {
      if (session !== null) client.sessions.add(session.remoteIndex);
    }
    let senders = 0;
    for (const { device, fleet } of this.gateways) {
      const peer = device.device.peer(client.device.identity.public)!;
      if (peer.current === null) continue;
      senders++;
      assert(client.sessions.has(peer.current.localIndex), "nobody but the client makes a session");
      // Who knows that another gateway has the client sends no more, unless the client is on its way here.
      assert(fleet.gatewayOf(peer) === NO_GATEWAY || peer.next !== null, "fenced");
    }
    if (senders > 1) client.sharedSince ??= now;
    else if (client.sharedSince !== null) {
      this.longestSharing = Math.max(this.longestSharing, now - client.sharedSince);
      client.sharedSince = null;
    }
  }

  /** A client is led to a gateway, as by DNS, and sends. */
  move(client: number, gateway: number): void {
    const { device, peer } = this.clients[client]!;
    const { address, port } = this.gateways[gateway]!.device;
    peer.configureEndpoint({ address, port });
    device.initiate(peer);
    this.send(client);
  }

  /** A client sends a packet. */
  send(client: number): void {
    this.clients[client]!.device.send(upward("here"));
  }

  /** The attacker sends an initiation that it has recorded, old or new, to a gateway. */
  replay(): void {
    if (this.#recorded.length === 0) return;
    const random = this.#random;
    const bytes = random.chance(0.5) ? this.#recorded.at(-1)! : random.pick(this.#recorded);
    this.replayed++;
    random.pick(this.gateways).device.receive(bytes, { address: ATTACKER, port: 1_000 });
  }

  /** The gateways that send to a client, and whether the client has its session with that one. */
  sendersTo(client: number): { readonly gateway: number; readonly isRight: boolean }[] {
    const { device, peer } = this.clients[client]!;
    return this.gateways.flatMap((gateway, number) => {
      const { current } = gateway.device.device.peer(device.identity.public)!;
      if (current === null) return [];
      return [{ gateway: number, isRight: current.localIndex === peer.current?.remoteIndex }];
    });
  }
}
