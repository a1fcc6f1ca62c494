/** A gateway whose address outside changes while it runs, as DHCP changes it. */
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { type BackgroundProcess, netTest, type TestNamespace } from "../../support/net.ts";
import { fetchText } from "../support/traffic/everyday.ts";
import {
  EXTERNAL,
  GATEWAY_PROGRAMS,
  GatewayNetwork,
  INTERNET,
  ROUTER,
  UPLINK,
} from "../support/gateway.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { Site } from "../support/site.ts";
import { ping } from "../support/traffic/traffic.ts";
import { carrierOn } from "../support/wire.ts";

const PROGRAMS = [...GATEWAY_PROGRAMS, ...HOST_STATE_PROGRAMS, "curl", "nft"];
const NEW_ADDRESS = "192.0.2.77";

const ADD_FIRST = `address add ${NEW_ADDRESS}/24 dev ${UPLINK}\n` +
  `address delete ${EXTERNAL}/24 dev ${UPLINK}\n`;
/** With the last address, the kernel deletes all routes of the interface. */
const DELETE_FIRST = `address delete ${EXTERNAL}/24 dev ${UPLINK}\n` +
  `address add ${NEW_ADDRESS}/24 dev ${UPLINK}\n` +
  `route add default via ${ROUTER}\n`;

async function changeAddress(
  gateway: TestNamespace,
  server: BackgroundProcess,
  commands: string,
): Promise<void> {
  // What DHCP clients set: without it, the second address of a network goes with the first.
  const sysctl = `net.ipv4.conf.${UPLINK}.promote_secondaries=1`;
  await gateway.output(["sysctl", "-q", "-w", sysctl]);
  await gateway.output(["ip", "-batch", "-"], { stdin: commands });
  await server.waitFor(/the public address is now 192\.0\.2\.77/);
}

for (
  const [order, commands] of [
    ["before the old one goes", ADD_FIRST],
    ["after the old one has gone", DELETE_FIRST],
  ] as const
) {
  for (const Capture of ["packet", "nfqueue"]) {
    netTest(
      `new connections work when an address comes ${order} and Capture is ${Capture}`,
      async (topology) => {
        const network = await GatewayNetwork.lay(topology);
        const { gateway, internet, client: { namespace: client } } = network;
        const server = await network.start({ Capture, Forward: "tcp:8080 -> 10.66.77.2:80" });
        const tunnel = await network.connect();
        await using _site = new Site(internet, 80);
        assertEquals(await fetchText(client, `http://${INTERNET}/`), `hello ${EXTERNAL}`);

        await changeAddress(gateway, server, commands);
        assertEquals(await fetchText(client, `http://${INTERNET}/`), `hello ${NEW_ADDRESS}`);
        assertEquals((await ping(client, INTERNET)).received, 3);
        await using _own = new Site(client, 80, network.client.inside);
        assertEquals(await fetchText(internet, `http://${NEW_ADDRESS}:8080/`), `hello ${ROUTER}`);
        const ruleset = await gateway.output(["nft", "list", "ruleset"]);
        assertMatch(ruleset, new RegExp(`ip daddr ${NEW_ADDRESS.replaceAll(".", "\\.")} .*tcp`));
        assertEquals(ruleset.includes(EXTERNAL), false, ruleset);

        await tunnel.stop();
        assertEquals((await server.stop()).code, 0);
        assertEquals(await gateway.output(["nft", "list", "ruleset"]), "");
      },
      { programs: PROGRAMS },
    );
  }
}

netTest("a gateway keeps its address outside when another is added", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway, internet, client: { namespace: client } } = network;
  await network.startBoth();
  await using _site = new Site(internet, 80);
  const before = await hostState(gateway);
  await gateway.output(["ip", "address", "add", `${NEW_ADDRESS}/24`, "dev", UPLINK]);
  assertEquals(await fetchText(client, `http://${INTERNET}/`), `hello ${EXTERNAL}`);
  await gateway.output(["ip", "address", "delete", `${NEW_ADDRESS}/24`, "dev", UPLINK]);
  assertEquals(await fetchText(client, `http://${INTERNET}/`), `hello ${EXTERNAL}`);
  assertEquals(await hostState(gateway), before);
}, { programs: PROGRAMS });

netTest("new connections work when the link outside was down for a while", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway, internet, client: { namespace: client } } = network;
  const server = await network.startBoth();
  await using _site = new Site(internet, 80);
  assertEquals(await fetchText(client, `http://${INTERNET}/`), `hello ${EXTERNAL}`);
  await gateway.output(["ip", "link", "set", UPLINK, "down"]);
  await server.waitFor(/no route to the internet: packets to the internet are dropped/);
  assertEquals((await ping(client, INTERNET, { wait: 1 })).received, 0);
  await gateway.output(["ip", "-batch", "-"], {
    stdin: `link set ${UPLINK} up\nroute add default via ${ROUTER}\n`,
  });
  await carrierOn(gateway, UPLINK);
  await server.waitFor(/no route to the internet[^]*packets to the internet leave through/);
  assertEquals((await ping(client, INTERNET)).received, 3);
  assertEquals(await fetchText(client, `http://${INTERNET}/`), `hello ${EXTERNAL}`);
}, { programs: PROGRAMS });
