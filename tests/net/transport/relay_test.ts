/**
 * `vpn relay`, through a router that drops all UDP: stock WireGuard, DNS, many flows at once, what goes wrong, and the
 * end.
 */
import { Arena } from "../../../ffi/arena.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { UdpBuffers } from "../../../ffi/sockets/udp_buffers.ts";
import { pathsTo } from "../../../ffi/sockets/datagram_batch.ts";
import { UdpSocket } from "../../../ffi/sockets/udp_socket.ts";
import { ExitCode } from "../../../lib/process/errors.ts";
import { addressData, buildAnswer } from "../../support/dns/messages.ts";
import { assert, assertEquals, assertMatch, assertStringIncludes } from "../../support/assert.ts";
import { netTest, type TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { configText, newIdentity } from "../support/config.ts";
import { DnsServer } from "../support/programs/dns_server.ts";
import { HOST_STATE_PROGRAMS, hostState } from "../support/host_state.ts";
import { addressOf } from "../support/outside.ts";
import {
  addIpv6,
  droppedBy,
  FAR,
  FAR6,
  layBrokenNetwork,
  LISTEN_PORT,
  RELAY_PROGRAMS,
  startFarRelay,
  startRelay,
  startRelays,
  TCP_PORT,
} from "../support/relays.ts";
import { endWell, killHard } from "../support/simple_tunnel.ts";
import { occupyPort } from "../support/traffic/sockets.ts";
import { ping, tcpFlow } from "../support/traffic/traffic.ts";
import { Unprivileged, UNPRIVILEGED_PROGRAMS } from "../support/programs/unprivileged.ts";
import { vpnCommand } from "../support/programs/vpn.ts";
import { WIREGUARD_GO_PROGRAMS, WireguardGo } from "../support/programs/wireguard_go.ts";

const LOOPBACK = addressOf("127.0.0.1");
const ECHO_PORT = 7000;
const FLOWS = 50;
const BATCH = 8;

/** UDP sockets of the test's own in one namespace. */
class Conversations implements Disposable {
  readonly #arena = new Arena(2 * 1024 * 1024);
  readonly #buffers = new UdpBuffers(this.#arena, BATCH);
  readonly #space = this.#arena.allocate(65_536);
  readonly #sockets: UdpSocket[] = [];
  readonly #namespace: TestNamespace;

  constructor(namespace: TestNamespace) {
    this.#namespace = namespace;
  }

  open(port = 0): UdpSocket {
    const socket = this.#namespace.inside(() =>
      UdpSocket.bind(openLibc(), this.#arena, {
        port,
        mark: 0,
        offload: false,
        bufferSize: 1024 * 1024,
        batch: BATCH,
        buffers: this.#buffers,
      })
    );
    this.#sockets.push(socket);
    return socket;
  }

  send(socket: UdpSocket, text: string, to: { address: number; port: number }): void {
    const bytes = new TextEncoder().encode(text);
    this.#arena.bytes.set(bytes, this.#space);
    const batch = {
      offsets: Int32Array.of(this.#space),
      lengths: Int32Array.of(bytes.length),
      ...pathsTo([{ address: to.address, port: to.port }]),
    };
    socket.send(batch, 0, 1);
  }

  /** What has come to a socket, and from where. */
  receive(socket: UdpSocket): { text: string; address: number; port: number }[] {
    const received = [];
    for (let count = socket.receive(); count > 0; count = socket.receive()) {
      for (let i = 0; i < count; i++) {
        const at = socket.receivedOffsets[i]!;
        received.push({
          text: new TextDecoder().decode(
            this.#arena.bytes.slice(at, at + socket.receivedLengths[i]!),
          ),
          address: socket.receivedAddresses[i]!,
          port: socket.receivedPorts[i]!,
        });
      }
    }
    return received;
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket[Symbol.dispose]();
  }
}

/** Answers each datagram with its text and the port that it came from, until disposed of. */
class EchoService implements Disposable {
  /** Ports that were ever written from. */
  readonly ports = new Set<number>();
  readonly #conversations: Conversations;
  readonly #timer: ReturnType<typeof setInterval>;

  constructor(namespace: TestNamespace) {
    this.#conversations = new Conversations(namespace);
    const socket = this.#conversations.open(ECHO_PORT);
    this.#timer = setInterval(() => {
      for (const { text, address, port } of this.#conversations.receive(socket)) {
        this.ports.add(port);
        this.#conversations.send(socket, `${text} from ${port}`, { address, port });
      }
    }, 2);
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#conversations[Symbol.dispose]();
  }
}

