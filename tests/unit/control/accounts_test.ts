/** Tests of accounts: what is written when, quotas by period, restarts, steps of the clock, and disks that fail. */
import { Accounts } from "../../../lib/control/accounts.ts";
import { parseQuota } from "../../../lib/core/config/values/quota.ts";
import { encodeKey } from "../../../lib/core/config/values/key_text.ts";
import type { PeerQuota } from "../../../lib/dataplane/data_plane_protocol.ts";
import { AccountStore, unixDay } from "../../../lib/host/accounts/account_store.ts";
import { getLogger } from "../../../lib/process/logging.ts";
import { assert, assertEquals } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { hostTest } from "../../support/permissions.ts";
import { FakeTimers } from "../../support/time/fake_timers.ts";

const KEY = new Uint8Array(32).fill(7);
const PEER = encodeKey(KEY);
const NOON = Date.UTC(2026, 10, 28, 12);
const DAY = 86_400_000;

interface Stage {
  readonly accounts: Accounts;
  readonly told: PeerQuota[];
  /** Lets the data plane count so much in all, as of now. */
  count(received: number, sent: number): void;
  /** The same, and has it report that. */
  report(received: number, sent: number, isRemoved?: boolean): void;
  follow(quota: string | null, rate?: number | null): void;
  /** Lets time pass, by the wall clock as well. */
  pass(ms: number): Promise<void>;
  readonly lines: string[];
}

async function stage(
  timers: FakeTimers,
  path: string,
  clock: { wall: number },
): Promise<Stage> {
  const told: PeerQuota[] = [];
  const lines: string[] = [];
  let counted = { receivedBytes: 0, sentBytes: 0 };
  const logger = Object.assign(Object.create(getLogger("control")), {
    warn: (line: string) => void lines.push(line),
    info: (line: string) => void lines.push(line),
  });
  const accounts = await Accounts.start({
    path,
    now: () => clock.wall,
    logger,
    dataPlane: {
      usage: () => Promise.resolve([{ publicKey: KEY, ...counted }]),
      setQuotas: (quotas) => {
        told.push(...quotas);
        return Promise.resolve();
      },
    },
  });
  const count = (receivedBytes: number, sentBytes: number) => {
    counted = { receivedBytes, sentBytes };
  };
  return {
    accounts,
    told,
    lines,
    count,
    report(received, sent, isRemoved = false) {
      count(received, sent);
      accounts.take({ kind: "usage", publicKey: KEY, ...counted, isRemoved });
      if (isRemoved) count(0, 0);
    },
    follow(quota, quotaRate = null) {
      const entry = { fileName: "", line: 0, key: "Quota", value: quota ?? "off" };
      const peer = { name: "laptop", quota: parseQuota(entry), quotaRate, nextKey: null };
      accounts.follow(new Map([[PEER, peer]]));
    },
    async pass(ms) {
      for (let left = ms; left > 0; left -= 50) {
        clock.wall += 50;
        await timers.advance(50);
      }
    },
  };
}

function accountsTest(
  name: string,
  run: (given: {
    readonly timers: FakeTimers;
    readonly path: string;
    readonly clock: { wall: number };
    readonly begin: () => Promise<Stage>;
  }) => Promise<void>,
): void {
  hostTest(name, async () => {
    const folder = temporaryFolder();
    // The module is there before timers are fake.
    await import("node:sqlite");
    using timers = new FakeTimers();
    const clock = { wall: NOON };
    const path = `${folder}/vpn0.sqlite`;
    await run({ timers, path, clock, begin: () => stage(timers, path, clock) });
  });
}

async function written(path: string): Promise<number> {
  using store = await AccountStore.openToRead(path);
  return store.used(PEER, null);
}

accountsTest(
  "what peers use is kept by hour as well, and while it cannot be written of three hours",
  async ({ path, clock, begin }) => {
    const hour = 3_600_000;
    {
      const { accounts, report } = await begin();
      report(100, 20);
      clock.wall += hour;
      report(150, 20);
      await accounts[Symbol.asyncDispose]();
    }
    const used = async () => {
      using store = await AccountStore.openToRead(path);
      return store.usage("hour").map(({ period, name, received, sent }) =>
        `${period} ${name} ${received} ${sent}`
      );
    };
    assertEquals(await used(), [
      "2026-11-28T13:00Z null 50 0",
      "2026-11-28T12:00Z null 100 20",
    ]);
    const moved = `${path}.moved`;
    Deno.renameSync(path, moved);
    Deno.writeTextFileSync(path, "somebody's text ".repeat(100));
    const { accounts, follow, report, pass } = await begin();
    follow(null);
    for (let count = 1; count <= 5; count++) {
      clock.wall += hour;
      report(count, 0);
    }
    Deno.renameSync(moved, path);
    await pass(61_000);
    assertEquals((await used()).slice(0, 4), [
      "2026-11-28T18:00Z laptop 1 0",
      "2026-11-28T17:00Z laptop 1 0",
      "2026-11-28T16:00Z laptop 1 0",
      "2026-11-28T13:00Z null 50 0",
    ]);
    assertEquals(await written(path), 175);
    await accounts[Symbol.asyncDispose]();
  },
);

