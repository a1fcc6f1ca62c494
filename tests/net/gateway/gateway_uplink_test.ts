/** A gateway whose interface outside comes late, goes, and is another one while it runs. */
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest, type TestNamespace, type Topology } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { fetchText } from "../support/traffic/everyday.ts";
import {
  EXTERNAL,
  GATEWAY_PROGRAMS,
  GatewayNetwork,
  INTERNET,
  ROUTER,
} from "../support/gateway.ts";
import { withoutIpv6Autoconfiguration } from "../support/host_state.ts";
import { Site } from "../support/site.ts";
import { carrierOn } from "../support/wire.ts";

const PROGRAMS = { programs: [...GATEWAY_PROGRAMS, "curl", "nft"] };
/** Of the second uplink: the gateway's end, and the internet's. */
const SECOND = "192.0.3.1";
const SECOND_ROUTER = "192.0.3.9";
const THIRD = "192.0.4.1";
const THIRD_ROUTER = "192.0.4.9";

/** Lays another cable from the gateway to the internet. */
async function uplink(
  topology: Topology,
  { gateway, internet }: GatewayNetwork,
  { name, address, router }: { name: string; address: string; router: string },
): Promise<void> {
  topology.cable(
    { namespace: internet, name, address: `${router}/24` },
    { namespace: gateway, name, address: `${address}/24` },
  );
  for (const namespace of [gateway, internet]) {
    withoutIpv6Autoconfiguration(namespace);
    await carrierOn(namespace, name);
  }
}

function ip(namespace: TestNamespace, ...commands: readonly string[]): Promise<string> {
  return namespace.output(["ip", "-batch", "-"], { stdin: `${commands.join("\n")}\n` });
}

/** Seconds for one try: a connection that began by the last uplink is never answered. */
const TRY_SECONDS = 5;

/** Waits until a client's requests reach the internet from this address. */
async function leavesAs(client: TestNamespace, address: string): Promise<void> {
  await eventually(async () => {
    const text = await fetchText(client, `http://${INTERNET}/`, TRY_SECONDS).catch(() => null);
    return text === `hello ${address}` ? text : null;
  });
}

for (
  const section of [
    { Egress: "raw", Capture: "packet" },
    { Egress: "raw", Capture: "nfqueue" },
    { Egress: "kernel" },
  ]
) {
  const how = Object.values(section).join(" and ");
  netTest(
    `a gateway follows its route to the internet from none to one interface after another: ${how}`,
    async (topology) => {
      const network = await GatewayNetwork.lay(topology);
      const { gateway, internet, client: { namespace: client } } = network;
      await ip(gateway, "route delete default");
      // A boot in which DHCP comes late, and is not heard of again: the gateway is still starting.
      const server = await network.start({
        ...section,
        PostUp: `ip route add default via ${ROUTER}; sleep 0.4`,
      });
      await server.waitFor(/no route to the internet: packets to the internet are dropped/);
      await network.connect();
      await using _site = new Site(internet, 80);
      await leavesAs(client, EXTERNAL);

      // A failover to an uplink that is dialled meanwhile.
      await uplink(topology, network, { name: "dial0", address: SECOND, router: SECOND_ROUTER });
      await ip(gateway, `route replace default via ${SECOND_ROUTER}`);
      await leavesAs(client, SECOND);

      // A redial: the interface goes, and there is none for a while; another one comes.
      await ip(gateway, "link delete dial0");
      await server.waitFor(/no route to the internet[^]*no route to the internet/);
      await uplink(topology, network, { name: "dial0", address: THIRD, router: THIRD_ROUTER });
      await ip(gateway, `route add default via ${THIRD_ROUTER}`);
      await leavesAs(client, THIRD);

      // A VPN of the gateway's own, as wg-quick has it.
      await ip(
        gateway,
        `route add default via ${ROUTER} table 77`,
        "rule add not fwmark 0x1234 lookup 77",
        "rule add table main suppress_prefixlength 0",
      );
      await leavesAs(client, EXTERNAL);

      const ruleset = await gateway.output(["nft", "list", "ruleset"]);
      assertEquals(ruleset.includes(SECOND) || ruleset.includes(THIRD), false, ruleset);
      if (section.Egress === "raw") assertMatch(ruleset, /ip daddr 192\.0\.2\.1 /);
      assertEquals((await server.stop()).code, 0);
      assertEquals(await gateway.output(["nft", "list", "ruleset"]), "");
    },
    PROGRAMS,
  );
}

netTest(
  "a gateway whose path outside is blocked uses it once the obstacle has gone",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const { gateway } = network;
    await ip(gateway, "route delete default");
    const server = await network.start({ NatPorts: "20000-20999" });
    await server.waitFor(/no route to the internet/);
    {
      using _service = gateway.inside(() => Deno.listen({ hostname: "0.0.0.0", port: 20_777 }));
      await ip(gateway, `route add default via ${ROUTER}`);
      await server.waitFor(/Cannot use tcp port 20777 for the NAT: .* listens on it/);
    }
    await server.waitFor(
      new RegExp(`packets to the internet leave through \\S+ with source ${EXTERNAL}`),
    );
    assertEquals(server.stderr.match(/Cannot use tcp port 20777/g)?.length, 1);
    assertEquals((await server.stop()).code, 0);
  },
  PROGRAMS,
);