/** Sends `text` again and again until an answer comes, and returns that. */
async function ask(clients: Conversations, socket: UdpSocket, text: string): Promise<string> {
  let sentAt = -Infinity;
  const answer = await eventually(() => {
    const [first] = clients.receive(socket);
    if (first === undefined && performance.now() - sentAt > 300) {
      sentAt = performance.now();
      clients.send(socket, text, { address: LOOPBACK, port: LISTEN_PORT });
    }
    return first ?? null;
  });
  return answer.text;
}

netTest("two relays carry a stock WireGuard tunnel where no UDP passes", async (topology) => {
  const network = await layBrokenNetwork(topology);
  const { near, far, router } = network;
  await startRelays(network, "127.0.0.1:51820");
  const [server, client] = [newIdentity(), newIdentity()];
  await WireguardGo.start(
    far,
    configText(
      { PrivateKey: server.privateKey, ListenPort: 51820 },
      { PublicKey: client.publicKey, AllowedIPs: "10.66.77.2/32" },
    ),
    ["10.66.77.1/24"],
  );
  const peer = { PublicKey: server.publicKey, AllowedIPs: "10.66.77.0/24" };
  const direct = configText({ PrivateKey: client.privateKey }, {
    ...peer,
    Endpoint: `${FAR}:51820`,
  });
  const wireguard = await WireguardGo.start(near, direct, ["10.66.77.2/24"]);
  assertEquals((await ping(near, "10.66.77.1", { wait: 1 })).received, 0, "without the relays");
  assert(await droppedBy(router, "udp") > 0);

  await wireguard.set("peer", server.publicKey, "endpoint", `127.0.0.1:${LISTEN_PORT}`);
  assertEquals(await ping(near, "10.66.77.1", { count: 5, wait: 10 }), { sent: 5, received: 5 });
  for (const reverse of [false, true]) {
    const { receivedBytes } = await tcpFlow(near, far, "10.66.77.1", { bytes: 10e6, reverse });
    assert(receivedBytes > 5e6, `${receivedBytes} bytes`);
  }
  assertEquals(await droppedBy(router, "invalid"), 0);
}, {
  programs: [...RELAY_PROGRAMS, ...WIREGUARD_GO_PROGRAMS, "ping", "iperf3"],
});

netTest("two relays carry questions to a DNS server and its answers", async (topology) => {
  const network = await layBrokenNetwork(topology);
  const { near, far } = network;
  await startRelays(network, `${FAR}:53`);
  using dns = new DnsServer(far, [FAR], ({ query }) => [
    buildAnswer(query, { answers: [{ data: addressData("203.0.113.77"), timeToLive: 300 }] }),
  ]);
  const dig = (server: readonly string[]) =>
    near.run(["dig", ...server, "+short", "+tries=1", "+time=2", "www.example.org", "A"]);
  assertMatch((await dig([`@${FAR}`])).stdout, /no servers could be reached|timed out/);
  assertEquals(dns.questions, []);
  // Each has a port of its own, and so a connection.
  for (let i = 0; i < 3; i++) {
    const { stdout } = await dig(["@127.0.0.1", "-p", `${LISTEN_PORT}`]);
    assertEquals(stdout, "203.0.113.77\n");
  }
}, { programs: [...RELAY_PROGRAMS, "dig"] });

netTest(
  "two relays reach each other and a service over IPv6, for clients of both families",
  async (topology) => {
    const network = await layBrokenNetwork(topology);
    await addIpv6(network);
    const { near, far, router } = network;
    const before = [await hostState(near), await hostState(far)];
    const farRelay = await startRelay(far, {
      listen: `faketcp://[::]:${TCP_PORT}`,
      connect: "udp://[::1]:53",
    });
    const nearRelay = await startRelay(near, {
      listen: `udp://[::]:${LISTEN_PORT}`,
      connect: `faketcp://[${FAR6}]:${TCP_PORT}`,
    });
    using _dns = new DnsServer(far, ["::1"], ({ query }) => [
      buildAnswer(query, { answers: [{ data: addressData("203.0.113.77"), timeToLive: 300 }] }),
    ]);
    for (const server of ["@::1", "@127.0.0.1", "@::1"]) {
      const { stdout } = await near.run([
        ...["dig", server, "-p", `${LISTEN_PORT}`],
        ...["+short", "+tries=1", "+time=5", "www.example.org", "A"],
      ]);
      assertEquals(stdout, "203.0.113.77\n", server);
    }
    await nearRelay.waitFor(new RegExp(`connected to \\[${FAR6}\\]:${TCP_PORT}`));
    assertEquals(await droppedBy(router, "invalid"), 0);
    await endWell(nearRelay);
    await endWell(farRelay);
    assertEquals([await hostState(near), await hostState(far)], before);
  },
  { programs: [...RELAY_PROGRAMS, ...HOST_STATE_PROGRAMS, "dig"] },
);

