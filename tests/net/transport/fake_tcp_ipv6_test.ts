/** Fake TCP over IPv6: through a strict firewall, under a kill switch, and from one family to the other. */
import { ipv6Bytes } from "../../../lib/core/wire/host_address.ts";
import { assert, assertEquals, assertStringIncludes } from "../../support/assert.ts";
import { addressData, buildAnswer } from "../../support/dns/messages.ts";
import { netTest } from "../../support/net.ts";
import { HOST_FILES_PROGRAMS, HostFiles } from "../support/host_files.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { DnsServer } from "../support/programs/dns_server.ts";
import { vpnCommand } from "../support/programs/vpn.ts";
import {
  ROUTED_PATH_PROGRAMS,
  RoutedPath,
  SERVER_ADDRESS6,
  SERVER_INSIDE,
  SERVER_OUTSIDE,
  SERVER_PORT,
  STRICT_INET,
} from "../support/routed_path.ts";
import { endWell } from "../support/simple_tunnel.ts";
import { ping, tcpFlow } from "../support/traffic/traffic.ts";

const NAME = "vpn.example";
/** Drops the tunnel's datagrams, and lets questions to the resolver through. */
const NO_TUNNEL_BY_UDP = `
table inet noudp { chain forward {
  type filter hook forward priority filter; udp dport ${SERVER_PORT} drop; }; }`;
const NO_IPV6 = `table ip6 no6 { chain forward {
  type filter hook forward priority filter; drop; }; }`;

netTest(
  "a server with addresses of both families is reached by fake TCP over either, and nothing else leaves the host",
  async (topology) => {
    const path = await RoutedPath.lay(topology);
    await path.addIpv6();
    const { client, router, server } = path;
    await path.firewall(STRICT_INET + NO_TUNNEL_BY_UDP);
    using _dns = new DnsServer(server, [SERVER_OUTSIDE], ({ query, type }) => {
      const data = type === 28
        ? [...ipv6Bytes(SERVER_ADDRESS6)]
        : type === 1
        ? addressData(SERVER_OUTSIDE)
        : null;
      return [buildAnswer(query, { answers: data === null ? [] : [{ type, data }] })];
    });
    using files = new HostFiles(`nameserver ${SERVER_OUTSIDE}\n`);
    const before = [await hostState(client), await hostState(server)];
    const gateway = await path.startServer();
    const process = await files.startClient(
      client,
      path.tunnel.client(
        { Transport: "auto", KillSwitch: "on", ConnectTimeout: 8 },
        { Endpoint: `${NAME}:${SERVER_PORT}`, AllowedIPs: "0.0.0.0/0, ::/0" },
      ),
    );
    const endpoint = `[${SERVER_ADDRESS6}]:${SERVER_PORT}`;
    assertStringIncludes(process.stderr, `connected to ${endpoint} by fake TCP`);
    assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
    for (const reverse of [false, true]) {
      const flow = await tcpFlow(client, server, SERVER_INSIDE, { reverse, bytes: 20e6 });
      assert(flow.receivedBytes > 10e6, `reverse=${reverse}: ${flow.receivedBytes} bytes`);
    }
    assertEquals(await path.invalidPackets("inet"), 0);
    assert((await client.run(["ping", "-6", "-c", "1", "-W", "1", SERVER_ADDRESS6])).code !== 0);
    const status = await client.run(vpnCommand("status"));
    assertStringIncludes(status.stdout, endpoint);
    // The server's own TCP does not answer for it, over either family.
    assertStringIncludes(
      await server.output(["nft", "list", "tables"]),
      "table ip6 vpn_vpn0_faketcp",
    );
    await router.output(["nft", "-f", "-"], { stdin: NO_IPV6 });
    await process.waitFor(
      new RegExp(`reconnected to ${SERVER_OUTSIDE}:${SERVER_PORT} by fake TCP`),
    );
    assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
    await endWell(process);
    await endWell(gateway);
    assertEquals([await hostState(client), await hostState(server)], before);
  },
  { programs: [...ROUTED_PATH_PROGRAMS, ...HOST_FILES_PROGRAMS, ...HOST_STATE_PROGRAMS, "iperf3"] },
);
