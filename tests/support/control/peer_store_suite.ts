/** What every peer store holds to: tests to be run on each. */
import { type RefusalCode, RefusalError } from "../../../lib/core/config/refusal_error.ts";
import type { PeerStore, StoreChange } from "../../../lib/core/peers/peer_store.ts";
import { assert, assertEquals, assertNotEquals, assertRejects } from "../assert.ts";
import { sampleKeys } from "../config/sample_keys.ts";

const [ANN, BOB, CARL] = [11, 12, 13].map((byte) => sampleKeys(byte).publicKey) as [
  string,
  string,
  string,
];

/** A store with nothing in it, for one test. */
export interface StoreSite extends AsyncDisposable {
  readonly store: PeerStore;
}

type Register = (name: string, test: () => Promise<void>) => void;

/** Registers the tests. */
export function peerStoreSuite(name: string, open: () => Promise<StoreSite>, test: Register): void {
  const about = (what: string, run: (store: PeerStore) => Promise<void>) =>
    test(`${name}: ${what}`, async () => {
      await using site = await open();
      await run(site.store);
    });

  about("what is put is there, one text for one meaning", async (store) => {
    const after = await store.change(() => [
      put(ANN, { Name: "ann", AllowedIPs: "10.66.77.2,10.66.77.7/32", RateLimit: "50000k" }),
    ]);
    const wanted = { Name: "ann", AllowedIPs: "10.66.77.2/32, 10.66.77.7/32", RateLimit: "50M" };
    assertEquals(after.peers.get(ANN), wanted);
    assertEquals(await store.snapshot(), after);
  });

  about("a put takes out the keys that it does not have", async (store) => {
    await store.change(() => [put(ANN, { Name: "ann", RateLimit: "1M", Enabled: "no" })]);
    const after = await store.change(() => [put(ANN, { Name: "anna" })]);
    assertEquals(after.peers.get(ANN), { Name: "anna" });
  });

  about("what is deleted is gone, and may be put again", async (store) => {
    await store.change(() => [put(ANN, { Name: "ann" }), put(BOB, { Name: "bob" })]);
    const after = await store.change(() => [{ kind: "delete-peer", publicKey: ANN }]);
    assertEquals([...after.peers.keys()], [BOB]);
    await store.change(() => [{ kind: "delete-peer", publicKey: ANN }]);
    await store.change(() => [{ ...put(ANN, { Name: "ann" }), expected: null }]);
    assertEquals((await store.snapshot()).peers.size, 2);
  });

  about("the revision of what has changed moves, and no other's", async (store) => {
    const one = await store.change(() => [put(ANN, { Name: "ann" }), put(BOB, { Name: "bob" })]);
    const two = await store.change(() => [put(ANN, { Name: "ann", RateLimit: "1M" })]);
    assertNotEquals(two.revision, one.revision);
    assertNotEquals(two.peerRevisions.get(ANN), one.peerRevisions.get(ANN));
    assertEquals(two.peerRevisions.get(BOB), one.peerRevisions.get(BOB));
    const same = await store.change(() => [put(ANN, { Name: "ann", RateLimit: "1000k" })]);
    assertEquals(same.revision, two.revision);
  });

  about("a change that expects another revision is refused with nothing changed", async (store) => {
    const one = await store.change(() => [put(ANN, { Name: "ann" }), put(BOB, { Name: "bob" })]);
    const expected = one.peerRevisions.get(ANN)!;
    const two = await store.change(() => [{ ...put(ANN, { Name: "anna" }), expected }]);
    await refused(store, "revision", put(BOB, { Name: "robert" }), {
      ...put(ANN, { Name: "an" }),
      expected,
    });
    await refused(store, "revision", { kind: "delete-peer", publicKey: ANN, expected });
    await refused(store, "conflict", { ...put(ANN, { Name: "an" }), expected: null });
    assertEquals(await store.snapshot(), two);
  });

  about("of two writers with the same revision one wins", async (store) => {
    const { peerRevisions } = await store.change(() => [put(ANN, { Name: "ann" })]);
    const expected = peerRevisions.get(ANN)!;
    const outcomes = await Promise.allSettled(
      ["1M", "2M", "3M"].map((RateLimit) =>
        store.change(() => [{ ...put(ANN, { Name: "ann", RateLimit }), expected }])
      ),
    );
    assertEquals(outcomes.filter(({ status }) => status === "fulfilled").length, 1);
    for (const outcome of outcomes) {
      if (outcome.status === "fulfilled") continue;
      assertEquals((outcome.reason as RefusalError).code, "revision");
    }
  });

  about("a writer sees what those before it have written: none is lost", async (store) => {
    const keys = [ANN, BOB, CARL];
    await Promise.all(
      keys.map((key, index) =>
        store.change((before) => [put(key, { Name: `peer-${before.peers.size}-${index}` })])
      ),
    );
    const names = Array.from((await store.snapshot()).peers.values(), ({ Name }) => Name!);
    assertEquals(names.map((name) => name.split("-")[1]).sort(), ["0", "1", "2"]);
  });

  about("a name, and a network, is one peer's", async (store) => {
    const before = await store.change(() => [put(ANN, { Name: "ann", AllowedIPs: "10.0.0.2/32" })]);
    await refused(store, "conflict", put(BOB, { Name: "ann" }));
    await refused(store, "conflict", put(BOB, { Name: "bob", AllowedIPs: "10.0.0.2" }));
    assertEquals(await store.snapshot(), before);
    // One takes what the other gives up in the same write.
    await store.change(() => [
      put(ANN, { Name: "anna", AllowedIPs: "10.0.0.3/32" }),
      put(BOB, { Name: "ann", AllowedIPs: "10.0.0.2/32" }),
    ]);
    assertEquals((await store.snapshot()).peers.get(BOB)!.AllowedIPs, "10.0.0.2/32");
  });

  about("a value that breaks its key's rule is refused, and no secret is shown", async (store) => {
    await refused(store, "invalid", put(ANN, { Name: "../ann" }));
    await refused(store, "invalid", put(ANN, { AllowedIPs: "10.0.0.0/99" }));
    await refused(store, "invalid", put("AAAA", { Name: "ann" }));
    const PresharedKey = `${sampleKeys(3).privateKey}x`;
    const { message } = await refused(store, "invalid", put(ANN, { PresharedKey }));
    assert(!message.includes(PresharedKey.slice(0, 20)), message);
    assertEquals((await store.snapshot()).peers.size, 0);
  });

  about("groups are there before their members say so, and not gone before", async (store) => {
    await refused(store, "invalid", put(ANN, { Groups: "staff" }));
    const after = await store.change(() => [
      put(ANN, { Name: "ann", Groups: "staff" }),
      { kind: "put-group", name: "staff", settings: { Allow: "internet,lan" } },
    ]);
    assertEquals(after.groups.get("staff"), { Allow: "internet, lan" });
    await refused(store, "invalid", { kind: "delete-group", name: "staff" });
    const changed = await store.change(() => [
      { kind: "put-group", name: "staff", settings: { Deny: "lan" } },
    ]);
    assertEquals(changed.groups.get("staff"), { Deny: "lan" });
    assertNotEquals(changed.groupRevisions.get("staff"), after.groupRevisions.get("staff"));
    const expected = after.groupRevisions.get("staff")!;
    await refused(store, "revision", { kind: "delete-group", name: "staff", expected });
    const without = await store.change(() => [
      put(ANN, { Name: "ann" }),
      { kind: "delete-group", name: "staff" },
    ]);
    assertEquals(without.groups.size, 0);
  });

  about("what is not accepted is not kept, and what is was asked before", async (store) => {
    const before = await store.change(() => [put(ANN, { Name: "ann" })]);
    const seen: unknown[] = [];
    await assertRejects(
      () =>
        store.change(() => [put(BOB, { Name: "bob" })], ({ before, after }) => {
          seen.push([before.peers.size, after.peers.size]);
          return Promise.reject(new Error("no"));
        }),
      Error,
      "no",
    );
    assertEquals(seen, [[1, 2]]);
    assertEquals(await store.snapshot(), before);
  });

  about("who watches is told of a change that another makes", async (store) => {
    const told = Promise.withResolvers<unknown>();
    using _watch = store.watch(({ peers }) => told.resolve(peers.get(ANN)));
    await store.change(() => [put(ANN, { Name: "ann" })]);
    assertEquals(await told.promise, { Name: "ann" });
  });
}

function put(publicKey: string, settings: Readonly<Record<string, string>>): StoreChange {
  return { kind: "put-peer", publicKey, settings };
}

async function refused(
  store: PeerStore,
  code: RefusalCode,
  ...changes: readonly StoreChange[]
): Promise<RefusalError> {
  const refusal = await assertRejects(() => store.change(() => changes), RefusalError);
  assertEquals(refusal.code, code, refusal.message);
  return refusal;
}
