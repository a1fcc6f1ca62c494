/** Tests of the main thread's part of captures: what it asks of the data plane, and when. */
import type { CaptureCommand } from "../../../lib/dataplane/captures.ts";
import { RunningCaptures } from "../../../lib/dataplane/running_captures.ts";
import { assert, assertEquals, assertRejects } from "../../support/assert.ts";

const REQUEST = { publicKey: null, snapLength: 100, application: "vpn" };
const COUNTS = { packets: 2, dropped: 1 };

/** Captures of a data plane that does nothing by itself. */
function subject(): { captures: RunningCaptures; commands: CaptureCommand[] } {
  const commands: CaptureCommand[] = [];
  return { captures: new RunningCaptures((command) => commands.push(command)), commands };
}

/** Lets all that can be done be done. */
function settle(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}

Deno.test("run() starts a capture, and ends it when its signal is aborted", async () => {
  const { captures, commands } = subject();
  const stop = new AbortController();
  const counts = captures.run(REQUEST, { signal: stop.signal, onChunk: () => Promise.resolve() });
  assertEquals(commands, [{ kind: "start-capture", id: 1, request: REQUEST }]);
  stop.abort();
  assertEquals(commands.slice(1), [{ kind: "end-capture", id: 1 }]);
  captures.take({ kind: "capture-ended", id: 1, counts: COUNTS });
  assertEquals(await counts, COUNTS);
});

Deno.test("run() ends at once when its signal is aborted already", () => {
  const { captures, commands } = subject();
  const consumer = { signal: AbortSignal.abort(), onChunk: () => Promise.resolve() };
  void captures.run(REQUEST, consumer);
  assertEquals(commands.map(({ kind }) => kind), ["start-capture", "end-capture"]);
});

Deno.test("take() makes room for another chunk when one has been taken, in order, and the counts come last", async () => {
  const { captures, commands } = subject();
  const taken: number[] = [];
  const gates = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
  let hasEnded = false;
  const counts = captures.run(REQUEST, {
    signal: new AbortController().signal,
    onChunk: async ([first]) => {
      taken.push(first!);
      await gates[taken.length - 1]!.promise;
    },
  }).then(() => {
    hasEnded = true;
  });
  captures.take({ kind: "captured", id: 1, chunk: Uint8Array.of(7) });
  captures.take({ kind: "captured", id: 1, chunk: Uint8Array.of(8) });
  captures.take({ kind: "capture-ended", id: 1, counts: COUNTS });
  await settle();
  assertEquals([taken, commands.length], [[7], 1]);
  gates[0]!.resolve();
  await settle();
  assertEquals(taken, [7, 8]);
  assertEquals(commands.slice(1), [{ kind: "capture-taken", id: 1 }]);
  assert(!hasEnded);
  gates[1]!.resolve();
  await counts;
});

Deno.test("run() fails when a chunk cannot be taken, and the capture ends", async () => {
  const { captures, commands } = subject();
  const counts = captures.run(REQUEST, {
    signal: new AbortController().signal,
    onChunk: () => Promise.reject(new Error("full")),
  });
  captures.take({ kind: "captured", id: 1, chunk: Uint8Array.of(7) });
  await assertRejects(() => counts, Error, "full");
  assertEquals(commands.at(-1), { kind: "end-capture", id: 1 });
});

Deno.test("fail() ends all, and nothing is said to the data plane any more", async () => {
  const { captures, commands } = subject();
  const stop = new AbortController();
  const gate = Promise.withResolvers<void>();
  const counts = captures.run(REQUEST, { signal: stop.signal, onChunk: () => gate.promise });
  captures.take({ kind: "captured", id: 1, chunk: Uint8Array.of(7) });
  await settle();
  captures.fail(new Error("gone"));
  gate.resolve();
  stop.abort();
  await assertRejects(() => counts, Error, "gone");
  await settle();
  assertEquals(commands.length, 1);
});

Deno.test("run() refuses a fifth capture, and takes it when another has ended", async () => {
  const { captures } = subject();
  const consumer = { signal: new AbortController().signal, onChunk: () => Promise.resolve() };
  const running = [1, 2, 3, 4].map(() => captures.run(REQUEST, consumer));
  await assertRejects(
    () => captures.run(REQUEST, consumer),
    Error,
    "4 captures are running already: end one of them",
  );
  captures.take({ kind: "capture-ended", id: 2, counts: COUNTS });
  await running[1];
  void captures.run(REQUEST, consumer);
});
