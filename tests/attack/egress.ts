/**
 * Attacks on where clients may go: what lies behind the gateway and must not be reached, and who reaches the clients.
 */
import { Arena } from "../../ffi/arena.ts";
import { EXTERNAL, INTERNET, ROUTER } from "../net/support/gateway.ts";
import { Injector, Tap } from "../net/support/outside.ts";
import { CABLE, delay } from "../net/support/wire.ts";
import { ARENA_SIZE, openSocket } from "../net/support/traffic/sockets.ts";
import { Site } from "../net/support/site.ts";
import type { Topology } from "../support/net.ts";
import { buildUdp, fragment } from "../support/packets/packet_builder.ts";
import { Random } from "../support/random.ts";
import { type Attack, fetches, type Outcome, setScene } from "./attack.ts";

const METADATA = "169.254.169.254";
const PORT = 8_123;

/**
 * Packets of the hostile client to each address that the gateway lets out, seen in the internet or on the second LAN.
 */
async function forwarded(
  topology: Topology,
  targets: readonly string[],
  section: Record<string, string>,
): Promise<Outcome> {
  await using resources = new AsyncDisposableStack();
  const scene = await setScene(topology, resources, section);
  const { internet, gateway, clients } = scene.network;
  // The cloud's metadata service is reached by a route of its own.
  await gateway.output(["ip", "route", "add", `${METADATA}/32`, "via", ROUTER]);
  using outside = new Tap(internet);
  using lan = new Tap(clients[0]!.namespace, { device: CABLE });
  const session = await scene.rogue.handshake();
  for (const destination of targets) {
    for (let i = 0; i < 3; i++) {
      scene.rogue.send(
        session,
        buildUdp({
          source: "10.66.77.3",
          destination,
          sourcePort: 4_000 + i,
          destinationPort: PORT,
        }),
      );
    }
  }
  await delay(1_500);
  const reached = new Set(
    [...outside.seen(), ...lan.seen()]
      .filter(({ packet }) => packet[9] === 17 && (packet[22]! << 8 | packet[23]!) === PORT)
      .map(({ packet }) => packet.subarray(16, 20).join(".")),
  );
  const got = await fetches(scene, 1);
  return {
    held: reached.size === 0 && got === 1,
    figure: `reached: ${[...reached].join(", ") || "none"} of ${targets.length}; internet ${
      got === 1 ? "open" : "CLOSED"
    }`,
  };
}

const FORBIDDEN = [
  METADATA,
  "127.0.0.1",
  "0.0.0.1",
  "224.0.0.1",
  "240.0.0.1",
  "255.255.255.255",
  ROUTER,
  "198.51.100.2",
];

