/** Several gateways on one host: what they share, what each has for itself, and who takes what back when. */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { type BackgroundProcess, netTest, type TestNamespace } from "../../support/net.ts";
import { GATEWAY_PROGRAMS, GatewayNetwork } from "../support/gateway.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { runVpn, vpnCommand } from "../support/programs/vpn.ts";

const PROGRAMS = [...GATEWAY_PROGRAMS, ...HOST_STATE_PROGRAMS, "nft"];

/** Two gateways in one namespace, alike in what is given. */
async function startTwo(
  network: GatewayNetwork,
  section: Readonly<Record<string, string>>,
  other: Readonly<Record<string, string>> = section,
): Promise<[BackgroundProcess, BackgroundProcess]> {
  const second = { ...other, ListenPort: 51821, Address: "10.66.78.1/24", Table: "off" };
  return [await network.start(section), await network.start(second, "--interface", "vpn1")];
}

async function forwards(namespace: TestNamespace): Promise<boolean> {
  return (await namespace.output(["sysctl", "-n", "net.ipv4.ip_forward"])).trim() === "1";
}

/** But for those that guard the inner addresses. */
async function tables(namespace: TestNamespace): Promise<string[]> {
  const text = await namespace.output(["nft", "list", "tables"]);
  return text.trim().split("\n").filter((line) => line !== "" && !line.endsWith("_inner")).sort();
}

async function kill(process: BackgroundProcess): Promise<void> {
  process.signal("SIGKILL");
  await process.status;
}

for (const order of [[0, 1], [1, 0]] as const) {
  netTest(
    `the host forwards as long as one of two gateways runs: number ${order[0]} ends first`,
    async (topology) => {
      const network = await GatewayNetwork.lay(topology);
      const { gateway } = network;
      const before = await hostState(gateway);
      const processes = await startTwo(network, { Egress: "kernel" });
      assertEquals(await tables(gateway), [
        "table ip vpn_vpn0_forward",
        "table ip vpn_vpn1_forward",
      ]);
      await processes[order[0]].stop();
      assert(await forwards(gateway));
      assertEquals(await tables(gateway), [`table ip vpn_vpn${order[1]}_forward`]);
      await processes[order[1]].stop();
      assertEquals(await hostState(gateway), before);
    },
    { programs: PROGRAMS },
  );
}

netTest("a gateway leaves forwarding on when it was on before", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway } = network;
  await gateway.output(["sysctl", "-q", "-w", "net.ipv4.ip_forward=1"]);
  const before = await hostState(gateway);
  const process = await network.start({ Egress: "kernel" });
  await process.stop();
  assert(await forwards(gateway));
  assertEquals(await hostState(gateway), before);
}, { programs: PROGRAMS });

netTest("cleanup takes nothing from a gateway that runs beside a killed one", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway } = network;
  const before = await hostState(gateway);
  const [killed, running] = await startTwo(network, { Egress: "kernel" });
  await kill(killed);
  assertMatch(await gateway.output(vpnCommand("cleanup")), /^undid for vpn0 /m);
  assert(await forwards(gateway));
  assertEquals(await tables(gateway), ["table ip vpn_vpn1_forward"]);
  await running.stop();
  assertEquals(await hostState(gateway), before);
}, { programs: PROGRAMS });

netTest("cleanup comes after the gateway that ran beside a killed one", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway } = network;
  const before = await hostState(gateway);
  const [killed, running] = await startTwo(network, { Egress: "kernel" });
  await kill(killed);
  await running.stop();
  await gateway.output(vpnCommand("cleanup"));
  assertEquals(await hostState(gateway), before);
}, { programs: PROGRAMS });

netTest("cleanup leaves a sysctl alone that somebody has changed since", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway } = network;
  const process = await network.start({ Egress: "kernel" });
  await kill(process);
  await gateway.output(["sysctl", "-q", "-w", "net.ipv4.ip_forward=0"]);
  await gateway.output(vpnCommand("cleanup"));
  assert(!(await forwards(gateway)));
}, { programs: PROGRAMS });

netTest("each of two gateways takes its own ports and tables back", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway } = network;
  const before = await hostState(gateway);
  const reserved = async () =>
    (await gateway.output(["sysctl", "-n", "net.ipv4.ip_local_reserved_ports"])).trim();
  const [one, other] = await startTwo(
    network,
    { NatPorts: "33000-33999" },
    { NatPorts: "34000-34999", Capture: "nfqueue" },
  );
  assertEquals(await reserved(), "33000-34999");
  await one.stop();
  assertEquals(await reserved(), "34000-34999");
  const left = await tables(gateway);
  assert(
    left.length > 0 && left.every((line) => / vpn_vpn1(?:_forward)?$/.test(line)),
    left.join("\n"),
  );
  await other.stop();
  assertEquals(await hostState(gateway), before);
}, { programs: PROGRAMS });

netTest(
  "a gateway refuses ports that another one's NAT has, and takes nothing from it",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const { gateway } = network;
    const before = await hostState(gateway);
    const first = await network.start({ NatPorts: "33000-33999" });
    const between = await hostState(gateway);
    const section = { ListenPort: 51821, Address: "10.66.78.1/24", Table: "off" };
    const second = network.config({ ...section, NatPorts: "33999-34999" });
    const args = ["--interface", "vpn1"];
    const { code, stderr } = await runVpn("server", gateway, second, { args });
    assertEquals(code, 2);
    assertMatch(
      stderr,
      /^vpn: Cannot use tcp ports 33999 to 34999 for the NAT: the gateway "vpn0" \(process \d+\) uses /m,
    );
    assertEquals(await hostState(gateway), between);
    await kill(first);
    // What has died is in nobody's way, also as a zombie.
    await (await network.start({ ...section, NatPorts: "33999-34999" }, ...args)).stop();
    assertEquals(await hostState(gateway), before);
  },
  { programs: PROGRAMS },
);

netTest(
  "gateways on two interfaces may have the same ports, reserved until the last ends",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const { gateway } = network;
    const before = await hostState(gateway);
    const NatPorts = "33000-33999";
    const [one, other] = await startTwo(network, { NatPorts }, {
      NatPorts,
      EgressInterface: "lan1",
    });
    const reserved = async () =>
      (await gateway.output(["sysctl", "-n", "net.ipv4.ip_local_reserved_ports"])).trim();
    await one.stop();
    assertEquals(await reserved(), NatPorts);
    await other.stop();
    assertEquals(await hostState(gateway), before);
  },
  { programs: PROGRAMS },
);
