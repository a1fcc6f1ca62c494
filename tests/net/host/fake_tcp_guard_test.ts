/**
 * Tests of `lib/host/firewall/fake_tcp_guard.ts` and `fake_tcp_socket.ts`: who sees the transport's segments, and who
 * does not.
 */
import { Arena } from "../../../ffi/arena.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { FakeTcpGuard } from "../../../lib/host/firewall/fake_tcp_guard.ts";
import type { FakeTcpEndpoints } from "../../../lib/core/transport/fake_tcp/endpoints.ts";
import { AppError } from "../../../lib/process/errors.ts";
import { FakeTcpSocket } from "../../../lib/dataplane/fake_tcp/fake_tcp_socket.ts";
import { type HostChange, undoChange } from "../../../lib/host/journal/host_change.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { buildTcp, type Bytes, type TcpFields } from "../../support/packets/packet_builder.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import {
  addressOf,
  afterPing,
  type Captured,
  DEVICE,
  drain,
  GATEWAY,
  Injector,
  isReset,
  layOutskirts,
  OUTSIDE,
  Tap,
} from "../support/outside.ts";

const PROGRAMS = { programs: ["ping", "nft", "ip", ...HOST_STATE_PROGRAMS] };
const PORT = 443;
const TABLE = "vpn_test_faketcp";
const SYN = 2;
const ACK = 0x10;
const ARENA_SIZE = 4 * 1024 * 1024;

/** A transport's end in a namespace: `using` closes it, and undoes what it did to the host. */
class End implements Disposable {
  readonly guard: FakeTcpGuard;
  readonly socket: FakeTcpSocket;
  readonly #arena = new Arena(ARENA_SIZE);
  readonly #space: number;
  /** What it has written down. */
  readonly noted: HostChange[] = [];
  readonly #namespace: TestNamespace;
  readonly #seen: Captured[] = [];

  constructor(
    namespace: TestNamespace,
    options: { readonly server?: FakeTcpEndpoints["remote"]; readonly port?: number } = {},
  ) {
    this.#namespace = namespace;
    const journal = { make: (change: HostChange) => void this.noted.push(change) };
    const guardOptions = { table: TABLE, journal };
    this.guard = namespace.inside(() =>
      options.server
        ? FakeTcpGuard.forClient(options.server, guardOptions)
        : FakeTcpGuard.forServer(options.port ?? PORT, guardOptions)
    );
    this.socket = namespace.inside(() =>
      new FakeTcpSocket(openLibc(), this.#arena, {
        endpoints: this.guard.endpoints,
        mark: 0,
        offload: true,
        tunnel: "wg0",
        bufferSize: 4 * 1024 * 1024,
        onLeftOut() {},
      })
    );
    this.#space = this.#arena.allocate(ARENA_SIZE / 2);
  }

  send(...packets: readonly Uint8Array[]): void {
    let next = this.#space;
    const offsets = Int32Array.from(packets, (packet) => {
      const offset = next;
      this.#arena.bytes.set(packet, offset);
      next += (packet.length + 3) & ~3;
      return offset;
    });
    const lengths = Int32Array.from(packets, ({ length }) => length);
    assertEquals(this.socket.send({ offsets, lengths }, 0, packets.length, 0), packets.length);
  }

  /** All segments that it has captured. */
  seen(): readonly Captured[] {
    this.#seen.push(...drain(this.socket.capture, this.#arena));
    return this.#seen;
  }

  waitFor(count: number): Promise<readonly Captured[]> {
    return eventually(() => this.seen().length >= count ? this.#seen : null);
  }

  [Symbol.dispose](): void {
    this.socket[Symbol.dispose]();
    this.#namespace.inside(() => this.guard[Symbol.dispose]());
  }
}

const isTcp = (packet: Uint8Array) => packet[9] === 6;

function fromOutside(fields: TcpFields): Bytes {
  return buildTcp({ source: OUTSIDE, destination: GATEWAY, sourcePort: 50_000, ...fields });
}

/** The RSTs that packets get for an answer. */
async function resetsFor(outside: TestNamespace, ...packets: readonly Bytes[]): Promise<number> {
  using injector = new Injector(outside);
  using tap = new Tap(outside);
  injector.send(...packets);
  await afterPing(injector, tap);
  return tap.seen().filter(({ packet }) => isReset(packet)).length;
}

