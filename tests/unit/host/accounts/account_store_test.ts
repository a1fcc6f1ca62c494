/** Tests of the file that usage is kept in: sums, periods, bounds, a bad end, and files that are not ours. */
import {
  AccountStore,
  type PeerUsage,
  unixDay,
  unixHour,
} from "../../../../lib/host/accounts/account_store.ts";
import { assert, assertEquals, assertRejects, assertThrows } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

/** 2026-11-28, and a day of the month before. */
const TODAY = unixDay(Date.UTC(2026, 10, 28));
const OCTOBER = unixDay(Date.UTC(2026, 9, 31));

const of = (peer: string, received: number, sent: number): PeerUsage => ({
  peer,
  name: `${peer}'s name`,
  received,
  sent,
});

async function withFolder(use: (path: string) => Promise<void>): Promise<void> {
  const folder = temporaryFolder();
  await use(`${folder}/state/vpn0.sqlite`);
}

hostTest("usage is summed up by day, by month and in all, each peer by itself", async () => {
  await withFolder(async (path) => {
    using store = await AccountStore.open(path);
    store.add(OCTOBER, [of("a", 1, 2)]);
    store.add(TODAY, [of("a", 10, 20), of("b", 5, 6)]);
    store.add(TODAY, [of("a", 100, 200)]);
    store.add(TODAY - 1, [of("b", 1_000, 2_000)]);
    assertEquals(
      store.usage("day").map(({ period, peer, received, sent }) => [
        ...[period, peer, received, sent],
      ]),
      [
        ["2026-11-28", "a", 110, 220],
        ["2026-11-28", "b", 5, 6],
        ["2026-11-27", "b", 1_000, 2_000],
        ["2026-10-31", "a", 1, 2],
      ],
    );
    assertEquals(
      store.usage("month").map(({ period, name, received }) => [period, name, received]),
      [["2026-11", "b's name", 1_005], ["2026-11", "a's name", 110], ["2026-10", "a's name", 1]],
    );
    assertEquals(store.used("a", { first: TODAY, last: TODAY }), 330);
    assertEquals(store.used("a", { first: OCTOBER, last: TODAY }), 333);
    assertEquals(["a", "b", "c"].map((peer) => store.used(peer, null)), [333, 3_011, 0]);
  });
});

hostTest(
  "usage by hour is that of 49 hours, of all or of one peer, and none of the day's",
  async () => {
    await withFolder(async (path) => {
      using store = await AccountStore.open(path);
      const first = unixHour(Date.UTC(2026, 10, 26, 14));
      for (let back = 0; back < 60; back++) store.addHour(first + back, [of("a", 1, back)]);
      store.addHour(first + 59, [of("a", 1, 0), of("b", 1_000, 0)]);
      const hours = store.usage("hour");
      assertEquals(hours.length, 50);
      assertEquals(
        hours.slice(0, 3).map(({ period, peer, name, received, sent }) => [
          ...[period, peer, name, received, sent],
        ]),
        [
          ["2026-11-29T01:00Z", "b", "b's name", 1_000, 0],
          ["2026-11-29T01:00Z", "a", "a's name", 2, 59],
          ["2026-11-29T00:00Z", "a", "a's name", 1, 58],
        ],
      );
      assertEquals(store.usage("hour", "b").map(({ period }) => period), ["2026-11-29T01:00Z"]);
      assertEquals(store.usage("hour", "a", 2).map(({ sent }) => sent), [59, 58]);
      assertEquals([store.usage("day"), store.users(), store.used("a", null)], [[], [], 0]);
    });
  },
);

hostTest(
  "a file of before there were hours has none to a reader, and then those that come",
  async () => {
    await withFolder(async (path) => {
      {
        using store = await AccountStore.open(path);
        store.add(TODAY, [of("a", 1, 1)]);
      }
      const { DatabaseSync } = await import("node:sqlite");
      {
        using database = new DatabaseSync(path);
        database.exec("DROP TABLE hour");
      }
      {
        using reader = await AccountStore.openToRead(path);
        assertEquals([reader.usage("hour").length, reader.usage("day").length], [0, 1]);
      }
      using store = await AccountStore.open(path);
      store.addHour(TODAY * 24, [of("a", 1, 1)]);
      assertEquals(store.usage("hour").map(({ period }) => period), ["2026-11-28T00:00Z"]);
    });
  },
);

