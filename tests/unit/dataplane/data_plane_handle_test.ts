/** Tests of lib/dataplane/data_plane_handle.ts, with the data plane in its thread. */
import { EADDRINUSE } from "../../../ffi/errno.ts";
import { parseCidr } from "../../../lib/core/wire/ipv4_text.ts";
import { DataPlaneHandle } from "../../../lib/dataplane/data_plane_handle.ts";
import type { DataPlaneListener } from "../../../lib/dataplane/data_plane_listener.ts";
import { DataPlaneError } from "../../../lib/dataplane/thread/data_plane_error.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";

const LISTENER: DataPlaneListener = {
  onPeer() {},
  onLog() {},
  onPathMtu() {},
  onUsage() {},
  onFleet() {},
  onNetworkChange() {},
};

type Start = Parameters<typeof DataPlaneHandle.start>[0];

function config(listenPort = 0, workers = 1): Start {
  return {
    isGateway: false,
    privateKey: new Uint8Array(32).fill(7),
    interfaceName: "vpn-test",
    listenPort,
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
    peers: [{ publicKey: new Uint8Array(32).fill(9), allowedIps: [] }],
    hasFakeTcp: false,
    watch: { timeout: 60_000, releaseAfter: Infinity },
    workers,
    hasOneNat: false,
  } as unknown as Start;
}

hostTest(
  "a request that is refused fails by itself: the data plane goes on, and its other answers come",
  async () => {
    const { dataPlane } = await DataPlaneHandle.start(config(), LISTENER);
    try {
      const [opened, first, second] = await Promise.allSettled([
        dataPlane.openTun("no/name"),
        dataPlane.statistics(),
        dataPlane.changePeers([]),
      ]);
      assert(opened.status === "rejected" && opened.reason instanceof DataPlaneError);
      assertEquals([first.status, second.status], ["fulfilled", "fulfilled"]);
      assertEquals((await dataPlane.statistics()).peers.length, 1);
    } finally {
      await dataPlane.stop();
    }
  },
);

hostTest(
  "who asks a data plane that has ended is told so, and does not wait for ever",
  async () => {
    const { dataPlane } = await DataPlaneHandle.start(config(), LISTENER);
    const stopped = dataPlane.stop();
    await assertRejects(() => dataPlane.openTun("no/name"), Error);
    await stopped;
    await assertRejects(() => dataPlane.statistics(), Error);
  },
);

hostTest("a data plane that cannot start says why, with the error's number", async () => {
  for (const workers of [1, 2]) {
    const { dataPlane, port } = await DataPlaneHandle.start(config(0, workers), LISTENER);
    try {
      const error = await assertRejects(
        () => DataPlaneHandle.start(config(port, workers), LISTENER),
        DataPlaneError,
      );
      assertEquals(error.errno, EADDRINUSE);
    } finally {
      await dataPlane.stop();
    }
  }
});

hostTest("each packet worker says what it has done, and all end with the data plane", async () => {
  const { dataPlane } = await DataPlaneHandle.start(config(0, 3), LISTENER);
  const { workers, drops } = await dataPlane.statistics();
  assertEquals(workers.map(({ receivedBytes, sentBytes }) => receivedBytes + sentBytes), [0, 0, 0]);
  assertEquals(drops, {});
  await dataPlane.stop();
  await assertRejects(() => dataPlane.statistics(), Error);
});

hostTest(
  "packet workers have ended before the device says goodbye: nothing of theirs follows it",
  async () => {
    const ended: string[] = [];
    const { Worker } = globalThis;
    globalThis.Worker = class extends Worker {
      constructor(module: string | URL, options?: WorkerOptions) {
        super(module, options);
        this.addEventListener("message", ({ data }) => {
          if (data.kind === "stopped") ended.push(options!.name!);
        });
      }
    };
    try {
      const { dataPlane } = await DataPlaneHandle.start(config(0, 2), LISTENER);
      await dataPlane.stop();
    } finally {
      globalThis.Worker = Worker;
    }
    assertEquals([ended.slice(0, 2).sort(), ended[2]], [
      ["packet worker 1", "packet worker 2"],
      "data-plane",
    ]);
  },
);
