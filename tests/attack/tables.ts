/** Attacks that fill a table: what one client, or one address, takes from the others. */
import { addressData, buildAnswer, buildQuery } from "../support/dns/messages.ts";
import { DnsServer } from "../net/support/programs/dns_server.ts";
import { INSIDE, INTERNET } from "../net/support/gateway.ts";
import { vpnCommand } from "../net/support/programs/vpn.ts";
import { delay } from "../net/support/wire.ts";
import { buildIpv4, buildUdp } from "../support/packets/packet_builder.ts";
import { Random } from "../support/random.ts";
import { type Attack, drops, fetches, type Scene, setScene, SITE_ADDRESS } from "./attack.ts";

const INNER = "10.66.77.3";
const STATUS = vpnCommand("status", "--json");
/** What `vpn doctor`'s and the demo's client says in good order; see lib/core/wireguard/liveness/goodbye.ts. */
const GOODBYE = Uint8Array.of(0, 0, 0, 0, 0x65, 0x6e, 0x64, 0);
const ANSWER = { answers: [{ data: addressData("198.51.100.77"), timeToLive: 300 }] };

function outbound(sourcePort: number, destinationPort = 9, payload = new Uint8Array(4)) {
  return buildUdp({
    source: INNER,
    destination: SITE_ADDRESS,
    sourcePort,
    destinationPort,
    payload,
  });
}

/**
 * A DNS server in the internet, and how many of five questions the honest client gets answered by it, through the NAT.
 */
async function resolves(scene: Scene): Promise<number> {
  using _server = new DnsServer(scene.network.internet, [INTERNET], ({ query }) => [
    buildAnswer(query, ANSWER),
  ]);
  let answered = 0;
  for (let i = 0; i < 5; i++) {
    const { stdout } = await scene.network.clients[0]!.namespace.run(
      ["dig", `@${INTERNET}`, "+tries=1", "+time=3", "+short", `good${i}.example`],
      { timeoutMs: 15_000 },
    );
    if (stdout.includes("198.51.100.77")) answered++;
  }
  return answered;
}

/** Refusals that the gateway counted since `before`: drops that name a full table or a quota. */
function refusals(
  before: Readonly<Record<string, number>> | null,
  after: Readonly<Record<string, number>> | null,
): number {
  const names = Object.keys(after ?? {}).filter((name) =>
    /quota|ports|nat_full|no_port/.test(name)
  );
  return names.reduce((sum, name) => sum + after![name]! - (before?.[name] ?? 0), 0);
}

/** Opens connections from the honest client's side at a steady rate; returns how many succeeded. */
async function connections(
  scene: Scene,
  { perSecond, seconds }: { perSecond: number; seconds: number },
): Promise<{ opened: number; failed: number }> {
  const { stdout } = await scene.network.clients[0]!.namespace.run([
    ...[Deno.execPath(), "run", "--quiet", "--allow-net"],
    new URL("./connector.ts", import.meta.url).pathname,
    ...[SITE_ADDRESS, `${perSecond}`, `${seconds}`],
    // It takes up to twice as long on a busy machine, and then waits for what is under way.
  ], { timeoutMs: (2 * seconds + 60) * 1000 });
  return JSON.parse(stdout);
}

