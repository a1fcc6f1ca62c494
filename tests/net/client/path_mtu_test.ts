/**
 * Paths to a peer that are narrower than either end knows: nothing stands still, and after a moment nothing is in
 * fragments.
 */
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { downloads } from "../support/traffic/everyday.ts";
import { buildIcmp, buildUdp } from "../../support/packets/packet_builder.ts";
import {
  EXTERNAL,
  INTERNET,
  NARROW_CLIENT_OUTSIDE,
  NARROW_PATH_PROGRAMS,
  NarrowPath,
} from "../support/narrow_path.ts";
import { eventually } from "../../support/time/patience.ts";
import { Injector, sendUdp, Tap, u16 } from "../support/outside.ts";
import { record, RECORDING_PROGRAMS } from "../support/traffic/recording.ts";
import { Site } from "../support/site.ts";
import { simpleTunnel } from "../support/simple_tunnel.ts";
import { transfer, TRANSFER_PROGRAMS } from "../support/traffic/transfer.ts";
import { startVpn } from "../support/programs/vpn.ts";
import {
  CABLE,
  CLIENT_INSIDE,
  CLIENT_OUTSIDE,
  delay,
  layWire,
  SERVER_INSIDE,
  SERVER_OUTSIDE,
  SERVER_PORT,
} from "../support/wire.ts";
import { WIREGUARD_GO_PROGRAMS } from "../support/programs/wireguard_go.ts";
import { expectReached } from "../support/traffic/traffic.ts";

const PROGRAMS = [...NARROW_PATH_PROGRAMS, ...TRANSFER_PROGRAMS];
const LENGTH = 10 * 1024 * 1024;
/** ms in which something of a file has to arrive, on a machine that is busy with other things. */
const LONGEST_PAUSE = 10_000;
const PATH_MTU = 1280;
const INNER_MTU = 1220;
/** The same of a peer of another kind, which pads to 16 bytes. */
const NARROWED_STOCK = /the path MTU inside the tunnel is 1216 bytes/;
const NARROWED = /the path MTU inside the tunnel is 1220 bytes/;

const FRAGMENTS = "ip[6:2] & 0x3fff != 0";
const DONT_FRAGMENT = "udp and ip[6:2] & 0x4000 != 0";

async function send(from: TestNamespace, to: TestNamespace, address: string): Promise<void> {
  const { intact, longestPause } = await transfer(from, to, { address, length: LENGTH });
  assert(intact, `what was sent to ${address} arrived otherwise`);
  assert(longestPause < LONGEST_PAUSE, `nothing arrived at ${address} for ${longestPause} ms`);
}

/** Sends a file in both directions. */
async function sendBothWays({ client, gateway }: NarrowPath): Promise<void> {
  await send(client, gateway, SERVER_INSIDE);
  await send(gateway, client, CLIENT_INSIDE);
}

/** Rounds of files that a search for a path's MTU may last; each takes 2 s, and 20 s on a busy machine. */
const ROUNDS = 10;

/** Carries files until a round of it leaves none of these: the search for a path's MTU comes to an end. */
async function untilClean(round: () => Promise<Readonly<Record<string, number>>>): Promise<void> {
  const before: string[] = [];
  while (before.length < ROUNDS) {
    const counts = await round();
    if (Object.values(counts).every((count) => count === 0)) return;
    before.push(JSON.stringify(counts));
  }
  throw new Error(`Each round had fragments, probes or reports: ${before.join(", ")}`);
}

/** Waits until a namespace has these bytes for its tunnel. */
async function hasMtu(namespace: TestNamespace, mtu: number): Promise<void> {
  await eventually(async () => await tunMtu(namespace) === mtu || null, { what: `MTU ${mtu}` });
}

async function tunMtu(namespace: TestNamespace): Promise<number> {
  const link = await namespace.output(["ip", "link", "show", "dev", "vpn0"]);
  return Number(/ mtu (\d+) /.exec(link)?.[1]);
}

