/**
 * Tests metrics of running servers and clients as Prometheus reads them: by HTTP, where `Metrics` says and nowhere
 * else.
 */
import { VERSION } from "../../../lib/process/version.ts";
import { type ParsedFamily, parseExposition } from "../../support/metrics/exposition_parser.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import { type BackgroundProcess, netTest, type TestNamespace } from "../../support/net.ts";
import { spawn } from "../../support/process.ts";
import { temporaryFile } from "../support/config.ts";
import { GATEWAY_PROGRAMS, GatewayNetwork, INSIDE, INTERNET } from "../support/gateway.ts";
import { hostState } from "../support/host_state.ts";
import { endWell, simpleTunnel } from "../support/simple_tunnel.ts";
import { ping } from "../support/traffic/traffic.ts";
import { runVpn, startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { delay, layWire } from "../support/wire.ts";

const PROGRAMS = [...GATEWAY_PROGRAMS, "curl"];
const METRICS = "127.0.0.1:9586";
const TYPE = "text/plain; version=0.0.4; charset=utf-8";
/** ms after which a scrape asks the data plane again. */
const LIFETIME = 300;

type Metrics = ReadonlyMap<string, ParsedFamily>;

/** Reads the metrics from inside a namespace. */
async function scrape(namespace: TestNamespace, address = METRICS): Promise<Metrics> {
  await delay(LIFETIME);
  const text = await namespace.output([
    ...["curl", "-s", "-m", "5", "-w", "%{http_code} %{content_type}", `http://${address}/metrics`],
  ]);
  const end = text.lastIndexOf("\n") + 1;
  assertEquals(text.slice(end), `200 ${TYPE}`);
  return parseExposition(text.slice(0, end));
}

/** The value of the only sample with these labels among its own. */
function value(
  metrics: Metrics,
  name: string,
  labels: Readonly<Record<string, string>> = {},
): number {
  const found = metrics.get(name)?.samples.filter((sample) =>
    Object.entries(labels).every(([label, text]) => sample.labels[label] === text)
  );
  assertEquals(found?.length, 1, `${name} ${JSON.stringify(labels)}`);
  return found![0]!.value;
}

/** What curl says of a request: status, or 0 where nobody answers. */
async function status(namespace: TestNamespace, url: string, ...args: string[]): Promise<number> {
  const command = ["curl", "-s", "-m", "5", "-o", "/dev/null", "-w", "%{http_code}", ...args, url];
  return Number((await namespace.run(command)).stdout);
}

netTest("a gateway's metrics tell what passed, by peer, NAT and reason", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway, client } = network;
  const publicKey = client.identity.publicKey;
  const peer = { peer: "laptop", public_key: publicKey };
  const config = network.config({ Metrics: METRICS }).replace("[Peer]", "[Peer]\nName = laptop");
  const server = await startVpn("server", gateway, config);
  assertStringIncludes(server.stderr, `serving metrics at http://${METRICS}/metrics`);

  const before = await scrape(gateway);
  const info = { version: VERSION, role: "server", interface: "vpn0" };
  assertEquals(value(before, "vpn_info", info), 1);
  assertEquals(value(before, "vpn_peer_up", peer), 0);
  assertEquals(value(before, "vpn_peer_last_handshake_timestamp_seconds", peer), 0);
  assertEquals(value(before, "vpn_nat_sessions"), 0);

  const start = Date.now() / 1000;
  await network.connect();
  assertEquals((await ping(client.namespace, INTERNET)).received, 3);
  // Refused there, which is a connection to the NAT as well.
  assertEquals(await status(client.namespace, `http://${INTERNET}:9/`), 0);
  // Nobody has this one.
  await ping(client.namespace, "10.66.77.99", { count: 2, wait: 1 });
  const after = await scrape(gateway);
  assertEquals(value(after, "vpn_peer_up", peer), 1);
  assertEquals(value(after, "vpn_peer_info", { ...peer, transport: "udp" }), 1);
  const handshake = value(after, "vpn_peer_last_handshake_timestamp_seconds", peer);
  assert(handshake >= start - 1 && handshake <= Date.now() / 1000, `${handshake}`);
  for (const name of ["vpn_peer_receive_bytes_total", "vpn_peer_transmit_bytes_total"]) {
    assert(value(after, name, peer) >= 3 * 84, name);
  }
  assertEquals(value(after, "vpn_nat_sessions"), 1);
  // The pings', the connection's, and those of what else the client's host asks for.
  assert(value(after, "vpn_nat_mappings") >= 2);
  const reason = { reason: "no_route" };
  assertEquals(value(before, "vpn_drops_total", reason), 0);
  assert(value(after, "vpn_drops_total", reason) >= 2);
  assert(value(after, "process_resident_memory_bytes") > 1e7);
  assert(
    value(after, "process_cpu_seconds_total") >= value(before, "process_cpu_seconds_total"),
  );
  await endWell(server);
}, { programs: PROGRAMS });