hostTest("how far a server has been told of events is there for the next run", async () => {
  await withFolder(async (path) => {
    {
      using store = await AccountStore.open(path);
      assertEquals([store.lastEvent(), store.delivered("a")], [0, null]);
      const event = { time: Date.now(), kind: "reloaded", peer: null, name: null, detail: null };
      store.addEvents([event, event]);
      store.setDelivered("a", 1);
      store.setDelivered("a", 2);
      store.setDelivered("b", 1);
    }
    using store = await AccountStore.open(path);
    assertEquals([store.lastEvent(), store.delivered("a"), store.delivered("b")], [2, 2, 1]);
  });
});

hostTest("bytes beyond 2^32 are exact", async () => {
  await withFolder(async (path) => {
    using store = await AccountStore.open(path);
    for (let i = 0; i < 3; i++) store.add(TODAY, [of("a", 2 ** 50 + 1, 0)]);
    assertEquals(store.used("a", null), 3 * 2 ** 50 + 3);
  });
});

hostTest("what was added is there for the next run, and for who reads meanwhile", async () => {
  await withFolder(async (path) => {
    using first = await AccountStore.open(path);
    first.add(TODAY, [of("a", 10, 20)]);
    using reader = await AccountStore.openToRead(path);
    assertEquals(reader.used("a", null), 30);
    first.add(TODAY, [of("a", 10, 20)]);
    assertEquals(reader.used("a", null), 60);
    using second = await AccountStore.open(path);
    assertEquals(second.used("a", null), 60);
  });
});

hostTest("a process that is killed has lost nothing that it had added", async () => {
  await withFolder(async (path) => {
    const module = new URL("../../../../lib/host/accounts/account_store.ts", import.meta.url).href;
    const program = `
      import { AccountStore } from ${JSON.stringify(module)};
      const store = await AccountStore.open(${JSON.stringify(path)});
      for (let i = 0; i < 100; i++) {
        store.add(${TODAY}, [{ peer: "a", name: null, received: 1, sent: 1 }]);
      }
      Deno.kill(Deno.pid, "SIGKILL");
    `;
    const { signal } = await new Deno.Command(Deno.execPath(), {
      args: [
        "run",
        "-q",
        "-A",
        "--no-check",
        `data:application/typescript,${encodeURIComponent(program)}`,
      ],
    }).output();
    assertEquals(signal, "SIGKILL");
    using store = await AccountStore.open(path);
    assertEquals(store.used("a", null), 200);
  });
});

hostTest("days beyond the bound are forgotten, and still count in all", async () => {
  await withFolder(async (path) => {
    using store = await AccountStore.open(path);
    for (let day = 0; day <= 800; day++) store.add(TODAY + day, [of("a", 1, 1)]);
    assertEquals(store.usage("day").length, 800);
    assertEquals(store.used("a", { first: TODAY, last: TODAY }), 0);
    assertEquals(store.used("a", null), 1_602);
  });
});

hostTest(
  "a file that is as long as it may be makes room for what comes by what is oldest",
  async () => {
    await withFolder(async (path) => {
      using store = await AccountStore.open(path);
      // Long names in place of very many peers.
      const name = "n".repeat(50_000);
      const peers = Array.from({ length: 70 }, (_, i) => ({ ...of(`${i}`, 1, 1), name }));
      for (let day = TODAY; day < TODAY + 20; day++) store.add(day, peers);
      assertEquals(store.used("0", { first: TODAY, last: TODAY }), 0);
      assertEquals(store.used("0", { first: TODAY + 19, last: TODAY + 19 }), 2);
      assertEquals(store.used("0", null), 40);
      assert(Deno.statSync(path).size <= 64 * 1024 * 1024);
    });
  },
);

hostTest("nobody else may read it, be the folder open to all", async () => {
  await withFolder(async (path) => {
    const folder = path.slice(0, path.lastIndexOf("/"));
    Deno.mkdirSync(folder, { mode: 0o755 });
    using store = await AccountStore.open(path);
    store.add(TODAY, [of("a", 1, 1)]);
    const modes = Array.from(
      Deno.readDirSync(folder),
      ({ name }) => (Deno.statSync(`${folder}/${name}`).mode ?? 0) & 0o777,
    );
    assertEquals(modes, modes.map(() => 0o600));
    assert(modes.length > 1);
  });
});

hostTest("a clock that is wrong for a moment costs nothing that was there", async () => {
  await withFolder(async (path) => {
    using store = await AccountStore.open(path);
    const event = {
      time: TODAY * 86_400_000,
      kind: "connected",
      peer: null,
      name: null,
      detail: null,
    };
    store.add(TODAY, [of("a", 10, 20)]);
    store.addEvents([event]);
    for (const day of [TODAY + 27_000, 0, TODAY]) store.add(day, [of("a", 1, 1)]);
    assertEquals(store.used("a", { first: TODAY, last: TODAY }), 32);
    assertEquals(store.events(0, 0).length, 1);
  });
});

