/**
 * Tests of what performs the client machine's actions: with a data plane that does nothing, on timers of the test's
 * own.
 */
import { Connection, type ConnectionOptions } from "../../../../lib/commands/client/connection.ts";
import type { DataPlaneHandle } from "../../../../lib/dataplane/data_plane_handle.ts";
import { assert, assertEquals, assertRejects } from "../../../support/assert.ts";
import { eventually } from "../../../support/time/patience.ts";

type Event = Parameters<Connection["onPeer"]>[0]["event"];

const SERVER = new Uint8Array(32).fill(7);
const OTHER = new Uint8Array(32).fill(8);
const ENDPOINT = { host: "192.0.2.1", address: 0xc000_0201, port: 51_820 };

interface SubjectOptions {
  readonly onPeerTimeout?: "exit" | "reconnect";
  readonly transport?: "udp" | "faketcp" | "auto";
  readonly use?: () => Promise<void>;
  readonly pathTo?: () => string;
  readonly connectTimeout?: number;
}

class Subject implements Disposable {
  /** What the data plane was told. */
  readonly asked: string[] = [];
  readonly states: string[] = [];
  readonly lines: string[] = [];
  readonly connection: Connection;
  readonly dataPlane = {
    connect: () => void this.asked.push("connect"),
    connected: () => void this.asked.push("connected"),
    setEndpoint: () => void this.asked.push("set-endpoint"),
    setServer: () => void this.asked.push("set-server"),
    renew: () => void this.asked.push("renew"),
    tryUdp: () => void this.asked.push("try-udp"),
  } as unknown as DataPlaneHandle;

  /** When it was asked, and answers once it is told to. */
  readonly explained = Promise.withResolvers<string>();
  readonly silence = {
    begin: () => {
      this.asked.push("begin-silence");
      return Promise.resolve();
    },
    explain: () => {
      this.asked.push("explain-silence");
      return this.explained.promise;
    },
  };

  constructor(
    { onPeerTimeout = "exit", transport = "udp", use, pathTo, connectTimeout = 60_000 }:
      SubjectOptions = {},
  ) {
    const say = (text: string, values: Record<string, unknown> = {}) =>
      this.lines.push(text.replace(/\{(\w+)\}/g, (_, name) => `${values[name]}`));
    this.connection = new Connection({
      config: {
        interface: { onPeerTimeout, transport, connectTimeout },
        server: { publicKey: SERVER, endpoint: ENDPOINT },
        endpoints: [ENDPOINT],
      },
      places: [{ address: ENDPOINT.address, port: ENDPOINT.port, rank: 0 }],
      mark: 0,
      transports: { use: use ?? (() => Promise.resolve()), follow() {} },
      nameServers: () => [],
      pathTo: pathTo ?? (() => ""),
      onState: (state: string) => this.states.push(state),
      logger: { info: say, warn: say, debug: say, error: say },
    } as unknown as ConnectionOptions);
  }

  connect(): Promise<boolean> {
    return this.connection.connect(this.dataPlane, { lookUpFirst: false, silence: this.silence });
  }

  report(event: Event, publicKey = SERVER): void {
    const endpoint = { address: 0, port: 0 };
    this.connection.onPeer({
      kind: "peer",
      event,
      publicKey,
      name: null,
      endpoint,
      otherPlace: null,
    });
  }

  [Symbol.dispose](): void {
    this.connection.close();
  }
}

/** Lets all happen that waits for nothing but its turn. */
async function turns(): Promise<void> {
  for (let i = 0; i < 20; i++) await Promise.resolve();
}

Deno.test("a client is connected by its server's answer, and by no other peer's", async () => {
  using subject = new Subject();
  const connected = subject.connect();
  let isOver = false;
  connected.then(() => isOver = true);
  subject.report("handshake-completed", OTHER);
  await turns();
  assertEquals([isOver, subject.asked], [false, ["connect"]]);
  subject.report("handshake-completed");
  assert(await connected);
});