netTest("each of many flows at once gets its own answers", async (topology) => {
  const network = await layBrokenNetwork(topology);
  await startRelays(network, `127.0.0.1:${ECHO_PORT}`);
  using echo = new EchoService(network.far);
  using clients = new Conversations(network.near);
  const sockets = Array.from({ length: FLOWS }, () => clients.open());
  const first = await Promise.all(sockets.map((socket, i) => ask(clients, socket, `flow ${i}`)));
  const ports = first.map((answer, i) => {
    const [, flow, port] = /^flow (\d+) from (\d+)$/.exec(answer) ?? [];
    assertEquals(Number(flow), i, answer);
    return port!;
  });
  assertEquals(new Set(ports).size, FLOWS, "the service tells them apart");
  assertEquals(echo.ports.size, FLOWS);
  // Much at once on each, and the service sees the same port again.
  const lost = sockets.map((socket, i) => {
    for (let n = 0; n < 20; n++) {
      clients.send(socket, `${i}:${n}`, { address: LOOPBACK, port: LISTEN_PORT });
    }
    return new Set(Array.from({ length: 20 }, (_, n) => `${i}:${n} from ${ports[i]}`));
  });
  await eventually(() => {
    for (const [i, socket] of sockets.entries()) {
      for (const { text } of clients.receive(socket)) {
        assert(lost[i]!.delete(text) || text === first[i], `flow ${i} got "${text}"`);
      }
    }
    return lost.every(({ size }) => size === 0) ? true : null;
  });
}, { programs: RELAY_PROGRAMS });

netTest("a flow goes on when the far relay was killed and started again", async (topology) => {
  const network = await layBrokenNetwork(topology);
  const target = `127.0.0.1:${ECHO_PORT}`;
  const { farRelay } = await startRelays(network, target);
  using _echo = new EchoService(network.far);
  using clients = new Conversations(network.near);
  const socket = clients.open();
  assertMatch(await ask(clients, socket, "before"), /^before/);
  await killHard(farRelay);
  const again = await startFarRelay(network.far, target);
  assertMatch(again.stderr, /undid for relay faketcp:\/\/0\.0\.0\.0:443/);
  clients.receive(socket);
  assertMatch(await ask(clients, socket, "after"), /^after/);
}, { programs: RELAY_PROGRAMS });

netTest("a relay tells when nothing answers, and when it does", async (topology) => {
  const network = await layBrokenNetwork(topology);
  const nearRelay = await startRelay(network.near, {
    listen: `udp://127.0.0.1:${LISTEN_PORT}`,
    connect: `faketcp://${FAR}:${TCP_PORT}`,
  });
  using clients = new Conversations(network.near);
  const socket = clients.open();
  clients.send(socket, "anybody?", { address: LOOPBACK, port: LISTEN_PORT });
  await nearRelay.waitFor(/warning vpn\.relay: no answer from 198\.51\.100\.2:443/);
  // There is a relay now, but no service: ICMP says so.
  const farRelay = await startFarRelay(network.far, `127.0.0.1:${ECHO_PORT}`);
  clients.send(socket, "anybody?", { address: LOOPBACK, port: LISTEN_PORT });
  await nearRelay.waitFor(/connected to 198\.51\.100\.2:443/);
  await farRelay.waitFor(/cannot send by UDP: ECONNREFUSED/);
  using _echo = new EchoService(network.far);
  assertMatch(await ask(clients, socket, "hello"), /^hello/);
}, { programs: RELAY_PROGRAMS });

