/**
 * Tests of the journal's file itself: one that another program removes is written again, and goes with the last change.
 */
import { existsSync } from "node:fs";
import { Journal } from "../../../../lib/host/journal/journal.ts";
import { allJournals, removeUnfinished } from "../../../../lib/host/journal/journal_files.ts";
import { currentNetworkNamespace } from "../../../../lib/host/journal/network_namespace.ts";
import { journalDirectory } from "../../../../lib/process/journal_directory.ts";
import { journalPath, ownIdentity } from "../../../../lib/process/process_identity.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest, whereAllowed } from "../../../support/permissions.ts";

// Whoever is not root may have no place for journals.
whereAllowed(() => {
  if (Deno.uid() !== 0 && !Deno.env.get("XDG_RUNTIME_DIR")) {
    Deno.env.set("XDG_RUNTIME_DIR", temporaryFolder());
  }
});

/** What the journal of this process says, and the path of its file; null where there is none. */
function ownJournal(): { readonly path: string; readonly places: string[] } | null {
  const own = allJournals().find(({ owner }) => owner.pid === Deno.pid);
  if (own === undefined) return null;
  const places = own.changes.map((change) =>
    change.kind === "directory" ? change.path : change.kind
  );
  return { path: own.path, places };
}

/** Whether somebody holds the lock on a file, by which processes of other PID namespaces see that its owner lives. */
function isLocked(path: string): boolean {
  using file = Deno.openSync(path);
  return !file.tryLockSync(false);
}

hostTest(
  "a journal whose file is removed is written again, and takes and strikes out changes",
  () => {
    const root = temporaryFolder();
    const place = (name: string) => `${root}/${name}-ä`;
    const journal = new Journal("t");
    try {
      for (const name of ["a", "b"]) journal.make({ kind: "directory", path: place(name) });
      const { path } = ownJournal()!;
      assert(isLocked(path));
      Deno.removeSync(path);
      const [file] = journal.fixtures.filter((fixture) => fixture.missing().length > 0);
      assertEquals(file!.missing(), [`journal ${path}`]);
      file!.putBack([]);
      assertEquals(file!.missing(), []);
      assert(isLocked(path));
      assertEquals(ownJournal()!.places, [place("a"), place("b")]);
      assertEquals(Deno.statSync(path).mode! & 0o777, 0o600);
      // Its end and the places of its entries are where they are looked for.
      journal.deviceComes();
      journal.make({ kind: "socket", path: `${root}/none.sock`, pid: Deno.pid });
      assertEquals(ownJournal()!.places, [place("a"), place("b"), "socket"]);
      journal.undo({ isDeviceThere: true });
      assertEquals(ownJournal()!.places, [place("a"), place("b")]);
      Deno.writeTextFileSync(`${place("a")}/in`, "the way");
    } finally {
      journal.undo();
    }
    assertEquals(ownJournal(), null);
    assertEquals(journal.fixtures, []);
    const left = Array.from(Deno.readDirSync(journalDirectory()), ({ name }) => name);
    assert(left.every((name) => !name.startsWith(`${Deno.pid}-`)), left.join());
  },
);

hostTest("a journal does not grow by what takes the place of other changes", () => {
  const root = temporaryFolder();
  const journal = new Journal("t");
  const kind = "nat-ports";
  const tcp = Array.from({ length: 20 }, (_, index) => ({ first: index, last: index }));
  try {
    journal.make({ kind: "directory", path: `${root}/a` });
    for (let turn = 0; turn < 200; turn++) {
      journal.replace([kind], () => {
        journal.make({ kind, device: "none", tcp, udp: [] });
        return true;
      });
    }
    const { path, places } = ownJournal()!;
    assertEquals(places, [`${root}/a`, kind]);
    assert(Deno.statSync(path).size < 8192, `${Deno.statSync(path).size} bytes`);
    assert(isLocked(path));
  } finally {
    journal.undo();
  }
  assertEquals(ownJournal(), null);
});

hostTest("what gives way to another change, and cannot be undone, stays in the journal", () => {
  const root = temporaryFolder();
  const journal = new Journal("t");
  try {
    journal.make({ kind: "directory", path: `${root}/a` });
    // No folder any more: to look into it fails.
    Deno.removeSync(`${root}/a`);
    Deno.writeTextFileSync(`${root}/a`, "");
    journal.replace(["directory"], () => {
      journal.make({ kind: "directory", path: `${root}/b` });
      return true;
    });
    assertEquals(ownJournal()!.places, [`${root}/a`, `${root}/b`]);
    Deno.removeSync(`${root}/a`);
  } finally {
    journal.undo();
  }
  assertEquals(ownJournal(), null);
});

