/** Ways into a gateway's inside: forwarded ports, clients among each other, and what clients must not reach. */
import { assert, assertEquals } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { buildUdp } from "../../support/packets/packet_builder.ts";
import { PATIENCE } from "../../support/time/patience.ts";
import { fetchText, watchOutside } from "../support/traffic/everyday.ts";
import {
  EXTERNAL,
  GATEWAY_PROGRAMS,
  GatewayNetwork,
  INSIDE,
  INTERNET,
  ROUTER,
} from "../support/gateway.ts";
import { Injector, Tap } from "../support/outside.ts";
import { RECORDING_PROGRAMS } from "../support/traffic/recording.ts";
import { Site } from "../support/site.ts";
import { ping } from "../support/traffic/traffic.ts";

const PROGRAMS = [...GATEWAY_PROGRAMS, ...RECORDING_PROGRAMS, "curl"];
const FORWARD = "tcp:8080 -> 10.66.77.2:80";

/** A gateway behind which one client has a site on port 80, and nothing but that. */
async function withSite(
  network: GatewayNetwork,
  section: Readonly<Record<string, string>>,
): Promise<Site> {
  await network.startBoth(section);
  return new Site(network.client.namespace, 80, network.client.inside);
}

/** @param limit seconds: some where there is to be an answer, on a busy machine, fewer where there is none */
async function reaches(
  namespace: TestNamespace,
  url: string,
  limit: number,
): Promise<string> {
  const { code, stdout } = await namespace.run(
    ["curl", "--silent", "--max-time", `${limit}`, url],
    { timeoutMs: limit * 1000 + PATIENCE },
  );
  return code === 0 ? stdout : `curl: ${code}`;
}

for (const Capture of ["packet", "nfqueue"]) {
  netTest(
    `a forwarded port leads from outside to a client when Capture is ${Capture}`,
    async (topology) => {
      const network = await GatewayNetwork.lay(topology);
      await using _own = await withSite(network, { Forward: FORWARD, Capture });
      await using watch = await watchOutside(network.internet);
      // The client sees who it is that comes.
      const text = await fetchText(network.internet, `http://${EXTERNAL}:8080/`);
      assertEquals(text, `hello ${ROUTER}`);
      await watch.end();
      // It may answer its neighbours, who may ask it, and go nowhere among them by itself.
      await using _site = new Site(network.internet, 80);
      assertEquals(await reaches(network.client.namespace, `http://${ROUTER}/`, 1), "curl: 28");
    },
    { programs: PROGRAMS },
  );
}

netTest(
  "who claims a neighbour's address opens no way to it for a client: only forwarded ports are answered there",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    await network.startBoth({});
    const { internet, client: { namespace: client } } = network;
    using outside = new Tap(internet);
    const send = (to: string) =>
      client.output(["bash", "-c", `exec 3<>/dev/udp/${to}/9; echo hello >&3`]);
    await client.output(["sysctl", "-q", "-w", "net.ipv4.ip_local_port_range=5000 5000"]);
    await send(INTERNET);
    const [seen] = await outside.waitFor((packet) => packet[9] === 17 && packet[23] === 9);
    const destinationPort = seen!.packet[20]! << 8 | seen!.packet[21]!;
    using inside = new Tap(client, { device: "vpn0", linkHeaderSize: 0 });
    using injector = new Injector(internet);
    injector.send(
      buildUdp({ source: ROUTER, destination: EXTERNAL, sourcePort: 9, destinationPort }),
    );
    await inside.waitFor((packet) => packet[9] === 17);
    await send(ROUTER);
    // What was sent after it comes through, so it was not only late.
    await send(INTERNET);
    const sent = await outside.waitFor((packet) => packet[9] === 17 && packet[23] === 9, 2);
    assertEquals(sent.map(({ packet }) => packet.subarray(16, 20).join(".")), [INTERNET, INTERNET]);
  },
  { programs: PROGRAMS },
);

netTest(
  "a client's port is not reached from outside when it is not forwarded",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    await using _site = await withSite(network, {});
    // Nobody's port: the host's own stack refuses at once.
    assertEquals(await reaches(network.internet, `http://${EXTERNAL}:8080/`, 60), "curl: 7");
  },
  { programs: PROGRAMS },
);

for (const ClientToClient of ["on", "off"]) {
  netTest(
    `a client reaches another by its forwarded port when ClientToClient is ${ClientToClient}`,
    async (topology) => {
      const network = await GatewayNetwork.lay(topology, { clients: 2 });
      await using _site = await withSite(network, { Forward: FORWARD, ClientToClient });
      const [client, other] = network.clients;
      // Seen with its own endpoint outside (RFC 4787 REQ-9): the answer goes back the same way.
      for (const { namespace } of [other!, client!]) {
        assertEquals(await fetchText(namespace, `http://${EXTERNAL}:8080/`), `hello ${EXTERNAL}`);
      }
      const isOn = ClientToClient === "on";
      const direct = await reaches(other!.namespace, `http://${client!.inside}/`, isOn ? 60 : 1);
      assertEquals(direct, isOn ? `hello ${other!.inside}` : "curl: 28");
      const { received } = await ping(other!.namespace, client!.inside, isOn ? {} : { wait: 1 });
      assertEquals(received, isOn ? 3 : 0);
    },
    { programs: PROGRAMS },
  );
}

netTest("a client reaches nothing outside when Egress is off", async (topology) => {
  const network = await GatewayNetwork.lay(topology, { clients: 2 });
  const server = await network.startBoth({ Egress: "off" });
  const [{ namespace: client }, other] = [network.clients[0]!, network.clients[1]!];
  assertEquals((await ping(client, ROUTER, { wait: 1 })).received, 0);
  await server.waitFor(/dropped packet: no_egress/);
  assertEquals((await ping(client, INSIDE)).received, 3);
  assertEquals((await ping(client, other.inside)).received, 3);
  assert(!server.stderr.includes("packets to the internet leave"), server.stderr);
}, { programs: PROGRAMS });