export const TABLE_ATTACKS: readonly Attack[] = [
  {
    name: "nat-goodbye",
    title: "three rounds of 4,200 flows and a goodbye, to use up the NAT's ports",
    attacker: "client",
    programs: ["dig"],
    async run(topology) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      let sent = 0;
      for (let round = 0; round < 3; round++) {
        const session = await scene.rogue.handshake();
        for (let port = 0; port < 4_200; port += 100) {
          scene.rogue.send(
            session,
            ...Array.from({ length: 100 }, (_, i) => outbound(2_000 + port + i)),
          );
          sent += 100;
          await delay(2);
        }
        scene.rogue.send(session, GOODBYE);
        await delay(50);
      }
      const got = await resolves(scene);
      return { held: got === 5, figure: `${sent} flows; the other client got ${got} of 5` };
    },
  },
  {
    name: "nat-cycling",
    title: "60,000 UDP flows of one client from changing ports",
    attacker: "client",
    programs: ["dig"],
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      const session = await scene.rogue.handshake();
      const count = Math.round(60_000 * scale);
      for (let sent = 0; sent < count; sent += 100) {
        scene.rogue.send(
          session,
          ...Array.from({ length: 100 }, (_, i) => outbound(1_024 + (sent + i) % 64_000)),
        );
        await delay(2);
      }
      const got = await resolves(scene);
      return { held: got === 5, figure: `${count} flows; the other client got ${got} of 5` };
    },
  },
  {
    name: "nat-tcp-rate",
    title: "2,000 TCP connections a second of one client",
    attacker: "client",
    programs: ["curl"],
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      const before = await drops(scene, STATUS);
      const { opened, failed } = await connections(scene, {
        perSecond: 2_000,
        seconds: 60 * scale,
      });
      const refused = refusals(before, await drops(scene, STATUS));
      const session = await scene.rogue.handshake();
      scene.rogue.send(session, outbound(40_000, 7));
      return {
        held: failed === 0 && refused === 0 && opened > 0,
        figure: `${opened} opened, ${failed} failed, ${refused} refused by the NAT`,
      };
    },
  },
  {
    name: "nat-dns-rate",
    title: "2,000 DNS questions a second of one client through the NAT",
    attacker: "client",
    programs: ["curl"],
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      resources.use(
        new DnsServer(scene.network.internet, [INTERNET], ({ query }) => [
          buildAnswer(query, ANSWER),
        ]),
      );
      const session = await scene.rogue.handshake();
      const before = await drops(scene, STATUS);
      const random = new Random(5);
      const rounds = Math.round(60 * scale * 100);
      for (let round = 0; round < rounds; round++) {
        scene.rogue.send(
          session,
          ...Array.from(
            { length: 20 },
            () => outbound(random.between(1_024, 65_535), 53, buildQuery({ name: "www.example" })),
          ),
        );
        await delay(10);
      }
      const refused = refusals(before, await drops(scene, STATUS));
      const got = await fetches(scene, 3);
      return {
        held: refused === 0 && got === 3,
        figure: `${rounds * 20} questions, ${refused} refused; the other client got ${got} of 3`,
      };
    },
  },
  {
    name: "fragments",
    title: "first fragments that never get their rest",
    attacker: "client",
    programs: ["ping", "sysctl"],
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      // The site's own host keeps first fragments, too, of all senders together: 4 MB of them.
      const sysctl = `net.ipv4.ipfrag_high_thresh=${64 << 20}`;
      await scene.network.internet.output(["sysctl", "-q", "-w", sysctl]);
      const session = await scene.rogue.handshake();
      const random = new Random(9);
      const client = scene.network.clients[0]!.namespace;
      const pings = client.run(
        ["ping", "-n", "-q", "-s", "4000", "-c", "20", "-i", "0.2", "-W", "2", SITE_ADDRESS],
        { timeoutMs: 40_000 },
      );
      const rounds = Math.round(400 * Math.max(scale, 0.5));
      for (let round = 0; round < rounds; round++) {
        scene.rogue.send(
          session,
          ...Array.from({ length: 50 }, () =>
            buildIpv4({
              source: INNER,
              destination: SITE_ADDRESS,
              protocol: 17,
              identification: random.below(65_536),
              moreFragments: random.chance(0.5),
              fragmentOffset: random.pick([0, 1, 100]),
              payload: random.bytes(1_024),
            })),
        );
        await delay(10);
      }
      const received = Number(/(\d+) received/.exec((await pings).stdout)?.[1] ?? 0);
      return {
        held: received >= 18,
        figure: `${
          rounds * 50
        } fragments; the other client's pings of 4,000 bytes: ${received} of 20`,
      };
    },
  },
  {
    name: "dns-unanswered",
    title: "200 unanswered DNS questions a second to the proxy",
    attacker: "client",
    programs: ["dig"],
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources, { DnsProxy: INTERNET });
      resources.use(
        new DnsServer(
          scene.network.internet,
          [INTERNET],
          ({ query, name }) =>
            name.toLowerCase().startsWith("void") ? [] : [buildAnswer(query, ANSWER)],
        ),
      );
      const session = await scene.rogue.handshake();
      const random = new Random(3);
      const state = { stopped: false };
      const flood = (async () => {
        for (let round = 0; round < 2_000 && !state.stopped; round++) {
          scene.rogue.send(
            session,
            ...Array.from({ length: 10 }, () =>
              buildUdp({
                source: INNER,
                destination: INSIDE,
                sourcePort: random.between(1_024, 65_535),
                destinationPort: 53,
                payload: buildQuery({ name: `void${random.below(2 ** 30)}.example` }),
              })),
          );
          await delay(50);
        }
      })();
      await delay(3_000);
      let answered = 0;
      const count = Math.round(20 * Math.max(scale, 0.3));
      for (let i = 0; i < count; i++) {
        const { stdout } = await scene.network.clients[0]!.namespace.run(
          ["dig", `@${INSIDE}`, "+tries=1", "+time=5", "+short", `good${i}.example`],
          { timeoutMs: 15_000 },
        );
        if (stdout.includes("198.51.100.77")) answered++;
      }
      state.stopped = true;
      await flood;
      return { held: answered === count, figure: `the other client got ${answered} of ${count}` };
    },
  },
  {
    name: "dns-tcp",
    title: "100 idle TCP connections to the DNS proxy",
    attacker: "client",
    programs: ["dig"],
    async run(topology) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources, { DnsProxy: INTERNET });
      resources.use(
        new DnsServer(scene.network.internet, [INTERNET], ({ query }) => [
          buildAnswer(query, ANSWER),
        ]),
      );
      // The second client with a kernel's TCP: it connects with our program.
      const second = scene.network.clients[1]!;
      await scene.network.connect(second);
      for (let i = 0; i < 100; i++) {
        const connection = await second.namespace.inside(() =>
          Deno.connect({ hostname: INSIDE, port: 53 })
        ).catch(() => null);
        if (connection !== null) {
          resources.defer(() => {
            try {
              connection.close();
            } catch {
              // The proxy has closed it, and the runtime with it.
            }
          });
        }
      }
      const { stdout } = await scene.network.clients[0]!.namespace.run(
        ["dig", `@${INSIDE}`, "+tcp", "+tries=1", "+time=5", "+short", "good.example"],
        { timeoutMs: 15_000 },
      );
      const answered = stdout.includes("198.51.100.77");
      return {
        held: answered,
        figure: `the other client by TCP: ${answered ? "answered" : "NOT"}`,
      };
    },
  },
];
