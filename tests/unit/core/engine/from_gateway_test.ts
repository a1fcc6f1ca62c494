/** Tests of lib/core/engine/from_gateway.ts: packets between clients of two gateways that have one key. */
import type { AccessItem } from "../../../../lib/core/access/access_items.ts";
import { NO_GATEWAY } from "../../../../lib/core/fleet/claim.ts";
import { HandedFlows } from "../../../../lib/core/access/handed_flows.ts";
import { keyPair } from "../../../../lib/core/noise/x25519.ts";
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import type { Memory } from "../../../../lib/core/wire/memory.ts";
import { Elsewhere } from "../../../../lib/core/wireguard/elsewhere.ts";
import { AccessBook } from "../../../../lib/core/peers/access_book.ts";
import { accessPeer, HOSTS, type PeerText, SURROUNDINGS } from "../../../support/access/world.ts";
import { assertEquals } from "../../../support/assert.ts";
import { buildTcp, buildUdp, type Bytes } from "../../../support/packets/packet_builder.ts";
import { buildUdp6 } from "../../../support/packets/packet_builder6.ts";
import type { SimulatedDevice } from "../../../support/packets/simulated_device.ts";
import { Simulation } from "../../../support/packets/simulation.ts";
import { INITIATION } from "../../../support/packets/tunnel_pair.ts";

const NAMES = ["laptop", "printer"];
const HOST = "10.66.77.1";
const INNER = ["10.66.77.2", "10.66.77.3"] as const;
const INNER6 = ["fd00:77::2", "fd00:77::3"] as const;
/** Where packets lie that have been handed over: before what the device has of its memory. */
const HANDED_OVER = 64;

interface SiteOptions {
  readonly workers?: number | undefined;
  readonly clientToClient?: boolean;
  /** Rules of peers, at each gateway. */
  readonly access?: readonly Readonly<Record<string, PeerText>>[];
}

/** The first client has its session at the first gateway, the second at the second. */
class Site {
  readonly simulation = new Simulation({ seed: 3 });
  readonly gateways: readonly SimulatedDevice[];
  readonly clients: readonly SimulatedDevice[];
  /** By client, which gateway the others believe it at; -1 for none. */
  readonly believed: [number[], number[]] = [[0, 1], [0, 1]];
  /** By gateway, packets that it has handed over. */
  readonly handed: [number, number] = [0, 0];
  initiations = 0;
  readonly #flows: (HandedFlows | undefined)[] = [];

  constructor({ workers, clientToClient = true, access = [] }: SiteOptions = {}) {
    const identity = keyPair(this.simulation.random.bytes(32));
    this.gateways = [0, 1].map((number) =>
      this.simulation.addDevice({
        name: `gateway-${number}`,
        address: `198.51.100.${number + 1}`,
        tunnelAddress: `${HOST}/24`,
        tunnelAddress6: "fd00:77::1/64",
        isGateway: true,
        identity,
        clientToClient: number === 0 || clientToClient,
        access: items(access[number] ?? {}),
        ...(workers !== undefined && { workers }),
        elsewhere: (memory, shared) => this.#elsewhere(number, memory, shared),
      })
    );
    this.clients = NAMES.map((name, place) => {
      const client = this.simulation.addDevice({
        name,
        address: `192.0.2.${place + 2}`,
        tunnelAddress: `${INNER[place]!}/24`,
        tunnelAddress6: `${INNER6[place]!}/64`,
      });
      const { address, port } = this.gateways[place]!;
      const gateway = client.addPeer(this.gateways[place]!, ["0.0.0.0/0", "::/0"], {
        endpoint: { address, port },
      });
      for (const each of this.gateways) {
        each.addPeer(client, [`${INNER[place]!}/32`, `${INNER6[place]!}/128`], {
          accessId: place + 1,
        });
      }
      client.initiate(gateway);
      return client;
    });
    this.simulation.run(100);
    this.simulation.onDatagram = ({ bytes }) =>
      void (bytes[0] === INITIATION && this.initiations++);
  }

