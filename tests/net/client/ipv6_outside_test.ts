/** A client whose server has an IPv6 address: on a network of IPv6 alone, and by a name of both families. */
import { assert, assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { addressData, buildAnswer } from "../../support/dns/messages.ts";
import { ipv6Bytes } from "../../../lib/core/wire/host_address.ts";
import { netTest } from "../../support/net.ts";
import { HOST_FILES_PROGRAMS, HostFiles } from "../support/host_files.ts";
import { hostState } from "../support/host_state.ts";
import { DnsServer } from "../support/programs/dns_server.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { endWell, simpleTunnel } from "../support/simple_tunnel.ts";
import { ping, tcpFlow } from "../support/traffic/traffic.ts";
import {
  addIpv6,
  CABLE,
  layWire,
  layWireOf,
  OUTERS,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_OUTSIDE,
  SERVER_OUTSIDE6,
  SERVER_PORT,
} from "../support/wire.ts";
import { giveIpv6 } from "../support/ipv6_addresses.ts";

const NAME = "vpn.example";
const FAR_SERVER6 = "2001:db8:f::1";
const STRICT_FILTER = `table inet strict { chain pre { type filter hook prerouting priority -290;
  icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert } accept
  meta nfproto ipv6 fib saddr . mark . iif oif missing drop; }; }`;
/** Nobody has it. */
const DEAD6 = "2001:db8::dead";

netTest(
  "on a network of IPv6 alone, a full tunnel with KillSwitch works, and nothing else leaves",
  async (topology) => {
    const { client, server } = await layWireOf(topology, OUTERS[1]!);
    // As firewalld has it (IPv6_rpfilter), and a server that only the default route leads to.
    await giveIpv6(server, "lo", `${FAR_SERVER6}/128`);
    await client.output(["ip", "-6", "route", "add", "default", "via", SERVER_OUTSIDE6]);
    await client.output(["nft", STRICT_FILTER]);
    const before = await hostState(client);
    const tunnel = simpleTunnel();
    await startVpn("server", server, tunnel.server());
    const process = await startVpn(
      "client",
      client,
      tunnel.client(
        { KillSwitch: "on" },
        { Endpoint: `[${FAR_SERVER6}]:${SERVER_PORT}`, AllowedIPs: "0.0.0.0/0, ::/0" },
      ),
    );
    assertStringIncludes(process.stderr, `connected to [${FAR_SERVER6}]:${SERVER_PORT} by UDP`);
    assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
    const outside = await client.run(["ping", "-6", "-c", "1", "-W", "1", SERVER_OUTSIDE6]);
    assert(outside.code !== 0, outside.stdout);
    // The neighbour is asked for again, which the kill switch lets pass.
    await client.output(["ip", "-6", "neigh", "flush", "dev", CABLE]);
    for (const reverse of [false, true]) {
      const flow = await tcpFlow(client, server, SERVER_INSIDE, { reverse, bytes: 20e6 });
      assert(flow.receivedBytes > 10e6, `reverse=${reverse}: ${flow.receivedBytes} bytes`);
    }
    const status = await client.run(vpnCommand("status"));
    assertStringIncludes(status.stdout, `[${FAR_SERVER6}]:${SERVER_PORT}`);
    await endWell(process);
    assertEquals(await hostState(client), before);
  },
  { programs: ["ip", "nft", "sysctl", "ping", "iperf3"] },
);

netTest(
  "a name of both families is tried in both, and its server found where it moves, under KillSwitch",
  async (topology) => {
    const wire = await layWire(topology);
    const { client, server } = wire;
    await addIpv6(wire);
    let [ipv4, ipv6] = [SERVER_OUTSIDE, DEAD6];
    using _dns = new DnsServer(server, [SERVER_OUTSIDE], ({ query, type }) => {
      const data = type === 28 ? [...ipv6Bytes(ipv6)] : type === 1 ? addressData(ipv4) : null;
      return [buildAnswer(query, { answers: data === null ? [] : [{ type, data }] })];
    });
    using files = new HostFiles(`nameserver ${SERVER_OUTSIDE}\n`);
    const tunnel = simpleTunnel();
    const first = await startVpn("server", server, tunnel.server());
    const process = await files.startClient(
      client,
      tunnel.client(
        { KillSwitch: "on", ConnectTimeout: 8 },
        { Endpoint: `${NAME}:${SERVER_PORT}`, AllowedIPs: "0.0.0.0/0" },
      ),
    );
    assertStringIncludes(process.stderr, `connected to ${SERVER_ENDPOINT} by UDP`);
    [ipv4, ipv6] = ["192.0.2.99", SERVER_OUTSIDE6];
    await first.stop();
    // Nothing answers by IPv4 any more, as far as the tunnel is concerned.
    const drop = `table inet only6 { chain in { type filter hook input priority 0; ` +
      `meta nfproto ipv4 udp dport ${SERVER_PORT} drop; }; }`;
    await server.output(["nft", drop]);
    await startVpn("server", server, tunnel.server());
    await process.waitFor(/reconnected to \[2001:db8::1\]:51820 by UDP/);
    assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
    await endWell(process);
  },
  { programs: ["ip", "nft", "sysctl", "ping", ...HOST_FILES_PROGRAMS] },
);

netTest(
  "a server with IPv4 alone is reached from a network of IPv6 alone by its NAT64, and again",
  async (topology) => {
    const { client, server } = await layWireOf(topology, OUTERS[1]!);
    // The server stands where a translator would have it.
    await giveIpv6(server, "lo", "64:ff9b::c000:201/128");
    await client.output(["ip", "-6", "route", "add", "default", "via", SERVER_OUTSIDE6]);
    using dns = new DnsServer(server, [SERVER_OUTSIDE6], ({ query, name, type }) => {
      const isIt = name === "ipv4only.arpa" && type === 28;
      const answers = isIt ? [{ type, data: [...ipv6Bytes("64:ff9b::c000:aa")] }] : [];
      return [buildAnswer(query, { answers })];
    });
    using files = new HostFiles(`nameserver ${SERVER_OUTSIDE6}\n`);
    const tunnel = simpleTunnel();
    const first = await startVpn("server", server, tunnel.server());
    const process = await files.startClient(
      client,
      tunnel.client({ KillSwitch: "on" }, { AllowedIPs: "0.0.0.0/0", Endpoint: SERVER_ENDPOINT }),
    );
    assertStringIncludes(process.stderr, "connected to [64:ff9b::c000:201]:51820 by UDP");
    const asked = dns.questions.length;
    await first.stop();
    await startVpn("server", server, tunnel.server());
    await process.waitFor(/reconnected to \[64:ff9b::c000:201\]:51820/);
    assert(dns.questions.length > asked);
    await endWell(process);
  },
  { programs: ["ip", "nft", "sysctl", ...HOST_FILES_PROGRAMS] },
);
