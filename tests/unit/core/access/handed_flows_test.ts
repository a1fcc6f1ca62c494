/** Tests of lib/core/access/handed_flows.ts. */
import { NO_GATEWAY } from "../../../../lib/core/fleet/claim.ts";
import { HandedFlows } from "../../../../lib/core/access/handed_flows.ts";
import { assertEquals } from "../../../support/assert.ts";
import {
  buildIcmp,
  buildTcp,
  buildUdp,
  type Bytes,
} from "../../../support/packets/packet_builder.ts";

const CLIENT = "10.66.77.3";
const HOST = "10.66.77.1";
const TO_CLIENT = { source: HOST, destination: CLIENT };
const FROM_CLIENT = { source: CLIENT, destination: HOST };

class World {
  readonly #view = new DataView(new ArrayBuffer(2_048));
  readonly #flows = new HandedFlows(this.#view, 7);

  note(packet: Bytes, { client = 1, gateway = 2, now = 0 } = {}): void {
    this.#put(packet);
    this.#flows.note(client, 0, gateway, now);
  }

  gatewayOf(packet: Bytes, { client = 1, now = 0 } = {}): number {
    this.#put(packet);
    return this.#flows.gatewayOf(client, 0, now);
  }

  #put(packet: Bytes): void {
    new Uint8Array(this.#view.buffer).set(packet);
  }
}

const question = (port: number) =>
  buildUdp({ ...TO_CLIENT, sourcePort: port, destinationPort: 53 });
const answer = (port: number) =>
  buildUdp({ ...FROM_CLIENT, sourcePort: 53, destinationPort: port });

Deno.test("an answer goes to the gateway whose packet came last, and for five minutes", () => {
  const world = new World();
  world.note(question(5_000));
  assertEquals(world.gatewayOf(answer(5_000)), 2);
  assertEquals(world.gatewayOf(answer(5_001)), NO_GATEWAY);
  world.note(question(5_000), { gateway: 0, now: 200_000 });
  assertEquals(world.gatewayOf(answer(5_000), { now: 499_000 }), 0);
  assertEquals(world.gatewayOf(answer(5_000), { now: 501_000 }), NO_GATEWAY);
});

Deno.test("a ping is answered, and of TCP what asks for no connection is an answer", () => {
  const world = new World();
  world.note(buildIcmp({ ...TO_CLIENT, type: 8, identifier: 9 }));
  assertEquals(world.gatewayOf(buildIcmp({ ...FROM_CLIENT, type: 0, identifier: 9 })), 2);
  assertEquals(world.gatewayOf(buildIcmp({ ...FROM_CLIENT, type: 8, identifier: 9 })), NO_GATEWAY);
  world.note(buildTcp({ ...TO_CLIENT, sourcePort: 5_000, destinationPort: 22, flags: 0x02 }));
  const ports = { sourcePort: 22, destinationPort: 5_000 };
  assertEquals(world.gatewayOf(buildTcp({ ...FROM_CLIENT, ...ports, flags: 0x12 })), 2);
  assertEquals(world.gatewayOf(buildTcp({ ...FROM_CLIENT, ...ports, flags: 0x02 })), NO_GATEWAY);
});

Deno.test("flows with one client, however many, take the place of no other client's", () => {
  const world = new World();
  world.note(question(5_000), { client: 2 });
  for (let port = 10_000; port < 40_000; port++) world.note(question(port), { client: 1 });
  assertEquals(world.gatewayOf(answer(5_000), { client: 2 }), 2);
  assertEquals(world.gatewayOf(answer(39_999), { client: 1 }), 2);
  assertEquals(world.gatewayOf(answer(10_000), { client: 1 }), NO_GATEWAY);
});
