/** `DataPlaneThreads` with our own NAT: each thread has a slice of it, and clients notice nothing of that. */
import type { Status } from "../../../lib/control/status.ts";
import { workerOfDestination } from "../../../lib/dataplane/filters/steering.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import {
  curl,
  EVERYDAY_PROGRAMS,
  fetchText,
  showEverydayTraffic,
} from "../support/traffic/everyday.ts";
import { EXTERNAL, GatewayNetwork, INTERNET } from "../support/gateway.ts";
import { journalsOf } from "../support/simple_tunnel.ts";
import { addressOf } from "../support/outside.ts";
import { ping } from "../support/traffic/traffic.ts";
import { Site } from "../support/site.ts";
import { eventually } from "../../support/time/patience.ts";
import { vpnCommand } from "../support/programs/vpn.ts";
import { CABLE, carrierOn } from "../support/wire.ts";

/** Another uplink of the gateway's. */
const SECOND = "192.0.2.129";
const SECOND_ROUTER = "192.0.2.137";

netTest(
  "clients of two threads reach the internet, each other by the address outside, and are reached by a forwarded port; the threads end together",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology, { clients: 2 });
    const { clients, gateway, internet } = network;
    assertEquals(clients.map(({ inside }) => workerOfDestination(addressOf(inside), 2)), [0, 1]);
    const server = await network.start({
      DataPlaneThreads: "2",
      Forward: "tcp:8080 -> 10.66.77.3:80",
    });
    for (const client of clients) await network.connect(client);
    const [first, second] = clients.map(({ namespace }) => namespace);

    await showEverydayTraffic(second!, internet);
    // Answers in fragments all come to the first thread.
    for (const client of [first!, second!]) {
      const options = ["-c", "3", "-i", "0.2", "-W", "10", "-s", "3000", INTERNET];
      await client.output(["ping", ...options]);
    }
    await using _site = new Site(second!, 80);
    await using _internetSite = new Site(internet, 80);
    for (const guest of [first!, second!]) {
      assertEquals(await fetchText(guest, `http://${EXTERNAL}:8080/`), `hello ${EXTERNAL}`);
      assertEquals(await fetchText(guest, `http://${INTERNET}/`), `hello ${EXTERNAL}`);
    }
    assertEquals(
      await internet.output(curl(`http://${EXTERNAL}:8080/`)),
      "hello 192.0.2.9",
    );

    const all: Status[] = JSON.parse(await gateway.output(vpnCommand("status", "--json")));
    const status = all.find(({ pid }) => pid === server.pid)!;
    assertEquals(status.workers.length, 2);
    for (const worker of status.workers) {
      assert(worker.receivedBytes > 1000 && worker.sentBytes > 1000);
    }
    assert(status.nat.mappings > 200, `${status.nat.mappings} mappings`);
    const [ofFirst, ofSecond] = clients.map(({ inside }) =>
      status.peers.find(({ allowedIps }) => allowedIps.includes(`${inside}/32`))!.nat!
    );
    // By the page that it opens 200 connections for; and its forwarded port, which all threads have, counts once.
    assert(ofFirst!.ports > 0 && ofSecond!.ports > 200 && ofSecond!.ports < 400);

    // A failover: all threads follow.
    const namespace = topology.namespace("second-uplink");
    topology.cable(
      { namespace, name: CABLE, address: `${SECOND_ROUTER}/25` },
      { namespace: gateway, name: "dial0", address: `${SECOND}/25` },
    );
    await Promise.all([carrierOn(namespace), carrierOn(gateway, "dial0")]);
    await namespace.output(["ip", "address", "add", `${INTERNET}/32`, "dev", "lo"]);
    await using _other = new Site(namespace, 80);
    await gateway.output(["ip", "route", "replace", "default", "via", SECOND_ROUTER]);
    await server.waitFor(new RegExp(`leave through dial0 with source ${SECOND}`));
    for (const client of [first!, second!]) {
      // A connection that began by the last uplink is never answered.
      await eventually(async () => {
        const text = await fetchText(client, `http://${INTERNET}/`, 5).catch(() => null);
        return text === `hello ${SECOND}` ? text : null;
      });
      assertEquals((await ping(client, INTERNET)).received, 3);
    }
    // The threads die of it: all of them end, and nothing stays on the host.
    await gateway.output(["ip", "link", "delete", "vpn0"]);
    assert((await server.ended()).code !== 0);
    assertEquals(journalsOf(server), []);
    assertEquals(await gateway.output(["nft", "list", "ruleset"]), "");
  },
  { programs: [...EVERYDAY_PROGRAMS, "nft"] },
);
