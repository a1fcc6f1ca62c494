/** Packets too long for the inside of a tunnel: what tells the senders, and what keeps TCP from needing to be told. */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { eventually, PATIENCE } from "../../support/time/patience.ts";
import { buildIcmp, buildUdp } from "../../support/packets/packet_builder.ts";
import { Arena } from "../../../ffi/arena.ts";
import { listenOn } from "../support/doctor.ts";
import { downloads } from "../support/traffic/everyday.ts";
import {
  EXTERNAL,
  GATEWAY_PROGRAMS,
  GatewayNetwork,
  INTERNET,
  OTHER_INTERNET,
  ROUTER,
  UPLINK,
} from "../support/gateway.ts";
import { Injector, Tap, u16, UdpSender } from "../support/outside.ts";
import { record, RECORDING_PROGRAMS } from "../support/traffic/recording.ts";
import { ARENA_SIZE, openSocket } from "../support/traffic/sockets.ts";
import { Site } from "../support/site.ts";
import { SERVER_PORT } from "../support/wire.ts";
import { transfer, TRANSFER_PROGRAMS } from "../support/traffic/transfer.ts";

const PROGRAMS = [...GATEWAY_PROGRAMS, "tcpdump"];
const INNER_MTU = 1420;
const PORT = 9000;
const FORWARD = `udp:${PORT} -> 10.66.77.2:${PORT}`;
/** With the headers of UDP and IPv4 as long as the wire outside takes. */
const FULL_PAYLOAD = 1500 - 28;

const isTooLong = (packet: Uint8Array) => packet[9] === 1 && packet[20] === 3 && packet[21] === 4;

for (const Capture of ["packet", "nfqueue"]) {
  netTest(
    `a sender outside is told the inner MTU when Capture is ${Capture}`,
    async (topology) => {
      const network = await GatewayNetwork.lay(topology);
      const { internet, client } = network;
      await network.startBoth({ Forward: FORWARD, Capture });
      using tap = new Tap(internet, { device: UPLINK });
      using injector = new Injector(internet, { device: UPLINK });
      const datagram = buildUdp({
        source: INTERNET,
        destination: EXTERNAL,
        destinationPort: PORT,
        dontFragment: true,
        payload: new Uint8Array(FULL_PAYLOAD),
      });
      injector.send(datagram);
      const [{ packet }] = await tap.waitFor(isTooLong);
      assertEquals(u16(packet, 26), INNER_MTU);
      // The packet that it is about, as the sender knows it.
      assertEquals([...packet.subarray(28 + 12, 28 + 24)], [...datagram.subarray(12, 24)]);

      // The kernel of the sender has taken note: what it sends now is in fragments that fit.
      const arena = new Arena(ARENA_SIZE);
      using socket = openSocket(client.namespace, arena, PORT);
      const payload = crypto.getRandomValues(new Uint8Array(FULL_PAYLOAD));
      using sender = new UdpSender(internet);
      const arrived = await eventually(() => {
        sender.send({ address: EXTERNAL, port: PORT }, payload);
        const count = socket.receive();
        return count > 0
          ? arena.bytes.slice(
            socket.receivedOffsets[0]!,
            socket.receivedOffsets[0]! + socket.receivedLengths[0]!,
          )
          : null;
      });
      assertEquals(arrived, payload);
    },
    { programs: PROGRAMS },
  );
}

netTest("the MSS is clamped to the gateway's inner MTU", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { internet, client: { namespace: client } } = network;
  await network.start({ MTU: 1280 });
  // A client that takes its tunnel to be wider than it is.
  await network.connect(network.client, { MTU: 1420 });
  await using syns = await record(internet, UPLINK, "tcp[tcpflags] & tcp-syn != 0", {
    immediate: true,
  });
  await using site = new Site(internet, 80);
  assert(await downloads(client, site), "a download arrived otherwise than it was sent");
  const { intact } = await transfer(client, internet, { address: INTERNET, length: 2_000_000 });
  assert(intact, "an upload arrived otherwise than it was sent");
  await syns.stop();
  const sizes = (await syns.describe(`src host ${EXTERNAL}`)).match(/mss \d+/g);
  assertEquals(new Set(sizes), new Set(["mss 1240"]));
}, { programs: [...PROGRAMS, ...RECORDING_PROGRAMS, ...TRANSFER_PROGRAMS] });

