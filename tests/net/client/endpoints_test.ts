/** A client with several endpoints, of gateways with one key and addresses of their own: one dies, the next has it. */
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { configText, newIdentity } from "../support/config.ts";
import { withoutIpv6Autoconfiguration } from "../support/host_state.ts";
import { WIREGUARD_GO_PROGRAMS, WireguardGo } from "../support/programs/wireguard_go.ts";
import { startVpn } from "../support/programs/vpn.ts";
import { endWell, killHard } from "../support/simple_tunnel.ts";
import { capture, expectReached } from "../support/traffic/traffic.ts";
import {
  CABLE,
  CLIENT_INSIDE,
  CLIENT_OUTSIDE,
  layWire,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_OUTSIDE,
  SERVER_PORT,
} from "../support/wire.ts";

/** The client's way to the second gateway, which has IPv6 alone. */
const OTHER_CABLE = "eth1";
const OTHER_OUTSIDE = "2001:db8:1::1";
const CLIENT_OUTSIDE6 = "2001:db8:1::2";
const OTHER_ENDPOINT = `[${OTHER_OUTSIDE}]:${SERVER_PORT}`;

async function addAddress6(namespace: TestNamespace, device: string, address: string) {
  await namespace.output(["ip", "address", "add", `${address}/64`, "dev", device, "nodad"]);
  await eventually(async () => {
    const routes = await namespace.output(["ip", "-6", "route", "show", "table", "local"]);
    return routes.includes(`local ${address} dev ${device} `) || null;
  }, { interval: 10, what: `a route to ${address}` });
}

netTest(
  "a client whose gateway is killed goes on by the next Endpoint, of the other family, and nothing leaves in the clear",
  async (topology) => {
    const { client, server } = await layWire(topology);
    const other = topology.namespace("other");
    withoutIpv6Autoconfiguration(other);
    topology.cable({ namespace: client, name: OTHER_CABLE }, { namespace: other, name: CABLE });
    await addAddress6(client, OTHER_CABLE, CLIENT_OUTSIDE6);
    await addAddress6(other, CABLE, OTHER_OUTSIDE);

    // What comes from the client and is no datagram of its tunnel; by IPv6, its neighbours are looked for as well.
    const plain = `not udp dst port ${SERVER_PORT}`;
    await using leaks = await capture(
      server,
      CABLE,
      `src host ${CLIENT_OUTSIDE} and ip and ${plain}`,
    );
    await using leaks6 = await capture(
      other,
      CABLE,
      `src host ${CLIENT_OUTSIDE6} and ${plain} and not (icmp6 and ip6[40] >= 133 and ip6[40] <= 136)`,
    );
    await expectReached(client, SERVER_OUTSIDE);
    await expectReached(client, OTHER_OUTSIDE);
    await Promise.all([leaks.waitForCount(1), leaks6.waitForCount(1)]);

    const [gateway, laptop] = [newIdentity(), newIdentity()];
    const peer = { PublicKey: laptop.publicKey, AllowedIPs: `${CLIENT_INSIDE}/32` };
    const own = { PrivateKey: gateway.privateKey, ListenPort: SERVER_PORT };
    const first = await startVpn(
      "server",
      server,
      configText({ ...own, Address: `${SERVER_INSIDE}/24` }, peer),
    );
    const second = await WireguardGo.start(other, configText(own, peer), [`${SERVER_INSIDE}/24`]);
    const running = await startVpn(
      "client",
      client,
      configText(
        {
          PrivateKey: laptop.privateKey,
          Address: `${CLIENT_INSIDE}/32`,
          KillSwitch: "on",
          PeerTimeout: 3,
        },
        {
          PublicKey: gateway.publicKey,
          Endpoint: `${SERVER_ENDPOINT}\nEndpoint = ${OTHER_ENDPOINT}`,
          AllowedIPs: "0.0.0.0/0",
        },
      ),
    );
    assertMatch(running.stderr, /connected to 192\.0\.2\.1:51820 by UDP/);
    const inside = client.spawn(["ping", "-n", "-i", "0.2", SERVER_INSIDE]);
    const past = [[CABLE, SERVER_OUTSIDE], [OTHER_CABLE, OTHER_OUTSIDE]].map(([device, to]) =>
      client.spawn(["ping", "-n", "-O", "-i", "0.2", "-I", device!, to!])
    );
    await inside.waitFor(/icmp_seq=5 /);
    await killHard(first);
    await running.waitFor(/reconnected to \[2001:db8:1::1\]:51820 by UDP/);
    const answered = () => inside.stdout.split("\n").length;
    const before = answered();
    await eventually(() => answered() > before + 5 || null, { what: "answers of the second" });
    assertEquals(
      (await second.peer(laptop.publicKey)).endpoint.startsWith(`[${CLIENT_OUTSIDE6}]:`),
      true,
    );
    assertEquals([leaks.count(), leaks6.count()], [1, 1]);
    // Both were trying all the while.
    for (const process of past) await process.waitFor(/no answer yet/);
    await endWell(running);
  },
  { programs: [...WIREGUARD_GO_PROGRAMS, "ping", "tcpdump", "nft"] },
);