  #elsewhere(number: number, memory: Memory, shared: SharedArrayBuffer): Elsewhere {
    const placeOf = ({ publicKey }: { publicKey: Uint8Array }) => {
      const [one] = this.clients;
      return this
        .believed[number]![publicKey.every((byte, i) => byte === one!.identity.public[i]) ? 0 : 1]!;
    };
    return new Elsewhere(memory, {
      handMessage: () => false,
      hasPeer: (peer) => ![-1, number].includes(placeOf(peer)),
      handPacket: (peer, offset, length) => {
        this.handed[number]!++;
        const other = this.gateways[placeOf(peer)]!;
        other.memory.bytes.set(memory.bytes.subarray(offset, offset + length), HANDED_OVER);
        other.engine.takeHanded(
          { offset: HANDED_OVER, length: length, isAnswer: false },
          number,
          this.simulation.now,
        );
        other.poll();
      },
      noteHanded: ({ index }, packet, gateway, now) => {
        this.#flows[number] ??= new HandedFlows(memory.view, 1);
        this.#flows[number].note(index, packet, gateway, now);
      },
      handAnswer: ({ index }, offset, length, now) => {
        const gateway = this.#flows[number]?.gatewayOf(index, offset, now) ?? NO_GATEWAY;
        if (gateway === NO_GATEWAY) return false;
        const other = this.gateways[gateway]!;
        other.memory.bytes.set(memory.bytes.subarray(offset, offset + length), HANDED_OVER);
        other.engine.takeHanded(
          { offset: HANDED_OVER, length: length, isAnswer: true },
          number,
          now,
        );
        other.poll();
        return true;
      },
    }, shared);
  }

  /** Sends from one client to the other, and gives what that one has got. */
  sends(from: number, packet: Bytes): Uint8Array[] {
    this.clients[from]!.send(packet);
    return this.taken(this.clients[1 - from]!);
  }

  taken(device: SimulatedDevice): Uint8Array[] {
    this.simulation.run(300);
    return device.tun.written.splice(0);
  }
}

/** What the rules of a gateway come to, whose clients are numbered in their order. */
function items(peers: Readonly<Record<string, PeerText>>): AccessItem[] {
  const book = new AccessBook();
  const named = NAMES.map((name) => [name, accessPeer(name, peers[name] ?? {})] as const);
  assertEquals(NAMES.map((name) => book.idOf(name)), [1, 2]);
  const { before, after } = book.update({
    peers: new Map(named),
    groups: [],
    surroundings: SURROUNDINGS,
    hosts: HOSTS,
  });
  return [...before, ...after];
}

const QUESTION = {
  source: INNER[0],
  destination: INNER[1],
  sourcePort: 5000,
  destinationPort: 631,
};
const ANSWER = { source: INNER[1], destination: INNER[0], sourcePort: 631, destinationPort: 5000 };

for (const workers of [undefined, 2]) {
  const how = workers === undefined ? "by one thread" : `by ${workers} packet workers`;

  Deno.test(`clients of two gateways reach each other, and no gateway begins a handshake with the other's: ${how}`, () => {
    const site = new Site({ workers });
    assertEquals(site.sends(0, buildUdp(QUESTION)), [buildUdp(QUESTION)]);
    assertEquals(site.sends(1, buildUdp(ANSWER)), [buildUdp(ANSWER)]);
    assertEquals([site.handed, site.initiations], [[1, 1], 0]);
    const [question6, answer6] = [0, 1].map((from) =>
      buildUdp6({ source: INNER6[from]!, destination: INNER6[1 - from]!, hopLimit: 7 })
    );
    const [got] = site.sends(0, question6!);
    // One hop, though there are two gateways.
    assertEquals([got!.length, got![7]], [question6!.length, 6]);
    assertEquals(site.sends(1, answer6!).length, 1);
    assertEquals([site.handed, site.initiations], [[2, 2], 0]);
  });

  Deno.test(`what the host of a gateway sends reaches a client of the other: ${how}`, () => {
    const site = new Site({ workers });
    const packet = buildUdp({ ...QUESTION, source: HOST });
    site.gateways[0]!.send(packet);
    assertEquals(site.taken(site.clients[1]!), [packet]);
  });

  Deno.test(`rules decide as at one gateway: answers pass, and nothing begins that is denied: ${how}`, () => {
    const rules = { laptop: { allow: "peer:printer" }, printer: { allow: "internet" } };
    const site = new Site({ workers, access: [rules, rules] });
    assertEquals(site.sends(1, buildUdp(ANSWER)), []);
    assertEquals(site.handed, [0, 0]);
    site.taken(site.clients[1]!);
    for (let round = 0; round < 3; round++) {
      assertEquals(site.sends(0, buildUdp(QUESTION)), [buildUdp(QUESTION)]);
      assertEquals(site.sends(1, buildUdp(ANSWER)), [buildUdp(ANSWER)]);
    }
  });
}