export const EGRESS_ATTACKS: readonly Attack[] = [
  {
    name: "metadata",
    title: "the metadata service, loopback, multicast and the gateway's LANs",
    attacker: "client",
    programs: ["curl"],
    run: (topology) => forwarded(topology, FORBIDDEN, {}),
  },
  {
    name: "metadata-kernel",
    title: "the same with Egress = kernel",
    attacker: "client",
    programs: ["curl"],
    run: (topology) => forwarded(topology, FORBIDDEN, { Egress: "kernel" }),
  },
  {
    name: "hairpin",
    title: "the other client by the gateway's external address, ClientToClient = off",
    attacker: "client",
    async run(topology) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources, { ClientToClient: "off" });
      const { internet, clients } = scene.network;
      // The honest client opens a port of the NAT.
      using outside = new Tap(internet);
      await clients[0]!.namespace.run(["sh", "-c", `echo hello > /dev/udp/${INTERNET}/${PORT}`]);
      await clients[0]!.namespace.run([
        ...["bash", "-c", `echo hello > /dev/udp/${INTERNET}/${PORT}`],
      ]);
      const [seen] = await outside.waitFor((packet) =>
        packet[9] === 17 && (packet[22]! << 8 | packet[23]!) === PORT
      );
      const port = seen!.packet[20]! << 8 | seen!.packet[21]!;
      using inside = new Tap(clients[0]!.namespace, { device: "vpn0", linkHeaderSize: 0 });
      const session = await scene.rogue.handshake();
      for (let i = 0; i < 3; i++) {
        scene.rogue.send(
          session,
          buildUdp({ source: "10.66.77.3", destination: EXTERNAL, destinationPort: port }),
        );
      }
      await delay(1_500);
      const reached = inside.seen().filter(({ packet }) => packet[9] === 17).length;
      return { held: reached === 0, figure: `${reached} of 3 reached the other client` };
    },
  },
  {
    name: "open-router",
    title: "the clients and the LAN by the gateway's uplink, Egress = kernel",
    attacker: "neighbour",
    async run(topology) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources, { Egress: "kernel" });
      const { internet, clients } = scene.network;
      await internet.output(["ip", "-batch", "-"], {
        stdin:
          `route add 10.66.77.0/24 via ${EXTERNAL}\nroute add 198.51.100.0/25 via ${EXTERNAL}\n`,
      });
      using inside = new Tap(clients[0]!.namespace, { device: "vpn0", linkHeaderSize: 0 });
      using lan = new Tap(clients[0]!.namespace, { device: CABLE });
      using injector = new Injector(internet);
      for (const destination of ["10.66.77.2", "198.51.100.2"]) {
        for (let i = 0; i < 3; i++) {
          injector.send(
            buildUdp({ source: ROUTER, destination, sourcePort: 5_000 + i, destinationPort: PORT }),
          );
        }
      }
      await delay(1_500);
      const reached =
        [...inside.seen(), ...lan.seen()].filter(({ packet }) =>
          packet[9] === 17 && (packet[22]! << 8 | packet[23]!) === PORT
        ).length;
      return { held: reached === 0, figure: `${reached} of 6 forwarded` };
    },
  },
  {
    name: "later-fragments",
    title: "fragmented datagrams to a service of the gateway's host: none may be lost",
    attacker: "host",
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      const { internet, gateway } = scene.network;
      const socket = resources.use(openSocket(gateway, new Arena(ARENA_SIZE), 7_000));
      let received = 0;
      using injector = new Injector(internet, { batch: 16 });
      const random = new Random(4);
      const count = Math.round(1_000 * Math.max(scale, 0.3));
      for (let i = 0; i < count; i++) {
        const datagram = buildUdp({
          source: ROUTER,
          destination: EXTERNAL,
          destinationPort: 7_000,
          identification: i,
          payload: random.bytes(4_000),
        });
        injector.send(...fragment(datagram, 1_500));
        await delay(2);
        for (let got = socket.receive(); got > 0; got = socket.receive()) received += got;
      }
      await delay(1_000);
      for (let got = socket.receive(); got > 0; got = socket.receive()) received += got;
      const share = received / count;
      return { held: share > 0.99, figure: `${received} of ${count} datagrams arrived` };
    },
  },
  {
    name: "lan-allowed",
    title: "(control) the LAN is reached where EgressAllow = lan says so",
    attacker: "client",
    programs: ["curl"],
    async run(topology) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources, { EgressAllow: "lan" });
      resources.use(new Site(scene.network.clients[1]!.namespace, 8_080));
      const { stdout } = await scene.network.clients[0]!.namespace.run([
        ...["curl", "-s", "--max-time", "5", `http://198.51.100.130:8080/`],
      ], { timeoutMs: 15_000 });
      const uplink = await scene.network.clients[0]!.namespace.run([
        ...["curl", "-s", "--max-time", "5", `http://${ROUTER}/`],
      ], { timeoutMs: 15_000 });
      const [lan, neighbour] = [stdout, uplink.stdout].map((text) => text.startsWith("hello"));
      return {
        held: lan! && neighbour!,
        figure: `LAN ${lan ? "reached" : "NOT"}, uplink's LAN ${neighbour ? "reached" : "NOT"}`,
      };
    },
  },
];
