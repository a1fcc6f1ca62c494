/** Attacks that steer: forged reports and sources, and messages that come late. */
import { EXTERNAL, INSIDE, INTERNET, ROUTER } from "../net/support/gateway.ts";
import { addressData, buildAnswer, buildQuery } from "../support/dns/messages.ts";
import { DnsServer } from "../net/support/programs/dns_server.ts";
import {
  NARROW,
  NARROW_CLIENT_OUTSIDE6,
  NARROW_GATEWAY_OUTSIDE6,
  NarrowPath,
} from "../net/support/narrow_path.ts";
import { Injector, Tap } from "../net/support/outside.ts";
import { statusOf } from "../net/support/programs/instance.ts";
import { CABLE, delay, SERVER_PORT } from "../net/support/wire.ts";
import { RoutedPath, SERVER_OUTSIDE } from "../net/support/routed_path.ts";
import { buildIcmp, buildTcp, buildUdp } from "../support/packets/packet_builder.ts";
import { tooBig6 } from "../support/packets/too_big.ts";
import { Random } from "../support/random.ts";
import { tcpFlow } from "../net/support/traffic/traffic.ts";
import { type Attack, fetches, type Outcome, setScene, SITE_ADDRESS } from "./attack.ts";

const INNER = "10.66.77.3";
const FRAGMENTATION_NEEDED = { type: 3, code: 4 };
const GOODBYE = Uint8Array.of(0, 0, 0, 0, 0x65, 0x6e, 0x64, 0);
/** Another address in the hostile client's network. */
const FORGED = "198.51.100.177";

/** ICMP, type 0. */
function isEchoReply(packet: Uint8Array): boolean {
  return packet[9] === 1 && packet[20] === 0;
}

