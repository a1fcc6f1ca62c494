/**
 * Tests of lib/dataplane/data_plane.ts: what it opens it closes, and its commands and their answers, in this thread.
 */
import { openLibc } from "../../../ffi/libc.ts";
import { createWakeChannel, sendMessage } from "../../../ffi/sockets/wake_channel.ts";
import { encodeKey } from "../../../lib/core/config/values/key_text.ts";
import { Transport } from "../../../lib/core/transport/transport.ts";
import { parseCidr } from "../../../lib/core/wire/ipv4_text.ts";
import { DataPlane } from "../../../lib/dataplane/data_plane.ts";
import type {
  DataPlaneCommand,
  DataPlaneConfig,
  PeerStatistics,
  Report,
} from "../../../lib/dataplane/data_plane_protocol.ts";
import { SOCKET_BUFFER_SIZE } from "../../../lib/dataplane/build.ts";
import { Bench } from "../../bench/udp_bench.ts";
import { assert, assertEquals, assertThrows } from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";
import { Random } from "../../support/random.ts";

const random = new Random(1);
const KEYS = [random.bytes(32), random.bytes(32), random.bytes(32)] as const;

/** A data plane's end of a wake channel, and ours. */
class Channel implements Disposable {
  readonly #libc = openLibc();
  readonly #ends = createWakeChannel(this.#libc);

  get commandFd(): number {
    return this.#ends.receiver;
  }

  send(...commands: DataPlaneCommand[]): void {
    for (const command of commands) {
      sendMessage(
        this.#libc,
        this.#ends.sender,
        new TextEncoder().encode(JSON.stringify(command)),
      );
    }
  }

