/**
 * Tests of segmentation offload on real tunnels: what goes in comes out, on paths that lose and reorder, and everything
 * on the wire has the size and the checksums that it must have.
 */
import { assert, assertEquals } from "../../support/assert.ts";
import { boringsslTrouble } from "../../support/cipher_packages.ts";
import {
  type BackgroundProcess,
  netTest,
  type TestNamespace,
  type Topology,
} from "../../support/net.ts";
import { withoutChecksumOffload } from "../support/traffic/checksum_offload.ts";
import { configText, newIdentity, type Section, temporaryFile } from "../support/config.ts";
import { record, type Recording, RECORDING_PROGRAMS } from "../support/traffic/recording.ts";
import { reorderDatagrams } from "../support/reordering.ts";
import { transfer, TRANSFER_PROGRAMS } from "../support/traffic/transfer.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import {
  CABLE,
  CLIENT_INSIDE,
  layWire,
  SERVER_ENDPOINT,
  SERVER_INSIDE,
  SERVER_PORT,
  SUBNET,
  type Wire,
} from "../support/wire.ts";

const PROGRAMS = ["ip", ...TRANSFER_PROGRAMS];
const SIZE = 24_000_000;
/** Where datagrams are lost or reordered, TCP is slower. */
const SMALL_SIZE = 6_000_000;
/** ms in which something must arrive, whatever the path does. */
const STALL = 10_000;
const NO_OFFLOAD = "--no-offload";
const TUN = "vpn0";
const INNER_MTU = 1420;
/** 20 bytes of IPv4, 8 of UDP and 32 of WireGuard more. */
const OUTER_MTU = 1480;
/**
 * Which `sendmmsg` of the client is refused: one in the first transfer, which is from the client, when datagrams are
 * many.
 */
const REFUSED_CALL = 25;

const serverIdentity = newIdentity();
const clientIdentity = newIdentity();

interface Ends {
  readonly server: BackgroundProcess;
  readonly client: BackgroundProcess;
}

interface TunnelOptions {
  readonly serverArgs?: readonly string[];
  readonly clientArgs?: readonly string[];
  /** Where the client looks for the server. */
  readonly endpoint?: string;
  /** For both `[Interface]` sections. */
  readonly section?: Section;
  /** Networks behind the client. */
  readonly behindClient?: string;
}

function serverConfig({ section = {}, behindClient }: TunnelOptions): string {
  const behind = behindClient === undefined ? "" : `, ${behindClient}`;
  return configText(
    {
      PrivateKey: serverIdentity.privateKey,
      ListenPort: SERVER_PORT,
      Address: `${SERVER_INSIDE}/24`,
      ...section,
    },
    { PublicKey: clientIdentity.publicKey, AllowedIPs: `${CLIENT_INSIDE}/32${behind}` },
  );
}

function clientConfig({ section = {}, endpoint = SERVER_ENDPOINT }: TunnelOptions): string {
  return configText(
    { PrivateKey: clientIdentity.privateKey, Address: `${CLIENT_INSIDE}/24`, ...section },
    { PublicKey: serverIdentity.publicKey, Endpoint: endpoint, AllowedIPs: SUBNET },
  );
}

async function startBoth({ server, client }: Wire, options: TunnelOptions = {}): Promise<Ends> {
  const { serverArgs = [], clientArgs = [] } = options;
  return {
    server: await startVpn("server", server, serverConfig(options), ...serverArgs),
    client: await startVpn("client", client, clientConfig(options), ...clientArgs),
  };
}

/** Fails unless `length` bytes arrive whole in either direction, without standing still. */
async function assertCarriesBothWays({ client, server }: Wire, length: number): Promise<void> {
  const up = await transfer(client, server, { address: SERVER_INSIDE, length });
  const down = await transfer(server, client, { address: CLIENT_INSIDE, length });
  assertEquals([up.intact, down.intact], [true, true]);
  for (const { longestPause } of [up, down]) {
    assert(longestPause < STALL, `nothing arrived for ${longestPause} ms`);
  }
}

function assertNothingDropped(ends: Ends): void {
  for (const { stderr } of [ends.server, ends.client]) {
    assert(!stderr.includes("dropped packet"), stderr);
  }
}

/** A client and a server with a router between them; what leaves the ends has the size that it has on a wire. */
async function layRoute(
  topology: Topology,
): Promise<Wire & { readonly router: TestNamespace; readonly endpoint: string }> {
  const router = topology.namespace("router");
  const client = topology.namespace("client");
  const server = topology.namespace("server");
  topology.cable(
    { namespace: client, name: CABLE, address: "192.0.2.2/24" },
    { namespace: router, name: "to-client", address: "192.0.2.254/24" },
  );
  topology.cable(
    { namespace: server, name: CABLE, address: "198.51.100.1/24" },
    { namespace: router, name: "to-server", address: "198.51.100.254/24" },
  );
  for (const [end, gateway] of [[client, "192.0.2.254"], [server, "198.51.100.254"]] as const) {
    withoutChecksumOffload(end, CABLE);
    await end.output(["ip", "route", "add", "default", "via", gateway]);
  }
  router.inside(() => Deno.writeTextFileSync("/proc/sys/net/ipv4/ip_forward", "1"));
  return { client, server, router, endpoint: `198.51.100.1:${SERVER_PORT}` };
}

