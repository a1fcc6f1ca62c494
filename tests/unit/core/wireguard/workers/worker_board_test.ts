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

Deno.test("workers know the networks of IPv6 that a peer has, as many as it has, and none that it had", () => {
  const { gateway, toClient } = connectedPair({ gatewayWorkers: 2, hasIpv6: true });
  const { device, workers } = gateway;
  const { publicKey } = toClient;
  const many = Array.from({ length: 600 }, (_, i) => `fd00:8:${(i + 1).toString(16)}::/48`);
  for (const allowedIps6 of [many, ["fd00:77::2/128", "::/0"], []]) {
    device.updatePeer(toClient, { publicKey, allowedIps: [], allowedIps6 }, 0);
    workers!.settle(device, () => {}, 0);
    for (const { device: { allowedIps6: known, peers } } of workers!.all) {
      assertEquals(known.entries(peers[0]!), allowedIps6.toSorted());
    }
  }
  device.removePeer(toClient);
  workers!.settle(device, () => {}, 0);
  const any = new DataView(new ArrayBuffer(16));
  for (const worker of workers!.all) {
    assertEquals(worker.device.allowedIps6.lookup(any, 0), null);
  }
});

Deno.test("a peer with addresses of IPv6 alone is spread over the workers by these", () => {
  const { gateway } = connectedPair({ gatewayWorkers: 2, hasIpv6: true });
  const { board } = gateway.workers!;
  const workers = [2, 3, 4, 5].map((last) => {
    const peer = gateway.addPeer(
      { identity: { public: new Uint8Array(32).fill(last) } },
      [`fd00:77::${last}/128`],
    );
    return board.workerOf(peer);
  });
  assertEquals(workers, [0, 1, 0, 1]);
});
