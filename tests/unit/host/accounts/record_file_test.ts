/** Tests of files of records, with queries: who may read them, how long they are kept, whose are forgotten first. */
import { StatementSync } from "node:sqlite";
import { RecordFile } from "../../../../lib/host/accounts/record_file.ts";
import {
  type ClientFlow,
  type ClientQuery,
  FLOWS,
  QUERIES,
} from "../../../../lib/host/accounts/record_kinds.ts";
import { AccountStore } from "../../../../lib/host/accounts/account_store.ts";
import { assert, assertEquals, assertRejects } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

const NOW = Date.UTC(2026, 10, 28);
const DAY = 86_400_000;

const by = (client: string, question = "example.org", time = NOW): ClientQuery => ({
  time,
  client,
  name: `${client}'s name`,
  question,
  type: "A",
  source: "resolver",
  code: "NOERROR",
});

async function withFolder(use: (path: string) => Promise<void>): Promise<void> {
  const folder = temporaryFolder();
  await use(`${folder}/vpn0.queries`);
}

/** How many there are of each client. */
function counts(file: RecordFile<ClientQuery>): Record<string, number> {
  const found: Record<string, number> = {};
  for (let part = file.records(0, 0); part.length > 0; part = file.records(part.at(-1)!.id, 0)) {
    for (const { client } of part) found[client] = (found[client] ?? 0) + 1;
  }
  return found;
}

hostTest(
  "queries are read in their order, behind one and since a time, by root alone",
  async () => {
    await withFolder(async (path) => {
      Deno.chmodSync(path.slice(0, path.lastIndexOf("/")), 0o755);
      using file = await RecordFile.open(path, QUERIES);
      const late = { ...by("b", "b.example", NOW + 1_000), name: null, code: null };
      file.add([by("a"), late]);
      using reader = await RecordFile.openToRead(path, QUERIES);
      assertEquals(reader.records(0, 0), [{ id: 1, ...by("a") }, { id: 2, ...late }]);
      assertEquals(reader.records(1, 0).map(({ id }) => id), [2]);
      assertEquals(reader.records(0, NOW + 1).map(({ id }) => id), [2]);
      for (const suffix of ["", "-wal", "-shm"]) {
        assertEquals(Deno.statSync(path + suffix).mode! & 0o777, 0o600, suffix);
      }
    });
  },
);

hostTest(
  "what is older than 7 days is forgotten, and so is what a wrong clock has dated ahead",
  async () => {
    await withFolder(async (path) => {
      using file = await RecordFile.open(path, QUERIES);
      const old = "long-ago.example";
      file.add([by("a", old, NOW - 7 * DAY - 1), by("b", "b.example", NOW - 7 * DAY)]);
      file.add([by("c", "c.example", NOW + DAY), by("d", "d.example", NOW + 1_000)]);
      file.forgetOld(NOW);
      assertEquals(file.records(0, 0).map(({ client }) => client), ["b", "d"]);
      // Nor are its bytes there any more.
      for (const suffix of ["", "-wal"]) {
        assert(!new TextDecoder("latin1").decode(Deno.readFileSync(path + suffix)).includes(old));
      }
    });
  },
);

hostTest("a client that asks a lot loses its own queries, not those of others", async () => {
  await withFolder(async (path) => {
    using file = await RecordFile.open(path, QUERIES, 1_000);
    file.add(Array.from({ length: 10 }, () => by("quiet")));
    for (let i = 0; i < 22; i++) file.add(Array.from({ length: 50 }, () => by("loud")));
    assertEquals(counts(file), { quiet: 10, loud: 990 });
    assertEquals(file.records(0, 0)[0]!.client, "quiet");
  });
});

hostTest("of many clients with the most, each loses some, in no more than one pass", async () => {
  await withFolder(async (path) => {
    using file = await RecordFile.open(path, QUERIES, 2_000);
    const clients = Array.from({ length: 1_000 }, (_, i) => `client${i}`);
    const batch = clients.flatMap((client) => [by(client, "a.example"), by(client, "b.example")]);
    file.add([by("quiet"), ...batch]);
    let looks = 0;
    const { get } = StatementSync.prototype;
    StatementSync.prototype.get = function () {
      looks++;
      return Reflect.apply(get, this, []);
    };
    try {
      file.add(clients.map((client) => by(client, "c.example")));
    } finally {
      StatementSync.prototype.get = get;
    }
    // Each question of who has the most is one of all rows: that took seconds, in which nothing else was done.
    assert(looks < 5, `${looks} looks at the file`);
    const left = counts(file);
    assertEquals(left["quiet"], 1);
    assertEquals(Object.values(left).reduce((sum, count) => sum + count), 2_000);
    assert(clients.every((client) => left[client]! >= 1 && left[client]! <= 2));
  });
});

hostTest("names as long as they come do not make it longer than 64 MiB", async () => {
  await withFolder(async (path) => {
    using file = await RecordFile.open(path, QUERIES);
    const long = "\\000".repeat(5_000);
    file.add([by("quiet")]);
    for (let i = 0; i < 15; i++) file.add(Array.from({ length: 250 }, () => by("loud", long)));
    assertEquals(counts(file)["quiet"], 1);
    assert(Deno.statSync(path).size <= 64 * 1024 * 1024);
  });
});

hostTest("it is removed with all its parts, and another program's file is refused", async () => {
  await withFolder(async (path) => {
    const file = await RecordFile.open(path, QUERIES);
    file.add([by("a")]);
    RecordFile.remove(path);
    RecordFile.remove(path);
    file[Symbol.dispose]();
    const folder = path.slice(0, path.lastIndexOf("/"));
    assertEquals([...Deno.readDirSync(folder)].map(({ name }) => name), []);
    (await AccountStore.open(path))[Symbol.dispose]();
    await assertRejects(() => RecordFile.open(path, QUERIES), Error, "another program's file");
  });
});

hostTest("each kind of records has a file of its own, with all of its fields", async () => {
  await withFolder(async (path) => {
    const flow: ClientFlow = {
      time: NOW,
      client: "key",
      name: null,
      begun: NOW - 5,
      protocol: "icmp",
      source: "10.66.77.2",
      sourcePort: null,
      destination: "2001:db8::1",
      destinationPort: 443,
      toClient: null,
      toName: "b",
      sent: 2 ** 40 + 1,
      received: 0,
    };
    using file = await RecordFile.open(path, FLOWS);
    file.add([flow]);
    assertEquals(file.records(0, 0).map((record) => ({ ...record })), [{ id: 1, ...flow }]);
    await assertRejects(() => RecordFile.openToRead(path, QUERIES), Error, "another program's");
  });
});