hostTest("a file that cannot be written to for now is opened, and read", async () => {
  await withFolder(async (path) => {
    (await AccountStore.open(path))[Symbol.dispose]();
    const { DatabaseSync } = await import("node:sqlite");
    using other = new DatabaseSync(path);
    {
      using store = await AccountStore.open(path);
      store.add(TODAY, [of("a", 1, 1)]);
    }
    other.exec("BEGIN IMMEDIATE");
    using store = await AccountStore.open(path);
    assertEquals(store.used("a", null), 2);
    assertThrows(() => store.add(TODAY, [of("a", 1, 1)]), Error, "locked");
    other.exec("COMMIT");
    store.add(TODAY, [of("a", 1, 1)]);
    assertEquals(store.used("a", null), 4);
  });
});

hostTest("a file that is not ours, or is damaged, is refused and left as it is", async () => {
  await withFolder(async (path) => {
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")));
    const { DatabaseSync } = await import("node:sqlite");
    const foreign = new DatabaseSync(path);
    foreign.exec("CREATE TABLE theirs (x)");
    foreign.close();
    const texts: [string, Uint8Array][] = [
      ["another program's file", Deno.readFileSync(path)],
      ["not a database", new TextEncoder().encode("a text of somebody's".repeat(100))],
    ];
    for (const [message, bytes] of texts) {
      Deno.writeFileSync(path, bytes);
      await assertRejects(() => AccountStore.open(path), Error, message);
      assertEquals(Deno.readFileSync(path), bytes);
    }
  });
});

hostTest("a file whose middle was overwritten is refused", async () => {
  await withFolder(async (path) => {
    {
      using store = await AccountStore.open(path);
      for (let day = 0; day < 50; day++) {
        store.add(TODAY - day, Array.from({ length: 100 }, (_, i) => of(`peer ${i}`, i, i)));
      }
    }
    const bytes = Deno.readFileSync(path);
    bytes.fill(0xa5, 4_096, bytes.length);
    Deno.writeFileSync(path, bytes);
    await assertRejects(() => AccountStore.open(path), Error);
  });
});

hostTest("where nothing can be written, adding says so and adds nothing", async () => {
  await withFolder(async (path) => {
    using store = await AccountStore.open(path);
    store.add(TODAY, [of("a", 1, 1)]);
    using reader = await AccountStore.openToRead(path);
    assertThrows(() => reader.add(TODAY, [of("a", 1, 1)]), Error);
    assertEquals(store.used("a", null), 2);
    assert(store.usage("day").length === 1);
  });
});

hostTest(
  "events are read in their order, behind one and since a time, and only so many are kept",
  async () => {
    await withFolder(async (path) => {
      using store = await AccountStore.open(path);
      const event = (time: number, kind: string) => ({
        time,
        kind,
        peer: "a",
        name: null,
        detail: null,
      });
      store.addEvents([event(1_000, "connected"), event(2_000, "disconnected")]);
      store.addEvents([event(1_500, "connected")]);
      const kinds = (after: number, since: number) =>
        store.events(after, since).map(({ id, kind }) => [id, kind]);
      assertEquals(kinds(0, 0), [[1, "connected"], [2, "disconnected"], [3, "connected"]]);
      assertEquals([kinds(2, 0), kinds(0, 1_600)], [[[3, "connected"]], [[2, "disconnected"]]]);
      store.addEvents(Array.from({ length: 100_002 }, (_, i) => event(i, "moved")));
      assertEquals(store.events(0, 0)[0]!.id, 6);
      assertEquals(store.events(0, 0).length, 10_000);
    });
  },
);

hostTest("events of the last 90 days on which there were any are kept", async () => {
  await withFolder(async (path) => {
    using store = await AccountStore.open(path);
    const on = (day: number) => ({
      time: (TODAY + 2 * day) * 86_400_000 + 1,
      kind: `${day}`,
      peer: null,
      name: null,
      detail: null,
    });
    store.addEvents(Array.from({ length: 92 }, (_, day) => on(day)));
    store.add(TODAY, [of("a", 1, 1)]);
    const kinds = store.events(0, 0).map(({ kind }) => kind);
    assertEquals([kinds.length, kinds[0], kinds.at(-1)], [90, "2", "91"]);
  });
});