/** Whether a TCP connection from `from` to `to` carries data. */
async function connects(
  from: TestNamespace,
  to: TestNamespace,
  { hostname, port }: { readonly hostname: string; readonly port: number },
): Promise<boolean> {
  using listener = to.inside(() => Deno.listen({ hostname, port }));
  const accepted = listener.accept();
  const client = from.spawn(["bash", "-c", `echo hello > /dev/tcp/${hostname}/${port}`]);
  using connection = await accepted;
  const received = await connection.read(new Uint8Array(16));
  await client.status;
  return received === 6;
}

netTest("a server's port is captured and never answered by the host", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  const probes = [
    fromOutside({ destinationPort: PORT, flags: SYN }),
    fromOutside({ destinationPort: PORT, flags: ACK, payload: new Uint8Array(100) }),
    fromOutside({ destinationPort: PORT, flags: 1 | ACK, sourcePort: 50_001 }),
  ];
  assertEquals(await resetsFor(outside, ...probes), 3, "without us");
  using server = new End(gateway);
  assertEquals(await resetsFor(outside, ...probes), 0);
  assertEquals((await server.waitFor(3)).map(({ packet }) => packet), probes);
}, PROGRAMS);

netTest("other ports of a server's host are as they were", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using server = new End(gateway);
  assertEquals(await resetsFor(outside, fromOutside({ destinationPort: 80, flags: SYN })), 1);
  assert(await connects(outside, gateway, { hostname: GATEWAY, port: 8080 }));
  // From its own side too, and to the same port elsewhere.
  assert(await connects(gateway, outside, { hostname: OUTSIDE, port: PORT }));
  assertEquals(server.seen(), []);
}, PROGRAMS);

netTest(
  "a client's ports are captured for the server alone, and never answered",
  async (topology) => {
    const { gateway, outside } = await layOutskirts(topology);
    using client = new End(gateway, { server: { address: addressOf(OUTSIDE), port: PORT } });
    const { first, last } = client.guard.endpoints.ports;
    assertEquals(last - first, 15);
    const answers = [first, first + 7, last].map((destinationPort) =>
      fromOutside({ sourcePort: PORT, destinationPort, flags: SYN | ACK })
    );
    assertEquals(await resetsFor(outside, ...answers), 0);
    assertEquals((await client.waitFor(3)).map(({ packet }) => packet), answers);
    const strangers = [
      fromOutside({ sourcePort: 80, destinationPort: first, flags: SYN | ACK }),
      fromOutside({ sourcePort: PORT, destinationPort: last + 1, flags: SYN | ACK }),
    ];
    assertEquals(await resetsFor(outside, ...strangers), 2);
    assert(await connects(gateway, outside, { hostname: OUTSIDE, port: PORT }), "a web server");
    assertEquals(client.seen().length, 3);
  },
  PROGRAMS,
);

netTest("a client with many connections gets as many ports as are free in a row", (topology) => {
  const namespace = topology.namespace("many");
  const server = { address: addressOf(OUTSIDE), port: PORT };
  const count = () => {
    const options = { table: TABLE, journal: { make: () => {} }, ports: 256 };
    using guard = FakeTcpGuard.forClient(server, options);
    const { first, last } = guard.endpoints.ports;
    return last - first + 1;
  };
  assertEquals(namespace.inside(count), 256);
  namespace.inside(() =>
    Deno.writeTextFileSync("/proc/sys/net/ipv4/ip_local_port_range", "40000 40100")
  );
  assertEquals(namespace.inside(count), 64);
}, PROGRAMS);

