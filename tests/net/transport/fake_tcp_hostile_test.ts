/** Fake TCP under attack, and with many clients: what others may cost a server and its clients. */
import { assert, assertEquals } from "../../support/assert.ts";
import { netTest } from "../../support/net.ts";
import { residentMemory } from "../../bench/measures/process_stats.ts";
import { buildTcp } from "../../support/packets/packet_builder.ts";
import { Random } from "../../support/random.ts";
import { eventually, PATIENCE } from "../../support/time/patience.ts";
import { Injector } from "../support/outside.ts";
import {
  CLIENT_ADDRESS,
  NO_UDP,
  ROUTED_PATH_PROGRAMS,
  RoutedPath,
  ROUTER_TO_SERVER,
  STRICT,
} from "../support/routed_path.ts";
import {
  MAX_FAKE_TCP_SESSIONS,
  REPLACE_AFTER_SILENCE,
} from "../../../lib/core/transport/fake_tcp/constants.ts";
import { parseConfig } from "../../../lib/core/config/parse_config.ts";
import { TrialSession } from "../../../lib/commands/doctor/trial_session.ts";
import { validateClient } from "../../../lib/core/config/roles.ts";
import { parseIpv4 } from "../../../lib/core/wire/ipv4_text.ts";
import { configText, newIdentity } from "../support/config.ts";
import { startVpn, vpnCommand } from "../support/programs/vpn.ts";
import { ping } from "../support/traffic/traffic.ts";
import { holdConnections } from "../support/traffic/held_connections.ts";
import { endWell } from "../support/simple_tunnel.ts";
import { CABLE, delay, SERVER_INSIDE, SERVER_OUTSIDE, SERVER_PORT } from "../support/wire.ts";

/** The router's interface to the server. */
const UPLINK = "eth1";
const FIN = 1;
const SYN = 2;
const RST = 4;
const PSH = 8;
const ACK = 16;
const SYNS = 10_000;
const BATCH = 100;

/** The port of the client's connection, as the server has logged it. */
function clientPort({ stderr }: { readonly stderr: string }): number {
  const port = new RegExp(`handshake completed \\(${CLIENT_ADDRESS}:(\\d+)\\)`).exec(stderr);
  assert(port !== null, stderr);
  return Number(port[1]);
}

netTest(
  "10,000 SYNs from forged addresses: memory is bounded, the client notices nothing",
  async (topology) => {
    const path = await RoutedPath.lay(topology);
    await path.server.output(["ip", "route", "add", "default", "via", ROUTER_TO_SERVER]);
    const server = await path.startServer();
    await path.startClient();
    assert(await path.answers());
    const before = residentMemory(server.pid);
    const random = new Random(6);
    using injector = new Injector(path.router, { device: UPLINK, batch: BATCH });
    const pings = ping(path.client, SERVER_INSIDE, { count: 40, interval: 0.05 });
    for (let sent = 0; sent < SYNS; sent += BATCH) {
      injector.send(...Array.from({ length: BATCH }, () =>
        buildTcp({
          // A network for benchmarks (RFC 2544), which nobody here has.
          source: `198.${18 + random.below(2)}.${random.below(256)}.${random.below(256)}`,
          destination: SERVER_OUTSIDE,
          sourcePort: 1024 + random.below(60_000),
          destinationPort: SERVER_PORT,
          sequenceNumber: random.below(2 ** 32),
          flags: SYN,
        })));
      await delay(10);
    }
    assertEquals((await pings).received, 40);
    const grown = residentMemory(server.pid) - before;
    assert(grown < 16 * 1024 * 1024, `${grown} bytes more`);
    assert(await path.answers());
  },
  { programs: ROUTED_PATH_PROGRAMS },
);

/** More than the connections that a server has room for. */
const HELD = 17_000;

netTest(
  "17,000 idle connections of one address shut no client out, neither one that is there nor a new one",
  async (topology) => {
    const path = await RoutedPath.lay(topology);
    const server = await path.startServer();
    const client = await path.startClient();
    await using held = await holdConnections(path, SERVER_OUTSIDE, {
      port: SERVER_PORT,
      count: HELD,
    });
    assert(held.opened > MAX_FAKE_TCP_SESSIONS, `${held.opened} were opened`);
    assert(await path.answers());
    assertEquals(server.stderr.match(/handshake completed/g)?.length, 1);
    await endWell(client);
    await path.startClient();
    assert(await path.answers());
  },
  { programs: ROUTED_PATH_PROGRAMS },
);

