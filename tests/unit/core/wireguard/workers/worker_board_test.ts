/** Tests of lib/core/wireguard/workers/worker_board.ts, by a simulated device that has workers. */
import { assert, assertEquals } from "../../../../support/assert.ts";
import { connectedPair } from "../../../../support/packets/tunnel_pair.ts";

Deno.test("a turn in which nothing is new of a peer looks neither at its path nor writes a record", () => {
  const { gateway, toClient } = connectedPair({ gatewayWorkers: 2 });
  const { device, sendQueue: { paths }, workers } = gateway;
  const { board } = workers!;
  const { bytes } = paths;
  let looks = 0;
  Object.defineProperty(paths, "bytes", {
    get: () => {
      looks++;
      return bytes;
    },
  });
  for (let turn = 0; turn < 100; turn++) board.publish(device.peers, 0);
  assertEquals(looks, 0);
  toClient.mtu -= 8;
  board.publish(device.peers, 0);
  assert(looks > 0);
});

Deno.test("workers are told where a peer is though the number of its path was another's before", () => {
  const { gateway, toClient } = connectedPair({ gatewayWorkers: 2 });
  const { device, sendQueue: { paths }, workers } = gateway;
  const before = paths.port(toClient.endpoint.path);
  toClient.endpoint.set(null);
  toClient.endpoint.set({ address: 0xc6336402, port: before + 1 });
  workers!.settle(device, () => {}, 0);
  for (const worker of workers!.all) {
    const { path } = worker.device.peerAt(toClient.index)!;
    assertEquals(worker.sendQueue.paths.port(path), before + 1);
  }
});
