/**
 * Tests of `vpn doctor` on gateways: each plants a fault, and asks that it is found, and that the remedy is right;
 * commands among the remedies are carried out, and must fix it.
 */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import { eventually } from "../../support/time/patience.ts";
import { netTest } from "../../support/net.ts";
import { carryOutRemedy, examine, examineUntilFound, listenOn } from "../support/doctor.ts";
import { GATEWAY_PROGRAMS, GatewayNetwork, INTERNET, ROUTER } from "../support/gateway.ts";
import { addIpv6To, config6, EXTERNAL6, hearRouter } from "../support/gateway6.ts";
import { simpleTunnel } from "../support/simple_tunnel.ts";
import { startVpn } from "../support/programs/vpn.ts";
import { layWire, SERVER_PORT } from "../support/wire.ts";

netTest("a port that another program has is named with that program", async (topology) => {
  const { server } = await layWire(topology);
  const { program, process } = await listenOn(server, "udp", SERVER_PORT);
  const report = await examine(server, simpleTunnel().server());
  const remedy = report.expect("listen-port", {
    status: "fail",
    why: new RegExp(`UDP port ${SERVER_PORT} is in use: "${program}" \\(process ${process}\\)`),
  });
  assertStringIncludes(remedy, "choose another ListenPort");
});

netTest(
  "what listens among the NAT's ports, or has a service's address, is named",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const { program } = await listenOn(network.gateway, "tcp", 20_080);
    const at = (address: string) => `tcp:${address}:80 -> 10.66.77.2:80`;
    const report = await examine(network.gateway, network.config({ Forward: at(ROUTER) }));
    report.expect("service-address", {
      status: "fail",
      why: new RegExp(`a host on \\S+ answers for ${ROUTER} already`),
    });
    const remedy = report.expect("nat-ports", {
      status: "fail",
      why: new RegExp(`tcp port 20080, but "${program}"`),
    });
    assertStringIncludes(remedy, "choose other ports with NatPorts");
    const elsewhere = await examine(
      network.gateway,
      network.config({ NatPorts: "21000-21999", Forward: at("192.0.2.80") }),
    );
    elsewhere.expectHealth();
    assertMatch(elsewhere.finding("service-address").why, /^no host on \S+ has 192\.0\.2\.80$/);
  },
  { programs: GATEWAY_PROGRAMS },
);

netTest("strict reverse-path filtering on a second way outside is found", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway } = network;
  await gateway.output([
    "ip",
    "route",
    "add",
    "default",
    "via",
    "198.51.100.2",
    "dev",
    "lan1",
    "metric",
    "99",
  ]);
  await gateway.output([
    "sysctl",
    "-q",
    "-w",
    "net.ipv4.conf.all.rp_filter=0",
    "net.ipv4.conf.lan1.rp_filter=1",
  ]);
  const report = await examine(gateway, network.config());
  const remedy = report.expect("reverse-path", {
    status: "warn",
    why: /rp_filter is strict on lan1/,
  });
  await carryOutRemedy(gateway, remedy);
  assertEquals((await examine(gateway, network.config())).finding("reverse-path").status, "ok");
}, { programs: GATEWAY_PROGRAMS });

/** Firewalls that drop at a hook by default, the program that makes them, and what the remedy has to name. */
const FIREWALLS = [
  {
    label: "nftables",
    program: "nft",
    input: [
      "nft add table inet fw",
      "nft add chain inet fw entry '{ type filter hook input priority 0; policy drop; }'",
      "nft add rule inet fw entry tcp dport 22 accept",
    ],
    forward: [
      "nft add table inet fw",
      "nft add chain inet fw across '{ type filter hook forward priority 0; policy drop; }'",
    ],
    fixes: { input: "inet fw entry", forward: "inet fw across" },
  },
  {
    label: "iptables with Docker's chains",
    program: "iptables",
    input: ["iptables -A INPUT -p tcp --dport 22 -j ACCEPT", "iptables -P INPUT DROP"],
    forward: [
      "iptables -N DOCKER-USER",
      "iptables -A DOCKER-USER -j RETURN",
      "iptables -A FORWARD -j DOCKER-USER",
      "iptables -P FORWARD DROP",
    ],
    fixes: { input: "iptables -I INPUT", forward: "iptables -I DOCKER-USER" },
  },
  {
    label: "iptables-legacy",
    program: "iptables-legacy",
    input: ["iptables-legacy -P INPUT DROP"],
    forward: ["iptables-legacy -P FORWARD DROP"],
    fixes: { input: "iptables-legacy -I INPUT", forward: "iptables-legacy -I FORWARD" },
  },
] as const;

