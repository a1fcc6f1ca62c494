/** `DataPlaneThreads`: several threads move a tunnel's packets, between the same programs as ever. */
import type { Status } from "../../../lib/control/status.ts";
import { assert, assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { endWell, journalsOf, simpleTunnel } from "../support/simple_tunnel.ts";
import { ping, tcpFlow, udpFlow } from "../support/traffic/traffic.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { changeAddress, CLIENT_INSIDE, layWire, SERVER_INSIDE } from "../support/wire.ts";

netTest(
  "three threads of a server and two of its client move packets, follow a move, and end together",
  async (topology) => {
    const wire = await layWire(topology);
    const tunnel = simpleTunnel();
    const server = await startVpn(
      "server",
      wire.server,
      tunnel.server({ Egress: "off", DataPlaneThreads: "3" }),
    );
    const client = await startVpn("client", wire.client, tunnel.client({ DataPlaneThreads: "2" }));
    for (const reverse of [false, true]) {
      const flow = await tcpFlow(wire.client, wire.server, SERVER_INSIDE, { bytes: 4e6, reverse });
      assert(flow.receivedBytes > 1_000_000, `${flow.receivedBytes} bytes`);
      // As many as a busy machine passes on, and some more: what is lost is not out of order.
      const fast = { seconds: 1, reverse, bitsPerSecond: 1e9 };
      const datagrams = await udpFlow(wire.client, wire.server, SERVER_INSIDE, fast);
      assert(datagrams.packets > 1_000, `${datagrams.packets} datagrams`);
      assertEquals(datagrams.outOfOrder, 0);
    }
    const all: Status[] = JSON.parse(
      await wire.server.output(vpnCommand("status", "--json")),
    );
    const [ofServer, ofClient] = [server, client].map(({ pid }) =>
      all.find((status) => status.pid === pid)!
    );
    assertEquals([ofServer!.workers.length, ofClient!.workers.length], [3, 2]);
    const received = ofServer!.workers.map(({ receivedBytes }) => receivedBytes);
    // One peer's messages all come to one thread; what is summed up is what they have.
    assertEquals(received.filter((bytes) => bytes > 1_000_000).length, 1, `${received}`);
    const [peer] = ofServer!.peers;
    assert(peer!.received > 1_000_000 && peer!.sent > 1_000_000);
    assertEquals(peer!.kind, "ours");
    assertStringIncludes(
      await wire.server.output(vpnCommand("status")),
      "packet workers: 1 in",
    );

    await changeAddress(wire.client);
    assertEquals(
      (await ping(wire.client, SERVER_INSIDE, { count: 5, wait: 5 })).received > 0,
      true,
    );
    assertEquals((await ping(wire.server, CLIENT_INSIDE)).received, 3);
    await endWell(client);
    // The threads die of it: all of them end, and nothing stays on the host.
    await wire.server.output(["ip", "link", "delete", "vpn0"]);
    assert((await server.ended()).code !== 0);
    assertEquals(journalsOf(server), []);
  },
  { programs: ["iperf3"] },
);

netTest(
  "threads of both ends move packets by fake TCP, whose connection one has, in the order in which they came",
  async (topology) => {
    const wire = await layWire(topology);
    const tunnel = simpleTunnel();
    const threads = { DataPlaneThreads: "2" };
    const server = await startVpn(
      "server",
      wire.server,
      tunnel.server({ Egress: "off", Transport: "auto", ...threads }),
    );
    const client = await startVpn(
      "client",
      wire.client,
      tunnel.client({ Transport: "faketcp", ...threads }),
    );
    for (const reverse of [false, true]) {
      const flow = await tcpFlow(wire.client, wire.server, SERVER_INSIDE, { bytes: 4e6, reverse });
      assert(flow.receivedBytes > 1_000_000, `${flow.receivedBytes} bytes`);
      const fast = { seconds: 1, reverse, bitsPerSecond: 1e9 };
      const datagrams = await udpFlow(wire.client, wire.server, SERVER_INSIDE, fast);
      assert(datagrams.packets > 1_000, `${datagrams.packets} datagrams`);
      assertEquals(datagrams.outOfOrder, 0);
    }
    const all: Status[] = JSON.parse(await wire.server.output(vpnCommand("status", "--json")));
    const { oneThread, peers, threads: told, workers } = all.find(({ pid }) => pid === server.pid)!;
    assertEquals([oneThread, workers.length, peers[0]!.transport], [null, 2, "faketcp"]);
    assertEquals(told, { count: 2, decidedBy: "DataPlaneThreads = 2" });
    assert(Math.max(...workers.map(({ receivedBytes }) => receivedBytes)) > 1_000_000);
    await endWell(client);
    await endWell(server);
  },
  { programs: ["iperf3"] },
);