accountsTest(
  "what peers use is written within ten seconds, and the rest at the end",
  async ({ path, begin }) => {
    const { accounts, count, pass } = await begin();
    count(100, 20);
    await pass(10_000);
    assertEquals(await written(path), 120);
    count(1_000, 200);
    await accounts[Symbol.asyncDispose]();
    assertEquals(await written(path), 1_200);
  },
);

accountsTest("what is reported is written at once, and once", async ({ path, begin }) => {
  const { accounts, report, pass } = await begin();
  report(100, 20);
  await pass(50);
  assertEquals(await written(path), 120);
  report(100, 30);
  await pass(10_000);
  assertEquals(await written(path), 130);
  await accounts[Symbol.asyncDispose]();
  assertEquals(await written(path), 130);
});

accountsTest(
  "a peer that is removed and added again counts from nothing, and loses nothing",
  async ({ path, begin }) => {
    const { accounts, report, count, pass } = await begin();
    report(100, 0, true);
    count(300, 0);
    await pass(10_000);
    assertEquals(await written(path), 400);
    count(10, 0);
    await accounts[Symbol.asyncDispose]();
    assertEquals(await written(path), 410);
  },
);

accountsTest("a quota goes on where the run before has ended, be it killed", async ({ begin }) => {
  const first = await begin();
  first.follow("1000000/month");
  assertEquals(first.told, [{ peer: PEER, quota: { end: 1e6, step: 2_500, rate: null } }]);
  first.report(300_000, 100_000);
  await first.pass(50);
  // Never disposed of: it was killed.
  const second = await begin();
  second.follow("1M/month", 5_000);
  assertEquals(second.told, [{ peer: PEER, quota: { end: 6e5, step: 2_500, rate: 5_000 } }]);
  assertEquals(second.accounts.quotaOf(PEER, 70_000), {
    used: 470_000,
    resetsAt: Date.UTC(2026, 11, 1),
  });
  await second.accounts[Symbol.asyncDispose]();
  await first.accounts[Symbol.asyncDispose]();
});

accountsTest(
  "a period begins at midnight in UTC, and by a clock that is set forward; one set back goes on",
  async ({ begin, clock }) => {
    const { accounts, follow, report, told, pass } = await begin();
    follow("1M/day");
    report(400_000, 0);
    await pass(1_000);
    const ends = () => told.splice(0).map(({ quota }) => quota?.end);
    assertEquals(ends(), [1e6]);
    clock.wall = NOON + DAY;
    await pass(1_000);
    assertEquals(ends(), [1.4e6]);
    report(700_000, 0);
    await pass(1_000);
    clock.wall = NOON;
    await pass(1_000);
    // 400,000 of that day, 700,000 counted in all.
    assertEquals(ends(), [1.3e6]);
    assertEquals(accounts.quotaOf(PEER, null)!.used, 400_000);
    clock.wall = NOON + 365 * DAY;
    await pass(1_000);
    assertEquals(ends(), [1.7e6]);
    await accounts[Symbol.asyncDispose]();
  },
);

accountsTest("a month is one of the calendar, and a total has no end", async ({ begin, clock }) => {
  const { accounts, follow, report, told, pass } = await begin();
  follow("1M/month");
  report(400_000, 0);
  clock.wall = Date.UTC(2026, 10, 30, 23, 59);
  await pass(1_000);
  assertEquals(told.length, 1);
  clock.wall = Date.UTC(2026, 11, 1);
  await pass(1_000);
  assertEquals(told.at(-1)!.quota!.end, 1.4e6);
  follow("1M");
  assertEquals(told.at(-1)!.quota!.end, 1e6);
  assertEquals(accounts.quotaOf(PEER, null), { used: 400_000, resetsAt: null });
  await accounts[Symbol.asyncDispose]();
});