for (const { label, program, input, forward, fixes } of FIREWALLS) {
  netTest(
    `a firewall of ${label} that drops what comes in is found, and the remedy lets the port in`,
    async (topology) => {
      const { client, server } = await layWire(topology);
      const tunnel = simpleTunnel();
      for (const command of input) await server.output(["sh", "-ec", command]);
      const remedy = (await examine(server, tunnel.server())).expect("input-firewall", {
        status: "fail",
        why:
          /drops packets from clients to UDP port 51820: the policy of .*, as no rule accepts it/,
      });
      assertStringIncludes(remedy, fixes.input);
      await startVpn("server", server, tunnel.server());
      const closed = await examine(client, tunnel.client());
      closed.expect("handshake", { status: "fail", why: /no valid answer/ });
      await carryOutRemedy(server, remedy);
      const fixed = await examine(server, tunnel.server());
      assertEquals(fixed.finding("input-firewall").status, "ok");
      (await examine(client, tunnel.client())).expectHealth();
    },
    { programs: [program] },
  );

  netTest(
    `Egress = kernel under a firewall of ${label} that forwards nothing: found, and the remedy fixes it`,
    async (topology) => {
      const network = await GatewayNetwork.lay(topology);
      const { gateway, client } = network;
      for (const command of forward) await gateway.output(["sh", "-ec", command]);
      const config = network.config({ Egress: "kernel" });
      const remedy = (await examine(gateway, config)).expect("forward-firewall", {
        status: "fail",
        why: /drops packets that the kernel forwards for vpn0/,
      });
      assertStringIncludes(remedy, fixes.forward);
      await network.start({ Egress: "kernel" });
      await network.connect();
      const reaches = async () =>
        (await client.namespace.run(["ping", "-c", "1", "-W", "1", INTERNET])).code === 0;
      assertEquals(await reaches(), false);
      await carryOutRemedy(gateway, remedy);
      await eventually(reaches);
      assertEquals((await examine(gateway, config)).finding("forward-firewall").status, "ok");
      // The NAT of our own needs nobody's leave.
      const raw = await examine(gateway, network.config());
      assert(!raw.findings.some(({ name }) => name === "forward-firewall"));
    },
    { programs: [...GATEWAY_PROGRAMS, program] },
  );
}

/** An administrator's rule against a service in the internet, by a chain that another one leads to. */
const OUTPUT_RULE = "nft add table inet fw; nft add chain inet fw shut; " +
  `nft add rule inet fw shut ip daddr ${INTERNET} reject; ` +
  "nft 'add chain inet fw output { type filter hook output priority 0; }'; " +
  "nft add rule inet fw output jump shut";

netTest("rules of the host's that packets of clients pass by are named", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway } = network;
  await gateway.output(["sh", "-ec", OUTPUT_RULE]);
  const report = await examine(gateway, network.config());
  const remedy = report.expect("output-firewall", {
    status: "warn",
    why: /\(inet fw output\) have no effect on packets of clients/,
  });
  assertStringIncludes(remedy, "EgressDeny");
  const kernel = await examine(gateway, network.config({ Egress: "kernel" }));
  assert(!kernel.findings.some(({ name }) => name === "output-firewall"));
}, { programs: [...GATEWAY_PROGRAMS, "nft"] });

