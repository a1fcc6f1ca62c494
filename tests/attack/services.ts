/** Attacks on published services: what strangers take from a service's other visitors, and from its back ends. */
import { EXTERNAL, GatewayNetwork, INTERNET, OTHER_INTERNET } from "../net/support/gateway.ts";
import { Injector } from "../net/support/outside.ts";
import { vpnCommand } from "../net/support/programs/vpn.ts";
import { Site } from "../net/support/site.ts";
import { CABLE, carrierOn, delay } from "../net/support/wire.ts";
import type { TestNamespace, Topology } from "../support/net.ts";
import { buildTcp } from "../support/packets/packet_builder.ts";
import { Random } from "../support/random.ts";
import { type Attack, isRunning } from "./attack.ts";

const PORT = 443;
const SYN = 2;
/** SYNs in a second, and seconds of them. */
const RATE = 20_000;
const SECONDS = 10;
/** ms between two batches. */
const PAUSE = 5;
/** The visitor's network. */
const VISITOR = { address: "10.9.9.2", router: "10.9.9.1" } as const;
/** Visits during the flood, and seconds of each at most. */
const VISITS = 6;
const LIMIT = 8;

/** A host behind a router that hides it, and that drops what its connection tracking finds wrong. */
async function layVisitor(
  topology: Topology,
  { internet }: GatewayNetwork,
): Promise<TestNamespace> {
  const visitor = topology.namespace("visitor");
  topology.cable(
    { namespace: visitor, name: CABLE, address: `${VISITOR.address}/24` },
    { namespace: internet, name: "home", address: `${VISITOR.router}/24` },
  );
  await Promise.all([carrierOn(visitor), carrierOn(internet, "home")]);
  await visitor.output(["ip", "route", "add", "default", "via", VISITOR.router]);
  await internet.output(["sysctl", "-qw", "net.ipv4.ip_forward=1"]);
  await internet.output(["nft", "-f", "-"], {
    stdin: `table ip home {
      chain forward {
        type filter hook forward priority 0;
        ct state invalid drop
        iifname "home" ct state new accept
        ct state established,related accept
        drop
      }
      chain postrouting {
        type nat hook postrouting priority 100;
        ip saddr ${VISITOR.address} masquerade
      }
    }`,
  });
  return visitor;
}

/** How many flows the back ends of all services were given. */
async function flowsOf(gateway: TestNamespace): Promise<number> {
  const text = await gateway.output(vpnCommand("status", "--json"));
  const [{ services }] = JSON.parse(text) as [
    { services: { backEnds: { totalConnections: number }[] }[] },
  ];
  return services.flatMap(({ backEnds }) => backEnds)
    .reduce((sum, { totalConnections }) => sum + totalConnections, 0);
}

export const SERVICE_ATTACKS: readonly Attack[] = [
  {
    name: "service-syns",
    title: `${RATE} SYNs a second from forged addresses to a service with back ends outside`,
    attacker: "stranger",
    programs: ["curl", "nft"],
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const network = await GatewayNetwork.lay(topology);
      const { gateway, internet } = network;
      for (const address of [INTERNET, OTHER_INTERNET]) {
        resources.use(new Site(internet, 8080, address));
      }
      const backEnds = `${INTERNET}:8080, ${OTHER_INTERNET}:8080`;
      const server = await network.start({ Forward: `tcp:${PORT} -> ${backEnds}` });
      const visitor = await layVisitor(topology, network);
      const visit = async (): Promise<number | null> => {
        const start = performance.now();
        const { code } = await visitor.run([
          ...["curl", "-s", "-f", "--max-time", `${LIMIT}`, `http://${EXTERNAL}:${PORT}/`],
        ], { timeoutMs: 30_000 });
        return code === 0 ? performance.now() - start : null;
      };
      const random = new Random(20);
      const seconds = Math.max(4, SECONDS * scale);
      const batch = RATE * PAUSE / 1000;
      const syns = Array.from({ length: RATE * seconds }, () =>
        buildTcp({
          source: `23.${random.below(256)}.${random.below(256)}.${random.below(256)}`,
          destination: EXTERNAL,
          sourcePort: random.between(1_024, 65_535),
          destinationPort: PORT,
          sequenceNumber: random.below(2 ** 32),
          flags: SYN,
        }));
      const before = await flowsOf(gateway);
      using injector = new Injector(internet, { device: CABLE, batch: 50 });
      let sent = 0;
      const flood = async () => {
        const start = performance.now();
        while (sent < syns.length) {
          const due = (performance.now() - start) * RATE / 1000;
          for (; sent < Math.min(due, syns.length); sent += batch) {
            injector.send(...syns.slice(sent, sent + batch));
          }
          await delay(PAUSE);
        }
        return performance.now() - start;
      };
      const flooded = flood();
      await delay(1_000);
      const visits: (number | null)[] = [];
      for (let i = 0; i < VISITS; i++) {
        if (sent >= syns.length) break;
        visits.push(await visit());
      }
      const got = visits.filter((each) => each !== null);
      const took = await flooded;
      const given = await flowsOf(gateway) - before;
      return {
        held: got.length === visits.length && given < sent / 10 && isRunning(server),
        figure: `${sent} SYNs in ${(took / 1000).toFixed(1)} s, of which back ends got ${given}; ` +
          `${got.length} of ${visits.length} visits, the slowest in ${
            Math.round(Math.max(0, ...got))
          } ms`,
      };
    },
  },
];
