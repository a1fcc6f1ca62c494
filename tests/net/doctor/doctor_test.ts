/**
 * Tests of `vpn doctor` as a whole: each plants a fault, and asks that it is found, and that the remedy is right;
 * commands among the remedies are carried out, and must fix it.
 */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { configText, temporaryFile } from "../support/config.ts";
import { examine } from "../support/doctor.ts";
import { buildAnswer } from "../../support/dns/messages.ts";
import { DnsServer } from "../support/programs/dns_server.ts";
import { GATEWAY_PROGRAMS, GatewayNetwork, INTERNET } from "../support/gateway.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { killHard, simpleTunnel } from "../support/simple_tunnel.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { layWire } from "../support/wire.ts";
import { expectReached } from "../support/traffic/traffic.ts";

netTest(
  "healthy ends have nothing that fails, before they start and while they run, and are not disturbed",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const { client, gateway } = network;
    const clientConfig = configText(
      { PrivateKey: client.identity.privateKey, Address: `${client.inside}/32`, DNS: "10.66.77.1" },
      { PublicKey: network.identity.publicKey, Endpoint: client.endpoint, AllowedIPs: "0.0.0.0/0" },
    );
    using _resolver = new DnsServer(network.internet, [INTERNET], ({ query }) => [
      buildAnswer(query, { answers: [] }),
    ]);
    const section = { DnsProxy: INTERNET };
    const before = await hostState(gateway);
    const asServer = await examine(gateway, network.config(section));
    asServer.expectHealth();
    assertEquals(asServer.role, "server");
    assertMatch(asServer.finding("nat").why, /192\.0\.2\.9, and its answer was captured/);
    assertEquals(await hostState(gateway), before);

    const server = await network.start(section);
    const clientBefore = await hostState(client.namespace);
    const asClient = await examine(client.namespace, clientConfig);
    asClient.expectHealth();
    assertEquals(asClient.role, "client");
    assertMatch(asClient.finding("handshake").why, /answered in \d+ ms: the keys match/);
    assertMatch(asClient.finding("path-mtu").why, /1480 bytes without fragments/);
    assertEquals(await hostState(client.namespace), clientBefore);

    // The gateway tells of the test handshake, and of the client's, up to a second after each.
    await server.waitFor(/handshake completed/);
    await startVpn("client", client.namespace, clientConfig);
    await server.waitFor(/handshake completed[^]*handshake completed/);
    const said = server.stderr.length;
    const running = await examine(client.namespace, clientConfig);
    running.expectHealth();
    assertMatch(running.finding("handshake").why, /vpn0 .* no test handshake is made/);
    assertMatch(running.finding("interface").why, /vpn0 is up: .*process \d+/);
    assertMatch(running.finding("routes").why, /go into vpn0/);
    assertMatch(running.finding("resolver").why, /answer: 10\.66\.77\.1 /);
    const serving = await examine(gateway, network.config(section));
    serving.expectHealth();
    assertMatch(serving.finding("listen-port").why, /UDP port 51820 is open/);
    assertMatch(serving.finding("dns-port").why, /answered by the gateway/);
    assertEquals(serving.finding("running-peers").why, "1 of 1 peers are up");
    // The server did not notice.
    assertEquals(server.stderr.slice(said).match(/handshake|endpoint/g), null);
    await expectReached(client.namespace, "10.66.77.1");
  },
  { programs: [...GATEWAY_PROGRAMS, ...HOST_STATE_PROGRAMS] },
);

netTest(
  "a report for people is aligned, without colour in a pipe, and ends with the counts",
  async (topology) => {
    const { server } = await layWire(topology);
    using file = temporaryFile(simpleTunnel().server());
    const { stdout, code } = await server.run(vpnCommand("doctor", "--config", file.path));
    assertEquals(code, 0);
    assert(!stdout.includes("\x1b"), stdout);
    assertMatch(stdout, /^ok {4}tun-device {2,}\/dev\/net\/tun opens$/m);
    assertMatch(stdout, /^warn {2}egress {2,}this host has no default route/m);
    assertMatch(stdout, /^ {8,}fix: `ip route add default via ROUTER`/m);
    const texts = ["/dev/net/tun opens", "this host has no default route", "fix: "];
    const columns = texts.map((text) =>
      stdout.split("\n").find((line) => line.includes(text))!.indexOf(text)
    );
    assertEquals(new Set(columns).size, 1, stdout);
    assertMatch(stdout, /\n\d+ ok, 1 warn, 0 fail\n$/);
  },
);

netTest("--netns examines another namespace, and its remedies act there", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const server = await network.start({ Egress: "kernel" });
  await killHard(server);
  const elsewhere = topology.namespace("elsewhere");
  const report = await examine(elsewhere, network.config(), "--netns", network.gateway.name);
  const remedy = report.expect("leftovers", { status: "warn", why: /left behind/ });
  assertEquals(remedy, `\`ip netns exec ${network.gateway.name} vpn cleanup\``);
  await network.gateway.output(vpnCommand("cleanup"));
}, { programs: GATEWAY_PROGRAMS });
