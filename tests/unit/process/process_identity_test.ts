/** Tests of `lib/process/process_identity.ts`. */
import {
  identityText,
  isAlive,
  journalPath,
  meansGone,
  ownIdentity,
  parseIdentity,
} from "../../../lib/process/process_identity.ts";
import { dirname } from "node:path";
import { assert, assertEquals } from "../../support/assert.ts";
import { temporaryFolder } from "../../support/folder.ts";
import { hostTest } from "../../support/permissions.ts";

hostTest(
  "a process that ends between the opening of its file and the reading is gone",
  async () => {
    const process = new Deno.Command("sleep", { args: ["60"] }).spawn();
    using stat = Deno.openSync(`/proc/${process.pid}/stat`);
    process.kill("SIGKILL");
    await process.status;
    let caught: unknown = null;
    try {
      stat.readSync(new Uint8Array(100));
    } catch (error) {
      caught = error;
    }
    assert(meansGone(caught), String(caught));
  },
);

hostTest(
  "a process is told from the one that had its id before, and from one that has ended",
  async () => {
    const own = ownIdentity();
    assert(isAlive(own));
    assertEquals(isAlive({ ...own, startTime: `${own.startTime}0` }), false);
    const process = new Deno.Command("true").spawn();
    await process.status;
    assertEquals(isAlive({ pid: process.pid, startTime: "1" }), false);
  },
);

hostTest("an error that says nothing of the process is none that it has ended", () => {
  assertEquals(meansGone(new Error("Input/output error (os error 5)")), false);
  assertEquals(meansGone(new Error("Owner died (os error 130)")), false);
});

hostTest("an identity is the same after it was a word", () => {
  const own = ownIdentity();
  assertEquals(parseIdentity(identityText(own)), own);
  assertEquals(parseIdentity("12-345"), { pid: 12, startTime: "345" });
});

hostTest("a process of another PID namespace lives as long as its journal is locked", () => {
  // The same process id and start time as ours: it is another one all the same.
  const other = { ...ownIdentity(), pidNamespace: "1" };
  if (Deno.uid() !== 0) Deno.env.set("XDG_RUNTIME_DIR", temporaryFolder());
  assertEquals(isAlive(other), false);
  const path = journalPath(other);
  Deno.mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  try {
    using file = Deno.openSync(path, { write: true, createNew: true });
    assertEquals(isAlive(other), false);
    file.lockSync(true);
    assertEquals(isAlive(other), true);
    // Whoever looks changes nothing.
    assertEquals(isAlive(other), true);
  } finally {
    Deno.removeSync(path);
  }
});
