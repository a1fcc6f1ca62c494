/** Fake TCP through routers that judge, change or spoil TCP connections. */
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { eventually, PATIENCE } from "../../support/time/patience.ts";
import { withoutChecksumOffload } from "../support/traffic/checksum_offload.ts";
import { record, RECORDING_PROGRAMS } from "../support/traffic/recording.ts";
import {
  CLIENT_ADDRESS,
  NO_UDP,
  ROUTED_PATH_PROGRAMS,
  RoutedPath,
  ROUTER_TO_SERVER,
  STRICT,
} from "../support/routed_path.ts";
import { ping, tcpFlow } from "../support/traffic/traffic.ts";
import { transfer, TRANSFER_PROGRAMS } from "../support/traffic/transfer.ts";
import { CABLE, CLIENT_INSIDE, delay, SERVER_INSIDE, SERVER_PORT } from "../support/wire.ts";

const PROGRAMS = [...ROUTED_PATH_PROGRAMS, ...TRANSFER_PROGRAMS];
/** The keys of packets are other threads' than the connection's. */
const THREADS = { DataPlaneThreads: "2" };
const MEGABYTE = 1024 * 1024;
/** A stall that a busy machine does not explain; ms. */
const LONGEST_PAUSE = 10_000;
/**
 * The same for a connection inside of which packets are lost: of its own retransmission time-outs, five double in a
 * row.
 */
const LONGEST_PAUSE_WITH_LOSS = 15_000;

/** Ten megabytes each way arrive as they were sent, and never stand still. */
async function assertCarries(
  { client, server }: RoutedPath,
  longest = LONGEST_PAUSE,
): Promise<void> {
  const length = 10 * MEGABYTE;
  const up = await transfer(client, server, { address: SERVER_INSIDE, length });
  const down = await transfer(server, client, { address: CLIENT_INSIDE, length });
  for (const { intact, longestPause } of [up, down]) {
    assert(intact);
    assert(longestPause < longest, `nothing arrived for ${longestPause} ms`);
  }
}

/** ms between two pings that look for a stall. */
const PING_INTERVAL = 20;

/** The longest time in ms in which no ping was answered, of those sent for some seconds. */
async function longestSilence({ client }: RoutedPath, seconds: number): Promise<number> {
  const count = seconds * 1000 / PING_INTERVAL;
  const { stdout } = await client.run(
    ["ping", "-n", "-c", `${count}`, "-i", `${PING_INTERVAL / 1000}`, "-W", "1", SERVER_INSIDE],
    { timeoutMs: seconds * 2_000 + PATIENCE },
  );
  const answered = Array.from(stdout.matchAll(/icmp_seq=(\d+)/g), ([, seq]) => Number(seq));
  let longest = 0;
  let last = 0;
  for (const seq of [...answered, count + 1]) {
    longest = Math.max(longest, seq - last);
    last = seq;
  }
  return longest * PING_INTERVAL;
}

/** Five of a hundred packets never reach the firewall, each way, and as many never leave the router. */
const LOSS = `
  table ip loss {
    chain before { type filter hook prerouting priority -350; numgen random mod 1000 < 25 drop; }
    chain behind { type filter hook postrouting priority 350; numgen random mod 1000 < 25 drop; }
  }`;