  [Symbol.dispose](): void {
    for (const fd of [this.#ends.sender, this.#ends.receiver]) this.#libc.symbols.close(fd);
  }
}

function config(
  { commandFd }: Channel,
  options: Partial<DataPlaneConfig> = {},
): DataPlaneConfig {
  return {
    commandFd,
    isGateway: false,
    privateKey: new Uint8Array(32).fill(7),
    interfaceName: "vpn-test",
    listenPort: 0,
    mark: 0,
    mtu: 1420,
    offload: true,
    aead: "auto",
    trace: false,
    addresses: [parseCidr("10.66.77.2/24")!],
    clientToClient: true,
    egress: "off",
    egressRules: [],
    fleet: null,
    access: [],
    peers: KEYS.map((publicKey, i) => ({
      publicKey,
      allowedIps: [parseCidr(`10.66.78.${i}/32`)!],
    })),
    hasFakeTcp: false,
    shared: null,
    watch: { timeout: 60_000, releaseAfter: Infinity },
    ...options,
  } as DataPlaneConfig;
}

/** What a data plane reports until it has taken these commands. */
function reportsOf(...commands: DataPlaneCommand[]): Report[] {
  using channel = new Channel();
  const reports: Report[] = [];
  using dataPlane = new DataPlane(config(channel), (report) => void reports.push(report));
  channel.send(...commands, { kind: "stop" });
  dataPlane.run();
  return reports;
}

function peersIn(reports: readonly Report[]): readonly PeerStatistics[] {
  const report = reports.find(({ kind }) => kind === "statistics");
  assert(report?.kind === "statistics");
  return report.statistics.peers;
}

/** Descriptors of this process. */
function openDescriptors(): number {
  return [...Deno.readDirSync("/proc/self/fd")].length;
}

hostTest("a data plane closes all that it has opened", () => {
  using channel = new Channel();
  // What is opened once for the process is open from here on.
  new DataPlane(config(channel), () => {})[Symbol.dispose]();
  const before = openDescriptors();
  {
    using _dataPlane = new DataPlane(config(channel), () => {});
    assert(openDescriptors() > before);
  }
  assertEquals(openDescriptors(), before);
});

hostTest("a data plane that cannot be built leaves no descriptor open, wherever it fails", () => {
  using channel = new Channel();
  let port = 0;
  using _first = new DataPlane(config(channel), (report) => {
    if (report.kind === "ready") port = report.port;
  });
  const egress = {
    external: {
      name: "no-such",
      link: 999_999,
      address: 0x01020304,
      mtu: 1500,
      linkHeaderSize: 14,
    },
    innerMtu: 1420,
    innerAddress: 0x0a424d01,
    ports: { first: 20_000, last: 30_000 },
    filtering: "endpoint",
    forwards: [],
    services: [],
    serviceSeed: 0,
    capture: "packet",
  } as unknown as DataPlaneConfig["egress"];
  const before = openDescriptors();
  for (
    const options of [
      // The socket, in the middle of all that is opened; the egress behind it, or its privilege; the peers, last of
      // all.
      { listenPort: port },
      { egress, isGateway: true },
      { peers: [KEYS[0], KEYS[0]].map((publicKey) => ({ publicKey, allowedIps: [] })) },
    ]
  ) {
    assertThrows(() => new DataPlane(config(channel, options), () => {}));
    assertEquals(openDescriptors(), before, JSON.stringify(Object.keys(options)));
  }
});

hostTest("answers name the request that they are of, whatever else is reported", () => {
  const reports = reportsOf(
    { kind: "get-statistics", id: 7, isFirst: true },
    { kind: "ping" },
    { kind: "change-peers", id: 9, changes: [] },
    { kind: "get-statistics", id: 8, isFirst: true },
  );
  const answers = reports.flatMap((report) => "id" in report ? [[report.kind, report.id]] : []);
  assertEquals(answers, [["statistics", 7], ["done", 9], ["statistics", 8]]);
});

hostTest("datagrams that the kernel dropped before they were read are counted", () => {
  using channel = new Channel();
  using bench = new Bench();
  const reports: Report[] = [];
  using dataPlane = new DataPlane(config(channel), (report) => void reports.push(report));
  const ready = reports.find(({ kind }) => kind === "ready");
  assert(ready?.kind === "ready");
  const { port } = ready;
  const sender = bench.open({ offload: false });
  const batch = bench.batch(Array.from({ length: 100 }, () => ({ length: 20_000, port })));
  // Four times what its buffer takes, as the kernel doubles the size that is asked for.
  for (let size = 0; size < 8 * SOCKET_BUFFER_SIZE; size += 100 * 20_000) {
    sender.send(batch, 0, 100);
  }
  channel.send({ kind: "get-statistics", id: 1, isFirst: true }, { kind: "stop" });
  dataPlane.run();
  const report = reports.find(({ kind }) => kind === "statistics");
  assert(report?.kind === "statistics");
  assert(report.statistics.drops["receive_overflow"]! > 0, JSON.stringify(report.statistics.drops));
});

hostTest("a request that the kernel refuses is answered so, and the data plane goes on", () => {
  const reports = reportsOf(
    { kind: "open-tun", id: 3, name: "no/name" },
    { kind: "change-peers", id: 4, changes: [] },
  );
  const [refused] = reports.filter(({ kind }) => kind === "refused");
  assert(refused?.kind === "refused");
  assertEquals([refused.id, refused.errno > 0], [3, true]);
  assert(reports.some((report) => report.kind === "done" && report.id === 4));
  assert(!reports.some(({ kind }) => kind === "failed"));
});

hostTest(
  "a command about a peer is about the one that it names, and about none where that is gone",
  () => {
    const endpoint = { address: 0x7f000001, port: 9 };
    const reports = reportsOf(
      { kind: "set-endpoint", peer: encodeKey(KEYS[1]), ...endpoint },
      { kind: "set-transport", peer: encodeKey(KEYS[2]), transport: Transport.fakeTcp },
      { kind: "set-endpoint", peer: encodeKey(new Uint8Array(32)), address: 1, port: 1 },
      { kind: "try-udp", peer: encodeKey(KEYS[0]) },
      { kind: "get-statistics", id: 1, isFirst: true },
    );
    const peers = peersIn(reports);
    assertEquals(peers.map(({ endpoint: { port } }) => port), [0, 9, 0]);
    assertEquals(peers.map(({ transport }) => transport), [
      Transport.udp,
      Transport.udp,
      Transport.fakeTcp,
    ]);
  },
);

hostTest(
  "usage is told of peers that more has passed with since the last time, and of one that is removed",
  () => {
    const peer = encodeKey(KEYS[1]);
    const endpoint = { address: 0x7f000001, port: 9 };
    const reports = reportsOf(
      { kind: "get-usage", id: 1 },
      // A handshake message to it is the first that passes.
      { kind: "set-endpoint", peer, ...endpoint },
      { kind: "connect", server: peer, interval: 1_000 },
      { kind: "get-usage", id: 2 },
      { kind: "get-usage", id: 3 },
      { kind: "change-peers", id: 4, changes: [{ kind: "remove", publicKey: peer }] },
    );
    const asked = reports.flatMap((report) => report.kind === "usages" ? [report.peers] : []);
    assertEquals(
      asked.map((peers) =>
        peers.map(({ publicKey, sentBytes }) => [encodeKey(publicKey), sentBytes])
      ),
      [[], [[peer, 148]], []],
    );
    const removed = reports.find(({ kind }) => kind === "usage");
    assert(removed?.kind === "usage" && removed.isRemoved && removed.sentBytes === 148);
  },
);
