/** That a full tunnel works in a LAN that uses the tunnel's own network, as a hotel's may. */
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import {
  HOST_STATE_PROGRAMS,
  hostState,
  withoutIpv6Autoconfiguration,
} from "../support/host_state.ts";
import { endWell, simpleTunnel } from "../support/simple_tunnel.ts";
import { ping } from "../support/traffic/traffic.ts";
import { startVpn } from "../support/programs/vpn.ts";
import {
  CABLE,
  carrierOn,
  layWire,
  SERVER_INSIDE,
  SERVER_OUTSIDE,
  SUBNET,
} from "../support/wire.ts";

const PROGRAMS = [...HOST_STATE_PROGRAMS, "nft", "ping"];

netTest(
  "in a LAN with the tunnel's own network the gateway and the resolver are reached by the tunnel, and the conflict is named",
  async (topology) => {
    const [client, hotel, server] = ["client", "hotel", "server"].map((label) => {
      const namespace = topology.namespace(label);
      withoutIpv6Autoconfiguration(namespace);
      return namespace;
    });
    // The hotel's router has the very address that the gateway has inside.
    topology.cable(
      { namespace: client!, name: CABLE, address: "10.66.77.50/24" },
      { namespace: hotel!, name: "lan", address: `${SERVER_INSIDE}/24` },
    );
    topology.cable(
      { namespace: hotel!, name: CABLE, address: "192.0.2.2/24" },
      { namespace: server!, name: CABLE, address: `${SERVER_OUTSIDE}/24` },
    );
    await Promise.all([carrierOn(client!), carrierOn(hotel!), carrierOn(server!)]);
    await hotel!.output(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
    await hotel!.output(["nft", "-f", "-"], {
      stdin: `table ip hotel {
        chain out { type nat hook postrouting priority 100; oifname ${CABLE} masquerade; }
        chain in { type filter hook input priority 0; icmp type echo-request drop; }
      }`,
    });
    await client!.output(["ip", "route", "add", "default", "via", SERVER_INSIDE]);
    const tunnel = simpleTunnel();
    await startVpn("server", server!, tunnel.server());
    const before = await hostState(client!);
    for (const AllowedIPs of ["0.0.0.0/0", `${SERVER_INSIDE}/32, 0.0.0.0/0`]) {
      // The resolver names the gateway; without one, AllowedIPs do.
      const section = AllowedIPs === "0.0.0.0/0" ? { DNS: SERVER_INSIDE } : {};
      const process = await startVpn("client", client!, tunnel.client(section, { AllowedIPs }));
      assertMatch(
        process.stderr,
        /the network 10\.66\.77\.0\/24 on eth0 contains .*: 10\.66\.77\.1 through the tunnel, the rest through eth0/,
      );
      assertEquals((await ping(client!, SERVER_INSIDE)).received, 3);
      const way = (to: string) => client!.output(["ip", "route", "get", to]);
      assertMatch(await way("10.66.77.99"), / dev eth0 /);
      assertMatch(await way("198.18.0.1"), / dev vpn0 /);
      await endWell(process);
      assertEquals(await hostState(client!), before);
    }
  },
  { programs: PROGRAMS },
);

netTest(
  "a network that another interface has is named, resolvers excepted, and the tunnel's other routes are watched as ever",
  async (topology) => {
    const { client, server } = await layWire(topology);
    topology.cable(
      { namespace: client, name: "eth1", address: "10.1.0.1/16" },
      { namespace: server, name: "eth1" },
    );
    // More exact than the tunnel's own network, which it takes a half of: the resolver stays the tunnel's all the same.
    await client.output(["ip", "address", "add", "10.66.77.50/25", "dev", "eth1"]);
    const tunnel = simpleTunnel();
    await startVpn("server", server, tunnel.server());
    const before = await hostState(client);
    const config = tunnel.client({ DNS: SERVER_INSIDE }, {
      AllowedIPs: `${SUBNET}, 10.1.0.0/16, ${SUBNET}`,
    });
    const process = await startVpn("client", client, config);
    assertMatch(
      process.stderr,
      /10\.1\.0\.0\/16 is not reached through the tunnel: another interface/,
    );
    assertMatch(
      process.stderr,
      /the network 10\.66\.77\.0\/25 on eth1 contains .*: 10\.66\.77\.1 through the tunnel, the rest through eth1/,
    );
    assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
    assertEquals(process.stderr.match(/is not reached through the tunnel/g)?.length, 1);
    await client.output(["ip", "route", "del", SUBNET, "dev", "vpn0"]);
    await process.waitFor(/restored: route 10\.66\.77\.0\/24/);
    assertEquals((await ping(client, SERVER_INSIDE)).received, 3);
    await endWell(process);
    assertEquals(await hostState(client), before);
  },
  { programs: PROGRAMS },
);
