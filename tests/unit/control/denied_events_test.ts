/** Tests of lib/control/denied_events.ts: what a person reads later of what rules have denied. */
import {
  DeniedEvents,
  type DeniedPeer,
  EVENT_PAUSE,
  LOOK,
} from "../../../lib/control/denied_events.ts";
import { assertEquals } from "../../support/assert.ts";
import { FakeTimers } from "../../support/time/fake_timers.ts";

class Stage implements AsyncDisposable {
  readonly timers = new FakeTimers();
  readonly told: string[] = [];
  /** Packets by rule, by peer. */
  readonly denied: Record<string, Record<number, number>> = {};
  hasRules = true;
  asked = 0;
  isDead = false;
  #now = 0;
  readonly #events = new DeniedEvents({
    ask: () => {
      this.asked++;
      if (this.isDead) return Promise.reject(new Error("the data plane has ended"));
      return Promise.resolve(
        Object.entries(this.denied).map(([name, rules], i): DeniedPeer => ({
          name,
          publicKey: new Uint8Array(32).fill(i + 1),
          denials: Object.entries(rules).map(([rule, packets]) => ({
            id: i,
            rule: +rule,
            packets,
          })),
        })),
      );
    },
    hasRules: () => this.hasRules,
    ruleText: (rule) => `rule ${rule}`,
    record: (kind, { name }, detail) => void this.told.push(`${kind} ${name}: ${detail}`),
    now: () => this.#now,
  });

  async pass(ms: number): Promise<string[]> {
    this.#now += ms;
    await this.timers.advance(ms);
    return this.told.splice(0);
  }

  async end(): Promise<string[]> {
    await this.#events[Symbol.asyncDispose]();
    return this.told.splice(0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
    this.timers[Symbol.dispose]();
  }
}

Deno.test("the first denial of a peer is told within a minute, what follows in one event each ten minutes", async () => {
  await using stage = new Stage();
  stage.denied["laptop"] = {};
  stage.denied["printer"] = {};
  assertEquals(await stage.pass(LOOK), []);
  stage.denied["laptop"] = { 1: 1 };
  assertEquals(await stage.pass(LOOK), ["denied laptop: 1 packet: rule 1"]);
  stage.denied["laptop"] = { 1: 5001, 2: 40 };
  stage.denied["printer"] = { 3: 2 };
  assertEquals(await stage.pass(LOOK), ["denied printer: 2 packets: rule 3"]);
  assertEquals(await stage.pass(EVENT_PAUSE - 2 * LOOK), []);
  assertEquals(await stage.pass(LOOK), ["denied laptop: 5040 packets: rule 1; rule 2"]);
  assertEquals(await stage.pass(10 * EVENT_PAUSE), []);
  stage.denied["laptop"] = { 1: 5002, 2: 40 };
  assertEquals(await stage.pass(LOOK), ["denied laptop: 1 packet: rule 1"]);
});

Deno.test("an event names the rules that cost most, and counts the packets of all", async () => {
  await using stage = new Stage();
  stage.denied["laptop"] = { 1: 1, 2: 20, 3: 300, 4: 4000, 5: 2 };
  assertEquals(await stage.pass(LOOK), [
    "denied laptop: 4323 packets: rule 4; rule 3; rule 2; and 2 other rules",
  ]);
});

Deno.test("a peer that came again, and a rule that did, count from nothing", async () => {
  await using stage = new Stage();
  stage.denied["laptop"] = { 1: 100 };
  await stage.pass(LOOK);
  stage.denied["laptop"] = { 1: 7 };
  assertEquals(await stage.pass(EVENT_PAUSE), ["denied laptop: 7 packets: rule 1"]);
});

Deno.test("what was not told yet is told at the end, if there is somebody who knows", async () => {
  await using stage = new Stage();
  stage.denied["laptop"] = { 1: 100 };
  await stage.pass(LOOK);
  stage.denied["laptop"] = { 1: 107 };
  stage.denied["printer"] = { 2: 1 };
  assertEquals(await stage.end(), [
    "denied laptop: 7 packets: rule 1",
    "denied printer: 1 packet: rule 2",
  ]);
  stage.isDead = true;
  assertEquals(await stage.end(), []);
});

Deno.test("nobody is asked while there are no rules", async () => {
  await using stage = new Stage();
  stage.hasRules = false;
  await stage.pass(10 * LOOK);
  assertEquals(stage.asked, 0);
});
