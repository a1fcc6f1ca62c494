/** IPv6 from a gateway to the internet: by its own NAT, or by the kernel, as strictly as IPv4. */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest, randomDigits, type TestNamespace, type Topology } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { downloads, fetchText } from "../support/traffic/everyday.ts";
import { addressData, buildAnswer } from "../../support/dns/messages.ts";
import { DnsServer } from "../support/programs/dns_server.ts";
import { WIREGUARD_GO_PROGRAMS, WireguardGo } from "../support/programs/wireguard_go.ts";
import { configText } from "../support/config.ts";
import { GATEWAY_PROGRAMS, GatewayNetwork, UPLINK } from "../support/gateway.ts";
import {
  addIpv6To,
  clientConfig6,
  config6,
  EXTERNAL6,
  INSIDE6,
  INTERNET6,
  ROUTER6,
} from "../support/gateway6.ts";
import { hostState } from "../support/host_state.ts";
import { endWell } from "../support/simple_tunnel.ts";
import { runVpn, startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { CABLE } from "../support/wire.ts";
import { Site } from "../support/site.ts";
import { capture, ping } from "../support/traffic/traffic.ts";
import { giveIpv6 } from "../support/ipv6_addresses.ts";

const PROGRAMS = [...GATEWAY_PROGRAMS, "curl", "dig", "nft", "tcpdump", "traceroute"];
const CLIENT6 = ["fd00:77::2", "fd00:77::3"];
/** On the link of the second client. */
const NEIGHBOUR6 = "2001:db8:3::2";
/** Amazon's metadata service. */
const METADATA = "fd00:ec2::254";

/** What is said to a ping that gets no answer. */
async function refusal(namespace: TestNamespace, address: string): Promise<string> {
  const { stdout } = await namespace.run(["ping", "-n", "-c", "1", "-W", "3", address]);
  return stdout;
}

async function isShut(namespace: TestNamespace, address: string): Promise<boolean> {
  return (await ping(namespace, address, { count: 1, wait: 1 })).received === 0;
}

/** Connections that the kernel tracks. */
async function trackedIn(namespace: TestNamespace): Promise<number> {
  const count = "/proc/sys/net/netfilter/nf_conntrack_count";
  return Number(await namespace.output(["bash", "-c", `cat ${count} 2>/dev/null || echo 0`]));
}

/** The same before and after, but for how long advertised routes are still good, and for a bridge's timers. */
async function stateOf(namespace: TestNamespace): Promise<string> {
  return (await hostState(namespace)).replaceAll(/expires \d+sec|_timer +[\d.]+/g, "");
}

/** A virtual machine, by a bridge of the host's, which is its router. */
async function layGuest(topology: Topology, gateway: TestNamespace): Promise<TestNamespace> {
  const guest = topology.namespace("guest");
  topology.cable({ namespace: guest, name: "eth0" }, { namespace: gateway, name: "veth9" });
  await gateway.output(["ip", "-batch", "-"], {
    stdin: "link add virbr9 type bridge\nlink set veth9 master virbr9\nlink set virbr9 up\n",
  });
  await giveIpv6(gateway, "virbr9", "2001:db8:7::1/64");
  await giveIpv6(guest, "eth0", "2001:db8:7::2/64");
  await guest.output(["ip", "route", "add", "default", "via", "2001:db8:7::1"]);
  return guest;
}

netTest(
  "clients reach the IPv6 internet by the gateway's address, and nobody reaches them",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology, { clients: 2 });
    // A router's on that link, as a daemon for advertisements wants it; it would forget other routers by that.
    await network.gateway.output(["sysctl", "-qw", "net.ipv6.conf.lan2.forwarding=1"]);
    await addIpv6To(network, `${METADATA}/128`);
    const { gateway, internet, client } = network;
    const other = network.clients[1]!;
    await giveIpv6(gateway, "lan2", "2001:db8:3::1/64");
    const guest = await layGuest(topology, gateway);
    const before = await stateOf(gateway);
    await using web = new Site(internet, 80, "::");
    using resolver = new DnsServer(internet, [INTERNET6], ({ query }) => [
      buildAnswer(query, { answers: [{ data: addressData("198.51.100.77"), timeToLive: 300 }] }),
    ]);
    const Forward6 = `tcp:8080 -> [${CLIENT6[1]}]:80`;
    const running = await startVpn(
      "server",
      gateway,
      config6(network, { DnsProxy: INTERNET6, Forward6, FlowLog: "on" }, CLIENT6, {}, {
        Deny: "internet",
      }),
    );
    assertMatch(running.stderr, new RegExp(`with source ${EXTERNAL6} \\(user-space NAT\\)`));
    await using leaks = await capture(
      gateway,
      "lan1",
      "ip6 and src host 2001:db8:2::2 and (not icmp6 or icmp6[icmp6type] = icmp6-echo)",
    );
    // What the NAT passes by, as it is of no connection, leaves as little.
    await using untranslated = await capture(internet, CABLE, "ip6 src net fd00:77::/64");
    await gateway.output(["nft", "-f", "-"], {
      stdin: "add table ip6 odd\n" +
        "add chain ip6 odd first { type filter hook prerouting priority -300; }\n" +
        "add rule ip6 odd first iifname vpn0 udp dport 9 notrack\n",
    });
    await startVpn("client", client.namespace, clientConfig6(network, client, CLIENT6[0]!));
    await startVpn("client", other.namespace, clientConfig6(network, other, CLIENT6[1]!));
    const site = `http://[${INTERNET6}]/`;
    assertEquals(await fetchText(client.namespace, site), `hello ${EXTERNAL6}`);
    await client.namespace.output(["bash", "-c", `echo >/dev/udp/${INTERNET6}/9`]);
    assertEquals((await ping(client.namespace, INTERNET6)).received, 3);
    // In fragments both ways: the first answer is too long for the tunnel, and its sender is told.
    await eventually(async () => {
      const { stdout } = await client.namespace.run(["ping", "-nc1", "-W1", "-s4000", INTERNET6]);
      return stdout.includes(" 1 received") || null;
    });
    assert(await downloads(client.namespace, web, `[${INTERNET6}]`));
    const hops = await client.namespace.output(["traceroute", "-6", "-n", "-q1", INTERNET6]);
    assertMatch(hops, new RegExp(`1  ${INSIDE6} .*\n 2  ${INTERNET6} `));
    assertMatch(await refusal(other.namespace, INTERNET6), /administratively prohibited/i);
    for (const address of [ROUTER6, NEIGHBOUR6, EXTERNAL6, METADATA]) {
      assertMatch(await refusal(client.namespace, address), /administratively prohibited/i);
    }
    // Neither is the gateway a router for anybody else.
    for (const [from, to] of [[internet, CLIENT6[0]!], [internet, "2001:db8:2::2"]] as const) {
      assert(await isShut(from, to), to);
    }
    // Nor for guests that it did not forward for before.
    assert(await isShut(guest, INTERNET6));
    // A client that may begin nothing there answers who comes by a forwarded port, and sees who that is.
    await using _own = new Site(other.namespace, 80, CLIENT6[1]);
    const visit = ["curl", "-sS", "--max-time", "20", "--interface", INTERNET6];
    const forwarded = [...visit, `http://[${EXTERNAL6}]:8080/`];
    assertEquals(await internet.output(forwarded), `hello ${INTERNET6}`);
    for (const server of [INSIDE6, INTERNET6]) {
      for (const how of ["+notcp", "+tcp"]) {
        const question = ["dig", `@${server}`, "+short", "+tries=1", "+time=8", how, "a.example"];
        assertEquals(await client.namespace.output(question), "198.51.100.77\n");
      }
    }
    const asked = resolver.questions.map(({ from }) => from).filter((from) => from.includes(":"));
    // The proxy's own question, whose answer it keeps, and the client's two.
    assertEquals(asked, [EXTERNAL6, EXTERNAL6, EXTERNAL6]);
    // By the forwarded port, a client reaches the other, and each is seen as from outside.
    assertEquals(
      await client.namespace.output(["curl", "-sS", `http://[${EXTERNAL6}]:8080/`]),
      `hello ${EXTERNAL6}`,
    );
    // The kernel forwards nothing, tracks nothing, and has no socket to answer for.
    assertEquals(await gateway.output(["sysctl", "-n", "net.ipv6.conf.all.forwarding"]), "0\n");
    assertEquals(await trackedIn(gateway), 0);
    await gateway.output(["ip", "link", "set", UPLINK, "mtu", "1280"]);
    const big = await client.namespace.run(["ping", "-nc1", "-Mdo", "-s1352", INTERNET6]);
    assertMatch(big.stdout + big.stderr, /too big.*1280|too long.*1280/i);
    assertEquals(await fetchText(client.namespace, `${site}`), `hello ${EXTERNAL6}`);
    await gateway.output(["ip", "link", "set", UPLINK, "mtu", "1500"]);
    await endWell(running);
    const flows: { destination: string; destinationPort: number | null; received: number }[] = JSON
      .parse(await gateway.output(vpnCommand("flows", "--json")));
    const bytesBack = (address: string, port: number | null) =>
      Math.max(
        ...flows.filter((flow) => flow.destination === address && flow.destinationPort === port)
          .map(({ received }) => received),
      );
    // A download; a question to the gateway; a visit by the forwarded port; and none that is refused.
    assert(bytesBack(INTERNET6, 80) > 1_000_000, `${bytesBack(INTERNET6, 80)} bytes`);
    assert(bytesBack(INSIDE6, 53) > 0);
    assert(bytesBack(CLIENT6[1]!, 80) > 0);
    assertEquals(bytesBack(ROUTER6, null), -Infinity);

    // The kernel's NAT does the same, and so do two threads before it.
    const kernel = await startVpn(
      "server",
      gateway,
      config6(network, { Forward6, Egress: "kernel", DataPlaneThreads: 2 }, CLIENT6, {}, {
        Deny: "internet",
      }),
    );
    await eventually(async () =>
      (await ping(client.namespace, INTERNET6, { count: 1, wait: 1 })).received === 1 || null
    );
    // A host that forwards would forget it.
    assertMatch(await gateway.output(["ip", "-6", "route", "show", "default"]), /proto ra/);
    assertEquals(await fetchText(client.namespace, site), `hello ${EXTERNAL6}`);
    await client.namespace.output(["bash", "-c", `echo >/dev/udp/${INTERNET6}/9`]);
    assertEquals(await internet.output(forwarded), `hello ${INTERNET6}`);
    for (const address of [ROUTER6, EXTERNAL6]) {
      assertMatch(await refusal(client.namespace, address), /administratively prohibited/i);
    }
    const listed = await gateway.output(["nft", "list", "table", "ip6", "vpn_vpn0_forward"]);
    const to = `tcp dport 8080 dnat to [${CLIENT6[1]}]:80`;
    assert(listed.includes(`iifname "${UPLINK}" fib daddr type local ${to}`), listed);
    const said = kernel.stderr.length;
    await gateway.output(["nft", "delete", "table", "ip6", "vpn_vpn0_forward"]);
    await gateway.output(["sysctl", "-qw", `net.ipv6.conf.${UPLINK}.accept_ra=1`]);
    await eventually(() => kernel.stderr.includes("accept_ra", said) || null);
    await eventually(async () =>
      (await ping(client.namespace, INTERNET6, { count: 1, wait: 1 })).received === 1 || null
    );
    // Who does not want to listen to routers any more is left alone; who does, has to go on.
    const again = kernel.stderr.length;
    await gateway.output(["sysctl", "-qw", `net.ipv6.conf.${UPLINK}.accept_ra=0`]);
    await gateway.output(["nft", "delete", "table", "ip6", "vpn_vpn0_forward"]);
    await eventually(() => kernel.stderr.includes("vpn_vpn0_forward", again) || null);
    const listens = await gateway.output(["sysctl", "-n", `net.ipv6.conf.${UPLINK}.accept_ra`]);
    assertEquals(listens, "0\n");
    await gateway.output(["sysctl", "-qw", `net.ipv6.conf.${UPLINK}.accept_ra=2`]);
    assertEquals([leaks.count(), untranslated.count()], [0, 0]);
    await gateway.output(["nft", "delete", "table", "ip6", "odd"]);
    await endWell(kernel);
    assertEquals(await stateOf(gateway), before);
  },
  { programs: PROGRAMS },
);

