/** A client whose server has a name: with several addresses, and another one by the time that it reconnects. */
import { addressData, buildAnswer } from "../../support/dns/messages.ts";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { DnsServer } from "../support/programs/dns_server.ts";
import { HOST_FILES_PROGRAMS, HostFiles } from "../support/host_files.ts";
import { endWell, simpleTunnel } from "../support/simple_tunnel.ts";
import { startVpn } from "../support/programs/vpn.ts";
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
    await process.waitFor(new RegExp(`connected again to ${MOVED}:`));
    assertMatch(
      process.stderr,
      new RegExp(`no answer by UDP to ${DEAD}: trying UDP to ${MOVED}\n`),
    );
    const anew = dns.questions.slice(asked);
    assertEquals(anew.length > 0, true);
    assertEquals(new Set(anew.map(({ from }) => from)), new Set([CLIENT_OUTSIDE]));
    const ruleset = await client.output(["nft", "list", "ruleset"]);
    assertEquals(ruleset.includes("dport 53"), false, ruleset);
    await endWell(process);
  },
  { programs: ["ip", "nft", "sysctl", ...HOST_FILES_PROGRAMS] },
);
