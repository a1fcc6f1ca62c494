/**
 * Program of network tests: either end of a published service.
 *
 * - `serve PORT NAME` says its name, one letter, on each connection, and then what it is told.
 * - `visit ADDRESS PORT COUNT` opens so many connections and holds them: `opened` and whose they are. Then it opens
 *   more, and closes them at once, until one of those it holds has ended and none of the last has failed: `avoided` and
 *   the ms from that end to the beginning of the last one that failed. Last it asks on all that it holds: `alive` and
 *   `broken`, and whose.
 */

import { writeText } from "../../../../lib/process/output.ts";

/** Opened at a time. */
const BATCH = 100;
/** Of those that are opened later: at a time, and how many in a row shall go well. */
const PROBES = 5;
const GOOD = 100;
/** ms. */
const PROBE_LIMIT = 5_000;
const PROBE_PAUSE = 20;

type Counts = Record<string, number>;

async function serve(port: number, name: string): Promise<void> {
  const letter = new TextEncoder().encode(name.slice(0, 1));
  const listener = Deno.listen({ port });
  writeText(Deno.stdout, "serving\n");
  for await (const connection of listener) void talk(connection, letter).catch(() => {});
}

async function talk(connection: Deno.TcpConn, letter: Uint8Array): Promise<void> {
  await connection.write(letter);
  const buffer = new Uint8Array(16);
  for (;;) {
    const length = await connection.read(buffer);
    if (length === null) return;
    await connection.write(buffer.subarray(0, length));
  }
}

/** A connection that is held. */
class Held {
  readonly name: string;
  readonly #connection: Deno.TcpConn;
  isBroken = false;
  #onByte: () => void = () => {};

  private constructor(name: string, connection: Deno.TcpConn, onEnd: () => void) {
    this.name = name;
    this.#connection = connection;
    void this.#read().finally(() => {
      this.isBroken = true;
      this.#onByte();
      onEnd();
    });
  }

  static async open(target: Deno.ConnectOptions, onEnd: () => void): Promise<Held> {
    const connection = await Deno.connect(target);
    return new Held(await readName(connection), connection, onEnd);
  }

  async #read(): Promise<void> {
    const buffer = new Uint8Array(1);
    try {
      while (await this.#connection.read(buffer) !== null) this.#onByte();
    } catch {
      // Reset.
    }
  }

  /** Has what it is told said back. */
  async ask(): Promise<void> {
    if (this.isBroken) return;
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#onByte = resolve;
    try {
      await this.#connection.write(new Uint8Array(1));
      await promise;
    } catch {
      this.isBroken = true;
    }
  }
}

async function readName(connection: Deno.TcpConn): Promise<string> {
  const buffer = new Uint8Array(1);
  if (await connection.read(buffer) === null) throw new Error("ended");
  return new TextDecoder().decode(buffer);
}

/** Whether a connection is served. One may end without a word of it: what a killed program's host sends may be lost. */
async function probe(target: Deno.ConnectOptions): Promise<boolean> {
  const ended = new AbortController();
  const timer = setTimeout(() => ended.abort(), PROBE_LIMIT);
  try {
    using connection = await Deno.connect({ ...target, signal: ended.signal });
    const { promise: late, resolve } = Promise.withResolvers<null>();
    ended.signal.addEventListener("abort", () => resolve(null));
    return await Promise.race([readName(connection), late]) !== null;
  } catch {
    return false;
  } finally {
    clearTimeout(timer);
  }
}

async function visit(target: Deno.ConnectOptions, count: number): Promise<void> {
  let brokenAt: number | null = null;
  const onEnd = () => void (brokenAt ??= performance.now());
  const held: Held[] = [];
  const began = performance.now();
  for (let from = 0; from < count; from += BATCH) {
    const batch = Array.from(
      { length: Math.min(BATCH, count - from) },
      () => Held.open(target, onEnd),
    );
    held.push(...await Promise.all(batch));
  }
  const took = Math.round(performance.now() - began);
  writeText(Deno.stdout, `opened ${JSON.stringify(counts(held))} in ${took} ms\n`);

  let failedAt = 0;
  let good = 0;
  while (brokenAt === null || good < GOOD) {
    const now = performance.now();
    const results = await Promise.all(Array.from({ length: PROBES }, () => probe(target)));
    if (brokenAt === null) good = 0;
    else if (results.every(Boolean)) good += PROBES;
    else {
      good = 0;
      failedAt = now;
    }
    await new Promise((resolve) => setTimeout(resolve, PROBE_PAUSE));
  }
  writeText(Deno.stdout, `avoided after ${Math.round(Math.max(0, failedAt - brokenAt))} ms\n`);

  for (let from = 0; from < held.length; from += BATCH) {
    await Promise.all(held.slice(from, from + BATCH).map((each) => each.ask()));
  }
  const alive = counts(held.filter(({ isBroken }) => !isBroken));
  const broken = counts(held.filter(({ isBroken }) => isBroken));
  writeText(Deno.stdout, `alive ${JSON.stringify(alive)} broken ${JSON.stringify(broken)}\n`);
}

function counts(held: readonly Held[]): Counts {
  const by: Counts = {};
  for (const { name } of held) by[name] = (by[name] ?? 0) + 1;
  return by;
}

if (import.meta.main) {
  const [role, first, second, third] = Deno.args;
  if (role === "serve") await serve(Number(first), second);
  else await visit({ hostname: first, port: Number(second) }, Number(third));
  Deno.exit(0);
}
