/** Tests of the mirror of a bucket: what others write there takes no memory without end. */
import {
  COMMIT_KEY,
  commitBytes,
  groupKey,
  peerKey,
} from "../../../../lib/core/fleet/store_entries.ts";
import { StoreMirror } from "../../../../lib/core/fleet/store_mirror.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { settledMemory } from "../../../support/settled_memory.ts";

const VALUE = new TextEncoder().encode("{}");
const NONSENSE = new TextEncoder().encode("none");

/** Of a peer that nobody has made. */
function forgedKey(number: number): string {
  const bytes = new Uint8Array(32);
  new DataView(bytes.buffer).setUint32(0, number);
  return bytes.toBase64();
}

/** A mirror, and what it has told of what is left out. */
function newMirror(maxPeers: number): { readonly mirror: StoreMirror; readonly told: string[] } {
  const told: string[] = [];
  const onLeftOut = (what: string, reason: string) => {
    if (told.length < 10) told.push(`${what}: ${reason}`);
  };
  const mirror = new StoreMirror({ maxPeers, hash: () => "hash", onLeftOut });
  return { mirror, told };
}

/** The change by which these are peers. */
function commitOf(
  revision: number,
  publicKeys: readonly string[],
): Parameters<StoreMirror["take"]>[0] {
  const changes = new Map(publicKeys.map((key) => [peerKey(key), { settings: {} }]));
  return {
    key: COMMIT_KEY,
    value: commitBytes({ id: `${revision}`, recent: [], changes }),
    revision,
  };
}

Deno.test("keys that are nobody's are told of, and remembered, up to a bound and as long as they are there", () => {
  let told = 0;
  const mirror = new StoreMirror({ maxPeers: 8, hash: (text) => text, onLeftOut: () => told++ });
  const value = new TextEncoder().encode("{}");
  mirror.take({ key: "elsewhere", value, revision: 1 });
  assertEquals([mirror.leftOut, told], [1, 1]);
  mirror.take({ key: "elsewhere", value: null, revision: 2 });
  assertEquals(mirror.leftOut, 0);
  for (let i = 0; i < 5_000; i++) mirror.take({ key: `junk.${i}`, value, revision: 3 + i });
  assertEquals([mirror.leftOut, told], [1_000, 1_001]);
});

Deno.test("entries of peers that nobody has made are held up to a size, and a change is followed all the same", () => {
  const { mirror, told } = newMirror(8);
  mirror.loaded();
  for (let i = 0; i < 1_000; i++) {
    mirror.take({ key: peerKey(forgedKey(i)), value: NONSENSE, revision: 1 + i });
  }
  const before = settledMemory();
  for (let i = 1_000; i < 20_000; i++) {
    mirror.take({ key: peerKey(forgedKey(i)), value: NONSENSE, revision: 1 + i });
  }
  const after = settledMemory();
  const grown = after.heap + after.external - before.heap - before.external;
  assert(grown < 1 << 20, `${grown} bytes for 19,000 entries`);
  assertEquals(told, ["what is too much: the store has more than peers need"]);
  const made = forgedKey(1_000_000);
  mirror.take(commitOf(30_000, [made]));
  mirror.take({ key: peerKey(made), value: VALUE, revision: 30_001 });
  mirror.take(commitOf(30_002, []));
  assertEquals([...mirror.snapshot.peers.keys()], [made]);
  mirror.take({ key: peerKey(made), value: null, revision: 30_003 });
  mirror.take(commitOf(30_004, []));
  assertEquals(mirror.snapshot.peers.size, 0);
});

Deno.test("what is put into the store and taken out again leaves nothing behind", () => {
  const { mirror } = newMirror(8);
  mirror.loaded();
  const putAndTaken = (first: number, end: number) => {
    for (let i = first; i < end; i++) {
      const key = peerKey(forgedKey(i));
      mirror.take({ key, value: VALUE, revision: 1 + 2 * i });
      mirror.take({ key, value: null, revision: 2 + 2 * i });
    }
  };
  putAndTaken(0, 1_000);
  const before = settledMemory();
  putAndTaken(1_000, 20_000);
  const after = settledMemory();
  const grown = after.heap + after.external - before.heap - before.external;
  assert(grown < 1 << 20, `${grown} bytes for 19,000 entries`);
});

Deno.test("changes that nobody puts into entries are held up to a bound, groups as well", () => {
  const { mirror } = newMirror(8);
  mirror.loaded();
  const commits = (first: number, end: number) => {
    for (let i = first; i < end; i++) {
      const keys = Array.from({ length: 100 }, (_, k) => forgedKey(100 * i + k));
      const changes = new Map([
        ...keys.map((key) => [peerKey(key), { settings: { Name: "one" } }] as const),
        ...keys.map((key) => [groupKey(key.slice(0, 8)), { settings: {} }] as const),
      ]);
      const value = commitBytes({ id: `${i}`, recent: [], changes });
      mirror.take({ key: COMMIT_KEY, value, revision: 1 + i });
    }
  };
  commits(0, 30);
  const before = settledMemory();
  commits(30, 130);
  const after = settledMemory();
  const grown = after.heap + after.external - before.heap - before.external;
  assert(grown < 1 << 20, `${grown} bytes for 100 changes`);
  assertEquals([mirror.snapshot.peers.size, mirror.snapshot.groups.size], [1, 8]);
});

Deno.test("of an entry of a gateway that is too long, no more is kept than that it is there", () => {
  const { mirror } = newMirror(8);
  mirror.take({ key: "gateway.1", value: new Uint8Array(100_000), revision: 1 });
  assertEquals(mirror.gateways.get("gateway.1"), {
    key: "gateway.1",
    value: new Uint8Array(),
    revision: 1,
  });
});
