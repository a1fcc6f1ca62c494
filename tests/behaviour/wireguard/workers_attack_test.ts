/** Tests of packet workers (lib/core/wireguard/workers) against strangers and peers that send what they please. */
import { DropReason } from "../../../lib/core/wire/drop_reason.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import type { SimulatedDevice } from "../../support/packets/simulated_device.ts";
import {
  connectedPair,
  INITIATION,
  receivedTexts,
  sentBy,
  TRANSPORT,
  upward,
} from "../../support/packets/tunnel_pair.ts";

const STRANGER = { address: 0xcb007142, port: 666 };

/** A message of this type that names no session: only the number of a worker in its index is to the point. */
function forged(type: number, worker: number, length = 148): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(length).fill(0x5a);
  new DataView(bytes.buffer).setUint32(0, type, true);
  bytes[4] = 0x50 | worker;
  return bytes;
}

/** Has the device's thread hang while something is done. */
function whileBusy({ workers }: SimulatedDevice, act: () => void): void {
  const { settle } = workers!;
  workers!.settle = () => {};
  act();
  workers!.settle = settle;
}

Deno.test("a stranger's messages do not keep from the device that a peer has moved", () => {
  const pair = connectedPair({ gatewayWorkers: 2 });
  const { client, gateway, simulation } = pair;
  const worker = pair.toClient.current!.localIndex & 15;
  client.port = 41_000;
  pair.sent.length = 0;
  whileBusy(gateway, () => {
    // What the kernel merges behind a transport message comes to its worker, which hands it on.
    for (const type of [INITIATION, TRANSPORT]) {
      const train = Uint8Array.of(
        ...forged(TRANSPORT, worker),
        ...Array.from({ length: 50 }, () => [...forged(type, 1 - worker)]).flat(),
        // Small enough for what is left of the ring.
        ...forged(INITIATION, 0, 8),
      );
      for (let i = 0; i < 200; i++) gateway.receive(train, { ...STRANGER, segmentSize: 148 });
    }
    client.send(upward("moved"));
    simulation.run(10);
  });
  gateway.poll();
  assertEquals(receivedTexts(gateway), ["moved"]);
  const asked = sentBy(pair, gateway, INITIATION).map((it) => it.destinationPort);
  assertEquals(asked, [41_000]);
});

Deno.test("a message for a worker that there is not is dropped where it comes", () => {
  const { gateway } = connectedPair({ gatewayWorkers: 2 });
  whileBusy(gateway, () => {
    gateway.receive(forged(TRANSPORT, 14), STRANGER);
    for (const { news } of gateway.workers!.all) assertEquals(news.next(), 0);
  });
  const counts = gateway.workers!.all.map(({ drops }) => drops.counts[DropReason.unknownIndex]);
  assert(counts.includes(1), `${counts}`);
});