hostTest("several changes may take the place of one, and all of them are undone", () => {
  const root = temporaryFolder();
  const places = ["b", "c", "d"].map((name) => `${root}/${name}`);
  const journal = new Journal("t");
  try {
    journal.make({ kind: "directory", path: `${root}/a` });
    journal.replace(["directory"], () => {
      for (const path of places) journal.make({ kind: "directory", path });
      return true;
    });
    assertEquals(ownJournal()!.places, places);
    journal.undo();
    assertEquals(Array.from(Deno.readDirSync(root)), []);
  } finally {
    journal.undo();
  }
  assertEquals(ownJournal(), null);
});

hostTest(
  "systemd-resolved goes from a link's resolvers to others without the host's own in between",
  () => {
    const root = temporaryFolder();
    const calls = `${root}/calls`;
    const before = Deno.env.get("PATH");
    const journal = new Journal("t");
    const loopback = { kind: "resolvectl", interfaceName: "lo", index: 1 } as const;
    const [one, other] = ["192.0.2.1", "192.0.2.2"];
    const put = (servers: readonly string[], domains: readonly string[]) => {
      journal.replace(["resolvectl"], () => {
        journal.make({ ...loopback, servers, domains });
        return true;
      });
      const said = Deno.readTextFileSync(calls).trimEnd().split("\n");
      Deno.writeTextFileSync(calls, "");
      assertEquals(ownJournal()!.places, ["resolvectl"]);
      return said;
    };
    try {
      const script = `#!/bin/sh\necho "$@" >>${calls}\n`;
      Deno.writeTextFileSync(`${root}/resolvectl`, script, { mode: 0o700 });
      Deno.env.set("PATH", `${root}:${before}`);
      assertEquals(put([one], ["~."]), [`dns lo ${one}`, "domain lo ~."]);
      assertEquals(put([other], ["~."]), [`dns lo ${other}`, "domain lo ~."]);
      // What the new ones do not write over would stay.
      assertEquals(put([one], []), ["revert lo", `dns lo ${one}`]);
      assertEquals(put([], ["a.example"]), ["revert lo", "domain lo a.example"]);
      assertEquals(put([one], ["~."]), [`dns lo ${one}`, "domain lo ~."]);
    } finally {
      journal.undo();
      Deno.env.set("PATH", before ?? "");
    }
    assertEquals(ownJournal(), null);
  },
);

hostTest(
  "what a killed process had not finished writing is removed, and nothing of a living one",
  () => {
    Deno.mkdirSync(journalDirectory(), { recursive: true, mode: 0o700 });
    const own = ownIdentity();
    const identities = [own, { ...own, startTime: "1" }, { ...own, pidNamespace: "1" }];
    const paths = identities.map((identity) => `${journalPath(identity)}.new`);
    try {
      for (const path of paths) Deno.writeTextFileSync(path, "{");
      removeUnfinished();
      assertEquals(paths.map((path) => existsSync(path)), [true, false, false]);
    } finally {
      for (const path of paths.filter((each) => existsSync(each))) Deno.removeSync(path);
    }
  },
);

hostTest(
  "a directory that a dead process has left is noted by one that uses it, one of nobody's is not",
  () => {
    const root = temporaryFolder();
    const owner = {
      ...{ pid: Deno.pid, startTime: "01", interfaceName: "t" },
      ...currentNetworkNamespace(),
    };
    const change = { kind: "directory", path: root } as const;
    Deno.mkdirSync(journalDirectory(), { recursive: true, mode: 0o700 });
    const left = `${journalDirectory()}/${Deno.pid}-01.journal`;
    Deno.writeTextFileSync(left, `${JSON.stringify(owner)}\n${JSON.stringify(change)}\n`);
    const journal = new Journal("t");
    const path = journalPath(ownIdentity());
    const noted = () => allJournals().find((each) => each.path === path)?.changes ?? [];
    try {
      Deno.mkdirSync(`${root}/nobodys`);
      journal.makeDirectory(`${root}/nobodys`);
      assertEquals(noted(), []);
      journal.makeDirectory(root);
      assertEquals(noted(), [change]);
    } finally {
      Deno.removeSync(left);
      Deno.removeSync(`${root}/nobodys`);
      journal.undo();
    }
    assert(!existsSync(root));
  },
);
