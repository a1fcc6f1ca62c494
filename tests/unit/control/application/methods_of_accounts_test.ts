/** Shows what is answered of usage and events, and how events are told as they happen. */
import { methodsOfAccounts } from "../../../../lib/control/application/methods_of_accounts.ts";
import type { EventEntry, UsageEntry } from "../../../../lib/control/application/methods.ts";
import { RefusalError } from "../../../../lib/core/config/refusal_error.ts";
import { AccountStore, type PeerUsage } from "../../../../lib/host/accounts/account_store.ts";
import { assertEquals, assertRejects } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

const [ANN, BOB] = ["A", "B"].map((letter) => `${letter.repeat(43)}=`) as [string, string];
const CALLER = { user: 0, isConsole: false };

/** Accounts in a file, without a data plane. */
class Site implements Disposable {
  readonly #store: AccountStore;
  readonly #listeners = new Set<() => void>();
  isBroken = false;
  readonly methods = methodsOfAccounts({
    ask: (question) => {
      if (this.isBroken) throw new RefusalError("unavailable", "the file is gone");
      return question(this.#store);
    },
    onEvents: (call) => {
      this.#listeners.add(call);
      return { [Symbol.dispose]: () => void this.#listeners.delete(call) };
    },
  });

  private constructor(store: AccountStore) {
    this.#store = store;
  }

  static async open(): Promise<Site> {
    return new Site(await AccountStore.open(`${temporaryFolder()}/a.sqlite`));
  }

  /** How many wait for what comes. */
  get listeners(): number {
    return this.#listeners.size;
  }

  happen(kind: string, name: string): void {
    const peer = name === "ann" ? ANN : BOB;
    this.#store.addEvents([{ time: 1_000, kind, peer, name, detail: null }]);
    for (const call of [...this.#listeners]) call();
  }

  use(day: number, peers: readonly PeerUsage[]): void {
    this.#store.add(day, peers);
  }

  ask<T>(method: keyof Site["methods"], params = {}): Promise<T> {
    const call = this.methods[method];
    return call(params, () => Promise.resolve(), new AbortController().signal, CALLER) as Promise<
      T
    >;
  }

  async events(params = {}): Promise<string[]> {
    const { events } = await this.ask<{ events: EventEntry[] }>("events", params);
    return events.map(({ id, event, name }) => `${id} ${event} ${name}`);
  }

  [Symbol.dispose](): void {
    this.#store[Symbol.dispose]();
  }
}

hostTest("events are told from a number on, of a peer, the first of them or the last", async () => {
  using site = await Site.open();
  for (const name of ["ann", "bob", "ann"]) site.happen("connected", name);
  assertEquals(await site.events(), ["1 connected ann", "2 connected bob", "3 connected ann"]);
  assertEquals(await site.events({ after: 1, limit: 1 }), ["2 connected bob"]);
  assertEquals(await site.events({ newest: true, limit: 2 }), [
    "2 connected bob",
    "3 connected ann",
  ]);
  assertEquals(await site.events({ peer: ANN }), ["1 connected ann", "3 connected ann"]);
  assertEquals(await site.events({ peer: "bob" }), ["2 connected bob"]);
  assertEquals(await site.events({ since: 1_001 }), []);
  assertEquals(await site.ask("events", { after: 3 }), { events: [], last: 3 });
});

hostTest("an answer has a thousand events at most, and goes on behind its last", async () => {
  using site = await Site.open();
  for (let count = 0; count < 1_002; count++) site.happen("connected", "ann");
  const { events, last } = await site.ask<{ events: EventEntry[]; last: number }>("events", {
    limit: 5_000,
  });
  assertEquals([events.length, last], [1_000, 1_000]);
  assertEquals((await site.events({ after: last })).length, 2);
});

hostTest(
  "who follows is told of each event once, in order, until there is nobody any more",
  async () => {
    using site = await Site.open();
    site.happen("connected", "ann");
    const told: string[] = [];
    const gone = new AbortController();
    const wanted = Promise.withResolvers<void>();
    const following = site.methods["follow-events"](
      {},
      (event) => {
        const { event: kind, name } = event as EventEntry;
        told.push(`${kind} ${name}`);
        if (told.length === 3) wanted.resolve();
        // One that comes while another is told.
        if (told.length === 1) site.happen("expired", "bob");
        return Promise.resolve();
      },
      gone.signal,
      CALLER,
    );
    site.happen("disabled", "ann");
    site.happen("enabled", "ann");
    await wanted.promise;
    assertEquals(told, ["disabled ann", "enabled ann", "expired bob"]);
    gone.abort();
    assertEquals(await following, null);
    assertEquals(site.listeners, 0);
  },
);

hostTest("usage is told by month and day, of one peer or of all", async () => {
  using site = await Site.open();
  const use = (peer: string, name: string) => ({ peer, name, received: 5, sent: 7 });
  site.use(20_000, [use(ANN, "ann"), use(BOB, "bob")]);
  site.use(20_001, [use(ANN, "ann")]);
  const usage = async (params = {}) =>
    (await site.ask<{ usage: UsageEntry[] }>("usage", params)).usage
      .map(({ period, name, received }) => `${period} ${name} ${received}`);
  assertEquals(await usage(), ["2024-10 ann 10", "2024-10 bob 5"]);
  assertEquals(await usage({ by: "day", peer: "ann" }), ["2024-10-05 ann 5", "2024-10-04 ann 5"]);
});

hostTest(
  "of all peers the newest periods are told, the heaviest user first, and all of one",
  async () => {
    using site = await Site.open();
    for (let day = 0; day < 40; day++) {
      site.use(20_000 + day, [
        { peer: ANN, name: "ann", received: 1, sent: 0 },
        { peer: BOB, name: "bob", received: day, sent: 2 },
      ]);
    }
    const usage = async (params: object) =>
      (await site.ask<{ usage: UsageEntry[] }>("usage", { by: "day", ...params })).usage
        .map(({ period, name }) => `${period} ${name}`);
    const ofAll = await usage({});
    assertEquals([ofAll.length, ofAll[0], ofAll[1], ofAll.at(-1)], [
      ...[62, "2024-11-12 bob", "2024-11-12 ann", "2024-10-13 ann"],
    ]);
    for (const peer of [ANN, "ann"]) {
      const ofOne = await usage({ peer });
      assertEquals([ofOne.length, ofOne.at(-1)], [40, "2024-10-04 ann"]);
    }
    assertEquals(await usage({ by: "hour" }), []);
  },
);

hostTest("what is asked wrong is refused, and what cannot be read said so", async () => {
  using site = await Site.open();
  for (
    const [method, params] of [
      ["usage", { by: "year" }],
      ["events", { after: -1 }],
      ["events", { limit: "all" }],
      ["events", { newest: 1 }],
      ["events", { peer: 7 }],
    ] as const
  ) {
    const error = await assertRejects(() => site.ask(method, params), RefusalError);
    assertEquals(error.code, "invalid", error.message);
  }
  site.isBroken = true;
  const error = await assertRejects(() => site.ask("usage"), RefusalError);
  assertEquals(error.code, "unavailable");
});
