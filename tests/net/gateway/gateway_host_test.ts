/** A gateway and the host it runs on: what it changes there and takes back, and whom it must not get in the way of. */
import { assert, assertEquals, assertMatch, assertNotEquals } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { buildTcp } from "../../support/packets/packet_builder.ts";
import { type Section } from "../support/config.ts";
import { fetchText } from "../support/traffic/everyday.ts";
import {
  EXTERNAL,
  GATEWAY_PROGRAMS,
  GatewayNetwork,
  INSIDE,
  INTERNET,
} from "../support/gateway.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { Injector } from "../support/outside.ts";
import { endWell } from "../support/simple_tunnel.ts";
import { Site } from "../support/site.ts";
import { ping } from "../support/traffic/traffic.ts";
import { runVpn, vpnCommand } from "../support/programs/vpn.ts";

const PROGRAMS = [...GATEWAY_PROGRAMS, ...HOST_STATE_PROGRAMS, "curl", "nft"];
const RESERVED_PORTS = "net.ipv4.ip_local_reserved_ports";
/** Within the kernel's own range, 32768 to 60999. */
const NAT_PORTS = "33000-33999";
/** What makes the kernel call a packet invalid, and drops it. */
const DROP_INVALID = `table inet host_firewall {
  chain output { type filter hook output priority filter; policy accept;
    ct state invalid counter drop; }
}`;

const KINDS: Readonly<Record<string, Section>> = {
  "Egress = raw": { NatPorts: NAT_PORTS, Forward: "tcp:8080 -> 10.66.77.2:80" },
  "Capture = nfqueue": { NatPorts: NAT_PORTS, Capture: "nfqueue" },
  "Egress = kernel": { Egress: "kernel" },
};

async function sysctl(namespace: TestNamespace, name: string): Promise<string> {
  return (await namespace.output(["sysctl", "-n", name])).trim();
}

for (const [kind, section] of Object.entries(KINDS)) {
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    netTest(
      `a gateway with ${kind} leaves nothing behind when ${signal} ends it`,
      async (topology) => {
        const network = await GatewayNetwork.lay(topology);
        const { gateway } = network;
        const before = await hostState(gateway);
        const process = await network.start(section);
        assertNotEquals(await gateway.output(["nft", "list", "ruleset"]), "");
        const client = await network.connect();
        assertEquals((await ping(network.client.namespace, INTERNET)).received, 3);
        await client.stop();
        await endWell(process, { signal });
        assertEquals(await hostState(gateway), before);
      },
      { programs: PROGRAMS },
    );
  }

  netTest(
    `cleanup leaves nothing of a gateway with ${kind} that was killed`,
    async (topology) => {
      const network = await GatewayNetwork.lay(topology);
      const { gateway } = network;
      const before = await hostState(gateway);
      const process = await network.start(section);
      process.signal("SIGKILL");
      await process.status;
      // The kernel takes the TUN away, and nothing else.
      assert(await hostState(gateway) !== before);
      assertMatch(await gateway.output(vpnCommand("cleanup")), /^undid for vpn0 \(process \d+\): /);
      assertEquals(await hostState(gateway), before);
      assert(!(await gateway.output(vpnCommand("cleanup"))).includes("vpn0"));
    },
    { programs: PROGRAMS },
  );
}

netTest("a gateway undoes what a killed one left when it starts", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway } = network;
  const before = await hostState(gateway);
  const killed = await network.start({ Egress: "kernel" });
  killed.signal("SIGKILL");
  await killed.status;
  const process = await network.start({ NatPorts: NAT_PORTS });
  assertEquals(await sysctl(gateway, "net.ipv4.ip_forward"), "0");
  await network.connect();
  assertEquals((await ping(network.client.namespace, INTERNET)).received, 3);
  await endWell(process);
  assertEquals(await hostState(gateway), before);
}, { programs: PROGRAMS });

for (const protocol of ["tcp", "udp"] as const) {
  netTest(
    `a gateway refuses to start when a service has a ${protocol} port of its NAT`,
    async (topology) => {
      const network = await GatewayNetwork.lay(topology);
      const { gateway } = network;
      const before = await hostState(gateway);
      const service = gateway.spawn(listenOn(protocol, 20_500));
      await service.waitFor(/listening/);
      const { code, stderr } = await runVpn("server", gateway, network.config());
      assertEquals(code, 2, stderr);
      assertMatch(
        stderr,
        new RegExp(
          `^vpn: Cannot use ${protocol} port 20500 for the NAT: "deno" ` +
            `\\(process ${service.pid}\\) listens on it: [^\n]+\n$`,
          "m",
        ),
      );
      await service.stop();
      assertEquals(await hostState(gateway), before);
    },
    { programs: PROGRAMS },
  );
}

