/** Fake TCP under attack: what strangers may cost a server and its clients. */
import { assert, assertEquals } from "../support/assert.ts";
import { netTest } from "../support/net.ts";
import { residentMemory } from "../bench/measures/process_stats.ts";
import { buildTcp } from "../support/packet_builder.ts";
import { Random } from "../support/random.ts";
import { Injector } from "./support/outside.ts";
import {
  CLIENT_ADDRESS,
  ROUTED_PATH_PROGRAMS,
  RoutedPath,
  ROUTER_TO_SERVER,
} from "./support/routed_path.ts";
import { ping } from "./support/traffic.ts";
import { CABLE, delay, SERVER_INSIDE, SERVER_OUTSIDE, SERVER_PORT } from "./support/wire.ts";

/** The router's interface to the server. */
const UPLINK = "eth1";
const FIN = 1;
const SYN = 2;
const RST = 4;
const PSH = 8;
const ACK = 16;
const SYNS = 10_000;
const BATCH = 100;

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

netTest(
  "forged RST, FIN, SYN and data within the connection: not one packet is lost",
  async (topology) => {
    const path = await RoutedPath.lay(topology);
    const server = await path.startServer();
    await path.startClient();
    const port = new RegExp(`handshake completed \\(${CLIENT_ADDRESS}:(\\d+)\\)`).exec(
      server.stderr,
    );
    assert(port !== null, server.stderr);
    const ends = { source: CLIENT_ADDRESS, destination: SERVER_OUTSIDE };
    const ports = { sourcePort: Number(port[1]), destinationPort: SERVER_PORT };
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
