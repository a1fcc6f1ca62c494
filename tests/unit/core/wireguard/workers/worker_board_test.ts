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

Deno.test("a peer keeps its worker whatever becomes of its allowed IPs, and all workers know which it is", () => {
  const { gateway, toClient } = connectedPair({ gatewayWorkers: 3 });
  const { device, workers } = gateway;
  const { board } = workers!;
  const before = board.workerOf(toClient);
  for (let last = 9; last < 15; last++) {
    const address = 0x0a424d00 + last;
    const allowedIps = [{ address, prefixLength: 32 }];
    device.updatePeer(toClient, { publicKey: toClient.publicKey, allowedIps }, 0);
    workers!.settle(device, () => {}, 0);
    assertEquals(board.workerOf(toClient), before);
    for (const worker of workers!.all) {
      assertEquals(worker.device.allowedIps.lookup(address)!.worker, before);
    }
  }
});

Deno.test("a peer that had a session before it had an address keeps the worker that its session is at", () => {
  for (let last = 9; last < 15; last++) {
    const { gateway, toClient } = connectedPair({
      gatewayWorkers: 3,
      toClient: { allowedIps: [] },
    });
    const { device, workers } = gateway;
    const { board } = workers!;
    const before = board.workerOf(toClient);
    const address = 0x0a424d00 + last;
    const allowedIps = [{ address, prefixLength: 32 }];
    device.updatePeer(toClient, { publicKey: toClient.publicKey, allowedIps }, 0);
    workers!.settle(device, () => {}, 0);
    assertEquals(board.workerOf(toClient), before);
    for (const worker of workers!.all) {
      assertEquals(worker.device.allowedIps.lookup(address)!.worker, before);
    }
  }
});

Deno.test("workers are told of a peer that has gone for now, or for good", () => {
  const { gateway, toClient } = connectedPair({ gatewayWorkers: 2 });
  const { device, workers } = gateway;
  for (const worker of workers!.all) assertEquals(worker.released, []);
  workers!.board.peerReleased(toClient);
  workers!.settle(device, () => {}, 0);
  for (const worker of workers!.all) assertEquals(worker.released, [toClient.index]);
  device.removePeer(toClient);
  workers!.settle(device, () => {}, 0);
  for (const worker of workers!.all) {
    assertEquals(worker.released, [toClient.index, toClient.index]);
  }
});
