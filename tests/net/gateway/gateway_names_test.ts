/** The names that a gateway's DNS proxy itself decides on, as its clients see them. */
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { addressData, buildAnswer } from "../../support/dns/messages.ts";
import { newIdentity } from "../support/config.ts";
import { type DnsQuestion, DnsServer } from "../support/programs/dns_server.ts";
import {
  GATEWAY_PROGRAMS,
  GatewayNetwork,
  INSIDE,
  INTERNET,
  OTHER_INTERNET,
} from "../support/gateway.ts";
import { ask } from "../support/programs/instance.ts";

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