const VARIANTS: readonly (TunnelOptions & { readonly title: string; trouble?: string | null })[] = [
  { title: "both use offload" },
  { title: "the server does without offload", serverArgs: [NO_OFFLOAD] },
  { title: "the client does without offload", clientArgs: [NO_OFFLOAD] },
  { title: "neither uses offload", serverArgs: [NO_OFFLOAD], clientArgs: [NO_OFFLOAD] },
  { title: "the cipher is the built-in one", section: { Aead: "builtin" } },
  {
    title: "the cipher is BoringSSL's, and the MTU is odd",
    section: { Aead: "boringssl", MTU: 1401 },
    trouble: boringsslTrouble(),
  },
  // Datagrams of an odd size: most are moved before they can be decrypted.
  { title: "the MTU is odd", section: { MTU: 1401 } },
];

for (const { title, trouble = null, ...options } of VARIANTS) {
  netTest(`a tunnel carries files whole both ways when ${title}`, async (topology) => {
    const wire = await layWire(topology);
    const ends = await startBoth(wire, options);
    await assertCarriesBothWays(wire, SIZE);
    assertNothingDropped(ends);
  }, { programs: PROGRAMS, trouble });
}

for (const args of [[], [NO_OFFLOAD]]) {
  const title = args.length === 0 ? "with offload" : "without offload";

  netTest(
    `a tunnel ${title} carries files whole when 1 % of the datagrams are lost`,
    async (topology) => {
      const route = await layRoute(topology);
      await route.router.output([
        ...["iptables", "-A", "FORWARD", "-p", "udp", "-m", "statistic"],
        ...["--mode", "random", "--probability", "0.01", "-j", "DROP"],
      ]);
      await startBoth(route, { ...route, serverArgs: args, clientArgs: args });
      await assertCarriesBothWays(route, SMALL_SIZE);
      const rules = await route.router.output(["iptables", "-nvxL", "FORWARD"]);
      const lost = Number(/(\d+) +\d+ DROP/.exec(rules)?.[1]);
      assert(lost > 30, rules);
    },
    { programs: [...PROGRAMS, "iptables"] },
  );

  netTest(
    `a tunnel ${title} carries files whole when datagrams are reordered`,
    async (topology) => {
      const route = await layRoute(topology);
      using path = reorderDatagrams(route.router, { address: "198.51.100.1", port: SERVER_PORT });
      const endpoint = `192.0.2.254:${SERVER_PORT}`;
      await startBoth(route, { endpoint, serverArgs: args, clientArgs: args });
      await assertCarriesBothWays(route, SMALL_SIZE);
      assert(path.reordered > 100, `${path.reordered} datagrams were reordered`);
    },
    { programs: PROGRAMS },
  );
}

netTest(
  "a tunnel's datagrams have the wire's MTU and right checksums when large packets were split",
  async (topology) => {
    const route = await layRoute(topology);
    const ends = await startBoth(route, route);
    const full = `ip[2:2] = ${OUTER_MTU}`;
    for (const name of ["to-client", "to-server"]) {
      await using recording = await record(route.router, name, "udp");
      await assertCarriesBothWays(route, SMALL_SIZE);
      await recording.stop();
      assertEquals(await recording.count(`ip[2:2] > ${OUTER_MTU}`), 0);
      assertEquals(await recording.count("ip[6:2] & 0x3fff != 0"), 0);
      // As full as the inner MTU makes them, in both directions.
      const datagrams = await recording.count(full);
      assert(datagrams > 2 * SMALL_SIZE / INNER_MTU, `${datagrams} datagrams`);
      const text = await recording.describe(full);
      assertEquals(text.match(/bad (?:udp )?cksum/), null);
      assertEquals(text.match(/udp sum ok/g)?.length, datagrams);
    }
    assertNothingDropped(ends);
  },
  { programs: [...PROGRAMS, ...RECORDING_PROGRAMS] },
);

