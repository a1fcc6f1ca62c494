/** IPv6 inside the tunnel, with Debian's wireguard-go at the other end, in both roles. */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest, randomDigits, type TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { configText, newIdentity } from "../support/config.ts";
import { hostState } from "../support/host_state.ts";
import { endWell } from "../support/simple_tunnel.ts";
import { capture, ping, tcpFlow, udpFlow } from "../support/traffic/traffic.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import {
  addIpv6,
  CABLE,
  CLIENT_INSIDE,
  CLIENT_OUTSIDE,
  CLIENT_OUTSIDE6,
  layWire,
  layWireOf,
  OUTERS,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_OUTSIDE6,
  SERVER_PORT,
  type Wire,
} from "../support/wire.ts";
import { WIREGUARD_GO_PROGRAMS, WireguardGo } from "../support/programs/wireguard_go.ts";
import { giveIpv6 } from "../support/ipv6_addresses.ts";

const PROGRAMS = [...WIREGUARD_GO_PROGRAMS, "ping", "iperf3", "traceroute"];
const SERVER_INSIDE6 = "fd00:77::1";
const CLIENT_INSIDE6 = "fd00:77::2";
/** Somebody behind the server, beyond the default route. */
const FAR6 = "2001:db8:99::1";

const serverIdentity = newIdentity();
const clientIdentity = newIdentity();

/** What both ends can do with each other by IPv6, and still by IPv4. */
async function showTraffic({ client, server }: Wire, address = SERVER_INSIDE6): Promise<void> {
  assertEquals((await ping(client, address)).received, 3);
  assertEquals((await ping(server, CLIENT_INSIDE6)).received, 3);
  assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
  // In fragments of the sender's, inside.
  const large = await client.run(["ping", "-n", "-c", "2", "-i", "0.2", "-s", "5000", address]);
  assert(large.stdout.includes("2 received"), large.stdout);
  for (const reverse of [false, true]) {
    const flow = await tcpFlow(client, server, address, { reverse, bytes: 20e6 });
    assert(flow.receivedBytes > 10e6, `reverse=${reverse}: ${flow.receivedBytes} bytes`);
    const datagrams = await udpFlow(client, server, address, { seconds: 1, reverse });
    assert(datagrams.lost < datagrams.packets / 2, JSON.stringify(datagrams));
  }
}

/** Whether pings come back; without a route, none leaves. */
async function reaches(namespace: TestNamespace, address: string): Promise<boolean> {
  return (await namespace.run(["ping", "-n", "-c", "1", "-W", "1", address])).code === 0;
}

for (const outer of OUTERS) {
  netTest(
    `server carries IPv6 inside over ${outer.family} when wireguard-go is the client`,
    async (topology) => {
      const wire = await layWireOf(topology, outer);
      const { server, client } = wire;
      const before = await hostState(server);
      // The sockets of all namespaces lie in one folder.
      const name = `s${randomDigits()}`;
      const running = await startVpn(
        "server",
        server,
        configText({
          PrivateKey: serverIdentity.privateKey,
          ListenPort: SERVER_PORT,
          Address: `${SERVER_INSIDE}/24, ${SERVER_INSIDE6}/64`,
          Egress: "off",
        }, {
          PublicKey: clientIdentity.publicKey,
          AllowedIPs: `${CLIENT_INSIDE}/32, ${CLIENT_INSIDE6}/128`,
        }),
        ...["--interface", name],
      );
      const peer = await WireguardGo.start(
        client,
        configText({ PrivateKey: clientIdentity.privateKey }, {
          PublicKey: serverIdentity.publicKey,
          Endpoint: outer.endpoint,
          AllowedIPs: "10.66.77.0/24, ::/0",
        }),
        [`${CLIENT_INSIDE}/24`, `${CLIENT_INSIDE6}/64`],
      );
      await showTraffic(wire);
      // A network behind the client, that it gets while the tunnel runs: the server has a route there.
      const networks = `${CLIENT_INSIDE}/32,${CLIENT_INSIDE6}/128,fd00:88::/64`;
      const { publicKey } = clientIdentity;
      await server.output(["wg", "set", name, "peer", publicKey, "allowed-ips", networks]);
      const shown = await server.output(["wg", "show", name, "allowed-ips"]);
      assertEquals(shown, `${publicKey}\t${networks.replaceAll(",", " ")}\n`);
      await giveIpv6(client, "lo", "fd00:88::5/128");
      assertEquals((await ping(server, "fd00:88::5")).received, 3);
      // What leads nowhere is said to at once.
      await peer.route("2001:db8:99::/64");
      const refused = await client.run(["ping", "-n", "-c", "1", "-W", "30", FAR6]);
      assert(/From fd00:77::1 .*No route/.test(refused.stdout), refused.stdout);
      const status = await server.output(vpnCommand("status", "--json"));
      const instances: {
        publicKey: string;
        addresses: string[];
        peers: { allowedIps: string[] }[];
      }[] = JSON.parse(status);
      const ours = instances.find(({ publicKey }) => publicKey === serverIdentity.publicKey);
      assertEquals(ours?.addresses, [`${SERVER_INSIDE}/24`, `${SERVER_INSIDE6}/64`]);
      assertEquals(ours?.peers[0]?.allowedIps, [
        `${CLIENT_INSIDE}/32`,
        `${CLIENT_INSIDE6}/128`,
        "fd00:88::/64",
      ]);
      await endWell(running);
      assertEquals(await hostState(server), before);
    },
    { programs: PROGRAMS },
  );
}