netTest(
  "forged RST, FIN, SYN and data within the connection: not one packet is lost",
  async (topology) => {
    const path = await RoutedPath.lay(topology);
    const server = await path.startServer();
    await path.startClient();
    const port = clientPort(server);
    const ends = { source: CLIENT_ADDRESS, destination: SERVER_OUTSIDE };
    const ports = { sourcePort: port, destinationPort: SERVER_PORT };
    const random = new Random(7);
    using toServer = new Injector(path.router, { device: UPLINK, batch: BATCH });
    using toClient = new Injector(path.router, { device: CABLE, batch: BATCH });
    const pings = ping(path.client, SERVER_INSIDE, { count: 60, interval: 0.05 });
    for (let round = 0; round < 20; round++) {
      for (const flags of [RST, RST | ACK, FIN | ACK, SYN, SYN | ACK, PSH | ACK]) {
        const forged = {
          flags,
          sequenceNumber: random.below(2 ** 32),
          acknowledgmentNumber: random.below(2 ** 32),
          payload: (flags & PSH) === 0 ? new Uint8Array() : random.bytes(200),
        };
        toServer.send(buildTcp({ ...ends, ...ports, ...forged }));
        toClient.send(buildTcp({
          source: ends.destination,
          destination: ends.source,
          sourcePort: SERVER_PORT,
          destinationPort: ports.sourcePort,
          ...forged,
        }));
      }
      await delay(100);
    }
    assertEquals((await pings).received, 60);
  },
  { programs: ROUTED_PATH_PROGRAMS },
);

/** Segments of a sweep: each some 190 KB further, around the sequence space. */
const SWEEP = 22_528;

netTest(
  "a blind sweep of the sequence space, both ways, costs a busy tunnel not one packet",
  async (topology) => {
    // Without a firewall: what passes through one may move that one's idea of the connection.
    const path = await RoutedPath.lay(topology);
    const server = await path.startServer();
    await path.startClient();
    const port = clientPort(server);
    const random = new Random(8);
    const up = { source: CLIENT_ADDRESS, destination: SERVER_OUTSIDE };
    const upPorts = { sourcePort: port, destinationPort: SERVER_PORT };
    const down = { source: SERVER_OUTSIDE, destination: CLIENT_ADDRESS };
    const downPorts = { sourcePort: SERVER_PORT, destinationPort: port };
    using toServer = new Injector(path.router, { device: UPLINK, batch: BATCH });
    using toClient = new Injector(path.router, { device: CABLE, batch: BATCH });
    const pings = ping(path.client, SERVER_INSIDE, { count: 100, interval: 0.05 });
    for (let sent = 0; sent < SWEEP; sent += BATCH) {
      const segments = Array.from({ length: BATCH }, (_, i) => ({
        flags: PSH | ACK,
        sequenceNumber: Math.imul(sent + i, 190_651) >>> 0,
        acknowledgmentNumber: random.below(2 ** 32),
        payload: random.bytes(100),
      }));
      toServer.send(...segments.map((each) => buildTcp({ ...up, ...upPorts, ...each })));
      toClient.send(...segments.map((each) => buildTcp({ ...down, ...downPorts, ...each })));
      await delay(10);
    }
    assertEquals((await pings).received, 100);
    assert(await path.answers());
    // On the same connection as ever.
    assertEquals(server.stderr.match(/handshake completed/g)?.length, 1);
  },
  { programs: ROUTED_PATH_PROGRAMS },
);

const CLIENTS = 100;
const RELAY_PORT = 4500;
/** Handshakes a client begins before the next one: a gateway asks for cookies when too many come at once. */
const AT_ONCE = 10;
const PROBE_LENGTH = 1_200;
const FIRST_PROBE_LENGTH = 600;