Deno.test("a client answers the host of another gateway there, and begins with the host of its own", () => {
  const rules = { printer: { allow: "internet" } };
  const site = new Site({ access: [rules, rules] });
  const [first, second] = site.gateways;
  const answer = buildUdp({ ...ANSWER, destination: HOST });
  first!.send(buildUdp({ ...QUESTION, source: HOST }));
  assertEquals(site.taken(site.clients[1]!).length, 1);
  site.clients[1]!.send(answer);
  assertEquals([site.taken(first!), site.taken(second!)], [[answer], []]);
  // What it begins is denied, and so is a connection by the same ports.
  const syn = { source: INNER[1], destination: HOST, sourcePort: 631, destinationPort: 5000 };
  site.clients[1]!.send(buildTcp({ ...syn, flags: 0x02 }));
  site.clients[1]!.send(buildUdp({ ...syn, destinationPort: 5001 }));
  assertEquals([site.taken(first!), site.taken(second!)], [[], []]);
  assertEquals(second!.dropped(DropReason.accessDenied), 2);
  // In its time it is forgotten.
  site.simulation.run(301_000);
  site.clients[1]!.send(answer);
  assertEquals(site.taken(first!), []);
});

Deno.test("the same by IPv6", () => {
  const site = new Site();
  const [first] = site.gateways;
  const addresses = { source: "fd00:77::1", destination: INNER6[1] };
  first!.send(buildUdp6({ ...addresses, sourcePort: 5000, destinationPort: 53 }));
  assertEquals(site.taken(site.clients[1]!).length, 1);
  const answer = buildUdp6({
    source: addresses.destination,
    destination: addresses.source,
    sourcePort: 53,
    destinationPort: 5000,
  });
  site.clients[1]!.send(answer);
  assertEquals(site.taken(first!), [answer]);
});

Deno.test("a gateway that knows of newer rules, or has clients apart, lets nothing pass that another has", () => {
  const denied = new Site({ access: [{}, { laptop: { deny: "peer:printer" } }] });
  assertEquals(denied.sends(0, buildUdp(QUESTION)), []);
  assertEquals(denied.handed, [1, 0]);
  assertEquals(denied.gateways[1]!.dropped(DropReason.accessDenied), 1);
  const apart = new Site({ clientToClient: false });
  assertEquals(apart.sends(0, buildUdp(QUESTION)), []);
  assertEquals(apart.gateways[1]!.dropped(DropReason.clientToClientOff), 1);
});

Deno.test("a packet is handed over once: one for a client that has left is dropped, also where gateways disagree", () => {
  const site = new Site();
  const [first, second] = site.gateways;
  const peer = second!.device.peer(site.clients[1]!.identity.public)!;
  second!.device.disown(peer);
  site.believed[1] = [0, 0];
  for (
    const packet of [buildUdp(QUESTION), buildUdp6({ source: INNER6[0], destination: INNER6[1] })]
  ) {
    site.clients[0]!.send(packet);
  }
  site.simulation.run(300);
  assertEquals([site.handed, site.initiations], [[2, 0], 0]);
  assertEquals(second!.dropped(DropReason.peerElsewhere), 2);
  assertEquals(first!.dropReport(), "");
});

Deno.test("a client that has its session here is sent to, wherever others say that it is", () => {
  const site = new Site();
  site.believed[1] = [0, 0];
  assertEquals(site.sends(0, buildUdp(QUESTION)), [buildUdp(QUESTION)]);
});

Deno.test("one that is at no gateway is asked for a session, as with one gateway", () => {
  const site = new Site();
  const peer = site.gateways[0]!.device.peer(site.clients[1]!.identity.public)!;
  const { address, port } = site.clients[1]!;
  peer.configureEndpoint({ address, port });
  site.believed[0] = [0, -1];
  assertEquals(site.sends(0, buildUdp(QUESTION)), [buildUdp(QUESTION)]);
  assertEquals([site.handed, site.initiations], [[0, 0], 1]);
});

Deno.test("what is handed over and broken, or for nobody, is dropped and counted", () => {
  const site = new Site();
  const [, gateway] = site.gateways;
  const take = (bytes: Uint8Array) => {
    gateway!.memory.bytes.set(bytes, HANDED_OVER);
    gateway!.engine.takeHanded(
      { offset: HANDED_OVER, length: bytes.length, isAnswer: false },
      0,
      site.simulation.now,
    );
  };
  take(new Uint8Array(0));
  take(buildUdp(QUESTION).subarray(0, 12));
  take(buildUdp({ ...QUESTION, destination: "10.66.77.9" }));
  take(buildUdp({ ...QUESTION, destination: HOST }));
  take(buildUdp6({ source: INNER6[0], destination: "fd00:77::9" }));
  site.simulation.run(300);
  assertEquals(gateway!.dropReport(), "empty 1, short 1, no_route 3");
  assertEquals([gateway!.tun.written, site.clients[1]!.tun.written], [[], []]);
});