netTest(
  "client of a provider with both families sends both through the tunnel, and leaks neither",
  async (topology) => {
    const wire = await layWire(topology);
    await addIpv6(wire);
    const { server, client } = wire;
    // Beyond the default routes, by which it would leave in the clear.
    await client.output(["ip", "-6", "route", "add", "default", "via", SERVER_OUTSIDE6]);
    await giveIpv6(server, "lo", `${FAR6}/128`);
    await WireguardGo.start(
      server,
      configText({ PrivateKey: serverIdentity.privateKey, ListenPort: SERVER_PORT }, {
        PublicKey: clientIdentity.publicKey,
        AllowedIPs: `${CLIENT_INSIDE}/32, ${CLIENT_INSIDE6}/128`,
      }),
      [`${SERVER_INSIDE}/24`, `${SERVER_INSIDE6}/64`],
    );
    assertEquals((await ping(client, FAR6)).received, 3);
    const before = await hostState(client);
    const tunnel = `src host ${CLIENT_OUTSIDE} and udp port ${SERVER_PORT}`;
    await using leaks = await capture(
      server,
      CABLE,
      `(ip and src host ${CLIENT_OUTSIDE} and not (${tunnel})) or ` +
        `(ip6 and src host ${CLIENT_OUTSIDE6} and (not icmp6 or icmp6[icmp6type] = icmp6-echo))`,
    );
    const running = await startVpn(
      "client",
      client,
      configText({
        PrivateKey: clientIdentity.privateKey,
        Address: `${CLIENT_INSIDE}/32, ${CLIENT_INSIDE6}/128`,
        KillSwitch: "on",
      }, {
        PublicKey: serverIdentity.publicKey,
        AllowedIPs: `0.0.0.0/0, ::/0, ${SERVER_INSIDE6}/128`,
        Endpoint: SERVER_ENDPOINT,
      }),
    );
    // As a router on the link may announce them, at any time and with any prefix.
    for (const network of ["fd00:77::/64", `${SERVER_INSIDE6}/128`]) {
      await client.output(["ip", "route", "add", network, "dev", CABLE, "metric", "256"]);
      const way = await client.output(["ip", "-6", "route", "get", SERVER_INSIDE6]);
      assert(way.includes("dev vpn0"), way);
    }
    await showTraffic(wire, FAR6);
    assertEquals((await ping(client, SERVER_INSIDE6)).received, 3);
    const route = await client.output(["ip", "-6", "route", "get", FAR6]);
    assert(route.includes(`src ${CLIENT_INSIDE6}`), route);
    // What other programs take away comes back, and until then nothing leaves by another way.
    for (
      const command of [
        ["ip", "-6", "address", "del", `${CLIENT_INSIDE6}/128`, "dev", "vpn0"],
        ["ip", "-6", "route", "del", "default", "dev", "vpn0", "table", "51820"],
        ["sysctl", "-qw", "net.ipv6.conf.vpn0.disable_ipv6=1"],
        ["ip", "link", "set", "vpn0", "mtu", "1000"],
      ]
    ) {
      const said = running.stderr.length;
      await client.output(command);
      await eventually(() => running.stderr.includes("removed by another program", said) || null, {
        what: command.join(" "),
      });
      await eventually(async () => (await reaches(client, FAR6)) || null, {
        what: "the way through the tunnel",
      });
    }
    const neighbour = ["ip", "-6", "route", "get", SERVER_OUTSIDE6];
    const far = ["ip", "-6", "route", "get", FAR6];
    const nowhere = await client.run([
      "sh",
      "-c",
      `ip link set vpn0 down; ${far.join(" ")}; ` +
      `${neighbour.join(" ")}; ip link set vpn0 up`,
    ]);
    assert(!/2001:db8:99::1 .*dev eth0/.test(nowhere.stdout), nowhere.stdout);
    assertMatch(nowhere.stdout, /^2001:db8::1 .*dev eth0/m);
    await eventually(async () => (await reaches(client, FAR6)) || null);
    assertEquals(leaks.count(), 0);
    for (const network of ["fd00:77::/64", `${SERVER_INSIDE6}/128`]) {
      await client.output(["ip", "route", "del", network, "dev", CABLE]);
    }
    await endWell(running);
    assertEquals(await hostState(client), before);
    // A question for the neighbour that the kill switch has stopped may still be under way, and take pings with it.
    await eventually(async () => (await reaches(client, FAR6)) || null, {
      what: "the way in the clear",
    });
  },
  { programs: [...PROGRAMS, "tcpdump", "nft"] },
);
