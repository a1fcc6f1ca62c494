/** A client whose server has a name: with several addresses, and another one by the time that it reconnects. */
import { addressData, buildAnswer } from "../../support/dns/messages.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { DnsServer } from "../support/programs/dns_server.ts";
import { temporaryFile } from "../support/config.ts";
import { eventually } from "../../support/time/patience.ts";
import { HOST_FILES_PROGRAMS, HostFiles } from "../support/host_files.ts";
import { endWell, simpleTunnel } from "../support/simple_tunnel.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { CABLE, CLIENT_OUTSIDE, layWire, SERVER_OUTSIDE, SERVER_PORT } from "../support/wire.ts";

const NAME = "vpn.example";
const RESOLVER = "192.0.2.53";
/** Nobody has it. */
const DEAD = "192.0.2.3";
const MOVED = "192.0.2.78";

netTest(
  "a server is found at whichever address of its name answers, and where it moves under KillSwitch",
  async (topology) => {
    const { client, server } = await layWire(topology);
    await server.output(["ip", "address", "add", `${RESOLVER}/32`, "dev", CABLE]);
    let addresses = [DEAD, SERVER_OUTSIDE];
    using dns = new DnsServer(
      server,
      [RESOLVER],
      ({ query, type }) => [
        buildAnswer(query, {
          answers: type === 1 ? addresses.map((address) => ({ data: addressData(address) })) : [],
        }),
      ],
    );
    using files = new HostFiles(`nameserver ${RESOLVER}\n`);
    const tunnel = simpleTunnel();
    const first = await startVpn("server", server, tunnel.server());
    const process = await files.startClient(
      client,
      tunnel.client(
        { KillSwitch: "on", ConnectTimeout: 8 },
        { Endpoint: `${NAME}:${SERVER_PORT}`, AllowedIPs: "0.0.0.0/0" },
      ),
    );
    assertMatch(process.stderr, new RegExp(`connected to ${SERVER_OUTSIDE}:`));
    const asked = dns.questions.length;

    addresses = [DEAD, MOVED];
    // It says goodbye, so that nobody waits for its silence.
    await first.stop();
    await server.output(["ip", "-batch", "-"], {
      stdin:
        // In this order: with the first address of a network, the kernel deletes the others.
        `address delete ${SERVER_OUTSIDE}/24 dev ${CABLE}\naddress add ${MOVED}/24 dev ${CABLE}\n`,
    });
    await startVpn("server", server, tunnel.server());
    await process.waitFor(new RegExp(`reconnected to ${MOVED}:`));
    assertMatch(
      process.stderr,
      new RegExp(`no answer over UDP to ${DEAD}: trying UDP to ${MOVED}\n`),
    );
    const askedAgain = dns.questions.slice(asked);
    assertEquals(askedAgain.length > 0, true);
    assertEquals(new Set(askedAgain.map(({ from }) => from)), new Set([CLIENT_OUTSIDE]));
    const ruleset = await client.output(["nft", "list", "ruleset"]);
    assertEquals(/dport 53\b/.test(ruleset), false, ruleset);
    await endWell(process);
  },
  { programs: ["ip", "nft", "sysctl", ...HOST_FILES_PROGRAMS] },
);

netTest(
  "SIGTERM ends a client that waits for a resolver, and a server that does",
  async (topology) => {
    const { client, server } = await layWire(topology);
    await server.output(["ip", "address", "add", `${RESOLVER}/32`, "dev", CABLE]);
    using silent = new DnsServer(server, [RESOLVER], () => []);
    using files = new HostFiles(`nameserver ${RESOLVER}\n`);
    const tunnel = simpleTunnel();
    const peer = { Endpoint: `${NAME}:${SERVER_PORT}` };
    for (
      const [role, text] of [
        ["client", tunnel.client({ ConnectTimeout: 60 }, peer)],
        [
          "server",
          `${tunnel.server({ ConnectTimeout: 60, Egress: "off" })}\nEndpoint = ${peer.Endpoint}\n`,
        ],
      ] as const
    ) {
      const before = silent.questions.length;
      using config = temporaryFile(text);
      const process = client.spawn(
        files.command(vpnCommand(role, "--config", config.path)),
        { env: files.env },
      );
      await eventually(() => Promise.resolve(silent.questions.length > before || null), {
        what: "a question",
      });
      await endWell(process);
      // It did not wait for the resolver to fail.
      assertEquals(/Cannot find the server/.test(process.stderr), false, process.stderr);
    }
  },
  { programs: ["ip", ...HOST_FILES_PROGRAMS] },
);