netTest("both ends exchange runs of segments, merged and split", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using server = new End(gateway);
  using client = new End(outside, { server: { address: addressOf(GATEWAY), port: PORT } });
  using wire = new Tap(gateway);
  const port = client.guard.endpoints.ports.first;
  const run = (fields: TcpFields) =>
    Array.from({ length: 40 }, (_, i) =>
      buildTcp({
        ...fields,
        dontFragment: true,
        sequenceNumber: i * 1000,
        payload: new Uint8Array(1000).fill(i),
      }));
  client.send(...run({
    source: OUTSIDE,
    destination: GATEWAY,
    sourcePort: port,
    destinationPort: PORT,
  }));
  server.send(...run({
    source: GATEWAY,
    destination: OUTSIDE,
    sourcePort: PORT,
    destinationPort: port,
  }));
  for (const end of [server, client]) {
    const [merged] = await end.waitFor(1);
    assertEquals(merged!.packet.length, 40 + 40_000);
    assertEquals(new DataView(merged!.header.buffer).getUint16(4, true), 1000);
  }
  await wire.waitFor(isTcp);
  assertEquals(wire.seen().filter(({ packet }) => isReset(packet)), []);
}, PROGRAMS);

netTest("a port in use is refused with the name of who has it", async (topology) => {
  const namespace = topology.namespace("busy");
  using _listener = namespace.inside(() => Deno.listen({ port: PORT }));
  const before = await hostState(namespace);
  const error = assertThrows(() => new End(namespace), AppError);
  assertEquals(
    error.message,
    `Cannot use TCP port ${PORT}: "deno" (process ${Deno.pid}) listens on it: ` +
      "stop it, or choose another port",
  );
  assertEquals(await hostState(namespace), before);
}, PROGRAMS);

netTest("nobody gets a port that is taken, and afterwards everybody does", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  const before = await hostState(gateway);
  {
    using _server = new End(gateway);
    assertThrows(() => gateway.inside(() => Deno.listen({ port: PORT })), Deno.errors.AddrInUse);
    assert((await hostState(gateway)).includes(TABLE));
  }
  assertEquals(await hostState(gateway), before);
  // As after a crash: what is written down undoes the rest, also where there is nothing left to undo.
  {
    using server = new End(gateway);
    gateway.inside(() => server.noted.forEach((change) => undoChange(change)));
  }
  assertEquals(await hostState(gateway), before);
  assert(await connects(outside, gateway, { hostname: GATEWAY, port: PORT }));
}, PROGRAMS);

netTest("a client follows its server to another address", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  await outside.output(["ip", "address", "add", "192.0.2.77/24", "dev", DEVICE]);
  using client = new End(gateway, { server: { address: addressOf(OUTSIDE), port: PORT } });
  const destinationPort = client.guard.endpoints.ports.first;
  const answer = { source: "192.0.2.77", sourcePort: PORT, destinationPort, flags: SYN | ACK };
  assertEquals(await resetsFor(outside, fromOutside(answer)), 1);
  gateway.inside(() => client.guard.setRemote({ address: addressOf("192.0.2.77"), port: PORT }));
  client.socket.setEndpoints(client.guard.endpoints);
  assertEquals(await resetsFor(outside, fromOutside(answer)), 0);
  assertEquals((await client.waitFor(1)).length, 1);
}, PROGRAMS);

netTest("a server is reached at an address that it gets later", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  using server = new End(gateway);
  await gateway.output(["ip", "address", "add", "192.0.2.88/24", "dev", DEVICE]);
  const syn = fromOutside({ destination: "192.0.2.88", destinationPort: PORT, flags: SYN });
  assertEquals(await resetsFor(outside, syn), 0);
  assertEquals(server.seen(), []);
  server.socket.networkChanged();
  assertEquals(await resetsFor(outside, syn), 0);
  assertEquals((await server.waitFor(1)).length, 1);
}, PROGRAMS);

netTest("a server sees each segment once on a bridge", async (topology) => {
  const { gateway, outside } = await layOutskirts(topology);
  await gateway.output(["ip", "-batch", "-"], {
    stdin: `
      link add br0 type bridge
      address delete ${GATEWAY}/24 dev ${DEVICE}
      link set ${DEVICE} master br0
      address add ${GATEWAY}/24 dev br0
      link set br0 up
    `,
  });
  await outside.output(["ip", "neighbour", "flush", "all"]);
  await outside.output(["ping", "-n", "-q", "-c", "1", "-w", "5", GATEWAY]);
  using server = new End(gateway);
  const syn = fromOutside({ destinationPort: PORT, flags: SYN });
  assertEquals(await resetsFor(outside, syn), 0);
  assertEquals((await server.waitFor(1)).length, 1);
}, PROGRAMS);