for (const silent of [false, true]) {
  netTest(
    `a path of 1,280 bytes carries files both ways, in fragments for a moment at most${
      silent ? ", though its routers tell nobody" : ""
    }`,
    async (topology) => {
      const path = await NarrowPath.lay(topology, PATH_MTU);
      if (silent) await path.silence();
      const gateway = await path.startGateway();
      const client = await path.startClient();
      // At once: what is too long still goes in fragments, and no packet waits for anything.
      await sendBothWays(path);
      await client.waitFor(NARROWED);
      await gateway.waitFor(NARROWED);
      await using site = new Site(path.internet, 80);
      await untilClean(async () => {
        await using outside = await record(path.far, CABLE, "ip");
        await using inside = await record(path.gateway, "vpn0", "icmp");
        await sendBothWays(path);
        await send(path.client, path.internet, INTERNET);
        assert(await downloads(path.client, site), "a download arrived otherwise than it was sent");
        await outside.stop();
        await inside.stop();
        return {
          fragments: await outside.count(FRAGMENTS),
          probes: await outside.count(DONT_FRAGMENT),
          // The client's host knows its link's MTU, and announces segments that fit: nobody has to be told.
          told: await inside.count("icmp"),
        };
      });
      assertEquals([await tunMtu(path.client), await tunMtu(path.gateway)], [INNER_MTU, 1420]);
    },
    { programs: [...PROGRAMS, ...RECORDING_PROGRAMS] },
  );
}

netTest("the gateway's host is told of the narrow path", async (topology) => {
  const path = await NarrowPath.lay(topology, PATH_MTU);
  const gateway = await path.startGateway();
  await path.startClient();
  await gateway.waitFor(NARROWED);
  const ping = (how: string) =>
    path.gateway.run(["ping", "-n", "-c", "1", "-W", "2", "-M", how, "-s", "1300", CLIENT_INSIDE]);
  assertMatch((await ping("do")).stdout, /Frag(?:mentation)? needed.*mtu = 1220/);
  // The kernel has taken note for that client, and for it alone.
  const route = (address: string) => path.gateway.output(["ip", "route", "get", address]);
  assertMatch(await route(CLIENT_INSIDE), /mtu 1220/);
  assertEquals((await route("10.66.77.3")).includes("mtu"), false);
  assertMatch((await ping("dont")).stdout, /1 received/);
}, { programs: [...PROGRAMS, "ping"] });

netTest("a sender on the internet is told of the narrow path", async (topology) => {
  const path = await NarrowPath.lay(topology, PATH_MTU);
  const gateway = await path.startGateway({ Forward: `udp:9000 -> ${CLIENT_INSIDE}:9000` });
  await path.startClient();
  await gateway.waitFor(NARROWED);
  using tap = new Tap(path.internet, { device: CABLE });
  using injector = new Injector(path.internet, { device: CABLE });
  injector.send(buildUdp({
    source: INTERNET,
    destination: EXTERNAL,
    destinationPort: 9000,
    dontFragment: true,
    payload: new Uint8Array(1300),
  }));
  const [{ packet }] = await tap.waitFor(([, , , , , , , , , protocol]) => protocol === 1);
  assertEquals([packet[20], packet[21], u16(packet, 26)], [3, 4, INNER_MTU]);
}, { programs: PROGRAMS });

netTest(
  "whom a peer talks to by the host and its NAT are told of the narrow path, and TCP ahead of it",
  async (topology) => {
    const path = await NarrowPath.lay(topology, PATH_MTU);
    const gateway = await path.startGateway({ Egress: "kernel" });
    // It takes its tunnel to be wider than it is, and says so to those whom it talks to.
    const { name } = await path.startOtherClient();
    await expectReached(path.client, SERVER_INSIDE);
    await gateway.waitFor(NARROWED_STOCK);
    const syn = "tcp[tcpflags] & tcp-syn != 0";
    await using outside = await record(path.internet, CABLE, syn, { immediate: true });
    await using inside = await record(path.client, name, syn, { immediate: true });
    await using site = new Site(path.internet, 80);
    assert(await downloads(path.client, site), "a download arrived otherwise than it was sent");
    await send(path.client, path.gateway, SERVER_INSIDE);
    await outside.stop();
    await inside.stop();
    const sizes = [
      await outside.describe(`src host ${EXTERNAL}`),
      await inside.describe(`src host ${INTERNET}`),
      await inside.describe(`src host ${SERVER_INSIDE}`),
    ].map((syns) => [...new Set(syns.match(/mss \d+/g))]);
    assertEquals(sizes, [["mss 1176"], ["mss 1176"], ["mss 1176"]]);

    using tap = new Tap(path.internet, { device: CABLE });
    using injector = new Injector(path.internet, { device: CABLE });
    sendUdp(path.client, { address: INTERNET, port: 9000 }, new Uint8Array(1));
    const [question] = await tap.waitFor((packet) => packet[9] === 17);
    injector.send(buildUdp({
      source: INTERNET,
      destination: EXTERNAL,
      sourcePort: 9000,
      destinationPort: u16(question.packet, 20),
      dontFragment: true,
      payload: new Uint8Array(1300),
    }));
    const [{ packet }] = await tap.waitFor((packet) =>
      packet[9] === 1 && packet[20] === 3 && packet[21] === 4
    );
    assertEquals(u16(packet, 26), 1216);
  },
  {
    programs: [...PROGRAMS, ...WIREGUARD_GO_PROGRAMS, ...RECORDING_PROGRAMS, "ping"],
  },
);