accountsTest(
  "a quota that is changed or taken away is told, and nothing else is",
  async ({ begin }) => {
    const { accounts, follow, told } = await begin();
    follow(null);
    follow("1M/day");
    follow("1M/day");
    assertEquals(told.length, 1);
    follow("1M/day", 8_000);
    follow("2M/day", 8_000);
    follow(null);
    assertEquals(told.slice(1).map(({ quota }) => quota && [quota.end, quota.rate]), [
      [1e6, 8_000],
      [2e6, 8_000],
      null,
    ]);
    await accounts[Symbol.asyncDispose]();
  },
);

accountsTest(
  "of a quota after which nothing passes, no more than all of it is said to be used",
  async ({ begin }) => {
    const { accounts, follow, report } = await begin();
    follow("1M/day");
    report(1_200_000, 0);
    assertEquals(accounts.quotaOf(PEER, null)!.used, 1e6);
    follow("1M/day", 8_000);
    assertEquals(accounts.quotaOf(PEER, null)!.used, 1.2e6);
    await accounts[Symbol.asyncDispose]();
  },
);

accountsTest(
  "a file that is not ours is left alone, said once, and quotas go on in memory",
  async ({ path, begin }) => {
    Deno.writeTextFileSync(path, "somebody's text ".repeat(100));
    const { accounts, follow, report, told, lines, pass } = await begin();
    report(300_000, 0);
    follow("1M/month");
    assertEquals(told[0]!.quota!.end, 1e6);
    assertEquals(accounts.quotaOf(PEER, null)!.used, 300_000);
    await pass(30_000);
    assertEquals(lines.length, 1);
    await accounts[Symbol.asyncDispose]();
    assertEquals(Deno.readTextFileSync(path), "somebody's text ".repeat(100));
  },
);

accountsTest(
  "a file that could not be opened is tried again, and quotas then count what is in it",
  async ({ path, clock, begin }) => {
    const moved = `${path}.moved`;
    {
      using store = await AccountStore.open(moved);
      store.add(unixDay(clock.wall), [{ peer: PEER, name: null, received: 400_000, sent: 0 }]);
    }
    Deno.writeTextFileSync(path, "somebody's text ".repeat(100));
    const { accounts, follow, report, told, lines, pass } = await begin();
    report(300_000, 0);
    follow("1M/month");
    Deno.renameSync(moved, path);
    await pass(61_000);
    assertEquals(told.map(({ quota }) => quota!.end), [1e6, 600_000]);
    assertEquals(accounts.quotaOf(PEER, null)!.used, 700_000);
    assertEquals([await written(path), lines.length], [700_000, 2]);
    await accounts[Symbol.asyncDispose]();
  },
);

accountsTest(
  "what cannot be written is said once, kept, and written when it can be",
  async ({ path, begin }) => {
    const { accounts, report, lines, pass } = await begin();
    const { DatabaseSync } = await import("node:sqlite");
    using other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    report(100, 0);
    await pass(100);
    report(200, 0);
    await pass(100);
    assertEquals(lines.length, 1);
    assert(lines[0]!.startsWith("cannot write accounts"));
    other.exec("ROLLBACK");
    report(300, 0);
    await pass(100);
    assertEquals([await written(path), lines.length], [300, 2]);
    await accounts[Symbol.asyncDispose]();
  },
);

accountsTest(
  "events are written at once, in their order; while they cannot be, so many are kept",
  async ({ path, clock, begin }) => {
    const { accounts, pass } = await begin();
    const laptop = { publicKey: KEY, name: "laptop" };
    const read = async () => {
      using store = await AccountStore.openToRead(path);
      return store.events(0, 0).map(({ id: _id, ...event }) => event);
    };
    accounts.record("connected", laptop, "192.0.2.1:7");
    accounts.record("reloaded", null);
    await pass(50);
    assertEquals(await read(), [
      { time: NOON, kind: "connected", peer: PEER, name: "laptop", detail: "192.0.2.1:7" },
      { time: NOON, kind: "reloaded", peer: null, name: null, detail: null },
    ]);
    const { DatabaseSync } = await import("node:sqlite");
    using other = new DatabaseSync(path);
    other.exec("BEGIN IMMEDIATE");
    for (let i = 0; i < 1_003; i++) accounts.record("connected", laptop, `${i}`);
    await pass(100);
    other.exec("ROLLBACK");
    clock.wall += DAY;
    accounts.record("disconnected", laptop);
    await pass(100);
    const events = await read();
    assertEquals(events.length, 2 + 1 + 1_000);
    assertEquals(events[2]!.detail, "4 events that could not be written");
    assertEquals([events[3]!.detail, events.at(-1)!.kind], ["4", "disconnected"]);
    await accounts[Symbol.asyncDispose]();
  },
);