Deno.test("a loss that comes while the host is set up is told to the one who keeps the connection then", async () => {
  using subject = new Subject();
  const connected = subject.connect();
  subject.report("handshake-completed");
  assert(await connected);
  subject.report("down");
  await subject.connection.keep();
});

Deno.test("a client that connects again says so when it is lost, and when it is back", async () => {
  using subject = new Subject({ onPeerTimeout: "reconnect" });
  const connected = subject.connect();
  subject.report("handshake-completed");
  await connected;
  subject.connection.keep();
  subject.report("down");
  await turns();
  const lost = "no packets from 192.0.2.1:51820: reconnecting";
  assertEquals(subject.states, [lost]);
  assertEquals(subject.asked.slice(-3), ["begin-silence", "set-endpoint", "connect"]);
  subject.report("up");
  assertEquals(subject.states, [lost, "connected to 192.0.2.1:51820 by UDP"]);
  assertEquals(subject.lines.map((line) => line.replace(/[\d.]+ s$/, "SECONDS")), [
    lost,
    "reconnected to 192.0.2.1:51820 by UDP after SECONDS",
  ]);
});

Deno.test("a transport that cannot be used ends the first attempt with its own error", async () => {
  using subject = new Subject({ use: () => Promise.reject(new Error("no CAP_NET_RAW")) });
  await assertRejects(() => subject.connect(), Error, "no CAP_NET_RAW");
});

Deno.test("a path that cannot be read ends nothing", async () => {
  using subject = new Subject({
    pathTo() {
      throw new Error("no netlink");
    },
  });
  const connected = subject.connect();
  subject.report("up");
  assert(await connected);
});

Deno.test("a reload to another server is answered when that one is, or when a later reload overtakes it", async () => {
  using subject = new Subject();
  const connected = subject.connect();
  subject.report("up");
  await connected;
  subject.connection.keep();
  const config = {
    interface: { onPeerTimeout: "exit", connectTimeout: 60_000 },
    server: { publicKey: OTHER },
    endpoints: [],
  } as unknown as ConnectionOptions["config"];
  const first = subject.connection.moveTo(config, [{ address: 5, port: 1, rank: 0 }]);
  const second = subject.connection.moveTo(config, [{ address: 6, port: 1, rank: 0 }]);
  assertEquals(await first, false);
  subject.report("up");
  subject.report("handshake-completed", OTHER);
  assertEquals(await second, true);
  assertEquals(subject.connection.route, "0.0.0.6:1 by UDP");
});

Deno.test("once closed, a connection does nothing more", async () => {
  const subject = new Subject({ onPeerTimeout: "reconnect" });
  const connected = subject.connect();
  subject.report("up");
  await connected;
  subject.connection.keep();
  subject.connection.close();
  const asked = subject.asked.length;
  subject.report("down");
  subject.connection.onResume();
  subject.connection.onNetworkChange();
  await turns();
  assertEquals([subject.asked.length, subject.states], [asked, []]);
});

/** One that has lost its server, and has tried it once more in vain. */
async function losing(): Promise<Subject> {
  const subject = new Subject({ onPeerTimeout: "reconnect", connectTimeout: 1 });
  const connected = subject.connect();
  subject.report("handshake-completed");
  await connected;
  subject.connection.keep();
  subject.report("down");
  await eventually(() => subject.asked.includes("explain-silence") || null, {
    what: "the end of an attempt",
  });
  return subject;
}

Deno.test("a client that connects again in vain says once why nobody may answer", async () => {
  using subject = await losing();
  subject.explained.resolve("nobody listens there");
  await turns();
  assertEquals(
    subject.lines.at(-1),
    "no valid answer from 192.0.2.1:51820 yet: nobody listens there",
  );
});

Deno.test("a server that is back meanwhile is not said to be silent", async () => {
  using subject = await losing();
  subject.report("up");
  subject.explained.resolve("nobody listens there");
  await turns();
  assertEquals(subject.lines.filter((line) => line.includes("nobody listens")), []);
});
