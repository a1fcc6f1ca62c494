/** Attacks that try to end or stall a process: packets no program expects, and floods of them. */
import { buildQuery } from "../support/dns/messages.ts";
import { residentMemory, runSince, runTimes } from "../bench/measures/process_stats.ts";
import { median } from "../bench/samples.ts";
import { measurePing } from "../bench/measures/ping.ts";
import { DnsServer } from "../net/support/programs/dns_server.ts";
import { HandshakeFlood, sendJunk } from "../net/support/traffic/hostile.ts";
import { newIdentity } from "../net/support/config.ts";
import { EXTERNAL, INSIDE, INTERNET, ROUTER } from "../net/support/gateway.ts";
import { Injector } from "../net/support/outside.ts";
import { tcpFlow } from "../net/support/traffic/traffic.ts";
import { vpnCommand } from "../net/support/programs/vpn.ts";
import { delay, SERVER_PORT } from "../net/support/wire.ts";
import { emptyFile } from "../support/folder.ts";
import { buildUdp } from "../support/packets/packet_builder.ts";
import { Random } from "../support/random.ts";
import { type Attack, fetches, isRunning, type Scene, setScene, SITE_ADDRESS } from "./attack.ts";

/** Measurements without a flood, and as many with it. */
const TURNS = 3;
const STATUS = vpnCommand("status", "--json");

/** A DNS question from the hostile client, from any source port. */
function question(name: string, sourcePort: number, source = "10.66.77.3"): Uint8Array {
  return buildUdp({
    source,
    destination: INSIDE,
    sourcePort,
    destinationPort: 53,
    payload: buildQuery({ name }),
  });
}

/** Sends forged initiations at a steady rate while `measure` runs; returns what it returns. */
async function underFlood<Result>(
  scene: Scene,
  perSecond: number,
  measure: () => Promise<Result>,
): Promise<Result> {
  const { namespace, endpoint } = scene.network.clients[1]!;
  const flood = new HandshakeFlood(namespace, {
    publicKey: scene.network.identity.publicKey,
    address: endpoint.split(":")[0]!,
    port: SERVER_PORT,
    burst: perSecond / 100,
    interval: 10,
  });
  try {
    return await measure();
  } finally {
    await flood[Symbol.asyncDispose]();
  }
}

/** Of one core, what the server's process takes while `call` runs. */
async function shareOfCore(scene: Scene, call: () => Promise<void>): Promise<number> {
  const [before, start] = [runTimes(scene.server.pid), performance.now()];
  await call();
  return 1_000 * runSince(scene.server.pid, before) / (performance.now() - start);
}

function floodAttack(perSecond: number, leastShare: number, mostPing: number): Attack {
  return {
    name: `flood-${perSecond / 1000}k`,
    title: `${perSecond.toLocaleString("en")} forged initiations a second`,
    attacker: "stranger",
    programs: ["iperf3", "ping"],
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      const { network } = scene;
      const [client, gateway] = [network.clients[0]!.namespace, network.gateway];
      const seconds = Math.max(2, 5 * scale);
      // A tunnel that carries nothing is a result: iperf3 then ends with an error.
      const rate = async () => {
        try {
          const flow = await tcpFlow(client, gateway, INSIDE, { seconds });
          return flow.receivedBytes * 8 / seconds / 1e9;
        } catch {
          return 0;
        }
      };
      await rate();
      // In turns, as the machine has other things to do: medians of each kind are compared.
      const [quiet, flooded, pings]: number[][] = [[], [], []];
      for (let turn = 0; turn < TURNS; turn++) {
        quiet!.push(await rate());
        await underFlood(scene, perSecond, async () => {
          flooded!.push(await rate());
          pings!.push(await measurePing(client, 100).catch(() => Infinity));
        });
      }
      const [before, during, ping] = [median(quiet!), median(flooded!), median(pings!)];
      const share = during / before;
      // Apart, as the flood's sender and both ends of the tunnel may share the gateway's cores.
      const alone = () => delay(1_000 * seconds);
      const ours = await underFlood(scene, perSecond, () => shareOfCore(scene, alone)) -
        await shareOfCore(scene, alone);
      return {
        held: share >= leastShare && ping < mostPing && isRunning(scene.server),
        figure: `${before.toFixed(2)} -> ${during.toFixed(2)} Gbit/s (${
          Math.round(share * 100)
        } %), ping ${ping.toFixed(2)} ms; the flood alone takes ${
          (100 * ours).toFixed(1)
        } % of a core at the gateway`,
      };
    },
  };
}

