/** `KillSwitch` and guests of the host: containers on a bridge go through the tunnel, or nowhere. */
import { assertEquals } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { chat } from "../support/programs/chatter.ts";
import { record, recordedAll, RECORDING_PROGRAMS } from "../support/traffic/recording.ts";
import { killHard, simpleTunnel } from "../support/simple_tunnel.ts";
import { ping } from "../support/traffic/traffic.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { CABLE, carrierOn, layWire, SERVER_INSIDE, SERVER_OUTSIDE } from "../support/wire.ts";

const PROGRAMS = ["ip", "nft", "ping", "sysctl", ...RECORDING_PROGRAMS];
const FAR = "198.51.100.9";
const BRIDGE = "docker0";
const HOST = "10.55.0.1";
const CONTAINERS = ["10.55.0.2", "10.55.0.3"] as const;

netTest(
  "under KillSwitch containers reach the tunnel, the host and each other, and nothing of theirs leaves in the clear",
  async (topology) => {
    const { client, server } = await layWire(topology);
    await client.output(["ip", "-batch", "-"], {
      stdin: `link add ${BRIDGE} type bridge\nlink set ${BRIDGE} up\n` +
        `address add ${HOST}/24 dev ${BRIDGE}\nroute add default via ${SERVER_OUTSIDE}\n`,
    });
    const [container, other] = CONTAINERS.map((address, index) => {
      const namespace = topology.namespace(`container${index}`);
      topology.cable(
        { namespace: client, name: `port${index}` },
        { namespace, name: CABLE, address: `${address}/24` },
      );
      return namespace;
    });
    for (const [index, namespace] of [container!, other!].entries()) {
      await client.output(["ip", "link", "set", `port${index}`, "master", BRIDGE]);
      await carrierOn(namespace);
      await namespace.output(["ip", "route", "add", "default", "via", HOST]);
    }
    await client.output(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
    // As Docker does it, netfilter's look at bridges included, where the kernel has that.
    await client.run(["sysctl", "-q", "-w", "net.bridge.bridge-nf-call-iptables=1"]);
    await client.output(["nft", "-f", "-"], {
      stdin: `table ip docker { chain out { type nat hook postrouting priority 100;
        ip saddr 10.55.0.0/24 oifname != ${BRIDGE} masquerade; }; }`,
    });
    chat(container!, `udp://${FAR}:4000`);
    const leaks = { "a container's": `udp dst port 4000 and dst host ${FAR}` };
    const watch = () => record(server, CABLE, "udp", { immediate: true });
    {
      await using before = await watch();
      await recordedAll(before, leaks);
    }
    const tunnel = simpleTunnel();
    await startVpn("server", server, tunnel.server());
    const process = await startVpn(
      "client",
      client,
      tunnel.client({ KillSwitch: "on" }, { AllowedIPs: "0.0.0.0/0" }),
    );
    await using outside = await watch();
    assertEquals((await ping(container!, SERVER_INSIDE)).received, 3);
    assertEquals((await ping(container!, HOST)).received, 3);
    assertEquals((await ping(container!, CONTAINERS[1])).received, 3);
    assertEquals((await ping(client, CONTAINERS[0])).received, 3);
    // A neighbour is no guest, and nor is who has come through the tunnel without having been asked.
    assertEquals((await ping(container!, SERVER_OUTSIDE, { count: 1, wait: 1 })).received, 0);
    await server.output(["ip", "route", "add", "10.55.0.0/24", "dev", "vpn0"]);
    assertEquals((await ping(server, CONTAINERS[0], { count: 1, wait: 1 })).received, 0);
    // A bridge that a network card joins is none of guests alone any more.
    await client.output(["ip", "link", "add", "link", CABLE, "name", "card", "type", "macvlan"]);
    await client.output(["ip", "link", "set", "card", "master", BRIDGE]);
    await eventually(async () =>
      (await ping(client, CONTAINERS[0], { count: 1, wait: 1 })).received === 0 || null
    );
    await killHard(process);
    assertEquals((await ping(container!, SERVER_OUTSIDE, { count: 1, wait: 1 })).received, 0);
    await outside.stop();
    assertEquals(await outside.count(leaks["a container's"]), 0);
    await client.output(vpnCommand("cleanup"));
    await using after = await watch();
    await recordedAll(after, leaks);
  },
  { programs: PROGRAMS },
);
