/** Tests of lib/host/fleet/gateway_list.ts, with a bucket in memory in place of the store's. */
import {
  changeGateway,
  GatewayList,
  type GatewayStore,
  storedGateways,
} from "../../../../lib/host/fleet/gateway_list.ts";
import { gatewayKey } from "../../../../lib/core/fleet/gateway_entries.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { MemoryBucketServer } from "../../../support/fleet/memory_bucket.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

const gateway = (seed: number, address = 0xc000_0200 + seed) => ({
  publicKey: new Uint8Array(32).fill(seed).toBase64(),
  endpoint: { address, port: 51_821 },
  name: `gateway-${seed}`,
});

/** A reader and writer of a server, in step with it. */
async function storeOf(server: MemoryBucketServer): Promise<GatewayStore> {
  const bucket = await server.open();
  return {
    get gateways() {
      return server.entries;
    },
    putGateway: (key, value, expected) => bucket.put(key, value, expected),
  };
}

function inFolder(test: (folder: string) => Promise<void>): () => Promise<void> {
  return async () => {
    const folder = temporaryFolder();
    await test(folder);
  };
}

hostTest(
  "each gateway has a number of its own, whichever begins first, and the same one after a restart",
  inFolder(async (folder) => {
    const server = new MemoryBucketServer();
    const store = await storeOf(server);
    const lists = [1, 2, 3].map((seed) => new GatewayList(`${folder}/${seed}`, gateway(seed)));
    await Promise.all(lists.map((list) => list.enter(store)));
    for (const list of lists) list.follow(store);
    assertEquals(lists.map(({ self }) => self).toSorted(), [0, 1, 2]);
    assertEquals(lists.map(({ gateways }) => gateways.length), [3, 3, 3]);
    const before = lists[2]!.self;
    // With another address.
    const again = new GatewayList(`${folder}/3`, gateway(3, 0xc000_0263));
    assertEquals(again.self, before, "it is known without the store");
    await again.enter(store);
    assertEquals(again.self, before);
    lists[0]!.follow(store);
    assertEquals(lists[0]!.gateways[before!]!.endpoint.address, 0xc000_0263);
    assertEquals(server.entries.size, 3);
  }),
);

hostTest(
  "a gateway that is drained stays so after a restart, also without the store, until that is ended",
  inFolder(async (folder) => {
    const server = new MemoryBucketServer();
    const store = await storeOf(server);
    const list = new GatewayList(`${folder}/1`, gateway(1));
    await list.enter(store);
    assertEquals(list.isDraining, false);
    const [own] = storedGateways(store);
    assertEquals(await changeGateway(store, own!, { isDraining: true }), true);
    list.follow(store);
    assertEquals(list.isDraining, true);
    const again = new GatewayList(`${folder}/1`, gateway(1, 0xc000_0263));
    assertEquals(again.isDraining, true);
    await again.enter(store);
    assertEquals([again.isDraining, storedGateways(store)[0]!.isDraining], [true, true]);
    await changeGateway(store, storedGateways(store)[0]!, { isDraining: false });
    again.follow(store);
    assertEquals(again.isDraining, false);
    await changeGateway(store, storedGateways(store)[0]!, null);
    assertEquals(storedGateways(store), []);
  }),
);

hostTest(
  "the number of a gateway that has left is given to another, and entries that are none are passed over",
  inFolder(async (folder) => {
    const server = new MemoryBucketServer();
    const store = await storeOf(server);
    const one = new GatewayList(`${folder}/1`, gateway(1));
    await one.enter(store);
    server.write(gatewayKey(1), "no entry");
    server.write("peer.abc", "{}");
    server.write(gatewayKey(0), null);
    const two = new GatewayList(`${folder}/2`, gateway(2));
    await two.enter(store);
    assertEquals([two.self, two.gateways.length], [0, 1]);
  }),
);

hostTest(
  "a gateway that the store does not answer is told so, and a file that cannot be used is none",
  inFolder(async (folder) => {
    const server = new MemoryBucketServer();
    const store = await storeOf(server);
    for (const text of ["{", "7", '[{"number":300}]', "[null]"]) {
      Deno.writeTextFileSync(`${folder}/1`, text);
      assertEquals(new GatewayList(`${folder}/1`, gateway(1)).gateways, []);
    }
    server.stop("away");
    const list = new GatewayList(`${folder}/1`, gateway(1));
    await assertRejects(() => list.enter(store), Error, "away");
    assertEquals(list.self, null);
  }),
);
