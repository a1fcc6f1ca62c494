/** Tests of lib/dataplane/thread/worker_thread.ts, with a thread of its own. */
import { MAX_MESSAGE_SIZE } from "../../../../ffi/sockets/wake_channel.ts";
import { WorkerThread } from "../../../../lib/dataplane/thread/worker_thread.ts";
import { assertEquals, assertThrows } from "../../../support/assert.ts";
import { hostTest } from "../../../support/permissions.ts";
import type { TakenReport } from "../../../support/thread/listing_worker.ts";

const COUNT = 40;

function thread(onReport: (report: TakenReport) => void): WorkerThread<TakenReport> {
  return new WorkerThread<TakenReport>({
    module: new URL("../../../support/thread/listing_worker.ts", import.meta.url),
    name: "test",
    category: "dataplane",
    ask: () => {},
    onReport,
  });
}

hostTest(
  "messages that a busy thread's channel has no room for come later, whole and in order",
  async () => {
    const taken: TakenReport[] = [];
    const { promise: all, resolve } = Promise.withResolvers<void>();
    const listing = thread((report) => {
      taken.push(report);
      if (taken.length === COUNT) resolve();
    });
    // One that is longer would arrive cut short, and nobody could read it.
    assertThrows(() => listing.send(new Uint8Array(MAX_MESSAGE_SIZE + 1)), Error, "65537 bytes");
    // It has not begun to read: the first few fill the channel.
    for (let i = 0; i < COUNT; i++) listing.send(new Uint8Array(MAX_MESSAGE_SIZE).fill(i));
    listing.start({});
    listing.started();
    await Promise.race([all, listing.failed]);
    assertEquals(taken.map(({ first }) => first), Array.from({ length: COUNT }, (_, i) => i));
    assertEquals(taken.every(({ length }) => length === MAX_MESSAGE_SIZE), true);
    listing.close();
    await listing.end();
  },
);

hostTest(
  "a thread that takes no message in the end counts as dead, and who sends is told nothing worse",
  async () => {
    const listing = thread(() => {});
    for (let i = 0; i < 1_100; i++) listing.send(new Uint8Array(MAX_MESSAGE_SIZE));
    const failure = await listing.failed.catch((error: Error) => error);
    assertEquals(failure === listing.failure, true);
    listing.send(new Uint8Array(1));
    await listing.end();
  },
);
