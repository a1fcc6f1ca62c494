/** Tests of lib/commands/fleet/fleet_gateways.ts, on a store in memory. */
import { hostname } from "node:os";
import {
  changeFleet,
  gatewayRows,
  leaveFleetList,
} from "../../../../lib/commands/fleet/fleet_gateways.ts";
import { gatewayBytes, gatewayKey } from "../../../../lib/core/fleet/gateway_entries.ts";
import { TERM_KEY, termBytes } from "../../../../lib/core/fleet/mesh/term_entry.ts";
import { SharedPeerStore } from "../../../../lib/host/fleet/shared_peer_store.ts";
import { AppError } from "../../../../lib/process/errors.ts";
import { getLogger } from "../../../../lib/process/logging.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { MemoryBucketServer } from "../../../support/fleet/memory_bucket.ts";
import { hostTest } from "../../../support/permissions.ts";
import { FakeTimers } from "../../../support/time/fake_timers.ts";
import { PATIENCE } from "../../../support/time/patience.ts";

/** A store with gateways of these names, numbered from 0 on, the first of which has the address. */
async function storeOf(
  server: MemoryBucketServer,
  names: readonly string[],
): Promise<SharedPeerStore> {
  names.forEach((name, number) =>
    server.write(
      gatewayKey(number),
      gatewayBytes({
        publicKey: new Uint8Array(32).fill(number + 1).toBase64(),
        endpoint: { address: 0xc000_0201 + number, port: 51_821 },
        name,
        isDraining: false,
      }),
    )
  );
  server.write(
    TERM_KEY,
    termBytes({ term: 1, holder: 0, voters: names.map((_, number) => number) }),
  );
  const store = new SharedPeerStore({
    open: server.open,
    maxPeers: 3,
    kept: null,
    logger: getLogger("control"),
  });
  await store.reached(PATIENCE);
  return store;
}

hostTest("a gateway is drained, by its name or number, and comes back", async () => {
  const server = new MemoryBucketServer();
  await using store = await storeOf(server, [hostname(), "gw-b", "gw-c"]);
  const heir = store.watch(() => {
    if (gatewayRows(store)[0]![1]!.endsWith("drained")) {
      server.write(TERM_KEY, termBytes({ term: 2, holder: 2, voters: [0, 1, 2] }));
    }
  });
  assertEquals(
    await changeFleet(store, { action: "drain", gateway: null }),
    `${hostname()} is drained; gw-c has the virtual address.`,
  );
  heir[Symbol.dispose]();
  assertEquals(gatewayRows(store), [
    ["gateway 0", `${hostname()}, 192.0.2.1:51821, drained`],
    ["gateway 1", "gw-b, 192.0.2.2:51821"],
    ["gateway 2", "gw-c, 192.0.2.3:51821, has the virtual address"],
  ]);
  await changeFleet(store, { action: "rebalance", gateway: "0" });
  await changeFleet(store, { action: "remove", gateway: "gw-b" });
  assertEquals(gatewayRows(store).map(([, what]) => what), [
    `${hostname()}, 192.0.2.1:51821`,
    "gw-c, 192.0.2.3:51821, has the virtual address",
  ]);
});

hostTest(
  "a gateway that is not there, or that several may be, is asked for by its number",
  async () => {
    await using store = await storeOf(new MemoryBucketServer(), ["gw", "gw"]);
    const refused = async (gateway: string) =>
      (await assertRejects(() => changeFleet(store, { action: "drain", gateway }), Error)).message;
    assertEquals(await refused("gw-x"), "The fleet has no gateway gw-x: it has 0 (gw), 1 (gw)");
    assertEquals(
      await refused("gw"),
      "Several gateways are called gw: give one by its number: 0 (gw), 1 (gw)",
    );
  },
);

hostTest(
  "a gateway leaves when another has the address, and stays where nobody takes it",
  async () => {
    const server = new MemoryBucketServer();
    await using store = await storeOf(server, ["gw-a", "gw-b"]);
    assertEquals(await leaveFleetList(store, null), ["The store lists no gateway of this host."]);
    const before = gatewayRows(store);
    {
      using timers = new FakeTimers();
      const refused = assertRejects(() => leaveFleetList(store, "gw-a"), AppError);
      await timers.advance(10_000);
      assertEquals(
        (await refused).message,
        "Cannot take gw-a out of the fleet: no other gateway takes the virtual address: start one of them, or remove " +
          "those that will not come back",
      );
    }
    assertEquals(gatewayRows(store), before);

    const heir = store.watch(() => {
      if (gatewayRows(store)[0]![1]!.endsWith("drained")) {
        server.write(TERM_KEY, termBytes({ term: 2, holder: 1, voters: [0, 1] }));
      }
    });
    assertEquals(await leaveFleetList(store, "0"), [
      "gw-a is drained; gw-b has the virtual address.",
      "gw-a is no gateway of the fleet any more.",
    ]);
    heir[Symbol.dispose]();
    // The last one leaves, too.
    using timers = new FakeTimers();
    const last = leaveFleetList(store, "gw-b");
    await timers.advance(10_000);
    assertEquals((await last).at(-1), "gw-b is no gateway of the fleet any more.");
    assertEquals(gatewayRows(store), []);
  },
);
