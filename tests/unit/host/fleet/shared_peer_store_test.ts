/** Shows that a shared store is a peer store as good as any, with several writers, and with a server that fails. */
import { RefusalError } from "../../../../lib/core/config/refusal_error.ts";
import { COMMIT_KEY, groupKey, peerKey } from "../../../../lib/core/fleet/store_entries.ts";
import { SharedPeerStore } from "../../../../lib/host/fleet/shared_peer_store.ts";
import type { StoredPeers } from "../../../../lib/core/peers/peer_store.ts";
import { getLogger } from "../../../../lib/process/logging.ts";
import { assert, assertEquals, assertRejects } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";
import { peerStoreSuite } from "../../../support/control/peer_store_suite.ts";
import { MemoryBucketServer } from "../../../support/fleet/memory_bucket.ts";
import { eventually, PATIENCE } from "../../../support/time/patience.ts";

const [ANN, BOB, CARL] = [11, 12, 13].map((byte) => sampleKeys(byte).publicKey) as [
  string,
  string,
  string,
];

function storeOf(server: MemoryBucketServer, kept: StoredPeers | null = null): SharedPeerStore {
  return new SharedPeerStore({
    open: server.open,
    maxPeers: 3,
    kept,
    logger: getLogger("control"),
    pauses: { first: 1, longest: 2, probe: 1 },
  });
}

async function connected(
  server: MemoryBucketServer,
  kept: StoredPeers | null = null,
): Promise<SharedPeerStore> {
  const store = storeOf(server, kept);
  await store.reached(PATIENCE);
  return store;
}

const put = (publicKey: string, settings: Readonly<Record<string, string>>) =>
  ({ kind: "put-peer", publicKey, settings }) as const;

peerStoreSuite("a shared store", async () => {
  const store = await connected(new MemoryBucketServer());
  return { store, [Symbol.asyncDispose]: () => store[Symbol.asyncDispose]() };
}, (name, fn) => Deno.test(name, fn));

Deno.test("writers at different gateways lose nothing of each other's", async () => {
  const server = new MemoryBucketServer();
  await using one = await connected(server);
  await using two = await connected(server);
  await Promise.all([
    one.change(() => [put(ANN, { Name: "ann" })]),
    two.change(() => [put(BOB, { Name: "bob" })]),
    one.change(() => [put(CARL, { Name: "carl" })]),
  ]);
  for (const store of [one, two]) {
    const { peers } = await eventually(async () => {
      const snapshot = await store.snapshot();
      return snapshot.peers.size === 3 ? snapshot : null;
    });
    assertEquals([...peers.keys()].sort(), [ANN, BOB, CARL].sort());
  }
  assertEquals((await one.snapshot()).revision, (await two.snapshot()).revision);
  assertEquals((await one.snapshot()).peerRevisions, (await two.snapshot()).peerRevisions);
});

Deno.test("a change of several is seen whole, though its writer dies before it has put them", async () => {
  const server = new MemoryBucketServer();
  await using one = await connected(server);
  await one.change(() => [put(ANN, { Name: "ann" }), put(BOB, { Name: "bob" })]);
  const { entries } = server;
  await eventually(() => entries.has(peerKey(ANN)) && entries.has(peerKey(BOB)) ? true : null);
  server.beforePut = (key) => {
    if (key !== COMMIT_KEY) throw new Error("the writer is dead");
  };
  await one.change(() => [
    put(ANN, { Name: "anna" }),
    { kind: "delete-peer", publicKey: BOB },
    put(CARL, { Name: "carl" }),
  ]);
  const names = ({ peers }: StoredPeers) => [...peers.values()].map(({ Name }) => Name).sort();
  await using two = await connected(server);
  assertEquals(names(await two.snapshot()), ["anna", "carl"]);
  // The next writer comes to the end of it before its own.
  server.beforePut = () => {};
  await two.change(() => [put(CARL, { Name: "charles" })]);
  assertEquals(server.entries.get(peerKey(BOB))!.value, null);
  await using three = await connected(server);
  assertEquals(names(await three.snapshot()), ["anna", "charles"]);
  assertEquals(names(await one.snapshot()), ["anna", "charles"]);
});

Deno.test("a change whose answer is lost is found, or said to be unknown", async () => {
  const server = new MemoryBucketServer();
  await using store = await connected(server);
  server.afterPut = (key) => {
    if (key === COMMIT_KEY) throw new Error("timeout");
  };
  const after = await store.change(() => [put(ANN, { Name: "ann" })]);
  assertEquals(after.peers.size, 1);
});

