/** Tests of how often a gateway has its host examined, for how long, and what is told meanwhile. */
import { Examinations } from "../../../../lib/control/application/examinations.ts";
import type { CheckFinding } from "../../../../lib/control/application/methods.ts";
import { assertEquals } from "../../../support/assert.ts";
import { FakeTimers } from "../../../support/time/fake_timers.ts";

const MINUTE = 60_000;

function finding(name: string, status: CheckFinding["status"] = "ok"): CheckFinding {
  return { name, status, why: "it is so", remedy: null };
}

/** Examinations that end when the test says so. */
class Site implements Disposable {
  readonly timers = new FakeTimers();
  readonly begun: {
    readonly signal: AbortSignal;
    readonly end: (found: readonly CheckFinding[] | Error) => Promise<void>;
  }[] = [];
  now = 0;
  readonly examinations = new Examinations({
    examine: (signal) => {
      const { promise, resolve, reject } = Promise.withResolvers<readonly CheckFinding[]>();
      signal.addEventListener("abort", () => reject(new Error("killed")));
      const end = async (found: readonly CheckFinding[] | Error) => {
        if (found instanceof Error) reject(found);
        else resolve(found);
        await this.timers.advance(0);
      };
      this.begun.push({ signal, end });
      return promise;
    },
    now: () => Date.UTC(2026, 10, 29) + this.now,
    monotonic: () => this.now,
  });

  async pass(ms: number): Promise<void> {
    this.now += ms;
    await this.timers.advance(ms);
  }

  [Symbol.dispose](): void {
    this.examinations[Symbol.dispose]();
    this.timers[Symbol.dispose]();
  }
}

Deno.test("the first look begins an examination, whose findings are told until another has ended", async () => {
  using site = new Site();
  const { examinations, begun } = site;
  const nothing = { time: null, problem: null, checks: [] };
  assertEquals(examinations.ask(false), { isRunning: true, ...nothing });
  assertEquals(examinations.ask(true), { isRunning: true, ...nothing });
  assertEquals(begun.length, 1);
  await site.pass(3_000);
  await begun[0]!.end([finding("clock")]);
  const found = { time: "2026-11-29T00:00:03.000Z", problem: null, checks: [finding("clock")] };
  assertEquals(examinations.ask(false), { isRunning: false, ...found });
  await site.pass(10 * MINUTE);
  assertEquals(examinations.ask(false), { isRunning: true, ...found });
  assertEquals(begun.length, 2);
});

Deno.test("however often it is asked, one begins in ten minutes, and one in a minute where another is wanted", async () => {
  using site = new Site();
  const { examinations, begun } = site;
  examinations.ask(false);
  await begun[0]!.end([]);
  await site.pass(MINUTE - 1);
  assertEquals([examinations.ask(true).isRunning, examinations.ask(false).isRunning], [
    false,
    false,
  ]);
  await site.pass(1);
  assertEquals([examinations.ask(false).isRunning, examinations.ask(true).isRunning], [
    false,
    true,
  ]);
  await begun[1]!.end([]);
  await site.pass(9 * MINUTE);
  assertEquals([examinations.ask(false).isRunning, begun.length], [false, 2]);
});

Deno.test("one that takes longer than a minute is ended, and said so, as is one that fails", async () => {
  using site = new Site();
  const { examinations, begun } = site;
  examinations.ask(false);
  await site.pass(MINUTE);
  assertEquals(begun[0]!.signal.aborted, true);
  assertEquals(examinations.ask(false).problem, "it took longer than 60 s");
  examinations.ask(true);
  await begun[1]!.end(new Error("it has no report"));
  const { isRunning, problem, checks } = examinations.ask(false);
  assertEquals([isRunning, problem, checks], [false, "it has no report", []]);
  assertEquals(site.timers.size, 0);
});

Deno.test("of very many findings the worst are told", async () => {
  using site = new Site();
  site.examinations.ask(false);
  const many = Array.from({ length: 300 }, (_, index) => finding(`peer ${index}`));
  await site.begun[0]!.end([...many, finding("port", "fail"), finding("clock", "warn")]);
  const { checks } = site.examinations.ask(false);
  assertEquals([checks.length, checks[0]!.name, checks[1]!.name], [200, "port", "clock"]);
});

Deno.test("the end of the gateway ends the examination, and none begins any more", () => {
  using site = new Site();
  site.examinations.ask(false);
  site.examinations[Symbol.dispose]();
  assertEquals(site.begun[0]!.signal.aborted, true);
  site.now += 20 * MINUTE;
  site.examinations.ask(true);
  assertEquals(site.begun.length, 1);
});