netTest(
  "metrics are served in the namespace that --netns names, and nowhere else",
  async (topology) => {
    const { server, client } = await layWire(topology);
    // A port below 1024 takes a capability that is given up later.
    const metrics = "127.0.0.1:86";
    using config = temporaryFile(simpleTunnel().server({ Metrics: metrics }));
    await using process: BackgroundProcess = spawn(
      null,
      vpnCommand("server", "--config", config.path, "--netns", server.name),
    );
    await process.waitFor(/listening on UDP port/);
    assertEquals((await scrape(server, metrics)).has("vpn_info"), true);
    assertEquals(await status(client, `http://${metrics}/metrics`), 0);
    const listening = await server.output(["ss", "-Htln", "sport = :86"]);
    assertMatch(listening, /^LISTEN .*127\.0\.0\.1:86 [^\n]*\n$/);
    await endWell(process);
  },
  { programs: [...PROGRAMS, "ss"] },
);

netTest(
  "a gateway's inner address serves metrics to its clients, and a client has its own",
  async (topology) => {
    const { server, client } = await layWire(topology);
    const tunnel = simpleTunnel();
    const gateway = await startVpn("server", server, tunnel.server({ Metrics: `${INSIDE}:9586` }));
    const laptop = await startVpn("client", client, tunnel.client({ Metrics: METRICS }));
    const through = await scrape(client, `${INSIDE}:9586`);
    assertEquals(value(through, "vpn_info", { role: "server" }), 1);
    const own = await scrape(client);
    assertEquals(value(own, "vpn_info", { role: "client" }), 1);
    assertEquals(value(own, "vpn_peer_up"), 1);
    assertEquals(own.has("vpn_nat_sessions"), false);
    assertEquals(await status(client, `http://${METRICS}/`), 404);
    assertEquals(await status(client, `http://${METRICS}/metrics`, "-d", "x=1"), 405);
    // The client ends first: a gateway may take its address away while a request is under way.
    await endWell(laptop);
    await endWell(gateway);
  },
  { programs: PROGRAMS },
);

netTest("scrapes by many at once leave the tunnel and the others alone", async (topology) => {
  const { server, client } = await layWire(topology);
  const tunnel = simpleTunnel();
  await startVpn("server", server, tunnel.server({ Metrics: METRICS }));
  await startVpn("client", client, tunnel.client());
  const command = ["curl", "-s", "-m", "5", "-w", "%{http_code} "];
  const urls = new Array(50).fill(["-o", "/dev/null", `http://${METRICS}/metrics`]).flat();
  const [pings, ...scrapes] = await Promise.all([
    ping(client, INSIDE, { count: 20 }),
    ...Array.from({ length: 4 }, () => server.output([...command, ...urls])),
  ]);
  assertEquals(pings, { sent: 20, received: 20 });
  assertEquals(scrapes, new Array(4).fill("200 ".repeat(50)));
}, { programs: PROGRAMS });

netTest(
  "metrics where there is no place for them are a mistake, and nothing is left behind",
  async (topology) => {
    const { server } = await layWire(topology);
    const before = await hostState(server);
    const tunnel = simpleTunnel();
    const first = await startVpn("server", server, tunnel.server({ Metrics: METRICS }));
    const second = tunnel.server({ Metrics: METRICS, ListenPort: 51821, Address: "10.66.78.1/24" });
    const name = Deno.readTextFileSync(`/proc/${first.pid}/comm`).trim();
    for (
      const [config, said] of [
        [second, `${METRICS}: "${name}" (process ${first.pid}) uses that port: stop it, or choose`],
        [second.replace(METRICS, "192.0.2.77:9586"), "192.0.2.77:9586: no interface has that"],
      ] as const
    ) {
      const { code, stderr } = await runVpn("server", server, config, {
        args: ["--interface", "vpn1"],
      });
      assertEquals(code, 2, stderr);
      assertStringIncludes(stderr, `vpn: Cannot serve metrics on ${said}`);
    }
    assertEquals((await scrape(server)).has("vpn_info"), true);
    await endWell(first);
    assertEquals(await hostState(server), before);
  },
  { programs: PROGRAMS },
);