for (
  const { name, slow, seconds, loss, section } of [
    { name: "without loss", slow: false, seconds: 3, loss: false, section: {} },
    { name: "with 5 % lost, by threads", slow: false, seconds: 3, loss: true, section: THREADS },
    { name: "for 30 s each way, with 5 % lost", slow: true, seconds: 30, loss: true, section: {} },
    { name: "for 30 s each way, without loss", slow: true, seconds: 30, loss: false, section: {} },
  ]
) {
  netTest(`strict connection tracking finds nothing invalid, ${name}`, async (topology) => {
    const path = await RoutedPath.lay(topology);
    await path.firewall(STRICT + NO_UDP + (loss ? LOSS : ""));
    const { client, server } = path;
    // One by one, as on a real wire: what a virtual one carries merged would be lost, and judged, 45 segments at a
    // time.
    if (loss) { for (const end of [client, server]) withoutChecksumOffload(end, CABLE); }
    await path.startServer(section);
    await path.startClient(section);
    // A connection inside may wait for its own time-outs where packets are lost; the transport may not.
    const silence = longestSilence(path, 2 * seconds);
    for (const reverse of [false, true]) {
      const flow = await tcpFlow(client, server, SERVER_INSIDE, { seconds, reverse });
      assert(flow.receivedBytes > 0);
      assert(loss || flow.seconds.every((bytes) => bytes > 0), `stood still: ${flow.seconds}`);
    }
    assert(await silence < LONGEST_PAUSE, `no ping came back for ${await silence} ms`);
    await assertCarries(path, loss ? LONGEST_PAUSE_WITH_LOSS : LONGEST_PAUSE);
    assertEquals(await path.invalidPackets(), 0);
  }, { programs: [...PROGRAMS, "iperf3"], slow });
}

netTest("the strict router does count and drop what is invalid", async (topology) => {
  const path = await RoutedPath.lay(topology);
  await path.firewall(STRICT);
  await path.startServer();
  await path.startClient();
  // Its connection is forgotten: with tcp_loose = 0, no segment of it is valid any more.
  await path.router.output(["conntrack", "-F"]);
  await path.answers();
  assert(await path.invalidPackets() > 0);
}, { programs: [...PROGRAMS, "conntrack"] });

for (const [label, ...flags] of [["with offload"], ["without offload", "--no-offload"]]) {
  netTest(`through a router that masquerades, ${label}`, async (topology) => {
    const path = await RoutedPath.lay(topology, { masquerades: true });
    await path.firewall(STRICT + NO_UDP);
    const server = await path.startServer({}, ...flags);
    await path.startClient({}, ...flags);
    await assertCarries(path);
    await server.waitFor(new RegExp(`handshake completed \\(${ROUTER_TO_SERVER}:\\d+\\)`));
    assertEquals(await path.invalidPackets(), 0);
  }, { programs: PROGRAMS });
}

netTest(
  "through a SYN proxy, by threads, which acknowledge before a window of 64 KB is full",
  async (topology) => {
    const path = await RoutedPath.lay(topology);
    await path.router.output([
      "sh",
      "-ec",
      [
        `iptables -t raw -A PREROUTING -i ${CABLE} -p tcp --syn -j CT --notrack`,
        "iptables -A FORWARD -p tcp -m conntrack --ctstate INVALID,UNTRACKED " +
        "-j SYNPROXY --sack-perm --timestamp --wscale 14 --mss 1460",
        "iptables -A FORWARD -p udp -j DROP",
        "iptables -A FORWARD -m conntrack --ctstate INVALID -j DROP",
      ].join("\n"),
    ]);
    await path.firewall("");
    await path.startServer(THREADS);
    const client = await path.startClient(THREADS);
    await assertCarries(path);
    assertStringIncludes(client.stderr, "by fake TCP");
  },
  { programs: [...PROGRAMS, "iptables"] },
);

netTest("through a router that clamps the MSS to what its narrow link takes", async (topology) => {
  const path = await RoutedPath.lay(topology);
  for (const [end, device] of [[path.router, "eth1"], [path.server, CABLE]] as const) {
    await end.output(["ip", "link", "set", device, "mtu", "1300"]);
  }
  await path.firewall(
    STRICT + NO_UDP + `
    table ip clamp {
      chain forward {
        type filter hook forward priority mangle;
        tcp flags syn tcp option maxseg size set rt mtu;
      }
    }`,
  );
  await path.startServer();
  const client = await path.startClient();
  await assertCarries(path);
  assertEquals(await path.invalidPackets(), 0);
  await client.waitFor(/the path MTU inside the tunnel is 1228 bytes/);
}, { programs: PROGRAMS });