netTest("100 clients behind one NAT address are served, each for itself", async (topology) => {
  const path = await RoutedPath.lay(topology, { masquerades: true });
  await path.firewall(STRICT + NO_UDP);
  const gateway = newIdentity();
  const identities = Array.from({ length: CLIENTS }, () => newIdentity());
  const server = await startVpn(
    "server",
    path.server,
    configText(
      {
        PrivateKey: gateway.privateKey,
        ListenPort: SERVER_PORT,
        Address: `${SERVER_INSIDE}/24`,
        Transport: "faketcp",
      },
      ...identities.map(({ publicKey }, index) => ({
        PublicKey: publicKey,
        AllowedIPs: `10.66.77.${100 + index}/32`,
      })),
    ),
  );
  const relay = path.client.spawn(vpnCommand(
    "relay",
    ...["--listen", `udp://127.0.0.1:${RELAY_PORT}`],
    ...["--connect", `faketcp://${SERVER_OUTSIDE}:${SERVER_PORT}`],
  ));
  await relay.waitFor(/relaying/i);
  using sessions = new DisposableStack();
  const proven = new Set<number>();
  for (let first = 0; first < CLIENTS; first += AT_ONCE) {
    await Promise.all(
      identities.slice(first, first + AT_ONCE).map(async (identity, index) => {
        const config = validateClient(parseConfig(
          configText({
            PrivateKey: identity.privateKey,
            Address: `10.66.77.${100 + first + index}/32`,
          }, {
            PublicKey: gateway.publicKey,
            Endpoint: `127.0.0.1:${RELAY_PORT}`,
            AllowedIPs: "10.66.77.0/24",
          }),
          "client.conf",
        ));
        const session = sessions.use(
          path.client.inside(() =>
            new TrialSession(config, { address: parseIpv4("127.0.0.1")!, mark: 0, mtu: 1420 })
          ),
        );
        assertEquals((await session.handshake(PATIENCE)).kind, "answered");
        // Where it takes longer, the session's own search for the path MTU has proven more by then.
        if (await session.probe([PROBE_LENGTH], PATIENCE) >= PROBE_LENGTH) {
          proven.add(first + index);
        }
      }),
    );
  }
  assertEquals(proven.size, CLIENTS);
  // The gateway tells of each up to a second later.
  const completed = new RegExp(`handshake completed \\(${ROUTER_TO_SERVER}:(\\d+)\\)`, "g");
  const ports = () =>
    new Set(Array.from(server.stderr.matchAll(completed), ([, port]) => port)).size;
  await eventually(() => ports() === CLIENTS, { what: `${CLIENTS} ports; ${server.stderr}` });
  assertEquals(await path.invalidPackets(), 0);
}, { programs: ROUTED_PATH_PROGRAMS });

netTest(
  "a SYN that names a relay's idle connection moves no firewall: the flow goes on over it at once",
  async (topology) => {
    const path = await RoutedPath.lay(topology);
    await path.firewall(STRICT + NO_UDP);
    const server = await path.startServer();
    const relay = path.client.spawn(vpnCommand(
      "relay",
      ...["--listen", `udp://127.0.0.1:${RELAY_PORT}`],
      ...["--connect", `faketcp://${SERVER_OUTSIDE}:${SERVER_PORT}`],
    ));
    await relay.waitFor(/relaying/i);
    const config = validateClient(parseConfig(
      path.tunnel.client({}, { Endpoint: `127.0.0.1:${RELAY_PORT}` }),
      "client.conf",
    ));
    using session = path.client.inside(() =>
      new TrialSession(config, { address: parseIpv4("127.0.0.1")!, mark: 0, mtu: 1420 })
    );
    assertEquals((await session.handshake(PATIENCE)).kind, "answered");
    assert(await session.probe([FIRST_PROBE_LENGTH], PATIENCE) >= FIRST_PROBE_LENGTH);
    const [, port] = await server.waitFor(/handshake completed \(198\.51\.100\.2:(\d+)\)/);
    using injector = new Injector(path.router, { device: UPLINK });
    // The silence after which a client may have started again; then what it would repeat, and a forger as well.
    await delay(REPLACE_AFTER_SILENCE + 500);
    for (const ms of [500, 500, 500]) {
      injector.send(buildTcp({
        source: CLIENT_ADDRESS,
        destination: SERVER_OUTSIDE,
        sourcePort: Number(port),
        destinationPort: SERVER_PORT,
        sequenceNumber: 77,
        flags: SYN,
      }));
      await delay(ms);
    }
    // Longer than what is proven, or nothing would be sent.
    assert(await session.probe([PROBE_LENGTH], PATIENCE) >= PROBE_LENGTH);
    assertEquals(await path.invalidPackets(), 0);
  },
  { programs: ROUTED_PATH_PROGRAMS },
);