netTest("a client is told the MTU outside when that is the narrower one", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway, internet, client: { namespace: client } } = network;
  for (const namespace of [gateway, internet]) {
    await namespace.output(["ip", "link", "set", UPLINK, "mtu", "1300"]);
  }
  await network.startBoth();
  // 1,400 bytes with their headers, not to be fragmented, and then fragmented by the gateway.
  const ping = ["ping", "-n", "-c", "1", "-W", "2", "-s", "1372", INTERNET];
  assertMatch(
    (await client.run([...ping, "-M", "do"])).stdout,
    /Frag(?:mentation)? needed.*mtu = 1300/,
  );
  await client.output(["ip", "route", "flush", "cache"]);
  await client.output([...ping, "-M", "dont"]);
  await client.output(["ip", "route", "flush", "cache"]);
  const { intact } = await transfer(client, internet, { address: INTERNET, length: 2_000_000 });
  assert(intact, "an upload arrived otherwise than it was sent");
}, { programs: [...PROGRAMS, ...TRANSFER_PROGRAMS] });

netTest(
  "a client is told when the MTU outside shrinks under a running gateway",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const { gateway, internet, client: { namespace: client } } = network;
    await network.startBoth();
    const ping = ["ping", "-n", "-c", "1", "-W", "2", "-s", "1372", INTERNET];
    await client.output([...ping, "-M", "do"]);
    for (const namespace of [gateway, internet]) {
      await namespace.output(["ip", "link", "set", UPLINK, "mtu", "1300"]);
    }
    // The first packet may find it out, or the notification has come before.
    assertMatch(
      (await client.run([...ping, "-M", "do"])).stdout,
      /Frag(?:mentation)? needed.*mtu = 1300/,
    );
    await client.output(["ip", "route", "flush", "cache"]);
    await client.output([...ping, "-M", "dont"]);
  },
  { programs: PROGRAMS },
);

/** A router's claim that the path takes next to nothing, of a packet of the gateway's. */
function claim(sourcePort: number, about = INTERNET): Uint8Array<ArrayBuffer> {
  const quoted = buildUdp({
    source: EXTERNAL,
    destination: about,
    sourcePort,
    destinationPort: 443,
    payload: new Uint8Array(100),
  });
  const tooLong = { type: 3, code: 4, identifier: 0, sequenceNumber: 552 };
  return buildIcmp({
    ...tooLong,
    source: ROUTER,
    destination: EXTERNAL,
    payload: quoted.subarray(0, 64),
  });
}

/** Answers, of five, to pings of 1,328 bytes that nobody may fragment. */
async function wholePings(client: TestNamespace): Promise<number> {
  const { stdout } = await client.run(
    [
      "ping",
      "-n",
      "-q",
      "-M",
      "do",
      "-s",
      "1300",
      "-c",
      "5",
      "-l",
      "5",
      "-i",
      "5",
      "-W",
      "10",
      INTERNET,
    ],
    { timeoutMs: PATIENCE },
  );
  return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
}

netTest(
  "a forged claim about a path shrinks no packet of a client's to that host",
  async (topology) => {
    const network = await GatewayNetwork.lay(topology);
    const { gateway, internet, client: { namespace: client } } = network;
    await network.startBoth();
    // A service of the host's own, which gives a forger a socket to quote.
    await listenOn(gateway, "udp", 5_353);
    assertEquals(await wholePings(client), 5);
    using injector = new Injector(internet);
    injector.send(...[SERVER_PORT, 5_353, 20_000, 25_000].map((port) => claim(port)));
    // The kernel believes it; the gateway does not ask it.
    await eventually(async () =>
      (await gateway.output(["ip", "route", "get", INTERNET])).includes("mtu 552") || null
    );
    assertEquals(await wholePings(client), 5);
  },
  { programs: PROGRAMS },
);

netTest("a forged claim that quotes the tunnel's port is believed by nobody", async (topology) => {
  const network = await GatewayNetwork.lay(topology);
  const { gateway, internet } = network;
  await network.startBoth();
  await listenOn(gateway, "udp", 5_353);
  using injector = new Injector(internet);
  // The kernel believes the second, about another service: the first has had its effect by then, if it has any.
  injector.send(claim(SERVER_PORT), claim(5_353, OTHER_INTERNET));
  const routeTo = (address: string) => gateway.output(["ip", "route", "get", address]);
  await eventually(async () => (await routeTo(OTHER_INTERNET)).includes("mtu 552") || null);
  const route = await routeTo(INTERNET);
  assertEquals(route.includes("mtu"), false, route);
}, { programs: PROGRAMS });
