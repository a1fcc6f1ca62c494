/** Shows that what runs is as the store has it, no matter who has changed that, and whatever a change came to. */
import { StoreFollower } from "../../../../lib/control/fleet/store_follower.ts";
import { RefusalError } from "../../../../lib/core/config/refusal_error.ts";
import type { StoredPeers, StoreOutcome } from "../../../../lib/core/peers/peer_store.ts";
import { getLogger } from "../../../../lib/process/logging.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { sampleKeys } from "../../../support/config/sample_keys.ts";
import { MemoryPeerStore } from "../../../support/control/memory_peer_store.ts";
import { eventually } from "../../../support/time/patience.ts";

const [ANN, BOB] = [11, 12].map((byte) => sampleKeys(byte).publicKey) as [string, string];

class SharedMemory extends MemoryPeerStore {
  known: StoredPeers | null = null;
  state = { isConnected: true };
}

/** A store with a follower, and peers that run by it. */
class Site {
  readonly store = new SharedMemory();
  readonly running = new Map<string, string>();
  readonly by: string[] = [];
  /** The name of a peer that cannot run. */
  refused: string | null = null;
  readonly follower: StoreFollower;

  constructor() {
    this.store.watch((snapshot) => this.store.known = snapshot);
    this.follower = new StoreFollower({
      store: this.store,
      live: { peers: () => new Map(), apply: (outcome, by) => this.#apply(outcome, by) },
      applied: { peers: new Map(), groups: new Map() },
      logger: getLogger("control"),
    });
  }

  put(publicKey: string, Name: string) {
    return { kind: "put-peer", publicKey, settings: { Name } } as const;
  }

  #apply({ before, after }: StoreOutcome, by: string): Promise<void> {
    if ([...after.peers.values()].some(({ Name }) => Name === this.refused)) {
      return Promise.reject(new Error("it cannot run"));
    }
    for (const key of before.peers.keys()) this.running.delete(key);
    for (const [key, { Name }] of after.peers) this.running.set(key, Name!);
    this.by.push(by);
    return Promise.resolve();
  }
}

Deno.test("what another gateway changes runs here, and only what differs is touched", async () => {
  const site = new Site();
  await site.store.change(() => [site.put(ANN, "ann"), site.put(BOB, "bob")]);
  await eventually(() => site.running.size === 2 || null);
  await site.store.change(() => [site.put(ANN, "anna")]);
  await eventually(() => site.running.get(ANN) === "anna" || null);
  assertEquals(site.by, ["the store", "the store"]);
  site.follower[Symbol.dispose]();
});

Deno.test("a change that is made here is in effect when it is answered, under the name of who asked", async () => {
  const site = new Site();
  const { store, live } = site.follower;
  await store.change(() => [site.put(ANN, "ann")], (outcome) => live.apply(outcome, "root"));
  assertEquals([site.running.get(ANN), site.by], ["ann", ["root"]]);
  await live.apply({ before: site.store.known!, after: site.store.known! }, "root");
  await store.change(() => [{ kind: "delete-peer", publicKey: ANN }]);
  assertEquals([site.running.size, site.by.at(-1)], [0, "root"]);
});

Deno.test("a change that does not get into the store does not stay in effect", async () => {
  const site = new Site();
  const { store, live } = site.follower;
  await store.change(() => [site.put(ANN, "ann")], (outcome) => live.apply(outcome, "root"));
  site.store.failure = new RefusalError("unavailable", "gone");
  const change = () =>
    store.change(() => [site.put(ANN, "anna")], (outcome) => live.apply(outcome, "root"));
  await assertRejects(change, RefusalError, "gone");
  assertEquals(site.running.get(ANN), "ann");
  // Nor is a peer cut off that the store cannot take out.
  site.store.state = { isConnected: false };
  const { known } = site.store;
  await assertRejects(
    () => live.apply({ before: known!, after: { ...known!, peers: new Map() } }, "root"),
    RefusalError,
    "cannot be reached",
  );
  assertEquals(site.running.get(ANN), "ann");
});

Deno.test("a peer that cannot run keeps no other from it", async () => {
  const site = new Site();
  site.refused = "ann";
  await site.store.change(() => [site.put(ANN, "ann"), site.put(BOB, "bob")]);
  await eventually(() => site.running.size === 1 || null);
  assertEquals(site.running.get(BOB), "bob");
});