netTest(
  "clients with addresses of the uplink's network are answered for there, and not reached from there",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    await addIpv6To(network);
    const { gateway, internet, client } = network;
    const before = await stateOf(gateway);
    await using _site = new Site(internet, 80, "::");
    // The sockets of all namespaces lie in one folder.
    const name = `s${randomDigits()}`;
    const section = {
      Address: "10.66.77.1/24, 2001:db8:1::77:1/112",
      Egress6: "routed",
      EgressAllow: "lan",
      Forward6: "tcp:8080 -> [2001:db8:1::77:2]:80",
    };
    const [own, added, taken] = ["2001:db8:1::77:2", "2001:db8:1::77:22", "2001:db8:1::55"];
    await internet.output(["ip", "address", "add", `${taken}/64`, "dev", CABLE, "nodad"]);
    // A service of the host's would receive nothing on that port.
    const listener = gateway.inside(() => Deno.listen({ hostname: "::", port: 8080 }));
    const refused = await runVpn("server", gateway, config6(network, section, [own]));
    assertEquals(refused.code, 2);
    assertMatch(refused.stderr, /Cannot forward tcp port 8080: .* listens on it/);
    listener.close();
    const AllowedIPs = `${client.inside}/32, ${own}/128, ${taken}/128`;
    const running = await startVpn(
      "server",
      gateway,
      config6(network, section, [own], { AllowedIPs }),
      ...["--interface", name],
    );
    const peer = await WireguardGo.start(
      client.namespace,
      configText({ PrivateKey: client.identity.privateKey }, {
        PublicKey: network.identity.publicKey,
        Endpoint: client.endpoint,
        AllowedIPs: "0.0.0.0/0, ::/0",
      }),
      [`${client.inside}/24`, `${own}/112`],
    );
    await peer.route("2001:db8:99::/64");
    await peer.route("2001:db8:1::/64");
    const answeredFor = () => gateway.output(["ip", "-6", "neighbour", "show", "proxy"]);
    const site = `http://[${INTERNET6}]/`;
    // One that a host there has is not answered for, though the peer has it, too.
    await running.waitFor(
      new RegExp(
        `${taken} of a peer is not answered for on ${UPLINK}: it is in use by a host there`,
      ),
    );
    await eventually(async () => (await answeredFor()) === `${own} dev ${UPLINK} proxy \n` || null);
    assertEquals(await fetchText(client.namespace, site), `hello ${own}`);
    assert(await isShut(internet, own));
    await using _own = new Site(client.namespace, 80, own);
    for (const place of [`[${own}]`, `[${EXTERNAL6}]:8080`]) {
      const visit = ["curl", "-sS", "--max-time", "20", "--interface", INTERNET6];
      assertEquals(await internet.output([...visit, `http://${place}/`]), `hello ${INTERNET6}`);
    }
    assertMatch(await refusal(client.namespace, ROUTER6), / 1 received/);
    // What is any router's of a network is the gateway's own now.
    assertMatch(await refusal(client.namespace, "2001:db8:1::"), /administratively prohibited/i);
    const { publicKey } = client.identity;
    const networks = `${client.inside}/32,${own}/128,${added}/128`;
    await gateway.output(["wg", "set", name, "peer", publicKey, "allowed-ips", networks]);
    await client.namespace.output(["ip", "address", "add", `${added}/128`, "dev", peer.name]);
    await eventually(async () => (await answeredFor()).includes(added) || null);
    const by = ["--interface", added];
    assertEquals(
      await client.namespace.output(["curl", "--silent", ...by, site]),
      `hello ${added}`,
    );
    const said = running.stderr.length;
    await gateway.output(["ip", "-6", "neighbour", "del", "proxy", own, "dev", UPLINK]);
    await eventually(() => running.stderr.includes("answered for", said) || null);
    await eventually(async () => (await answeredFor()).includes(own) || null);
    await gateway.output(["wg", "set", name, "peer", publicKey, "remove"]);
    await eventually(async () => (await answeredFor()) === "" || null);
    // What one gateway has found is put back by the last, or by `cleanup` after it.
    const other = await startVpn(
      "server",
      gateway,
      config6(network, {
        Address: "10.66.78.1/24, fd00:78::1/64",
        ListenPort: 51821,
        Egress: "kernel",
      }, [own]),
      ...["--interface", `${name}b`],
    );
    await endWell(running);
    const sysctls = ["all.forwarding", `${UPLINK}.accept_ra`];
    const values = ["sysctl", "-n", ...sysctls.map((each) => `net.ipv6.conf.${each}`)];
    assertEquals(await gateway.output(values), "1\n2\n");
    other.signal("SIGKILL");
    await other.status;
    await gateway.output(vpnCommand("cleanup"));
    assertEquals(await stateOf(gateway), before);
  },
  { programs: [...PROGRAMS, ...WIREGUARD_GO_PROGRAMS] },
);
