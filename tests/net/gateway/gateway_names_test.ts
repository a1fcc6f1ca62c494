/** The names that a gateway's DNS proxy itself decides on, as its clients see them. */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { emptyFile } from "../../support/folder.ts";
import { netTest } from "../../support/net.ts";
import { addressData, buildAnswer } from "../../support/dns/messages.ts";
import { newIdentity, temporaryFile } from "../support/config.ts";
import { type DnsQuestion, DnsServer } from "../support/programs/dns_server.ts";
import {
  GATEWAY_PROGRAMS,
  GatewayNetwork,
  INSIDE,
  INTERNET,
  OTHER_INTERNET,
} from "../support/gateway.ts";
import { ask, statusOf } from "../support/programs/instance.ts";
import { vpnCommand } from "../support/programs/vpn.ts";

const PROGRAMS = [...GATEWAY_PROGRAMS, "dig"];
const ADDRESS = "198.51.100.77";

const answerAddress = ({ query }: DnsQuestion): Uint8Array[] => [
  buildAnswer(query, { answers: [{ data: addressData(ADDRESS) }] }),
];

netTest(
  "the DNS proxy names peers as they are called now, and asks a domain's own resolver for it",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const { client: { namespace, identity } } = network;
    using upstream = new DnsServer(network.internet, [INTERNET, OTHER_INTERNET], answerAddress);
    const server = await network.start({
      DnsProxy: INTERNET,
      DnsDomain: "vpn",
      DnsRoute: `corp.example -> ${OTHER_INTERNET}`,
    });
    await network.connect();
    const dig = (...args: readonly string[]) =>
      namespace.output(["dig", `@${INSIDE}`, "+tries=1", "+time=8", ...args]);
    const call = (Name: string, more: Record<string, string> = {}) =>
      ask(server, "add-peer", {
        PublicKey: identity.publicKey,
        AllowedIPs: `${network.client.inside}/32`,
        Name,
        ...more,
      });
    await call("Ann's laptop");
    assertEquals(await dig("+short", "anns-laptop.vpn"), `${network.client.inside}\n`);
    assertEquals(await dig("+short", "-x", network.client.inside), "anns-laptop.vpn.\n");
    assertEquals(await dig("+short", "+tcp", "gateway.vpn"), `${INSIDE}\n`);
    assertMatch(await dig("nobody.vpn"), /status: NXDOMAIN.*AUTHORITY: 1/s);
    assertMatch(await dig("anns-laptop.vpn", "AAAA"), /status: NOERROR.*ANSWER: 0/s);
    await call("tablet");
    assertEquals(await dig("+short", "tablet.vpn"), `${network.client.inside}\n`);
    assertMatch(await dig("anns-laptop.vpn"), /status: NXDOMAIN/);
    const other = { PublicKey: newIdentity().publicKey };
    await ask(server, "add-peer", { ...other, AllowedIPs: "10.66.77.9/32", Name: "phone" });
    assertEquals(await dig("+short", "phone.vpn"), "10.66.77.9\n");
    await ask(server, "remove-peer", other);
    assertMatch(await dig("phone.vpn"), /status: NXDOMAIN/);
    assertEquals(upstream.questions, []);

    assertEquals(await dig("+short", "www.corp.example"), `${ADDRESS}\n`);
    assertEquals(await dig("+short", "www.example"), `${ADDRESS}\n`);
    assertEquals(upstream.questions.map(({ to }) => to), [OTHER_INTERNET, INTERNET]);
  },
  { programs: PROGRAMS },
);

netTest(
  "the DNS proxy resolves no name of a block list, and follows the list by a reload",
  async (topology) => {
    const list = emptyFile();
    Deno.writeTextFileSync(list, "0.0.0.0 ads.example\n||bad.example^\n@@||ok.bad.example^\n");
    const network = await GatewayNetwork.lay(topology);
    using upstream = new DnsServer(network.internet, [INTERNET], answerAddress);
    using config = temporaryFile(
      network.config({ DnsProxy: INTERNET, DnsBlock: list, DnsQueryLog: "on" }),
    );
    const server = network.gateway.spawn(vpnCommand("server", "--config", config.path));
    await server.waitFor(/listening on UDP port/);
    await network.connect();
    const dig = (...args: readonly string[]) =>
      network.client.namespace.output(["dig", `@${INSIDE}`, "+tries=1", "+time=8", ...args]);
    assertEquals(await dig("+short", "ads.example"), "0.0.0.0\n");
    assertEquals(await dig("+short", "ads.example", "AAAA"), "::\n");
    assertMatch(await dig("a.b.bad.example"), /status: NXDOMAIN/);
    assertEquals(upstream.questions, []);
    assertEquals(await dig("+short", "www.ok.bad.example"), `${ADDRESS}\n`);
    assertEquals(await dig("+short", "www.ads.example"), `${ADDRESS}\n`);
    assertEquals(await dig("+short", "www.ads.example"), `${ADDRESS}\n`);
    assertEquals((await statusOf(server)).peers.map(({ dns }) => dns), [
      { queries: 6, cached: 1, blocked: 3, nameErrors: 1, refused: 0 },
    ]);

    const queries = network.gateway.spawn(vpnCommand("queries", "--follow"));
    await queries.waitFor(/(.*\n){6}/);
    assertEquals(
      queries.stdout.trim().split("\n").map((line) => line.split(/ +/).slice(2)),
      [
        ["ads.example", "A", "blocked"],
        ["ads.example", "AAAA", "blocked"],
        ["a.b.bad.example", "A", "blocked"],
        ["www.ok.bad.example", "A", "NOERROR"],
        ["www.ads.example", "A", "NOERROR"],
        ["www.ads.example", "A", "NOERROR"],
      ],
    );

    Deno.writeTextFileSync(list, "0.0.0.0 www.ads.example\n");
    // What it had kept of queries goes, and flows are kept from now on.
    const text = Deno.readTextFileSync(config.path);
    Deno.writeTextFileSync(config.path, text.replace("DnsQueryLog = on", "FlowLog = on"));
    assertEquals((await network.gateway.run(vpnCommand("flows"))).code, 3);
    await ask(server, "reload");
    assertEquals((await network.gateway.run(vpnCommand("queries"))).code, 3);
    assertEquals(await dig("+short", "www.ads.example"), "0.0.0.0\n");
    assertEquals(await dig("+short", "ads.example"), `${ADDRESS}\n`);
    await server.stop();
    const flows: { destination: string; destinationPort: number; received: number }[] = JSON
      .parse(await network.gateway.output(vpnCommand("flows", "--json")));
    const asked = flows.filter(({ destinationPort }) => destinationPort === 53);
    assertEquals(asked.map(({ destination }) => destination), [INSIDE, INSIDE]);
    assert(asked.every(({ received }) => received > 0));
  },
  { programs: PROGRAMS },
);
