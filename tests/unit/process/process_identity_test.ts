/** Tests of `lib/process/process_identity.ts`. */
import { isAlive, meansGone, ownIdentity } from "../../../lib/process/process_identity.ts";
import { assert, assertEquals } from "../../support/assert.ts";
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
