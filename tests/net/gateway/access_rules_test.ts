/** `Allow` and `Deny`: what a peer reaches of the internet, the LAN, the gateway and other peers, by both NATs. */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { configText, type Section, temporaryFile } from "../support/config.ts";
import {
  type Client,
  GATEWAY_PROGRAMS,
  GatewayNetwork,
  INSIDE,
  INTERNET,
} from "../support/gateway.ts";
import { statusOf } from "../support/programs/instance.ts";
import { DnsServer } from "../support/programs/dns_server.ts";
import { vpnCommand } from "../support/programs/vpn.ts";
import { addressData, buildAnswer } from "../../support/dns/messages.ts";
import { Site } from "../support/site.ts";
import { SERVER_PORT } from "../support/wire.ts";

const PROGRAMS = [...GATEWAY_PROGRAMS, "curl", "dig"];
/** Of curl: the connection failed, at once or when its time was over. */
const CONNECT_FAILED = 7;

const WAYS: Readonly<Record<string, Section>> = {
  "our NAT of one thread": { DataPlaneThreads: 1 },
  "our NAT of two packet workers": { DataPlaneThreads: 2 },
  "the kernel's NAT and two packet workers": { Egress: "kernel", DataPlaneThreads: 2 },
};

/** Which ways bytes went, of the flows that a gateway has kept since: by peer, protocol, destination and its peer. */
async function flowsOf(
  { gateway }: GatewayNetwork,
  since: string,
): Promise<Map<string, "sent" | "both">> {
  const text = await gateway.output(vpnCommand("flows", "--json", "--since", since));
  const found = new Map<string, "sent" | "both">();
  for (
    const { name, protocol, destination, destinationPort, toName, received } of JSON.parse(text)
  ) {
    const end = destinationPort === null ? destination : `${destination}:${destinationPort}`;
    const flow = [name, protocol, end, ...(toName === null ? [] : [toName])].join(" ");
    found.set(flow, received > 0 || found.get(flow) === "both" ? "both" : "sent");
  }
  return found;
}