netTest("two SYN/ACKs lost: the third SYN connects the client", async (topology) => {
  const path = await RoutedPath.lay(topology);
  await path.router.output([
    "sh",
    "-ec",
    [
      "iptables -N FIRST",
      "iptables -A FORWARD -p tcp --tcp-flags SYN,ACK SYN,ACK -j FIRST",
      "iptables -A FIRST -m quota --quota 96 -j DROP",
    ].join("\n"),
  ]);
  await path.startServer();
  // It is about the SYNs: a busy machine may need longer than the 2.5 s that are usual.
  await path.startClient({ ConnectTimeout: "20" });
  assert(await path.answers());
  const listed = await path.router.output(["iptables", "-nvxL", "FIRST"]);
  assertMatch(listed, /^\s*2\s+96 DROP/m);
}, { programs: [...PROGRAMS, "iptables"] });

netTest(
  "a firewall forgets the connection: the tunnel goes on by another one, from another port",
  async (topology) => {
    const path = await RoutedPath.lay(topology);
    await path.firewall(STRICT + NO_UDP);
    await path.startServer();
    const client = await path.startClient();
    const port = await clientPort(path);
    // With tcp_loose = 0, no segment of it is valid any more, and nobody is told.
    await path.router.output(["conntrack", "-F"]);
    assert(!(await path.answers()));
    await client.waitFor(/reconnected to \S+ by fake TCP/);
    assert(await path.answers());
    assert(await clientPort(path) !== port);
  },
  { programs: [...PROGRAMS, "conntrack"] },
);

netTest("an injected RST: the tunnel goes on, from another port", async (topology) => {
  const path = await RoutedPath.lay(topology);
  await path.firewall(STRICT + NO_UDP);
  await path.startServer();
  await path.startClient();
  // A firewall that believes RST: it ends each connection that there is now, with RST to both ends.
  const port = await clientPort(path);
  await path.firewall(`
    table ip cut {
      chain forward {
        type filter hook forward priority filter - 1;
        tcp dport ${SERVER_PORT} tcp sport ${port} reject with tcp reset;
        tcp sport ${SERVER_PORT} tcp dport ${port} reject with tcp reset;
      }
    }`);
  await eventually(async () => await path.answers() || null);
  assert(await clientPort(path) !== port);
}, { programs: [...PROGRAMS, "conntrack"] });

/** The port that the client's connection is from, as the router has it. */
async function clientPort({ router }: RoutedPath): Promise<number> {
  const { stdout } = await router.run(["conntrack", "-L", "-p", "tcp", "--state", "ESTABLISHED"]);
  const ports = Array.from(
    stdout.matchAll(
      new RegExp(`src=${CLIENT_ADDRESS} dst=\\S+ sport=(\\d+) dport=${SERVER_PORT}`, "g"),
    ),
    ([, port]) => Number(port),
  );
  if (ports.length === 0) throw new Error(`Cannot find the connection in ${stdout}`);
  return ports[0]!;
}

netTest(
  "tshark takes what is on the wire for TCP, with nothing worse than retransmissions",
  async (topology) => {
    const path = await RoutedPath.lay(topology);
    await path.firewall(STRICT + NO_UDP);
    // Virtual interfaces leave checksums, and the cutting up of what is merged, to a machine that there is not.
    for (const end of [path.client, path.server]) withoutChecksumOffload(end, CABLE);
    await using recording = await record(path.router, CABLE, "tcp");
    await path.startServer();
    const client = await path.startClient();
    await ping(path.client, SERVER_INSIDE);
    const { intact } = await transfer(path.client, path.server, {
      address: SERVER_INSIDE,
      length: MEGABYTE,
    });
    assert(intact);
    client.signal("SIGTERM");
    await client.status;
    await delay(200);
    await recording.stop();
    const notes = await recording.expertNotes();
    assert(notes.packets > 500, `${notes.packets} packets`);
    assertEquals(notes.badChecksums, 0);
    // Errors and warnings there are none of, but that a connection ends by RST; tests/net/README.md lists the rest.
    assertEquals(notes.severe.filter((text) => !/\(RST\)/.test(text)), []);
  },
  { programs: [...PROGRAMS, ...RECORDING_PROGRAMS, "tshark"] },
);
