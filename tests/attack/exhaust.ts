/**
 * Attacks that exhaust: floods by a client's own means, connections that stay, and bytes that no local socket expects.
 */

import { holdConnections } from "../net/support/traffic/held_connections.ts";
import { sendJunk } from "../net/support/traffic/hostile.ts";
import { Injector } from "../net/support/outside.ts";
import {
  FAR,
  layBrokenNetwork,
  LISTEN_PORT,
  startRelays,
  TCP_PORT,
} from "../net/support/relays.ts";
import { RoutedPath, SERVER_OUTSIDE, SERVER_PORT } from "../net/support/routed_path.ts";
import { temporaryFile } from "../net/support/config.ts";
import { vpnCommand } from "../net/support/programs/vpn.ts";
import { delay } from "../net/support/wire.ts";
import { temporaryFolder } from "../support/folder.ts";
import { buildIcmp, buildTcp, buildUdp } from "../support/packets/packet_builder.ts";
import { closeQuietly } from "../support/close.ts";
import { Random } from "../support/random.ts";
import { type Attack, fetches, isRunning, type Scene, setScene, SITE_ADDRESS } from "./attack.ts";

const INNER = "10.66.77.3";
const SYN = 2;

/** How many of `count` pings of a site the honest client gets answered. */
async function pings(scene: Scene, count = 10): Promise<number> {
  const { stdout } = await scene.network.clients[0]!.namespace.run(
    ["ping", "-n", "-q", "-c", `${count}`, "-i", "0.2", "-W", "2", SITE_ADDRESS],
    { timeoutMs: 30_000 },
  );
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
}

/** Sends `count` packets through the tunnel, a hundred at a time. */
async function pour(
  scene: Scene,
  count: number,
  packet: (index: number) => Uint8Array,
): Promise<void> {
  const session = await scene.rogue.handshake();
  for (let sent = 0; sent < count; sent += 100) {
    scene.rogue.send(session, ...Array.from({ length: 100 }, (_, i) => packet(sent + i)));
    await delay(3);
  }
}

function flood(
  name: string,
  title: string,
  count: number,
  packet: (index: number) => Uint8Array,
): Attack {
  return {
    name,
    title,
    attacker: "client",
    programs: ["curl", "ping"],
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      const total = Math.round(count * scale);
      await pour(scene, total, packet);
      const [echoes, got] = [await pings(scene), await fetches(scene, 5)];
      return {
        held: echoes >= 9 && got === 5 && isRunning(scene.server),
        figure: `${total} packets; the other client: ${echoes} of 10 pings, ${got} of 5 fetches`,
      };
    },
  };
}

