/** Tests of lib/core/wireguard/elsewhere.ts: messages that one of several gateways with one key gets for another. */
import { DropReason } from "../../../../lib/core/wire/drop_reason.ts";
import type { Memory } from "../../../../lib/core/wire/memory.ts";
import { Elsewhere } from "../../../../lib/core/wireguard/elsewhere.ts";
import { IndexLayout } from "../../../../lib/core/wireguard/handshake/index_layout.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { Random } from "../../../support/random.ts";
import { Simulation } from "../../../support/packets/simulation.ts";
import type { SimulatedDevice } from "../../../support/packets/simulated_device.ts";
import { receivedTexts, TRANSPORT, upward } from "../../../support/packets/tunnel_pair.ts";

const KEY = Uint8Array.of(1, 2, 3);

/** A client, and two gateways with one key, of which it knows the first one's address. */
class Site {
  readonly simulation = new Simulation({ seed: 1 });
  readonly client: SimulatedDevice;
  readonly first: SimulatedDevice;
  readonly second: SimulatedDevice;
  readonly elsewheres: Elsewhere[] = [];
  /** Types of messages handed over, and to which gateway. */
  readonly handedOver: [gateway: number, type: number][] = [];
  /** Whether what the client sends is brought to the second one. */
  isMisdirected = false;
  hasWay = true;
  readonly #workers: number | undefined;

  /** @param workers of both gateways; left out, each has one thread */
  constructor(workers?: number) {
    const { simulation } = this;
    this.#workers = workers;
    this.client = simulation.addDevice({
      name: "client",
      address: "192.0.2.2",
      port: 40_000,
      tunnelAddress: "10.66.77.2/24",
    });
    this.first = this.#gateway("198.51.100.1");
    this.second = this.#gateway("198.51.100.2", this.first);
    simulation.onDatagram = (datagram, sender) => {
      if (sender !== this.client || !this.isMisdirected) return true;
      const { address, port } = this.client;
      this.second.receive(datagram.bytes, { address, port });
      return false;
    };
  }

  #gateway(address: string, like?: SimulatedDevice): SimulatedDevice {
    const gateway: SimulatedDevice = this.simulation.addDevice({
      name: address,
      address,
      tunnelAddress: "10.66.77.1/24",
      isGateway: true,
      ...(like && { identity: like.identity }),
      ...(this.#workers !== undefined && { workers: this.#workers }),
      elsewhere: (memory: Memory, shared: SharedArrayBuffer) => {
        const elsewhere = new Elsewhere(memory, {
          handMessage: (number, offset, length, path) => {
            if (!this.hasWay) return false;
            const bytes = memory.bytes.slice(offset, offset + length);
            this.handedOver.push([number, bytes[0]!]);
            const { paths } = gateway.device;
            const address = paths.ipv4Address(path) >>> 0;
            this.first.receive(bytes, { address, port: paths.port(path) });
            return true;
          },
          hasPeer: () => false,
          handPacket: () => {},
          noteHanded: () => {},
          handAnswer: () => false,
        }, shared);
        this.elsewheres.push(elsewhere);
        return elsewhere;
      },
    });
    gateway.addPeer(this.client, ["10.66.77.2/32"]);
    return gateway;
  }

  /** Gives the gateways their numbers, and connects the client to the first one. */
  connect(): this {
    this.elsewheres.forEach((elsewhere, i) => {
      elsewhere.layout = new IndexLayout(7 + i, KEY);
      elsewhere.setReachable([8 - i]);
    });
    const { client, first } = this;
    const endpoint = { address: first.address, port: first.port };
    client.initiate(client.addPeer(first, ["10.66.77.1/24"], { endpoint }));
    this.simulation.run(100);
    return this;
  }

  send(text: string): void {
    this.client.send(upward(text));
    this.simulation.run(100);
  }

  /** Drops that the second one has counted by now. */
  get unknown(): number {
    this.simulation.run(200);
    return this.second.drops.counts[DropReason.unknownIndex]!;
  }
}

for (const workers of [undefined, 3]) {
  const how = workers === undefined ? "by one thread" : `by ${workers} packet workers`;

  Deno.test(`a message under another gateway's session is handed to that one, with the client's address, and no drop: ${how}`, () => {
    const site = new Site(workers).connect();
    site.send("one");
    site.isMisdirected = true;
    site.send("two");
    assertEquals(receivedTexts(site.first), ["one", "two"]);
    assertEquals([site.handedOver, site.unknown], [[[7, TRANSPORT]], 0]);
    const peer = [...site.first.device.peers][0]!;
    assertEquals(peer.endpoint.address, site.client.address);
  });

  Deno.test(`what the client answers to a handshake of one gateway finds that one as well: ${how}`, () => {
    const site = new Site(workers).connect();
    site.isMisdirected = true;
    const [peer] = site.first.device.peers;
    const before = peer!.current;
    site.simulation.run(6_000);
    site.first.initiate(peer!);
    site.simulation.run(100);
    assertEquals(site.handedOver.map(([gateway, type]) => [gateway, type])[0], [7, 2]);
    assert(peer!.current !== before);
  });

  Deno.test(`an initiation is answered by the gateway that gets it: ${how}`, () => {
    const site = new Site(workers);
    site.isMisdirected = true;
    site.connect();
    site.send("hello");
    assertEquals([receivedTexts(site.first), receivedTexts(site.second)], [[], ["hello"]]);
    assertEquals(site.handedOver, []);
  });

  Deno.test(`a message is dropped as before where there is no way to its gateway, or no gateway has a number yet: ${how}`, () => {
    for (const isNumbered of [true, false]) {
      const site = new Site(workers).connect();
      site.isMisdirected = true;
      if (isNumbered) site.hasWay = false;
      else {
        site.elsewheres[1]!.layout = null;
        site.elsewheres[1]!.setReachable([]);
      }
      site.send("lost");
      assertEquals([site.handedOver, site.unknown], [[], 1]);
    }
  });

  Deno.test(`what is under an index of this gateway's own is never handed over, also when its session has ended: ${how}`, () => {
    const site = new Site(workers).connect();
    for (const peer of site.first.device.peers) site.first.device.removePeer(peer);
    site.first.poll();
    site.send("to nobody");
    site.simulation.run(200);
    assertEquals([site.handedOver, receivedTexts(site.first)], [[], []]);
    assertEquals(site.first.drops.counts[DropReason.unknownIndex]!, 1);
  });
}

Deno.test("what a stranger makes up is dropped by a packet worker, unless it names a gateway that there is a way to", () => {
  const site = new Site(3).connect();
  const { device, drops, news } = site.second.workers!.all[0]!;
  const before = drops.counts[DropReason.unknownIndex]!;
  const bytes = new Uint8Array(64);
  const view = new DataView(bytes.buffer);
  view.setUint32(0, TRANSPORT, true);
  const random = new Random(1);
  const { memory } = site.second.workers!.all[0]!;
  let told = 0;
  for (let i = 0; i < 5_000; i++) {
    // Of a worker that there is not: its own, and a neighbour's go by what is known of sessions.
    view.setUint32(4, random.uint32() | 15, true);
    memory.bytes.set(bytes, 64);
    device.receive(64, bytes.length, 1, 0);
    while (news.next() !== 0) {
      news.done();
      told++;
    }
  }
  assert(told > 0 && told < 100, `${told} of 5,000`);
  assertEquals(drops.counts[DropReason.unknownIndex]! - before, 5_000 - told);
});