netTest(
  "what doctor says against such rules holds: EgressDeny, and --no-offload",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const { gateway, client } = network;
    const reaches = async () =>
      (await client.namespace.run(["ping", "-c", "2", "-i", "0.2", "-W", "1", INTERNET])).code ===
        0;
    await gateway.output(["sh", "-ec", OUTPUT_RULE]);
    await gateway.output(["ping", "-c", "1", ROUTER]);
    const server = await network.start({}, "--no-offload");
    const tunnel = await network.connect();
    assertEquals(await reaches(), false);
    await tunnel.stop();
    await server.stop();
    await network.start({ EgressDeny: INTERNET });
    await network.connect();
    assertEquals(await reaches(), false);
  },
  { programs: [...GATEWAY_PROGRAMS, "nft"] },
);

netTest("ip_forward that was set back under a running gateway is found", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const process = await network.start({ Egress: "kernel" });
  // Once only, and the gateway would set it again.
  const off = "echo 0 >/proc/sys/net/ipv4/ip_forward";
  network.gateway.spawn(["sh", "-c", `while :; do ${off}; sleep 0.05; done`]);
  await process.waitFor(/the tunnel is degraded, without \S+ip_forward/);
  // The gateway goes on setting it, which the doctor may see.
  const config = network.config({ Egress: "kernel" });
  const report = await examineUntilFound("forwarding", network.gateway, config);
  const remedy = report.expect("forwarding", { status: "fail", why: /ip_forward is 0/ });
  assertStringIncludes(remedy, "`sysctl -w net.ipv4.ip_forward=1`");
}, { programs: GATEWAY_PROGRAMS });

netTest("a firewall that refuses what the NAT sends is found by sending", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  await network.gateway.output(["nft", "-f", "-"], {
    stdin: "add table ip fw\n" +
      "add chain ip fw output { type filter hook output priority 0; policy accept; }\n" +
      "add rule ip fw output icmp type echo-request drop\n",
  });
  const report = await examine(network.gateway, network.config());
  const remedy = report.expect("nat", {
    status: "fail",
    why: /blocks packets of the NAT through eth0: EPERM/,
  });
  assertStringIncludes(remedy, "mark 0x5650");
}, { programs: [...GATEWAY_PROGRAMS, "nft"] });

netTest("a router that answers no ping is no fault of the NAT's, but is told", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const ignore = "net.ipv4.icmp_echo_ignore_all=1";
  await network.internet.output(["sysctl", "-q", "-w", ignore]);
  const report = await examine(network.gateway, network.config());
  report.expectHealth();
  assertMatch(
    report.finding("nat").why,
    /192\.0\.2\.9 does not answer pings, so the return path is not tested/,
  );
}, { programs: GATEWAY_PROGRAMS });

netTest("a gateway that forgets routes of IPv6, or has none, is told", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway } = network;
  const config = config6(network, {}, ["fd00:77::2"]);
  const lacking = (await examine(gateway, config)).expect("egress6", {
    status: "warn",
    why: /no route of this host leads to the IPv6 internet/,
  });
  assertStringIncludes(lacking, "ip -6 route add default");
  await addIpv6To(network);
  const good = await examine(gateway, config);
  assertMatch(good.finding("egress6").why, new RegExp(`through eth0 with source ${EXTERNAL6}`));
  // That is asked for where the kernel is to forward.
  const byKernel = config6(network, { Egress: "kernel" }, ["fd00:77::2"]);
  const forwarding = (await examine(gateway, byKernel)).finding("forwarding6");
  assertMatch(forwarding.why, /is 0, and is set to 1 while/);
  // By hand, as for any router.
  await gateway.output(["sysctl", "-qw", "net.ipv6.conf.all.forwarding=1"]);
  const remedy = (await examine(gateway, config)).expect("egress6", {
    status: "warn",
    why: /it takes none that a router advertises on .*eth0/,
  });
  await carryOutRemedy(gateway, remedy);
  await hearRouter(network);
  assertEquals((await examine(gateway, config)).finding("egress6").status, "ok");
}, { programs: GATEWAY_PROGRAMS });