netTest("relays leave nothing behind when they are told to stop", async (topology) => {
  const network = await layBrokenNetwork(topology);
  const hosts = [network.near, network.far];
  const before = await Promise.all(hosts.map(hostState));
  const { nearRelay, farRelay } = await startRelays(network, `127.0.0.1:${ECHO_PORT}`);
  using _echo = new EchoService(network.far);
  using clients = new Conversations(network.near);
  await ask(clients, clients.open(), "hello");
  const [near, far] = await Promise.all(hosts.map(hostState));
  assertStringIncludes(near!, `vpn_relay_udp_127_0_0_1_${LISTEN_PORT}`);
  assertStringIncludes(far!, `vpn_relay_faketcp_${TCP_PORT}`);
  await endWell(nearRelay);
  await endWell(farRelay, { signal: "SIGINT" });
  assertEquals(await Promise.all(hosts.map(hostState)), before);
}, { programs: [...RELAY_PROGRAMS, ...HOST_STATE_PROGRAMS] });

netTest("a relay says what is in its way, and leaves the host as it was", async (topology) => {
  const namespace = topology.namespace("busy");
  using _udp = occupyPort(namespace, LISTEN_PORT);
  using _tcp = namespace.inside(() => Deno.listen({ port: TCP_PORT }));
  const before = await hostState(namespace);
  const cases = [
    [
      ["--listen", `udp://127.0.0.1:${LISTEN_PORT}`, "--connect", "faketcp://127.0.0.1:1"],
      `vpn: Cannot listen at udp://127.0.0.1:${LISTEN_PORT}: the port is in use: ` +
      "stop the program that uses it, or choose another\n",
    ],
    [
      ["--listen", "udp://192.0.2.77:4501", "--connect", "faketcp://127.0.0.1:1"],
      "vpn: Cannot listen at udp://192.0.2.77:4501: this host does not have that address: " +
      "give one that `ip address` shows, or 0.0.0.0\n",
    ],
    [
      ["--listen", `faketcp://0.0.0.0:${TCP_PORT}`, "--connect", "udp://127.0.0.1:1"],
      `vpn: Cannot use TCP port ${TCP_PORT}: "deno" (process ${Deno.pid}) listens on it: ` +
      "stop it, or choose another port\n",
    ],
  ] as const;
  for (const [args, message] of cases) {
    const { code, stderr } = await namespace.run(vpnCommand("relay", ...args));
    assertEquals([code, stderr], [ExitCode.usage, message]);
  }
  assertEquals(await hostState(namespace), before);
}, { programs: HOST_STATE_PROGRAMS });

netTest(
  "a relay runs as any user with three capabilities, and names one that is missing",
  async (topology) => {
    const namespace = topology.namespace("user");
    using user = new Unprivileged();
    const high = [
      "relay",
      "--listen",
      "udp://127.0.0.1:4500",
      "--connect",
      "faketcp://127.0.0.1:1",
    ];
    const low = ["relay", "--listen", "udp://127.0.0.1:53", "--connect", "faketcp://127.0.0.1:1"];
    const lowTcp = ["relay", "--listen", "faketcp://0.0.0.0:443", "--connect", "udp://127.0.0.1:1"];
    const cases = [
      [high, [], /^vpn: Cannot relay: CAP_NET_ADMIN and CAP_NET_RAW are missing: run as root, or /],
      [high, ["net_admin"], /^vpn: Cannot relay: CAP_NET_RAW is missing: run as root, or grant/],
      [
        low,
        ["net_admin", "net_raw"],
        /^vpn: Cannot use UDP port 53: CAP_NET_BIND_SERVICE is missi/,
      ],
      [lowTcp, ["net_admin", "net_raw"], /^vpn: Cannot use TCP port 443: CAP_NET_BIND_SERVICE is /],
    ] as const;
    const before = await hostState(namespace);
    for (const [args, capabilities, message] of cases) {
      const { code, stderr } = await namespace.run(user.command(args, { capabilities }));
      assertMatch(stderr, message);
      assertEquals(code, ExitCode.privilege);
    }
    const capabilities = ["net_admin", "net_raw", "net_bind_service"];
    const process = namespace.spawn(user.command(lowTcp, { capabilities }));
    await process.waitFor(/relaying/);
    process.signal("SIGTERM");
    assertEquals((await process.status).code, ExitCode.ok, process.stderr);
    assertEquals(await hostState(namespace), before);
  },
  { programs: [...HOST_STATE_PROGRAMS, ...UNPRIVILEGED_PROGRAMS] },
);
