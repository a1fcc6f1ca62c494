/** Tests of lib/core/fleet/fleet_peers.ts: gateways of one key, whose places go from one to the other by a function. */
import { NO_GATEWAY } from "../../../../lib/core/fleet/claim.ts";
import { FleetPeers } from "../../../../lib/core/fleet/fleet_peers.ts";
import { readPlaces } from "../../../../lib/core/fleet/peer_places.ts";
import { keyPair } from "../../../../lib/core/noise/x25519.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { ipv4, type SimulatedDevice } from "../../../support/packets/simulated_device.ts";
import { Simulation } from "../../../support/packets/simulation.ts";
import {
  deliver,
  INITIATION,
  receivedTexts,
  upward,
} from "../../../support/packets/tunnel_pair.ts";
import { stubSession } from "../../../support/wireguard/peer_stub.ts";

const VIRTUAL = ipv4("203.0.113.5");

/** A gateway and what it knows of the fleet's peers. */
interface Member {
  readonly gateway: SimulatedDevice;
  readonly peers: FleetPeers;
  /** Lost while false. */
  isHeard: boolean;
}

/** Two gateways with one key, and clients of the first. */
class World {
  readonly simulation = new Simulation({ seed: 7 });
  readonly members: readonly Member[];
  readonly clients: SimulatedDevice[] = [];
  /** The clients that a gateway has begun a handshake with, in this order. */
  readonly begun: string[] = [];
  initiations: Uint8Array[] = [];
  /** What gateways have told. */
  readonly told: Uint8Array[] = [];

  constructor() {
    const identity = keyPair(this.simulation.random.bytes(32));
    this.members = [1, 2].map((number): Member => {
      const gateway = this.simulation.addDevice({
        name: `gateway-${number}`,
        address: `198.51.100.${number}`,
        tunnelAddress: "10.66.77.1/24",
        isGateway: true,
        identity,
      });
      const member: Member = {
        gateway,
        isHeard: true,
        peers: new FleetPeers({
          device: gateway.device,
          virtual: VIRTUAL,
          tell: (message) => {
            if (!member.isHeard) return;
            this.told.push(message);
            const other = this.members.find((each) => each !== member)!;
            // Padding, as a message of WireGuard has it.
            other.peers.take(new Uint8Array([...message, 0, 0]), this.simulation.now);
          },
        }),
      };
      member.peers.self = number;
      return member;
    });
    this.simulation.onDatagram = ({ bytes, destinationAddress }, sender) => {
      if (bytes[0] !== INITIATION) return;
      if (sender.name.startsWith("gateway")) {
        this.begun.push(this.clients.find(({ address }) => address === destinationAddress)!.name);
      } else this.initiations.push(bytes.slice());
    };
  }

  /** Adds a client, which has a session with the first gateway from now on. */
  connect(number: number): SimulatedDevice {
    const client = this.simulation.addDevice({
      name: `client-${number}`,
      address: `192.0.2.${number}`,
      port: 40_000,
      tunnelAddress: `10.66.77.${number}/24`,
    });
    this.clients.push(client);
    const { gateway, peers } = this.members[0]!;
    const toGateway = client.addPeer(gateway, ["10.66.77.1/24"], {
      endpoint: { address: gateway.address, port: gateway.port },
    });
    const [peer] = this.members.map((each) =>
      each.gateway.addPeer(client, [`10.66.77.${number}/32`])
    );
    client.initiate(toGateway);
    this.run(100);
    assert(peer!.current !== null, "no session");
    peers.changed(peer!, this.simulation.now);
    this.run(100);
    return client;
  }

  /** Lets ms pass, for the fleet as well. */
  run(ms: number): void {
    for (const end = this.simulation.now + ms; this.simulation.now < end;) {
      this.simulation.run(10);
      for (const { peers } of this.members) {
        if (this.simulation.now >= peers.pollAt()) peers.poll(this.simulation.now);
      }
      for (const { gateway } of this.members) gateway.poll();
    }
  }

  /** The first gateway is gone. */
  kill(): void {
    this.members[0]!.isHeard = false;
    this.members[0]!.gateway.address = ipv4("240.0.0.1");
    this.begun.length = 0;
    this.initiations.length = 0;
  }
}

Deno.test("the survivor begins handshakes with the peers of the dead, those first that were heard last", () => {
  const world = new World();
  const clients = [2, 3, 4].map((number) => world.connect(number));
  // The first one is heard again, and that is told within a round.
  clients[0]!.send(upward("here"));
  world.run(11_000);
  world.kill();
  const { peers, gateway } = world.members[1]!;
  peers.takeOver((number) => number === 1, world.simulation.now);
  world.run(200);
  assertEquals(world.begun[0], "client-2");
  assertEquals(world.begun.toSorted(), ["client-2", "client-3", "client-4"]);
  assertEquals(world.initiations.length, 0, "no client begins one itself");
  // The client's packets come here now.
  clients[0]!.send(upward("goes on"));
  world.run(100);
  assert(receivedTexts(gateway).some((text) => text.includes("goes on")));
});

