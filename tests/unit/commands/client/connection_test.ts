/** Tests of when a client counts as connected and when as lost, with a data plane that does nothing. */
import { Connection, type ConnectionOptions } from "../../../../lib/commands/client/connection.ts";
import type { DataPlaneHandle } from "../../../../lib/dataplane/data_plane_handle.ts";
import { Carrier } from "../../../../lib/core/transport/endpoint.ts";
import { assert, assertEquals } from "../../../support/assert.ts";

type Event = Parameters<Connection["onPeer"]>[0]["event"];

const SILENT = { info() {}, warn() {}, debug() {}, error() {}, trace() {}, fatal() {} };
const SERVER = new Uint8Array(32).fill(7);
const FAR = () => performance.now() + 60_000;

class Subject {
  /** What is done when a transport is tried. */
  onConnect: () => void = () => {};
  readonly dataPlane = {
    connect: () => this.onConnect(),
    connected() {},
    setEndpoint() {},
  } as unknown as DataPlaneHandle;
  readonly connection: Connection;
  readonly states: string[] = [];

  constructor(onPeerTimeout: "exit" | "reconnect" = "exit") {
    const carriers = {
      order: [Carrier.udp],
      current: Carrier.udp,
      wantsUdp: false,
      use: () => Promise.resolve(),
      follow() {},
    };
    this.connection = new Connection({
      config: {
        interface: { onPeerTimeout, connectTimeout: 60_000 },
        server: {
          publicKey: SERVER,
          endpoint: { host: "192.0.2.1", address: 0xc000_0201, port: 51_820 },
        },
      },
      addresses: [0xc000_0201],
      mark: 0,
      carriers,
      nameServers: () => [],
      traceOf: () => "",
      onState: (state: string) => this.states.push(state),
      logger: SILENT,
    } as unknown as ConnectionOptions);
  }

  report(event: Event): void {
    const endpoint = { address: 0, port: 0 };
    this.connection.onPeer({
      kind: "peer",
      event,
      publicKey: SERVER,
      name: null,
      endpoint,
      otherPlace: null,
    });
  }

  /** Whether the server is given up, once all that is due has been done. */
  async isLost(): Promise<boolean> {
    let isLost = false;
    this.connection.keep(this.dataPlane).then(() => isLost = true);
    for (let i = 0; i < 20; i++) await Promise.resolve();
    return isLost;
  }
}

Deno.test("a server that was missing while the client connected is not lost when it has connected", async () => {
  const subject = new Subject();
  subject.onConnect = () => {
    subject.report("down");
    subject.report("handshake-completed");
  };
  assert(await subject.connection.connect(subject.dataPlane, FAR()));
  assertEquals(await subject.isLost(), false);
});

Deno.test("a server that is missing right after the client has connected is lost", async () => {
  const subject = new Subject();
  subject.onConnect = () => {
    subject.report("handshake-completed");
    subject.report("down");
  };
  assert(await subject.connection.connect(subject.dataPlane, FAR()));
  assertEquals(await subject.isLost(), true);
});

Deno.test("a client that connects again is connected by a session that came after the loss alone", async () => {
  const subject = new Subject("reconnect");
  subject.onConnect = () => subject.report("handshake-completed");
  assert(await subject.connection.connect(subject.dataPlane, FAR()));
  let attempts = 0;
  const { promise, resolve } = Promise.withResolvers<void>();
  subject.onConnect = () => {
    attempts++;
    resolve();
  };
  subject.connection.keep(subject.dataPlane);
  subject.report("down");
  await promise;
  for (let i = 0; i < 20; i++) await Promise.resolve();
  const lost = "192.0.2.1:51820 is silent: connecting again";
  assertEquals([attempts, subject.states], [1, [lost]]);
  subject.report("up");
  for (let i = 0; i < 20; i++) await Promise.resolve();
  assertEquals(subject.states, [lost, "connected to 192.0.2.1:51820 by UDP"]);
  subject.connection.close();
});