for (const other of ["client", "gateway"] as const) {
  netTest(
    `a path of 1,280 bytes carries files both ways with wireguard-go for a ${other}, ours in fragments for a moment at most`,
    async (topology) => {
      const path = await NarrowPath.lay(topology, PATH_MTU);
      if (other === "gateway") await path.startOtherGateway();
      const ours = await (other === "client" ? path.startGateway() : path.startClient());
      if (other === "client") await path.startOtherClient();
      await sendBothWays(path);
      // It answers no probes: what the routers say of those has to do.
      await ours.waitFor(NARROWED_STOCK);
      await using site = new Site(path.internet, 80);
      const source = other === "client" ? SERVER_OUTSIDE : NARROW_CLIENT_OUTSIDE;
      await untilClean(async () => {
        await using outside = await record(path[other], CABLE, "ip");
        await sendBothWays(path);
        if (other === "client") {
          await send(path.client, path.internet, INTERNET);
          assert(
            await downloads(path.client, site),
            "a download arrived otherwise than it was sent",
          );
        }
        await outside.stop();
        return { fragments: await outside.count(`src host ${source} and ${FRAGMENTS}`) };
      });
    },
    { programs: [...PROGRAMS, ...WIREGUARD_GO_PROGRAMS, ...RECORDING_PROGRAMS] },
  );
}

netTest("a path that becomes narrow under a transfer does not stop it", async (topology) => {
  const path = await NarrowPath.lay(topology, 1500);
  await path.startGateway();
  await path.startClient();
  await hasMtu(path.client, 1420);
  const transfers = Promise.all([
    sendBothWays(path),
    send(path.client, path.internet, INTERNET),
  ]);
  await delay(50);
  await path.setMtu(PATH_MTU);
  await transfers;
}, { programs: PROGRAMS });

netTest("a client whose own link is narrow begins with what that takes", async (topology) => {
  const path = await NarrowPath.lay(topology, 1500);
  await path.client.output(["ip", "link", "set", CABLE, "mtu", "1300"]);
  await path.startGateway();
  await path.startClient();
  assertEquals(await tunMtu(path.client), 1240);
  await sendBothWays(path);
}, { programs: PROGRAMS });

netTest("MTU is the most that a path is given, and not the least", async (topology) => {
  const path = await NarrowPath.lay(topology, PATH_MTU);
  await path.startGateway({ MTU: 1100 });
  const client = await path.startClient({ MTU: 1100 });
  await using outside = await record(path.far, CABLE, "ip");
  await sendBothWays(path);
  assertEquals([await tunMtu(path.client), await tunMtu(path.gateway)], [1100, 1100]);
  await client.stop();
  await path.startClient({ MTU: 1440 });
  await hasMtu(path.client, INNER_MTU);
  await outside.stop();
  assertEquals(await outside.count(FRAGMENTS), 0);
}, { programs: [...PROGRAMS, ...RECORDING_PROGRAMS] });