/** Fails unless the recording holds `SMALL_SIZE` bytes of TCP in packets of the inner MTU with right checksums. */
async function assertSegmentsAreRight(recording: Recording, filter: string): Promise<void> {
  await recording.stop();
  const segments = `tcp and ${filter}`;
  assertEquals(await recording.count(`${segments} and ip[2:2] > ${INNER_MTU}`), 0);
  const text = await recording.describe(segments);
  assertEquals(text.match(/\(incorrect|bad cksum/), null);
  const right = text.match(/cksum 0x[0-9a-f]+ \(correct\)/g)?.length ?? 0;
  assert(right > SMALL_SIZE / INNER_MTU, `${right} segments`);
  assertEquals(right, await recording.count(segments));
}

netTest("split packets have right checksums when they come out of the tunnel", async (topology) => {
  const wire = await layWire(topology);
  // The receiver writes packets to its TUN as they came: what a recording there shows is what the sender made.
  for (
    const [from, to, address, args] of [
      [wire.client, wire.server, SERVER_INSIDE, { serverArgs: [NO_OFFLOAD] }],
      [wire.server, wire.client, CLIENT_INSIDE, { clientArgs: [NO_OFFLOAD] }],
    ] as const
  ) {
    const ends = await startBoth(wire, args);
    await using recording = await record(to, TUN, "tcp");
    const { intact } = await transfer(from, to, { address, length: SMALL_SIZE });
    assert(intact);
    await assertSegmentsAreRight(recording, `dst host ${address}`);
    assertNothingDropped(ends);
    await Promise.all([ends.client.stop(), ends.server.stop()]);
  }
}, { programs: [...PROGRAMS, ...RECORDING_PROGRAMS] });

netTest("merged packets have right checksums when the host sends them on", async (topology) => {
  const wire = await layWire(topology);
  const behind = topology.namespace("behind");
  topology.cable(
    { namespace: wire.client, name: "lan0", address: "10.99.0.1/24" },
    { namespace: behind, name: CABLE, address: "10.99.0.2/24" },
  );
  // The kernel of the client takes merged packets apart again, and completes their checksums, on its way to the cable.
  withoutChecksumOffload(wire.client, "lan0");
  wire.client.inside(() => Deno.writeTextFileSync("/proc/sys/net/ipv4/ip_forward", "1"));
  await behind.output(["ip", "route", "add", SUBNET, "via", "10.99.0.1"]);
  const ends = await startBoth(wire, { behindClient: "10.99.0.0/24" });
  await wire.server.run(["ip", "route", "replace", "10.99.0.0/24", "dev", TUN]);
  await using merged = await record(wire.client, TUN, "tcp");
  await using recording = await record(behind, CABLE, "tcp");
  const { intact } = await transfer(wire.server, behind, {
    address: "10.99.0.2",
    length: SMALL_SIZE,
  });
  assert(intact);
  await merged.stop();
  const large = await merged.count(`dst host 10.99.0.2 and ip[2:2] > ${INNER_MTU}`);
  assert(large > 100, `${large} merged packets`);
  await assertSegmentsAreRight(recording, "dst host 10.99.0.2");
  assertNothingDropped(ends);
}, { programs: [...PROGRAMS, ...RECORDING_PROGRAMS] });

netTest(
  "a client stops segmenting, says so once and loses nothing when the kernel refuses it",
  async (topology) => {
    const wire = await layWire(topology);
    await startVpn("server", wire.server, serverConfig({}));
    using config = temporaryFile(clientConfig({}));
    // Kernels before 6.11 say EIO where an interface makes no checksums; this one never does. As a daemon, strace
    // leaves the client in its own place: it is what the end of the test ends.
    const client = wire.client.spawn([
      ...[
        "strace",
        "--daemonize",
        "--follow-forks",
        "--seccomp-bpf",
        "--quiet=all",
        "--output=/dev/null",
      ],
      ...["--trace=sendmmsg", `--inject=sendmmsg:error=EIO:when=${REFUSED_CALL}`],
      ...vpnCommand("client", "--config", config.path),
    ]);
    await client.waitFor(/connected to \S+/);
    await assertCarriesBothWays(wire, SIZE);
    await client.waitFor(/refused UDP segmentation offload/);
    assertEquals(client.stderr.match(/refused UDP segmentation offload/g)?.length, 1);
    assert(!client.stderr.includes("dropped packet"), client.stderr);
  },
  { programs: [...PROGRAMS, "strace"] },
);

netTest(
  "both ends go on in fragments when their own link becomes too narrow",
  async (topology) => {
    const wire = await layWire(topology);
    const ends = await startBoth(wire);
    await assertCarriesBothWays(wire, SMALL_SIZE);
    // From now on the kernel refuses to segment (EMSGSIZE).
    for (const { rtnetlink: { links } } of [wire.client, wire.server]) {
      links.configure(links.get(CABLE).index, { mtu: 1400 });
    }
    await assertCarriesBothWays(wire, SMALL_SIZE);
    for (const { stderr } of [ends.client, ends.server]) {
      assert(!stderr.includes("refused UDP segmentation offload"), stderr);
    }
    assertNothingDropped(ends);
  },
  { programs: PROGRAMS },
);