export const EXHAUST_ATTACKS: readonly Attack[] = [
  flood("ping-ids", "pings with every ICMP id", 65_000, (i) =>
    buildIcmp({
      source: INNER,
      destination: SITE_ADDRESS,
      identifier: i & 0xffff,
      payload: new Uint8Array(8),
    })),
  flood(
    "syn-client",
    "SYNs of one client to 60,000 endpoints that do not answer",
    60_000,
    (i) =>
      buildTcp({
        source: INNER,
        destination: `203.0.113.${20 + i % 200}`,
        sourcePort: 1_024 + i % 60_000,
        destinationPort: 1 + i % 1_000,
        flags: SYN,
      }),
  ),
  flood("udp-targets", "UDP of one port to 60,000 endpoints", 60_000, (i) =>
    buildUdp({
      source: INNER,
      destination: `203.0.113.${20 + i % 200}`,
      sourcePort: 5_000,
      destinationPort: 1 + i % 60_000,
    })),
  {
    name: "faketcp-table",
    title: "17,000 idle TCP connections of another address to the fake TCP port",
    attacker: "stranger",
    programs: ["ping"],
    async run(topology, scale) {
      const path = await RoutedPath.lay(topology);
      const server = await path.startServer();
      const count = Math.round(17_000 * scale);
      await using held = await holdConnections(path, SERVER_OUTSIDE, { port: SERVER_PORT, count });
      await path.startClient();
      let answered = 0;
      for (let i = 0; i < 5; i++) if (await path.answers()) answered++;
      return {
        held: answered >= 4 && isRunning(server),
        figure: `${held.opened} connections; then a new client got ${answered} of 5 pings`,
      };
    },
  },
  {
    name: "relay-junk",
    title: "datagrams from port 0, junk and 300 flows to a relay",
    attacker: "stranger",
    async run(topology) {
      const network = await layBrokenNetwork(topology);
      const { nearRelay, farRelay } = await startRelays(network, "127.0.0.1:9999");
      using injector = new Injector(network.near, { device: "eth0", batch: 50 });
      const random = new Random(6);
      for (let round = 0; round < 60; round++) {
        injector.send(...Array.from({ length: 50 }, () => {
          const segment = buildTcp({
            source: `192.0.2.${random.between(2, 250)}`,
            destination: FAR,
            sourcePort: random.pick([0, 1, random.below(65_536)]),
            destinationPort: TCP_PORT,
            flags: random.below(64),
            sequenceNumber: random.below(2 ** 32),
            acknowledgmentNumber: random.below(2 ** 32),
            payload: random.bytes(random.below(300)),
          });
          return random.chance(0.7) ? segment : random.mutate(segment);
        }));
        await delay(10);
      }
      using local = new Injector(network.near, { device: "lo" });
      for (let port = 0; port < 300; port++) {
        local.send(buildUdp({
          source: "127.0.0.1",
          destination: "127.0.0.1",
          sourcePort: port,
          destinationPort: LISTEN_PORT,
          payload: random.bytes(random.below(300)),
        }));
      }
      await delay(1_000);
      const held = isRunning(nearRelay) && isRunning(farRelay);
      return { held, figure: held ? "both run" : "ONE HAS ENDED" };
    },
  },
  {
    name: "own-handshakes",
    title: "a client that begins handshakes as often as it can",
    attacker: "client",
    programs: ["curl", "ping"],
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      const until = Date.now() + Math.max(3_000, 15_000 * scale);
      let count = 0;
      const echoes = pings(scene, 20);
      while (Date.now() < until) {
        try {
          await scene.rogue.handshake();
          count++;
        } catch {
          break;
        }
      }
      const [answered, got] = [await echoes, await fetches(scene, 3)];
      return {
        held: answered >= 19 && got === 3,
        figure:
          `${count} handshakes; the other client: ${answered} of 20 pings, ${got} of 3 fetches`,
      };
    },
  },
  {
    name: "local-junk",
    title: "junk and connections that stay, at the control sockets and metrics",
    attacker: "host",
    programs: ["curl"],
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources, { Metrics: "127.0.0.1:9586" });
      const { gateway } = scene.network;
      const random = new Random(13);
      const sockets = [
        ...Array.from(Deno.readDirSync("/run/vpn"), ({ name }) => `/run/vpn/${name}`),
        ...Array.from(Deno.readDirSync("/run/wireguard"), ({ name }) => `/run/wireguard/${name}`),
      ].filter((path) => path.endsWith(".sock"));
      const connect = (i: number): Promise<Deno.Conn> =>
        i % 3 === 0
          ? gateway.inside(() => Deno.connect({ hostname: "127.0.0.1", port: 9586 }))
          : Deno.connect({ transport: "unix", path: sockets[i % sockets.length]! });
      const count = Math.round(600 * Math.max(scale, 0.3));
      for (let i = 0; i < count; i++) {
        const connection = await connect(i).catch(() => null);
        if (connection === null) continue;
        const text = random.pick([
          '{"id":1,"method":"',
          "set=1\npublic_key=",
          "GET /metrics HTTP/1.1\r\n",
        ]);
        const junk = random.chance(0.5) ? new TextEncoder().encode(text) : random.bytes(200);
        await connection.write(junk).catch(() => {});
        // A third of them stays and says nothing more.
        if (i % 9 < 3 && i < 300) resources.defer(() => closeQuietly(connection));
        else closeQuietly(connection);
      }
      const status = await gateway.run(vpnCommand("status", "--json"), { timeoutMs: 20_000 });
      const metrics = await gateway.run(
        ["curl", "-s", "--max-time", "15", "http://127.0.0.1:9586/metrics"],
        { timeoutMs: 20_000 },
      );
      const got = await fetches(scene, 2);
      const isWell = status.code === 0 && metrics.stdout.includes("vpn_");
      return {
        held: isWell && got === 2 && isRunning(scene.server),
        figure: `${count} connections; status ${status.code === 0 ? "answers" : "DEAD"}, metrics ${
          metrics.stdout.includes("vpn_") ? "answer" : "DEAD"
        }, ${got} of 2 fetches`,
      };
    },
  },
  {
    name: "closed-log",
    title: "the reader of the log goes away",
    attacker: "host",
    programs: ["sh", "head", "mkfifo"],
    async run(topology) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      await scene.server.stop();
      using file = temporaryFile(scene.network.config());
      const command = vpnCommand("server", "--config", file.path, "--log-level", "debug");
      // The shell becomes the gateway, so that it ends with the scene.
      const log = `${temporaryFolder()}/log`;
      scene.network.gateway.spawn([
        ...["sh", "-c", 'mkfifo "$0"; head -n 1 <"$0" >/dev/null & exec "$@" 2>"$0"', log],
        ...command,
      ]);
      await delay(6_000);
      const junk = scene.network.clients[1]!.namespace;
      sendJunk(junk, "198.51.100.129", SERVER_PORT);
      await delay(6_000);
      const session = await scene.rogue.handshake().then(() => true, () => false);
      return { held: session, figure: session ? "the gateway serves on" : "THE GATEWAY IS GONE" };
    },
  },
];