export const CRASH_ATTACKS: readonly Attack[] = [
  {
    name: "port-0",
    title: "DNS questions from source port 0",
    attacker: "client",
    programs: ["dig"],
    async run(topology) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources, { DnsProxy: INTERNET });
      resources.use(new DnsServer(scene.network.internet, [INTERNET], () => []));
      const session = await scene.rogue.handshake();
      scene.rogue.send(session, question("a.example", 0), question("b.example", 65_535));
      // One that is answered at once, with a failure.
      scene.rogue.send(session, question("", 0).slice(0, 40));
      await delay(3_000);
      const { stdout } = await scene.network.clients[0]!.namespace.run(
        ["dig", `@${INSIDE}`, "+tries=1", "+time=8", "-t", "A", "c.example"],
        { timeoutMs: 20_000 },
      );
      const answers = /status: SERVFAIL/.test(stdout);
      return {
        held: isRunning(scene.server) && answers,
        figure: `${isRunning(scene.server) ? "runs" : "HAS ENDED"}, ${
          answers ? "answers" : "NO ANSWER"
        }`,
      };
    },
  },
  {
    name: "junk",
    title: "random datagrams to all UDP ports, inner and outer",
    attacker: "client",
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources, { DnsProxy: INTERNET });
      sendJunk(scene.network.clients[1]!.namespace, "198.51.100.129", SERVER_PORT);
      const session = await scene.rogue.handshake();
      const random = new Random(11);
      const rounds = Math.ceil(20_000 * scale / 100);
      for (let round = 0; round < rounds; round++) {
        scene.rogue.send(
          session,
          ...Array.from({ length: 100 }, () => {
            const packet = buildUdp({
              source: "10.66.77.3",
              destination: random.pick([INSIDE, INTERNET, "10.66.77.2", "255.255.255.255"]),
              sourcePort: random.below(65_536),
              destinationPort: random.pick([0, 53, 80, 65_535]),
              payload: random.bytes(random.below(600)),
            });
            return random.chance(0.5) ? packet : random.mutate(packet);
          }),
        );
        await delay(5);
      }
      const got = await fetches(scene, 3);
      return {
        held: isRunning(scene.server) && got === 3,
        figure: `${rounds * 100} packets, then ${got} of 3 fetches of the other client`,
      };
    },
  },
  {
    name: "two-ports",
    title: "keepalives of one session from two ports in turn",
    attacker: "client",
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      const session = await scene.rogue.handshake();
      const before = residentMemory(scene.server.pid) / 1e6;
      const lines = scene.server.stderr.split("\n").length;
      const count = Math.round(150_000 * scale);
      for (let sent = 0; sent < count; sent += 100) {
        for (let i = 0; i < 50; i++) {
          scene.rogue.sendRaw(0, scene.rogue.seal(session, new Uint8Array()));
          scene.rogue.sendRaw(1, scene.rogue.seal(session, new Uint8Array()));
        }
        if (sent % 1000 === 0) await delay(1);
      }
      const { code } = await scene.network.gateway.run(STATUS, { timeoutMs: 10_000 });
      const grown = residentMemory(scene.server.pid) / 1e6 - before;
      const more = scene.server.stderr.split("\n").length - lines;
      return {
        held: code === 0 && grown < 40 && more < 100,
        figure: `${count} keepalives: ${more} log lines, ${grown.toFixed(0)} MB more, status ${
          code === 0 ? "answers" : "DEAD"
        }`,
      };
    },
  },
  floodAttack(20_000, 0.6, 5),
  floodAttack(60_000, 0.1, 50),
  {
    name: "uapi-6000",
    title: "6,000 peers in one request of `wg`",
    attacker: "host",
    programs: ["wg"],
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      const count = Math.round(6_000 * Math.max(scale, 0.3));
      const peers = Array.from(
        { length: count },
        (_, i) =>
          `[Peer]\nPublicKey = ${newIdentity().publicKey}\nAllowedIPs = 10.77.${i >> 8}.${
            i & 255
          }/32\n`,
      );
      const path = emptyFile();
      Deno.writeTextFileSync(path, peers.join("\n"));
      const start = performance.now();
      const added = scene.network.gateway.run(["wg", "addconf", "vpn0", path], {
        timeoutMs: 120_000,
      });
      await delay(300);
      const asked = performance.now();
      const status = await scene.network.gateway.run(STATUS, { timeoutMs: 120_000 });
      const waited = performance.now() - asked;
      const { code } = await added;
      const seconds = (performance.now() - start) / 1000;
      return {
        held: code === 0 && status.code === 0 && seconds < 20 && waited < 10_000,
        figure: `${count} peers in ${seconds.toFixed(1)} s, status meanwhile in ${
          (waited / 1000).toFixed(1)
        } s`,
      };
    },
  },
  {
    name: "weak-host",
    title: "questions to the gateway's inner address from outside the tunnel",
    attacker: "neighbour",
    programs: ["dig", "curl"],
    async run(topology) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources, {
        DnsProxy: INTERNET,
        Metrics: `${INSIDE}:9586`,
      });
      const { network } = scene;
      resources.use(new DnsServer(network.internet, [INTERNET], () => []));
      const outcomes: string[] = [];
      const asks: [string, typeof network.internet, string][] = [
        ["uplink", network.internet, EXTERNAL],
        ["LAN", network.clients[1]!.namespace, "198.51.100.129"],
      ];
      for (const [name, namespace, via] of asks) {
        await namespace.output(["ip", "route", "add", `${INSIDE}/32`, "via", via]);
        const dns = await namespace.run(
          ["dig", `@${INSIDE}`, "+tries=1", "+time=4", "x.example"],
          { timeoutMs: 15_000 },
        );
        if (/status:/.test(dns.stdout)) outcomes.push(`${name}: DNS ANSWERED`);
        const http = await namespace.run(
          ["curl", "-s", "--max-time", "3", `http://${INSIDE}:9586/metrics`],
          { timeoutMs: 15_000 },
        );
        if (http.stdout.length > 0) outcomes.push(`${name}: METRICS ANSWERED`);
      }
      const inside = await network.clients[0]!.namespace.run(
        ["curl", "-s", "--max-time", "5", `http://${INSIDE}:9586/metrics`],
        { timeoutMs: 15_000 },
      );
      if (!inside.stdout.includes("vpn_")) outcomes.push("client: NO METRICS");
      return {
        held: outcomes.length === 0,
        figure: outcomes.length === 0 ? "the tunnel alone is answered" : outcomes.join(", "),
      };
    },
  },
  {
    name: "inner-address",
    title: "packets for a client's inner address by its LAN (CVE-2019-14899)",
    attacker: "neighbour",
    programs: ["ping"],
    async run(topology) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      const { network } = scene;
      const client = network.clients[0]!;
      // The gateway's namespace is the client's neighbour on its LAN.
      await network.gateway.output([
        ...["ip", "route", "add", "table", "77", `${client.inside}/32`, "via", client.outside],
      ]);
      await network.gateway.output([
        "ip",
        "rule",
        "add",
        "pref",
        "10",
        "ipproto",
        "icmp",
        "table",
        "77",
      ]);
      const { stdout } = await network.gateway.run(
        ["ping", "-n", "-q", "-c", "3", "-i", "0.2", "-W", "1", client.inside],
        { timeoutMs: 15_000 },
      );
      const received = Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
      await network.gateway.output(["ip", "rule", "del", "pref", "10"]);
      const got = await fetches(scene, 1);
      return {
        held: received === 0 && got === 1,
        figure: `${received} of 3 answered, ${got} of 1 fetches through the tunnel`,
      };
    },
  },
  {
    name: "external-junk",
    title: "random packets from the internet to the NAT's ports",
    attacker: "stranger",
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      using injector = new Injector(scene.network.internet, { batch: 100 });
      const random = new Random(12);
      const rounds = Math.ceil(20_000 * scale / 100);
      for (let round = 0; round < rounds; round++) {
        injector.send(...Array.from({ length: 100 }, () => {
          const packet = buildUdp({
            source: random.pick([SITE_ADDRESS, ROUTER, "10.66.77.2"]),
            destination: EXTERNAL,
            sourcePort: random.below(65_536),
            destinationPort: random.between(20_000, 29_999),
            payload: random.bytes(random.below(600)),
          });
          return random.chance(0.5) ? packet : random.mutate(packet);
        }));
        await delay(5);
      }
      const got = await fetches(scene, 3);
      return {
        held: isRunning(scene.server) && got === 3,
        figure: `${rounds * 100} packets, then ${got} of 3 fetches`,
      };
    },
  },
];