Deno.test("without the server all is known as before, changes are refused, and it is found again", async () => {
  const server = new MemoryBucketServer();
  await using store = await connected(server);
  await store.change(() => [put(ANN, { Name: "ann" })]);
  server.stop("connection refused");
  await eventually(() => store.state.isConnected ? null : true);
  assertEquals(store.state.problem, "connection refused");
  assertEquals((await store.snapshot()).peers.size, 1);
  let isAsked = false;
  const refusal = await assertRejects(
    () =>
      store.change(() => [put(BOB, { Name: "bob" })], () => {
        isAsked = true;
        return Promise.resolve();
      }),
    RefusalError,
  );
  assertEquals(refusal.code, "unavailable");
  assert(refusal.message.includes("connection refused"), refusal.message);
  assertEquals(isAsked, false);
  // What others have done meanwhile is seen when it is back.
  server.start();
  await using other = await connected(server);
  await other.change(() => [put(CARL, { Name: "carl" })]);
  await eventually(async () => (await store.snapshot()).peers.size === 2 ? true : null);
});

Deno.test("a gateway starts from what it has kept, and without that says that nothing is known", async () => {
  const server = new MemoryBucketServer();
  let kept: StoredPeers;
  {
    await using store = await connected(server);
    kept = await store.change(() => [put(ANN, { Name: "ann" })]);
  }
  server.stop("connection refused");
  await using store = storeOf(server, kept);
  assertEquals(await store.snapshot(), kept);
  await assertRejects(() => store.reached(5), RefusalError, "connection refused");
  await using other = storeOf(server);
  assertEquals((await assertRejects(() => other.snapshot(), RefusalError)).code, "unavailable");
});

Deno.test("a connection that brings no changes any more is replaced", async () => {
  const server = new MemoryBucketServer();
  await using store = await connected(server);
  await using other = await connected(server);
  server.deafen();
  // It does not hear of its own either: the answer is lost, until another connection brings it.
  await other.change(() => [put(ANN, { Name: "ann" })]);
  await eventually(async () => (await store.snapshot()).peers.size === 1 ? true : null);
});

Deno.test("entries that cannot be used are left out, and take nothing of others' with them", async () => {
  const server = new MemoryBucketServer();
  await using store = await connected(server);
  await store.change(() => [
    put(ANN, { Name: "ann", AllowedIPs: "10.0.0.2/32", Groups: "staff" }),
    { kind: "put-group", name: "staff", settings: { Allow: "internet" } },
  ]);
  await eventually(() => server.entries.has(peerKey(ANN)) ? true : null);
  for (
    const [key, value] of [
      [peerKey(BOB), JSON.stringify({ Name: "bob", AllowedIPs: "10.0.0.2/32" })],
      [peerKey(CARL), '{"Name": "../../etc/passwd"}'],
      [peerKey(sampleKeys(21).publicKey), '{"PrivateKey": "x"}'],
      [peerKey(sampleKeys(22).publicKey), "\xff\xfe not JSON"],
      [peerKey(sampleKeys(23).publicKey), JSON.stringify({ Name: "a".repeat(70_000) })],
      [peerKey(sampleKeys(24).publicKey), "[1]"],
      [peerKey(sampleKeys(25).publicKey), '{"Name": "eve", "Groups": "nobodys"}'],
      [peerKey(sampleKeys(26).publicKey), '{"Name": 7}'],
      ["peer.AAAA", "{}"],
      ["elsewhere", "{}"],
      [groupKey("staff"), '{"Allow": "everything at all"}'],
    ] as const
  ) server.write(key, value);
  server.write(COMMIT_KEY, "nonsense");
  // Seen at the next change that is one, by who was there as by who comes.
  await store.change(() => [put(sampleKeys(27).publicKey, { Name: "last" })]);
  await using other = await connected(server);
  for (const each of [store, other]) {
    const { peers, groups } = await each.snapshot();
    assertEquals([...peers.values()].map(({ Name }) => Name).sort(), ["ann", "last"]);
    assertEquals(groups.get("staff"), { Deny: "any" });
    assert(each.state.leftOut >= 11, `${each.state.leftOut}`);
  }
});

Deno.test("there are no more peers than a gateway takes", async () => {
  await using store = await connected(new MemoryBucketServer());
  await store.change(() => [1, 2, 3].map((byte) => put(sampleKeys(byte).publicKey, {})));
  const refusal = await assertRejects(() => store.change(() => [put(ANN, {})]), RefusalError);
  assertEquals(refusal.code, "refused");
});