Deno.test("handshakes are begun at a bounded rate, and none where a peer has come by itself", () => {
  const world = new World();
  const clients = Array.from({ length: 35 }, (_, index) => world.connect(2 + index));
  world.run(1_000);
  world.kill();
  const { peers, gateway } = world.members[1]!;
  peers.takeOver(() => true, world.simulation.now);
  assertEquals(peers.waiting, 25);
  // The one that would be the last of all.
  const peer = gateway.device.peer(clients[0]!.identity.public)!;
  peer.current = Object.assign(stubSession(peer, 1, { isInitiator: false }), {
    timestamp: new Uint8Array(12).fill(0xff),
  });
  peers.changed(peer, world.simulation.now);
  world.run(19);
  assert(peers.waiting >= 14);
  world.run(100);
  assertEquals(peers.waiting, 0);
  assertEquals(new Set(world.begun).size, 34);
  assert(!world.begun.includes("client-2"));
});

Deno.test("an initiation that one gateway has taken is a replay at the others", () => {
  const world = new World();
  const client = world.connect(2);
  const { gateway } = world.members[1]!;
  deliver(gateway, world.initiations[0]!);
  assertEquals(gateway.dropped(DropReason.staleTimestamp), 1);
  assertEquals(gateway.device.peer(client.identity.public)!.next, null);
});

Deno.test("a gateway lets go of a peer that another has heard since", () => {
  const world = new World();
  const client = world.connect(2);
  const [first, second] = world.members.map(({ gateway }) =>
    gateway.device.peer(client.identity.public)!
  );
  assert(first!.current !== null);
  world.run(2_000);
  // It is led elsewhere, as by DNS.
  const toGateway = [...client.device.peers][0]!;
  const { address, port } = world.members[1]!.gateway;
  toGateway.configureEndpoint({ address, port });
  client.initiate(toGateway);
  world.run(100);
  world.members[1]!.peers.changed(second!, world.simulation.now);
  world.run(100);
  assert(second!.current !== null);
  assertEquals([first!.current, first!.endpoint.port], [null, 0]);
});

Deno.test("what the gateway before says last, behind a take-over, does not end that", () => {
  const world = new World();
  const client = world.connect(2);
  const [first, second] = world.members.map(({ gateway }) =>
    gateway.device.peer(client.identity.public)!
  );
  world.run(2_000);
  client.send(upward("last"));
  world.run(50);
  const { peers } = world.members[1]!;
  peers.takeOver(() => true, world.simulation.now);
  assert(second!.handshake !== null);
  world.members[0]!.peers.changed(first!, world.simulation.now);
  const { length } = world.told;
  world.members[0]!.peers.poll(world.simulation.now + 50);
  assert(world.told.length > length);
  assert(second!.handshake !== null);
  world.run(100);
  assert(second!.current !== null);
});

/** The client leaves the first gateway for the second, as led by DNS, and is heard there. */
function leads(world: World, client: SimulatedDevice): void {
  const { gateway, peers } = world.members[1]!;
  const { address, port } = gateway;
  const toGateway = [...client.device.peers][0]!;
  toGateway.configureEndpoint({ address, port });
  client.initiate(toGateway);
  world.run(100);
  peers.changed(gateway.device.peer(client.identity.public)!, world.simulation.now);
  world.run(100);
}

Deno.test("words of a gateway that come late, or twice, take no peer from the one that has it since", () => {
  const world = new World();
  const client = world.connect(2);
  const late = [...world.told];
  world.run(6_000);
  leads(world, client);
  const { gateway, peers } = world.members[1]!;
  const peer = gateway.device.peer(client.identity.public)!;
  assert(peer.current !== null);
  world.run(5_000);
  // It is silent, and these say that it was heard just now.
  for (const message of [...late, ...late]) peers.take(message, world.simulation.now);
  assert(peer.current !== null);
  assertEquals(peers.gatewayOf(peer), NO_GATEWAY);
});

Deno.test("who claims what has been claimed since is told so at once, and ends its sessions", () => {
  const world = new World();
  const client = world.connect(2);
  const [first, second] = world.members;
  world.run(6_000);
  second!.isHeard = false;
  leads(world, client);
  world.run(5_000);
  const peer = first!.gateway.device.peer(client.identity.public)!;
  assert(peer.current !== null);
  // Its words are heard again, and the other tells of the peer before the round in which it would.
  second!.isHeard = true;
  first!.peers.changed(peer, world.simulation.now);
  world.run(50);
  assertEquals(peer.current, null);
});