for (const [way, section] of Object.entries(WAYS)) {
  netTest(
    `a peer reaches what its rules and its group's allow, and is told "prohibited" elsewhere, with ${way}`,
    async (topology) => {
      // Gateways of the tests before have kept theirs in the same file.
      const begun = new Date().toISOString();
      const network = await GatewayNetwork.lay(topology, { clients: 2 });
      const [laptop, printer] = network.clients as [Client, Client];
      const text = configText(
        {
          PrivateKey: network.identity.privateKey,
          ListenPort: SERVER_PORT,
          Address: `${INSIDE}/24`,
          DnsProxy: INTERNET,
          DnsDomain: "vpn",
          EgressAllow: "lan",
          FlowLog: "on",
          ...section,
        },
        {
          Name: "laptop",
          PublicKey: laptop.identity.publicKey,
          AllowedIPs: `${laptop.inside}/32`,
          Groups: "contractors",
          Allow: "lan icmp",
        },
        {
          Name: "printer",
          PublicKey: printer.identity.publicKey,
          AllowedIPs: `${printer.inside}/32`,
          Groups: "office",
          Allow: "gateway",
        },
      ) +
        "\n[Group]\nName = contractors\nAllow = internet tcp/80, peer:printer tcp/80\n" +
        "[Group]\nName = office\n";
      using file = temporaryFile(text);
      const server = network.gateway.spawn(vpnCommand("server", "--config", file.path));
      await server.waitFor(/listening on UDP port/);
      for (const client of network.clients) await network.connect(client);
      await using _site = new Site(network.internet, 80);
      await using _other = new Site(network.internet, 8080);
      await using _printer = new Site(printer.namespace, 80);
      await using _scanner = new Site(printer.namespace, 81);
      await using _gateway = new Site(network.gateway, 80);
      let hostAddress = "192.0.2.1";
      using _names = new DnsServer(network.internet, [INTERNET], ({ query }) => [
        buildAnswer(query, { answers: [{ data: addressData(hostAddress), timeToLive: 0 }] }),
      ]);
      const curl = async ({ namespace }: Client, url: string) => {
        const command = [
          "curl",
          "--silent",
          "--show-error",
          "--max-time",
          "20",
          "-o",
          "/dev/null",
          url,
        ];
        const { code } = await namespace.run(command);
        return code;
      };
      const ping = async ({ namespace }: Client, address: string) => {
        const { stdout } = await namespace.run(["ping", "-c", "1", "-w", "20", address]);
        return /Packet filtered/.test(stdout) ? "prohibited" : / 0% packet loss/.test(stdout);
      };
      const dig = await laptop.namespace.output(["dig", `@${INSIDE}`, "+short", "printer.vpn"]);
      assertEquals(dig, `${printer.inside}\n`);
      assertEquals(await curl(laptop, `http://${INTERNET}/`), 0);
      assertEquals(await curl(laptop, `http://${printer.inside}/`), 0);
      assertEquals(await curl(laptop, `http://${INTERNET}:8080/`), CONNECT_FAILED);
      assertEquals(await curl(laptop, `http://${INSIDE}/`), CONNECT_FAILED);
      assertEquals(await curl(laptop, `http://${printer.outside}/`), CONNECT_FAILED);
      assertEquals(await ping(laptop, printer.outside), true);
      assertEquals(await ping(laptop, INSIDE), true);
      assertEquals(await ping(laptop, INTERNET), "prohibited");
      assertEquals(await ping(laptop, printer.inside), "prohibited");
      assertEquals(await ping(printer, laptop.inside), "prohibited");
      assertEquals(await curl(printer, `http://${INSIDE}/`), 0);

      const set = (...args: readonly string[]) =>
        network.gateway.output(vpnCommand("peer", "set", "--config", file.path, ...args));
      assertMatch(await set("printer", "Allow", "peer:laptop icmp"), /has applied it/);
      assertEquals(await ping(printer, laptop.inside), true);
      assertEquals(await curl(printer, `http://${INSIDE}/`), CONNECT_FAILED);
      await set("laptop", "Deny", "internet");
      assertEquals(await curl(laptop, `http://${INTERNET}/`), CONNECT_FAILED);
      await set("laptop", "Deny", "none");
      assertEquals(await curl(laptop, `http://${INTERNET}/`), 0);
      // A group's rules are the file's, and count for its members by a reload.
      Deno.writeTextFileSync(
        file.path,
        Deno.readTextFileSync(file.path).replace("internet tcp/80", "internet tcp/8080"),
      );
      assertMatch(await network.gateway.output(vpnCommand("reload")), /groups/);
      assertEquals(await curl(laptop, `http://${INTERNET}:8080/`), 0);
      assertEquals(await curl(laptop, `http://${INTERNET}/`), CONNECT_FAILED);
      // A host's name counts for the addresses that it has, from the answer on that tells the client of one.
      await set("laptop", "Allow", "lan icmp, web.example tcp/80");
      assertEquals(await curl(laptop, `http://${INTERNET}/`), CONNECT_FAILED);
      hostAddress = INTERNET;
      const named = await laptop.namespace.output(["dig", `@${INSIDE}`, "+short", "web.example"]);
      assertEquals(named, `${INTERNET}\n`);
      assertEquals(await curl(laptop, `http://${INTERNET}/`), 0);
      const scanned = async () => await curl(laptop, `http://${printer.inside}:81/`) === 0;
      const asked = async () =>
        (await laptop.namespace.run(["dig", `@${INTERNET}`, "+tries=1", "+time=20", "a.example"]))
          .code === 0;
      const targets: readonly [
        allow: string,
        reaches: () => Promise<boolean>,
        expected: boolean,
      ][] = [
        ["any", scanned, true],
        ["internet, lan", scanned, false],
        ["peers tcp/81", scanned, true],
        ["peers udp/81", scanned, false],
        ["group:office tcp/81", scanned, true],
        ["group:contractors tcp/81", scanned, false],
        [`${printer.inside}/32 tcp/81-82`, scanned, true],
        ["internet tcp/53", asked, false],
        ["internet udp/53", asked, true],
      ];
      for (const [allow, reaches, expected] of targets) {
        await set("laptop", "Allow", allow);
        assertEquals(await reaches(), expected, allow);
      }
      await set("laptop", "Allow", "lan icmp");

      const test = (...args: readonly string[]) =>
        network.gateway.run(vpnCommand("access", "test", ...args));
      const allowed = await test("laptop", "tcp", INTERNET, "8080");
      assertEquals([allowed.code, allowed.stdout], [
        0,
        `laptop to ${INTERNET}:8080 by tcp: allowed: [Group] contractors: Allow = internet tcp/8080\n`,
      ]);
      const closed = await test("laptop", "tcp", INTERNET, "80", "--config", file.path);
      assertEquals([closed.code, closed.stdout], [
        1,
        `laptop to ${INTERNET}:80 by tcp: denied: no Allow holds\n`,
      ]);
      const { peers, drops } = await statusOf(server);
      const denied = (name: string) => peers.find((peer) => peer.name === name)!.denied;
      assertEquals(denied("laptop").map(({ rule }) => rule), ["no Allow"]);
      assert(denied("laptop")[0]!.packets >= 5);
      const sum = peers.flatMap((peer) => peer.denied).reduce(
        (all, { packets }) => all + packets,
        0,
      );
      assert(drops["access_denied"]! >= sum);

      // Its programs have been told of each; who reads the events is told of all, at the end at the latest.
      await server.stop();
      const events = await network.gateway.output(vpnCommand("events"));
      assertMatch(events, /denied +laptop +\d+ packets?: .*no Allow/);
      assertMatch(events, /denied +printer +\d+ packets?: no Allow/);
      const hasWorkers = section["DataPlaneThreads"] !== 1;
      const flows = await flowsOf(network, begun);
      const seen = (...names: readonly string[]) => names.map((name) => flows.get(name) ?? "none");
      assertEquals(
        seen(
          `laptop udp ${INSIDE}:53`,
          `laptop tcp ${INTERNET}:80`,
          `laptop tcp ${INTERNET}:8080`,
          `laptop icmp ${printer.outside}`,
          `laptop icmp ${INSIDE}`,
          `printer tcp ${INSIDE}:80`,
        ),
        ["both", "both", "both", "both", "both", "both"],
      );
      // Of two threads, each has one way of what clients send each other.
      assertEquals(
        seen(
          `laptop tcp ${printer.inside}:80 printer`,
          `printer icmp ${laptop.inside} laptop`,
          `laptop icmp ${printer.inside} printer`,
        ),
        hasWorkers ? ["sent", "sent", "sent"] : ["both", "both", "none"],
      );
      // What is refused is no flow.
      const refused = [`tcp ${INSIDE}:80`, `tcp ${printer.outside}:80`, `icmp ${INTERNET}`];
      assertEquals(seen(...refused.map((end) => `laptop ${end}`)), ["none", "none", "none"]);
    },
    { programs: PROGRAMS },
  );
}
