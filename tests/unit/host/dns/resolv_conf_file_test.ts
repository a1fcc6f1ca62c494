/**
 * Tests of a `resolv.conf` of ours in the shapes that hosts have it in: it becomes ours, and what stood there comes
 * back.
 */
import { nameServersOf, readMarker } from "../../../../lib/host/dns/resolv_conf.ts";
import {
  makeResolvConf,
  readNameServers,
  type ResolvConfChange,
  resolvConfChange,
  undoResolvConf,
} from "../../../../lib/host/dns/resolv_conf_file.ts";
import {
  isResolvConfInPlace,
  putBackResolvConf,
} from "../../../../lib/host/dns/resolv_conf_upkeep.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

const BEFORE = "nameserver 192.0.2.53\n";
const OURS = { owner: "12-34", servers: ["10.66.77.1"], search: [] };

/** Gives a test an empty folder, and the path of a `resolv.conf` there. */
function fileTest(name: string, test: (path: string, folder: string) => void): void {
  hostTest(name, () => {
    const folder = temporaryFolder();
    test(`${folder}/resolv.conf`, folder);
  });
}

function makeOurs(path: string): ResolvConfChange {
  const change = resolvConfChange(path, OURS);
  makeResolvConf(change);
  return change;
}

function names(folder: string): string[] {
  return Array.from(Deno.readDirSync(folder), ({ name }) => name).sort();
}

fileTest("a missing file is made, and removed", (path, folder) => {
  const change = makeOurs(path);
  assertEquals(nameServersOf(Deno.readTextFileSync(path)), OURS.servers);
  undoResolvConf(change, null);
  assertEquals(names(folder), []);
});

fileTest("where a link leads to nothing, the file is made there, and removed", (path, folder) => {
  Deno.symlinkSync("elsewhere", path);
  const change = makeOurs(path);
  assertEquals(nameServersOf(Deno.readTextFileSync(`${folder}/elsewhere`)), OURS.servers);
  undoResolvConf(change, null);
  assertEquals(names(folder), ["resolv.conf"]);
});

fileTest("a link that somebody leads elsewhere is noticed, and followed", (path, folder) => {
  for (const name of ["one", "two", "three"]) {
    Deno.writeTextFileSync(`${folder}/${name}`, `${BEFORE}# ${name}\n`);
  }
  const lead = (name: string) => {
    Deno.removeSync(path);
    Deno.symlinkSync(name, path);
  };
  Deno.symlinkSync("one", path);
  const change = makeOurs(path);
  let place = change.path;
  for (const [name, last] of [["two", "one"], ["three", "two"]] as const) {
    lead(name);
    assert(!isResolvConfInPlace(change), "it was not noticed");
    place = putBackResolvConf(change, place);
    assert(isResolvConfInPlace(change));
    assertEquals(nameServersOf(Deno.readTextFileSync(path)), OURS.servers);
    assertEquals(Deno.readTextFileSync(`${folder}/${last}`), `${BEFORE}# ${last}\n`);
  }
  undoResolvConf(change, null);
  for (const name of ["one", "two", "three"]) {
    assertEquals(Deno.readTextFileSync(`${folder}/${name}`), `${BEFORE}# ${name}\n`);
  }
  assertEquals(names(folder), ["one", "resolv.conf", "three", "two"]);
});

fileTest(
  "a link led elsewhere before anybody looked leaves both places as they were",
  (path, folder) => {
    Deno.writeTextFileSync(`${folder}/one`, BEFORE);
    Deno.symlinkSync("one", path);
    const change = makeOurs(path);
    Deno.removeSync(path);
    Deno.writeTextFileSync(path, "nameserver 192.0.2.99\n");
    undoResolvConf(change, null);
    assertEquals(Deno.readTextFileSync(`${folder}/one`), BEFORE);
    assertEquals(Deno.readTextFileSync(path), "nameserver 192.0.2.99\n");
  },
);

fileTest("a change noted by an earlier version, without a name, is undone", (path) => {
  Deno.writeTextFileSync(path, BEFORE);
  const { name: _, ...change } = makeOurs(path);
  undoResolvConf(change, null);
  assertEquals(Deno.readTextFileSync(path), BEFORE);
});

fileTest("what is rewritten meanwhile is kept as what comes back at the end", (path) => {
  Deno.writeTextFileSync(path, BEFORE);
  const change = makeOurs(path);
  Deno.writeTextFileSync(path, "nameserver 192.0.2.9\n");
  assert(!isResolvConfInPlace(change));
  putBackResolvConf(change, change.path);
  assertEquals(nameServersOf(Deno.readTextFileSync(path)), OURS.servers);
  undoResolvConf(change, null);
  assertEquals(Deno.readTextFileSync(path), "nameserver 192.0.2.9\n");
});

fileTest("what is removed meanwhile is made again, with what stood there before", (path) => {
  Deno.writeTextFileSync(path, BEFORE);
  const change = makeOurs(path);
  Deno.removeSync(path);
  assert(!isResolvConfInPlace(change));
  putBackResolvConf(change, change.path);
  assertEquals(readMarker(Deno.readTextFileSync(path))?.before, BEFORE);
});

fileTest("links in a circle and folders name no resolvers, and are refused as a place", (path) => {
  for (const spoil of [() => Deno.symlinkSync("resolv.conf", path), () => Deno.mkdirSync(path)]) {
    spoil();
    assertEquals(readNameServers(path), []);
    assertThrows(() => makeOurs(path), Error, "is not a file");
    Deno.removeSync(path);
  }
});

fileTest("undoing does no harm where a folder has taken the place of the file", (path) => {
  Deno.writeTextFileSync(path, BEFORE);
  const change = makeOurs(path);
  Deno.removeSync(path);
  Deno.mkdirSync(path);
  assert(!isResolvConfInPlace(change));
  undoResolvConf(change, null);
  assert(Deno.statSync(path).isDirectory);
});