Deno.test("a recorded initiation, sent to a gateway that has heard of nothing, claims nothing", () => {
  const world = new World();
  world.members[0]!.isHeard = false;
  const client = world.connect(2);
  const [first, second] = world.members;
  deliver(second!.gateway, world.initiations[0]!);
  world.run(100);
  const there = second!.gateway.device.peer(client.identity.public)!;
  assert(there.next !== null, "it is not known to be a replay");
  second!.peers.changed(there, world.simulation.now);
  world.run(100);
  assertEquals(there.current, null);
  assert(first!.gateway.device.peer(client.identity.public)!.current !== null);
  assertEquals(
    first!.peers.gatewayOf(first!.gateway.device.peer(client.identity.public)!),
    NO_GATEWAY,
  );
});

Deno.test("a peer that was taken over stays, whatever the dead gateway's last words say of sessions before", () => {
  const world = new World();
  const client = world.connect(2);
  world.run(6_000);
  const before = world.told.length;
  // It renews its session, and nobody hears of that in time.
  const [first, second] = world.members;
  const peer = first!.gateway.device.peer(client.identity.public)!;
  client.initiate([...client.device.peers][0]!);
  world.run(100);
  const heard = second!.peers.take;
  second!.peers.take = () => true;
  first!.peers.changed(peer, world.simulation.now);
  world.run(50);
  second!.peers.take = heard;
  const last = world.told.slice(before);
  assert(last.length > 0);
  world.run(500);
  world.kill();
  second!.peers.takeOver(() => true, world.simulation.now);
  world.run(100);
  const taken = second!.gateway.device.peer(client.identity.public)!;
  assert(taken.current !== null);
  second!.peers.changed(taken, world.simulation.now);
  for (const message of last) second!.peers.take(message, world.simulation.now - 300);
  assert(taken.current !== null);
  assertEquals(second!.peers.gatewayOf(taken), NO_GATEWAY);
  client.send(upward("goes on"));
  world.run(100);
  assert(receivedTexts(second!.gateway).some((text) => text.includes("goes on")));
});

Deno.test("the gateway of a peer is the other one that has heard it last; none has the number 0", () => {
  const world = new World();
  const client = world.connect(2);
  const [here, there] = world.members.map(({ gateway, peers }) =>
    peers.gatewayOf(gateway.device.peer(client.identity.public)!)
  );
  assertEquals([here, there], [NO_GATEWAY, 1]);
});

Deno.test("with the virtual address go the sessions of those who were reached by it, and nobody else's", () => {
  const world = new World();
  const [one, other] = [2, 3].map((number) => world.connect(number));
  const { gateway, peers } = world.members[0]!;
  const peerOf = (client: SimulatedDevice) => gateway.device.peer(client.identity.public)!;
  const { paths } = gateway.device;
  peerOf(one!).endpoint.moveTo(paths.intern(one!.address, 40_000, VIRTUAL, 0));
  peers.giveUp();
  assertEquals(peerOf(one!).current, null);
  assert(peerOf(other!).current !== null);
});

Deno.test("a gateway that has just come is told of all peers within a second", () => {
  const world = new World();
  world.connect(2);
  world.run(3_000);
  const told: number[] = [];
  const { gateway } = world.members[0]!;
  const peers = new FleetPeers({
    device: gateway.device,
    virtual: VIRTUAL,
    tell: (message) => told.push(readPlaces(message)!.length),
  });
  peers.self = 1;
  for (const peer of gateway.device.peers) peers.changed(peer, world.simulation.now);
  for (let passed = 0; passed < 1_000; passed += 50) peers.poll(world.simulation.now + passed);
  told.length = 0;
  world.run(1_000);
  peers.gatewayUp(world.simulation.now);
  for (let passed = 0; passed < 1_000; passed += 50) peers.poll(world.simulation.now + passed);
  assertEquals(told, [1]);
});

Deno.test("a gateway that has just come learns from the others of a dead one's peers, too", () => {
  const world = new World();
  world.connect(2);
  world.run(500);
  world.kill();
  world.told.length = 0;
  const { peers } = world.members[1]!;
  peers.gatewayUp(world.simulation.now);
  world.run(100);
  const [place] = world.told.flatMap((message) => readPlaces(message)!);
  assertEquals([place!.address, place!.port], [world.clients[0]!.address, 40_000]);
  assert(place!.silence >= 500);
  // Nobody else is.
  world.told.length = 0;
  world.run(12_000);
  assertEquals(world.told.length, 0);
});
