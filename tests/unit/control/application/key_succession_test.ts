/** Shows that a configuration follows where a peer's next key has taken over, at once, in time, and when it can. */
import { KeySuccession } from "../../../../lib/control/application/key_succession.ts";
import { encodeKey } from "../../../../lib/core/config/values/key_text.ts";
import { currentKeys } from "../../../../lib/core/peers/key_succession.ts";
import { getLogger } from "../../../../lib/process/logging.ts";
import { assertEquals } from "../../../support/assert.ts";
import { peerKey, samplePeer } from "../../../support/control/sample_peer.ts";
import { FakeTimers } from "../../../support/time/fake_timers.ts";

const START = 1_800_000_000_000;

function rotated(since: number | null) {
  const nextKey = { publicKey: peerKey(9), presharedKey: peerKey(8), since };
  return { ...samplePeer(1, "10.0.0.1/32"), presharedKey: peerKey(7), nextKey };
}

function stage(peer: ReturnType<typeof rotated>) {
  const state = { wall: START, made: 0, problem: null as string | null, lines: [] as string[] };
  const logger = Object.assign(Object.create(getLogger("control")), {
    warn: (line: string) => void state.lines.push(line),
  });
  const succession = new KeySuccession({
    application: {
      succeed: (isDue) => {
        if (!isDue(peer, encodeKey(peer.nextKey.publicKey))) return Promise.resolve();
        if (state.problem !== null) return Promise.reject(new Error(state.problem));
        state.made++;
        return Promise.resolve();
      },
    },
    now: () => state.wall,
    logger,
  });
  succession.follow([peer]);
  return { state, succession };
}

Deno.test("a next key that was used replaces the other, and what cannot be written is told once and tried again", async () => {
  using timers = new FakeTimers();
  const { state, succession } = stage(rotated(null));
  using _succession = succession;
  succession.used(peerKey(5));
  await timers.advance(0);
  assertEquals(state.made, 0, "another peer's");
  state.problem = "the disk is full";
  succession.used(peerKey(9));
  await timers.advance(180_000);
  assertEquals([state.made, state.lines.length], [0, 1]);
  state.problem = null;
  await timers.advance(60_000);
  assertEquals(state.made, 1);
  succession.look();
  await timers.advance(600_000);
  assertEquals(state.made, 1, "nothing is left to do");
});

Deno.test("a configuration that cannot be read, as a pipe, is told of when a next key has taken over, not before", async () => {
  using timers = new FakeTimers();
  const lines: string[] = [];
  const logger = Object.assign(Object.create(getLogger("control")), {
    warn: (line: string) => void lines.push(line),
  });
  const application = { succeed: () => Promise.reject(new Error("it is a pipe")) };
  using succession = new KeySuccession({ application, now: () => START, logger });
  succession.follow([samplePeer(1, "10.0.0.1/32")]);
  succession.look();
  await timers.advance(180_000);
  assertEquals(lines.length, 0);
  succession.used(peerKey(9));
  await timers.advance(180_000);
  assertEquals(lines.length, 1);
});

Deno.test("a next key replaces the other at its time by the wall clock, however that gets there", async () => {
  using timers = new FakeTimers();
  const { state, succession } = stage(rotated(START + 3_600_000));
  using _succession = succession;
  await timers.advance(10_000);
  assertEquals(state.made, 0);
  state.wall += 3_600_000;
  await timers.advance(1_000);
  assertEquals(state.made, 1);
});

Deno.test("peers of a file have the keys that hold: the next one, once it is due or has taken over", () => {
  const keysOf = (since: number | null, isKnown?: (key: string) => boolean) =>
    currentKeys([rotated(since)], START, isKnown)
      .map(({ publicKey, presharedKey, nextKey }) => [
        publicKey[0],
        presharedKey?.[0],
        nextKey === null,
      ]);
  assertEquals(keysOf(START + 1), [[1, 7, false]]);
  assertEquals(keysOf(START), [[9, 8, true]]);
  assertEquals(keysOf(null, (key) => key === encodeKey(peerKey(9))), [[9, 8, true]]);
  assertEquals(keysOf(null), [[1, 7, false]]);
});
