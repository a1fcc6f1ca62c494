/** Tests of lib/core/engine/turn_limits.ts: what one turn of the loop takes, on fake ports. */
import { RECEIVE_ROUNDS } from "../../../../lib/core/engine/receive_rounds.ts";
import {
  HANDSHAKE_ROUNDS,
  HANDSHAKES,
  TUN_READS,
} from "../../../../lib/core/engine/turn_limits.ts";
import { Transport } from "../../../../lib/core/transport/transport.ts";
import { parseIpv4 } from "../../../../lib/core/wire/ipv4_text.ts";
import { assertEquals } from "../../../support/assert.ts";
import { buildUdp } from "../../../support/packets/packet_builder.ts";
import { GATEWAY, inner, site, toClient } from "../../../support/packets/site.ts";

const REMOTE = "198.51.100.7";

Deno.test("a packet after a pause leaves before others are looked for, which leave together", () => {
  const { gateway, simulation } = site(1);
  for (const { pause, left } of [{ pause: 2, left: [2, 0, 0] }, { pause: 0.5, left: [0, 0, 0] }]) {
    gateway.engine.readTun(simulation.now);
    for (let i = 0; i < 3; i++) gateway.tun.send(toClient(0));
    // Packets that were not read when each datagram left.
    const waiting: number[] = [];
    const { onSent } = gateway.udp;
    gateway.udp.onSent = () => waiting.push(gateway.tun.waiting);
    gateway.engine.readTun(simulation.now + pause);
    gateway.udp.onSent = onSent;
    assertEquals(waiting, left);
  }
});

Deno.test("what the host answers at once to a packet after a pause leaves in the same turn", () => {
  const { gateway, clients: [client], simulation } = site(1);
  client!.tun.send(
    buildUdp({ source: inner(0), destination: GATEWAY, payload: new Uint8Array(8) }),
  );
  gateway.tun.onWritten = () => gateway.tun.send(toClient(0));
  const turns: number[] = [];
  const { onSent } = gateway.udp;
  gateway.udp.onSent = (queue, index) => {
    turns.push(gateway.tun.waiting);
    onSent?.(queue, index);
  };
  client!.readTun();
  simulation.run(20);
  assertEquals([turns, client!.tun.written.length], [[0], 1]);
});

Deno.test("a turn reads a bounded number of packets from the TUN", () => {
  const { gateway, simulation } = site(1);
  for (let i = 0; i < 2 * TUN_READS + 1; i++) gateway.tun.send(toClient(0));
  for (const left of [TUN_READS + 1, 1, 0]) {
    gateway.engine.readTun(simulation.now);
    assertEquals(gateway.tun.waiting, left);
  }
});

Deno.test("a turn receives a bounded number of batches from a port, and all that there is where that is less", () => {
  const batch = 16;
  const { gateway, simulation } = site(1, { batch });
  for (const port of [gateway.udp, gateway.fakeTcp]) {
    for (let i = 0; i < RECEIVE_ROUNDS * batch + 5; i++) {
      port.arrive(new Uint8Array(40), { address: 1, port: 2 });
    }
    port.receives = 0;
    gateway.engine.receive(port, simulation.now);
    assertEquals([port.waiting, port.receives], [5, RECEIVE_ROUNDS]);
    gateway.engine.receive(port, simulation.now);
    // A batch that is not full was the last: it is not asked again.
    assertEquals([port.waiting, port.receives], [0, RECEIVE_ROUNDS + 1]);
  }
});

for (const transport of [Transport.udp, Transport.fakeTcp]) {
  Deno.test(`a storm of handshakes ends a turn, so that packets under way are not kept waiting: transport ${transport}`, () => {
    const batch = HANDSHAKES;
    const { gateway, clients, simulation } = site(3 * HANDSHAKES, { batch }, false);
    const port = transport === Transport.udp ? gateway.udp : gateway.fakeTcp;
    simulation.onDatagram = ({ bytes, sourceAddress: address, sourcePort }) => {
      port.arrive(bytes, { address, port: sourcePort });
      return false;
    };
    for (const client of clients) client.initiate([...client.device.peers][0]!);
    assertEquals(port.waiting, 3 * HANDSHAKES);
    simulation.onDatagram = () => false;
    gateway.engine.receive(port, simulation.now);
    assertEquals(port.waiting, 2 * HANDSHAKES);
  });
}

Deno.test("of handshakes that come alone a few are worked on in a turn, the others stay, and of what costs nothing many are", () => {
  const { gateway, clients, simulation } = site(2 * HANDSHAKES + 1, { batch: 1 }, false);
  const initiations: [Uint8Array, number][] = [];
  simulation.onDatagram = ({ bytes, sourcePort }) => {
    initiations.push([bytes.slice(), sourcePort]);
    return false;
  };
  for (const client of clients) client.initiate([...client.device.peers][0]!);
  const arrive = (bytes: Uint8Array, port: number) =>
    gateway.udp.arrive(bytes, { address: parseIpv4(REMOTE)!, port });
  for (let i = 0; i < 40; i++) arrive(Uint8Array.of(1, 0, 0, 0, i), 7);
  for (const [bytes, port] of initiations) arrive(bytes, port);
  gateway.engine.receiveHandshakes(gateway.udp, simulation.now);
  assertEquals(gateway.udp.waiting, HANDSHAKES + 1);
  gateway.engine.receiveHandshakes(gateway.udp, simulation.now);
  assertEquals(gateway.udp.waiting, 1);
  gateway.engine.receiveHandshakes(gateway.udp, simulation.now);
  assertEquals(gateway.udp.waiting, 0);
  for (let i = 0; i < 100; i++) arrive(Uint8Array.of(1, 0, 0, 0, i), 7);
  gateway.engine.receiveHandshakes(gateway.udp, simulation.now);
  assertEquals(gateway.udp.waiting, 100 - HANDSHAKE_ROUNDS);
});