export const STEER_ATTACKS: readonly Attack[] = [
  {
    name: "icmp-outside",
    title: "forged 'fragmentation needed' about the NAT's flows to a site",
    attacker: "stranger",
    programs: ["ping"],
    async run(topology) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      const { network } = scene;
      const client = network.clients[0]!.namespace;
      const send = async () => {
        const { stdout } = await client.run(
          ["ping", "-n", "-q", "-M", "do", "-s", "1300", "-c", "5", "-i", "0.2", SITE_ADDRESS],
          { timeoutMs: 20_000 },
        );
        return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
      };
      const before = await send();
      using injector = new Injector(network.internet);
      for (const sourcePort of [SERVER_PORT, 20_000, 25_000]) {
        const quoted = buildUdp({
          source: EXTERNAL,
          destination: SITE_ADDRESS,
          sourcePort,
          destinationPort: 443,
          payload: new Uint8Array(100),
        });
        injector.send(buildIcmp({
          ...FRAGMENTATION_NEEDED,
          source: ROUTER,
          destination: EXTERNAL,
          sequenceNumber: 552,
          identifier: 0,
          payload: quoted.subarray(0, 64),
        }));
      }
      await delay(300);
      const after = await send();
      return {
        held: before === 5 && after === 5,
        figure: `pings of 1,300 bytes with DF: ${before} of 5 before, ${after} of 5 after`,
      };
    },
  },
  {
    name: "icmp-tunnel",
    title: "forged 'fragmentation needed' about the tunnel itself",
    attacker: "stranger",
    programs: ["ping", "iperf3"],
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      const { network } = scene;
      const client = network.clients[0]!;
      const seconds = Math.max(2, 5 * scale);
      const rate = async () =>
        (await tcpFlow(client.namespace, network.gateway, INSIDE, { seconds })).receivedBytes * 8 /
        seconds / 1e6;
      await rate();
      const before = await rate();
      // From the hostile client's network, quoting the gateway's datagrams to the honest client and the other way
      // round.
      using toGateway = new Injector(network.clients[1]!.namespace);
      using toClient = new Injector(network.gateway, { device: "lan1" });
      const forge = (source: string, destination: string, ports: readonly [number, number]) =>
        buildIcmp({
          ...FRAGMENTATION_NEEDED,
          source: "198.51.100.129",
          destination: source,
          sequenceNumber: 576,
          identifier: 0,
          payload: buildUdp({
            source,
            destination,
            sourcePort: ports[0],
            destinationPort: ports[1],
            dontFragment: true,
            // A transport message; the session's index is what a stranger cannot know.
            payload: Uint8Array.of(4, 0, 0, 0, 1, 2, 3, 4, ...new Uint8Array(1_400)),
          }).subarray(0, 92),
        });
      const listed = await client.namespace.output(["ss", "-Huan"]);
      const port = Number(/:(\d+)\s/.exec(listed)?.[1] ?? 0);
      for (let i = 0; i < 20; i++) {
        toGateway.send(forge("198.51.100.1", client.outside, [SERVER_PORT, port]));
        toClient.send(forge(client.outside, "198.51.100.1", [port, SERVER_PORT]));
        await delay(20);
      }
      await delay(500);
      const after = await rate();
      return rateOutcome(before, after);
    },
  },
  {
    name: "icmp-tunnel6",
    title: "forged 'packet too big' about a tunnel over IPv6",
    attacker: "stranger",
    programs: ["ping", "iperf3", "sysctl", "nft"],
    async run(topology, scale) {
      const path = await NarrowPath.lay(topology, 1500);
      await path.useIpv6();
      const gateway = await path.startGateway();
      await path.startClient();
      const seconds = Math.max(2, 5 * scale);
      const rate = async () =>
        (await tcpFlow(path.client, path.gateway, INSIDE, { seconds })).receivedBytes * 8 /
        seconds / 1e6;
      await rate();
      const before = await rate();
      const { endpoint } = (await statusOf(gateway)).peers[0]!;
      const port = Number(/:(\d+)$/.exec(`${endpoint}`)?.[1] ?? 0);
      using toGateway = new Injector(path.far, { isIpv6: true });
      using toClient = new Injector(path.far, { isIpv6: true, device: NARROW });
      for (let i = 0; i < 20; i++) {
        const [one, other] = [NARROW_GATEWAY_OUTSIDE6, NARROW_CLIENT_OUTSIDE6];
        toGateway.send(tooBig6(one, other, [SERVER_PORT, port]));
        toClient.send(tooBig6(other, one, [port, SERVER_PORT]));
        await delay(20);
      }
      await delay(500);
      const after = await rate();
      return rateOutcome(before, after);
    },
  },
  {
    name: "amplify",
    title: "a client's packets from a forged outer address: what the gateway sends there",
    attacker: "client",
    async run(topology, scale) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      const { namespace } = scene.network.clients[1]!;
      const session = await scene.rogue.handshake();
      scene.rogue.send(
        session,
        buildUdp({ source: INNER, destination: INSIDE, destinationPort: 9 }),
      );
      await delay(1_000);
      // The forged address answers ARP, as a victim on the internet would be reached.
      await namespace.output(["ip", "address", "add", `${FORGED}/25`, "dev", CABLE]);
      using tap = new Tap(namespace);
      using injector = new Injector(namespace, { device: CABLE });
      let sent = 0;
      for (let i = 0; i < Math.max(3, 10 * scale); i++) {
        const datagram = buildUdp({
          source: FORGED,
          destination: "198.51.100.129",
          sourcePort: 5_555,
          destinationPort: SERVER_PORT,
          payload: scene.rogue.seal(session, new Uint8Array()),
        });
        injector.send(datagram);
        sent += datagram.length;
        await delay(700);
      }
      await delay(3_000);
      const received = tap.seen().filter(({ packet }) =>
        packet[16] === 198 && packet[17] === 51 && packet[18] === 100 && packet[19] === 177 &&
        packet[9] === 17
      ).reduce((sum, { packet }) => sum + packet.length, 0);
      const factor = received / sent;
      return {
        held: factor <= 3,
        figure: `${sent} bytes -> ${received} bytes, x${factor.toFixed(1)}`,
      };
    },
  },
  {
    name: "late-goodbye",
    title: "a goodbye of the session before",
    attacker: "client",
    async run(topology) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      const packet = buildUdp({ source: INNER, destination: INSIDE, destinationPort: 9 });
      const echo = buildIcmp({ source: INNER, destination: INSIDE, payload: new Uint8Array(32) });
      const old = await scene.rogue.handshake();
      scene.rogue.send(old, packet);
      await delay(200);
      const late = scene.rogue.seal(old, GOODBYE);
      const session = await scene.rogue.handshake();
      scene.rogue.send(session, packet);
      await delay(200);
      scene.rogue.sendRaw(0, late);
      await delay(200);
      scene.rogue.send(session, echo);
      const answer = await scene.rogue.receive(session, isEchoReply, 5_000);
      return {
        held: answer !== null,
        figure: `the new session ${answer === null ? "ENDED" : "lives"}`,
      };
    },
  },
  {
    name: "dns-birthday",
    title: "256 equal questions to the DNS proxy at once",
    attacker: "client",
    async run(topology) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources, { DnsProxy: INTERNET });
      const upstream = resources.use(
        new DnsServer(scene.network.internet, [INTERNET], async ({ query }) => {
          await delay(500);
          return [buildAnswer(query, { answers: [{ data: addressData("198.51.100.77") }] })];
        }),
      );
      const session = await scene.rogue.handshake();
      scene.rogue.send(
        session,
        ...Array.from({ length: 256 }, (_, i) =>
          buildUdp({
            source: INNER,
            destination: INSIDE,
            sourcePort: 10_000 + i,
            destinationPort: 53,
            payload: buildQuery({ name: "target.example", id: i }),
          })),
      );
      await delay(3_000);
      const asked =
        upstream.questions.filter(({ name }) => name.toLowerCase() === "target.example").length;
      return { held: asked >= 1 && asked <= 2, figure: `${asked} questions upstream` };
    },
  },
  {
    name: "faketcp-sweep",
    title: "a blind sweep of the sequence space of a fake TCP connection",
    attacker: "stranger",
    programs: ["ping"],
    async run(topology, scale) {
      const path = await RoutedPath.lay(topology);
      const server = await path.startServer();
      await path.startClient();
      if (!await path.answers()) return { held: false, figure: "no tunnel" };
      const port = Number(/handshake completed \(198\.51\.100\.2:(\d+)\)/.exec(server.stderr)?.[1]);
      using injector = new Injector(path.router, { device: "eth1", batch: 100 });
      const random = new Random(8);
      const count = Math.round(22_528 * Math.max(scale, 0.2));
      const step = Math.floor(2 ** 32 / count);
      const pings = path.client.run(
        ["ping", "-n", "-q", "-c", "60", "-i", "0.1", "-W", "2", INSIDE],
        { timeoutMs: 40_000 },
      );
      for (let i = 0; i < count; i += 100) {
        injector.send(...Array.from({ length: 100 }, (_, k) =>
          buildTcp({
            source: "198.51.100.2",
            destination: SERVER_OUTSIDE,
            sourcePort: port,
            destinationPort: SERVER_PORT,
            flags: 24,
            sequenceNumber: ((i + k) * step) >>> 0,
            acknowledgmentNumber: random.below(2 ** 32),
            payload: random.bytes(200),
          })));
        await delay(10);
      }
      const received = Number(/(\d+) received/.exec((await pings).stdout)?.[1] ?? 0);
      let after = 0;
      for (let i = 0; i < 5; i++) if (await path.answers()) after++;
      return {
        held: received >= 57 && after === 5,
        figure: `${count} segments: pings ${received} of 60, then ${after} of 5`,
      };
    },
  },
  {
    name: "removed-endpoint",
    title: "spoofed inner sources of the other client and of the gateway",
    attacker: "client",
    programs: ["curl"],
    async run(topology) {
      await using resources = new AsyncDisposableStack();
      const scene = await setScene(topology, resources);
      const session = await scene.rogue.handshake();
      using tap = new Tap(scene.network.internet);
      for (const source of ["10.66.77.2", INSIDE, EXTERNAL, "127.0.0.1", "203.0.113.9"]) {
        scene.rogue.send(
          session,
          buildUdp({ source, destination: SITE_ADDRESS, destinationPort: 4_321 }),
        );
      }
      await delay(1_000);
      const leaked =
        tap.seen().filter(({ packet }) =>
          packet[9] === 17 && (packet[22]! << 8 | packet[23]!) === 4_321
        ).length;
      const got = await fetches(scene, 1);
      return {
        held: leaked === 0 && got === 1,
        figure: `${leaked} of 5 forwarded; the other client got ${got} of 1`,
      };
    },
  },
];

/** Of rates in Mbit/s before an attack and after it: what it costs for a moment is not what it steers. */
function rateOutcome(before: number, after: number): Outcome {
  return {
    held: after > before / 2,
    figure: `${before.toFixed(0)} -> ${after.toFixed(0)} Mbit/s`,
  };
}
