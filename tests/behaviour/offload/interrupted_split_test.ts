/** Tests what becomes of a super-packet while the send queue is full. */
import { assert, assertEquals } from "../../support/assert.ts";
import { Network, START, tcpRead, udpRead } from "../../support/offload/packet_paths.ts";
import { hostTest } from "../../support/permissions.ts";

hostTest("sendSplit() goes on for the same peer when a packet for another came in between", () => {
  const network = new Network(1420);
  const { server, client, neighbour } = network;
  // More packets than the send queue has slots.
  server.prepare(tcpRead(server, client, { mtu: 152, count: 300 }));
  server.readTun(START);
  assert(server.pipeline.hasSplit);
  client.prepare(udpRead(client, neighbour, 10));
  client.readTun(START);
  network.carry(client, server, START);
  // The socket has room again.
  network.carry(server, client, START);
  server.pipeline.sendSplit(START);
  network.carry(server, client, START);
  assertEquals([client.delivered, client.drops.total], [300, 0]);
  assert(!server.pipeline.hasSplit);
});
