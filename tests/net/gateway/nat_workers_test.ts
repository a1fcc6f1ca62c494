/** `DataPlaneThreads` with our own NAT: each thread has a slice of it, and clients notice nothing of that. */
import type { Status } from "../../../lib/control/status.ts";
import { workerOfDestination } from "../../../lib/dataplane/filters/steering.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import {
  curl,
  downloads,
  EVERYDAY_PROGRAMS,
  fetchText,
  showEverydayTraffic,
} from "../support/traffic/everyday.ts";
import { EXTERNAL, GatewayNetwork, INTERNET } from "../support/gateway.ts";
import {
  addIpv6To,
  clientConfig6,
  config6,
  EXTERNAL6,
  INSIDE6,
  INTERNET6,
} from "../support/gateway6.ts";
import { journalsOf } from "../support/simple_tunnel.ts";
import { addressOf } from "../support/outside.ts";
import { ping } from "../support/traffic/traffic.ts";
import { Site } from "../support/site.ts";
import { eventually } from "../../support/time/patience.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { CABLE, carrierOn } from "../support/wire.ts";

/** Addresses of the clients inside. */
const INSIDES6 = ["fd00:77::2", "fd00:77::3"];
/** Another uplink of the gateway's. */
const SECOND = "192.0.2.129";
const SECOND_ROUTER = "192.0.2.137";

/** What the host has sent into the tunnel. */
async function sentInto(gateway: TestNamespace): Promise<{ bytes: number; packets: number }> {
  const text = await gateway.output(["ip", "-s", "-j", "link", "show", "vpn0"]);
  return JSON.parse(text)[0].stats64.tx;
}

netTest(
  "clients of two threads, one of them by fake TCP, reach the internet, each other by the address outside, and are reached by a forwarded port; the threads end together",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology, { clients: 2 });
    const { clients, gateway, internet } = network;
    assertEquals(clients.map(({ inside }) => workerOfDestination(addressOf(inside), 2)), [0, 1]);
    await addIpv6To(network);
    const server = await startVpn(
      "server",
      gateway,
      config6(network, {
        DataPlaneThreads: "2",
        Transport: "auto",
        Forward: "tcp:8080 -> 10.66.77.3:80",
        Forward6: `tcp:8080 -> [${INSIDES6[1]}]:80`,
      }, INSIDES6),
    );
    for (const [i, client] of clients.entries()) {
      const transport = i === 0 ? {} : { Transport: "faketcp" };
      await startVpn(
        "client",
        client.namespace,
        clientConfig6(network, client, INSIDES6[i]!, transport),
      );
    }
    const [first, second] = clients.map(({ namespace }) => namespace);

    await showEverydayTraffic(second!, internet);
    // Answers in fragments all come to the first thread.
    for (const client of [first!, second!]) {
      const options = ["-c", "3", "-i", "0.2", "-W", "10", "-s", "3000", INTERNET];
      await client.output(["ping", ...options]);
    }
    await using _site = new Site(second!, 80);
    await using _internetSite = new Site(internet, 80);
    await using _site6 = new Site(second!, 80, INSIDES6[1]);
    await using _internetSite6 = new Site(internet, 80, INTERNET6);
    for (const guest of [first!, second!]) {
      assertEquals(await fetchText(guest, `http://${EXTERNAL}:8080/`), `hello ${EXTERNAL}`);
      assertEquals(await fetchText(guest, `http://${INTERNET}/`), `hello ${EXTERNAL}`);
    }
    assertEquals(
      await internet.output(curl(`http://${EXTERNAL}:8080/`)),
      "hello 192.0.2.9",
    );

    // Of IPv6, each client's worker is that of its other address, and ports are dealt out alike.
    for (const guest of [first!, second!]) {
      const site = `http://[${INTERNET6}]/`;
      for (let i = 0; i < 4; i++) assertEquals(await fetchText(guest, site), `hello ${EXTERNAL6}`);
      assertEquals((await ping(guest, INTERNET6)).received, 3);
      // The first answer is too long for the tunnel, and its sender is told.
      await eventually(async () => {
        const { stdout } = await guest.run(["ping", "-nc1", "-W1", "-s3000", INTERNET6]);
        return stdout.includes(" 1 received") || null;
      });
      const forwarded = await fetchText(guest, `http://[${EXTERNAL6}]:8080/`);
      assertEquals(forwarded, `hello ${EXTERNAL6}`);
    }
    const visit = ["curl", "-sS", "--max-time", "20", "--interface", INTERNET6];
    assertEquals(
      await internet.output([...visit, `http://[${EXTERNAL6}]:8080/`]),
      `hello ${INTERNET6}`,
    );
    // What the gateway's host sends in a stream leaves it in super-packets.
    const before = await sentInto(gateway);
    await using inner = new Site(gateway, 8081, INSIDE6);
    assert(await downloads(first!, inner, `[${INSIDE6}]:8081`));
    const after = await sentInto(gateway);
    const mean = (after.bytes - before.bytes) / (after.packets - before.packets);
    assert(mean > 1_420, `${mean} bytes in a packet`);
    // And from one to the other inside, by either's queue.
    assertEquals((await ping(first!, INSIDES6[1]!)).received, 3);
    for (const inside of INSIDES6) assertEquals((await ping(gateway, inside)).received, 3);

    const all: Status[] = JSON.parse(await gateway.output(vpnCommand("status", "--json")));
    const status = all.find(({ pid }) => pid === server.pid)!;
    assertEquals(status.workers.length, 2);
    assertEquals(status.peers.map(({ transport }) => transport), ["udp", "faketcp"]);
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