netTest("a path that has grown is used in full once the kernel has forgotten", async (topology) => {
  const path = await NarrowPath.lay(topology, PATH_MTU);
  await path.forgetAfter(1);
  await path.startGateway();
  const client = await path.startClient();
  await client.waitFor(NARROWED);
  await path.setMtu(1500);
  // The next session, after 120 seconds in use, looks at the path again.
  const ping = path.client.spawn(["ping", "-n", "-i", "1", SERVER_INSIDE]);
  await client.waitFor(/the path MTU inside the tunnel is 1420 bytes/, 140_000);
  await ping.stop();
  assertEquals(await tunMtu(path.client), 1420);
}, { programs: [...PROGRAMS, "ping"], slow: true });

netTest(
  "a forged 'fragmentation needed' about the tunnel narrows it at neither end",
  async (topology) => {
    const wire = await layWire(topology);
    const tunnel = simpleTunnel();
    const server = await startVpn("server", wire.server, tunnel.server());
    const client = await startVpn("client", wire.client, tunnel.client());
    const listed = await wire.client.output(["ss", "-Huan"]);
    const port = Number(/:(\d+)\s/.exec(listed)?.[1]);
    /** What a router would say to `from` of its datagrams to `to`. */
    const forge = (from: string, to: string, ports: readonly [number, number]) =>
      buildIcmp({
        type: 3,
        code: 4,
        source: "192.0.2.77",
        destination: from,
        sequenceNumber: 576,
        identifier: 0,
        payload: buildUdp({
          source: from,
          destination: to,
          sourcePort: ports[0],
          destinationPort: ports[1],
          dontFragment: true,
          // A transport message; the session's index is what a stranger cannot know.
          payload: Uint8Array.of(4, 0, 0, 0, 1, 2, 3, 4, ...new Uint8Array(1_400)),
        }).subarray(0, 92),
      });
    using toServer = new Injector(wire.client, { device: CABLE });
    using toClient = new Injector(wire.server, { device: CABLE });
    await using outside = await record(wire.client, CABLE, "ip");
    for (let i = 0; i < 10; i++) {
      toServer.send(forge(SERVER_OUTSIDE, CLIENT_OUTSIDE, [SERVER_PORT, port]));
      toClient.send(forge(CLIENT_OUTSIDE, SERVER_OUTSIDE, [port, SERVER_PORT]));
      await delay(50);
    }
    await send(wire.client, wire.server, SERVER_INSIDE);
    await send(wire.server, wire.client, CLIENT_INSIDE);
    await outside.stop();
    assertEquals(await outside.count(FRAGMENTS), 0);
    for (const { stderr } of [server, client]) {
      assert(!stderr.includes("the path MTU inside"), stderr);
    }
  },
  { programs: [...PROGRAMS, ...RECORDING_PROGRAMS, "ss"] },
);

netTest("a path in use that changes in the midst of a session is noticed", async (topology) => {
  const path = await NarrowPath.lay(topology, 1500);
  const gateway = await path.startGateway();
  const client = await path.startClient();
  const setMtu = (mtu: number) => path.client.output(["ip", "link", "set", CABLE, "mtu", `${mtu}`]);
  const clientHas = (mtu: number) => hasMtu(path.client, mtu);
  // The first link, on an idle tunnel.
  await setMtu(1300);
  await clientHas(1240);
  await setMtu(1500);
  await clientHas(1420);
  // One behind it, of which nobody tells: data is cut up there, and arrives.
  await path.setMtu(PATH_MTU);
  const ping = path.client.spawn(["ping", "-n", "-q", "-i", "0.1", SERVER_INSIDE]);
  await clientHas(INNER_MTU);
  await gateway.waitFor(NARROWED);
  await ping.stop();
  await client.stop();
}, { programs: [...PROGRAMS, "ping"] });

netTest("a jumbo path is used in full where MTU allows it", async (topology) => {
  const path = await NarrowPath.lay(topology, 9000);
  for (const [namespace, device] of path.cables) {
    await namespace.output(["ip", "link", "set", device, "mtu", "9000"]);
  }
  await path.startGateway({ MTU: "auto" });
  await path.startClient({ MTU: "auto" });
  for (const end of [path.client, path.gateway]) await hasMtu(end, 8940);
  await sendBothWays(path);
  // Behind a router that takes less, it falls back.
  await path.setMtu(1500);
  const ping = path.client.spawn(["ping", "-n", "-q", "-i", "0.1", SERVER_INSIDE]);
  await hasMtu(path.client, 1440);
  await ping.stop();
}, { programs: [...PROGRAMS, "ping"] });
