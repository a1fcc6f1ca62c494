/**
 * Tests of a gateway whose packet workers translate, each with its slice of the ports, or one of them for all, on a
 * fake clock: what comes and goes by whichever worker arrives once, and in order, in whatever order workers take their
 * turns.
 */
import { assert, assertEquals } from "../../support/assert.ts";
import { buildUdp, type Bytes, fragment } from "../../support/packets/packet_builder.ts";
import { read } from "../../support/nat/world.ts";
import type { SimulatedDevice } from "../../support/packets/simulated_device.ts";
import { Simulation } from "../../support/packets/simulation.ts";
import { Random } from "../../support/random.ts";

const EXTERNAL = "203.0.113.1";
const REMOTE = "198.51.100.200";
const CLIENTS = 4;
const PORT = 4000;

const KINDS = [
  { workers: 2, hasOneNat: false },
  { workers: 3, hasOneNat: false },
  { workers: 3, hasOneNat: true },
];

const inner = (client: number) => `10.66.77.${2 + client}`;

function numbered(number: number, size: number): Bytes {
  const payload = new Uint8Array(size);
  new DataView(payload.buffer).setUint32(0, number);
  return payload;
}

/** The numbers of the packets that a client has got since it was last asked, fragments put together. */
function takeNumbers(client: SimulatedDevice): number[] {
  return client.tun.written.splice(0)
    .map((packet) => ({ packet, ...read(packet, { checked: false }) }))
    .filter(({ fragmentOffset }) => fragmentOffset === 0)
    .map(({ packet }) => new DataView(packet.buffer, packet.byteOffset).getUint32(28));
}

for (const { workers, hasOneNat } of KINDS) {
  for (const seed of [1, 2, 3]) {
    const translating = hasOneNat ? ", of which one translates" : "";
    Deno.test(`clients of ${workers} workers${translating}, the internet and one another by the address outside: nothing is lost nor overtakes, seed ${seed}`, () => {
      const simulation = new Simulation({ seed });
      const random = new Random(seed);
      const gateway = simulation.addDevice({
        name: "gateway",
        address: "192.0.2.1",
        tunnelAddress: "10.66.77.1/24",
        isGateway: true,
        external: EXTERNAL,
        workers,
        hasOneNat,
      });
      const clients = Array.from({ length: CLIENTS }, (_, number) => {
        const client = simulation.addDevice({
          name: `client ${number}`,
          address: `192.0.2.${100 + number}`,
          tunnelAddress: `${inner(number)}/24`,
        });
        const toGateway = client.addPeer(gateway, ["0.0.0.0/0"], {
          endpoint: { address: gateway.address, port: gateway.port },
        });
        gateway.addPeer(client, [`${inner(number)}/32`]);
        client.initiate(toGateway);
        return client;
      });
      simulation.run(200);
      const { all, sentOutside } = gateway.workers!;

      /** Sends a client's packet, which the workers send on outside as these. */
      const send = (
        client: number,
        destination: string,
        destinationPort: number,
        payload: Bytes,
      ) => {
        const ends = { source: inner(client), sourcePort: PORT, destination, destinationPort };
        const whole = buildUdp({ ...ends, identification: random.between(1, 65_535), payload });
        clients[client]!.send(...payload.length > 1300 ? fragment(whole, 800) : [whole]);
        simulation.run(50);
        return sentOutside.splice(0);
      };
      const ports = clients.map((_, client) => {
        const sent = send(client, REMOTE, 5000, numbered(0, 100));
        assertEquals(sent.length, 1);
        const { source, sourcePort } = read(sent[0]!);
        assertEquals(source, EXTERNAL);
        return sourcePort;
      });
      assertEquals(new Set(ports).size, CLIENTS);

      let last = 0;
      let crossed = 0;
      const expected: number[][] = clients.map(() => []);
      for (let round = 0; round < 60; round++) {
        const to = random.below(CLIENTS);
        for (let burst = random.below(4); burst >= 0; burst--) {
          const payload = numbered(++last, random.pick([100, 1200, 3000]));
          const from = random.below(CLIENTS + 1);
          if (from === CLIENTS) {
            const whole = buildUdp({
              source: REMOTE,
              sourcePort: 5000,
              destination: EXTERNAL,
              destinationPort: ports[to]!,
              identification: last,
              payload,
            });
            const parts = payload.length > 1300 ? fragment(whole, 800) : [whole];
            for (const part of parts) gateway.receiveOutside(part);
          } else if (from !== to) {
            assertEquals(send(from, EXTERNAL, ports[to]!, payload), []);
            crossed++;
          } else continue;
          expected[to]!.push(last);
        }
        simulation.run(50);
        for (const [client, device] of clients.entries()) {
          assertEquals(takeNumbers(device), expected[client]!.splice(0), `round ${round}`);
        }
      }
      assert(crossed > 20, `${crossed}`);
      // Each at the worker that receives what comes from it, or at the only one that translates.
      const outsides = all.map(({ outside }) => outside).filter((outside) => outside !== null);
      assertEquals(outsides.length, hasOneNat ? 1 : workers);
      const counts = outsides.map(({ nat }) => nat.mappingCount);
      assertEquals(counts.reduce((sum, count) => sum + count), CLIENTS);
      assert(counts.every((count) => count > 0), `${counts}`);

      // One that is gone holds nothing.
      const [gone] = gateway.device.peers;
      gateway.device.removePeer(gone!);
      gateway.poll();
      const left = outsides.map(({ nat }) => nat.mappingCount);
      assertEquals(left.reduce((sum, count) => sum + count), CLIENTS - 1);
    });
  }
}