/** The command of a service. */
function listenOn(protocol: "tcp" | "udp", port: number): string[] {
  const code = protocol === "tcp"
    ? `const listener = Deno.listen({ port: ${port} });
       console.log("listening");
       await listener.accept();`
    : `import { createSocket } from "node:dgram";
       createSocket("udp4").bind(${port}, () => console.log("listening"));`;
  return [Deno.execPath(), "eval", code];
}

netTest("a gateway starts when a service has a port beside its NAT's", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const services = [19_999, 30_000].map((port) => network.gateway.spawn(listenOn("tcp", port)));
  for (const service of services) await service.waitFor(/listening/);
  await network.start();
}, { programs: PROGRAMS });

netTest("a gateway reserves ports that the kernel might hand out", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway } = network;
  // Those of somebody else, some of them ours as well, stay reserved.
  await gateway.output(["sysctl", "-q", "-w", `${RESERVED_PORTS}=33990-34010,50000`]);
  const before = await hostState(gateway);
  const process = await network.start({ NatPorts: NAT_PORTS });
  assertEquals(await sysctl(gateway, RESERVED_PORTS), "33000-34010,50000");
  await endWell(process);
  assertEquals(await sysctl(gateway, RESERVED_PORTS), "33990-34010,50000");
  assertEquals(await hostState(gateway), before);
}, { programs: PROGRAMS });

netTest("a gateway reserves nothing when the kernel hands none of it out", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  await network.start();
  assertEquals(await sysctl(network.gateway, RESERVED_PORTS), "");
}, { programs: PROGRAMS });

netTest("a gateway works when its host's firewall drops invalid packets", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway, internet, client: { namespace: client } } = network;
  await gateway.output(["nft", "-f", "-"], { stdin: DROP_INVALID });
  const server = await network.startBoth();
  // The rule is at work: without the mark, a SYN/ACK out of the blue does not leave.
  using injector = new Injector(gateway);
  injector.send(buildTcp({ source: EXTERNAL, destination: INTERNET, flags: 0x12 }));
  assertEquals(injector.socket.errorCount, 1);
  const rules = ["nft", "list", "table", "inet", "host_firewall"];
  assertMatch(await gateway.output(rules), /ct state invalid counter packets 1 /);

  await using _site = new Site(internet, 80);
  for (let round = 0; round < 3; round++) {
    assertEquals(await fetchText(client, `http://${INTERNET}/`), `hello ${EXTERNAL}`);
  }
  assertEquals((await ping(client, INTERNET)).received, 3);
  assertMatch(await gateway.output(rules), /ct state invalid counter packets 1 /);
  // The table that keeps our packets from being tracked is what does it, so it is put back.
  await gateway.output(["nft", "delete", "table", "inet", "vpn_vpn0"]);
  await server.waitFor(/restored: .*nftables table inet vpn_vpn0/);
  assertEquals(await fetchText(client, `http://${INTERNET}/`), `hello ${EXTERNAL}`);
}, { programs: PROGRAMS });

for (const Capture of ["packet", "nfqueue"]) {
  netTest(
    `a service of the gateway's own is reached from everywhere when Capture is ${Capture}`,
    async (topology) => {
      const network = await GatewayNetwork.lay(topology);
      const { gateway, internet, client } = network;
      await network.startBoth({ Capture });
      await using _site = new Site(gateway, 8081);
      assertEquals(await fetchText(internet, `http://${EXTERNAL}:8081/`), "hello 192.0.2.9");
      for (const address of [INSIDE, EXTERNAL]) {
        const text = await fetchText(client.namespace, `http://${address}:8081/`);
        assertEquals(text, `hello ${client.inside}`, `by ${address}`);
      }
      // And the gateway's own connections, by ports that are not the NAT's.
      await using _other = new Site(internet, 80);
      assertEquals(await fetchText(gateway, `http://${INTERNET}/`), `hello ${EXTERNAL}`);
    },
    { programs: PROGRAMS },
  );
}
