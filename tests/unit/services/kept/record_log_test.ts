/** Tests of `lib/services/kept/record_log.ts`: off by default, what is kept, and files that cannot be used. */
import { RecordFile } from "../../../../lib/host/accounts/record_file.ts";
import { type ClientQuery, QUERIES } from "../../../../lib/host/accounts/record_kinds.ts";
import type { Logger } from "../../../../lib/process/logging.ts";
import { RecordLog } from "../../../../lib/services/kept/record_log.ts";
import { assertEquals, assertMatch } from "../../../support/assert.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";
import { FakeTimers } from "../../../support/time/fake_timers.ts";

const DAY = 86_400_000;

const BEGUN = Date.UTC(2026, 10, 28);

const of = (question: string): ClientQuery => ({
  time: BEGUN,
  client: "key",
  name: "laptop",
  question,
  type: "A",
  source: "resolver",
  code: "NOERROR",
});

/** A log on a fake clock, and what it says. */
class Site implements AsyncDisposable {
  readonly folder = temporaryFolder();
  readonly path = `${this.folder}/vpn0.queries`;
  readonly #timers = new FakeTimers();
  #now = BEGUN;
  readonly said: string[] = [];
  readonly log: RecordLog<ClientQuery>;

  constructor() {
    const say = (message: string, { reason = "" }: Record<string, unknown> = {}) =>
      void this.said.push(`${message} ${reason}`);
    this.log = new RecordLog({
      kind: QUERIES,
      what: "queries",
      category: "dns",
      path: this.path,
      now: () => this.#now,
      logger: { info: say, warn: say } as unknown as Logger,
    });
  }

  /** Lets ms pass, by the wall clock as many more as it is told. */
  async pass(ms: number, set = 0): Promise<void> {
    this.#now += ms + set;
    await this.#timers.advance(ms);
  }

  /** Names that the file has. */
  async kept(): Promise<string[]> {
    using file = await RecordFile.openToRead(this.path, QUERIES);
    return file.records(0, 0).map(({ question }) => question);
  }

  get files(): string[] {
    return [...Deno.readDirSync(this.folder)].map(({ name }) => name).toSorted();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.log[Symbol.asyncDispose]();
    this.#timers[Symbol.dispose]();
  }
}

hostTest("nothing is kept until it is on, and off removes what was", async () => {
  await using site = new Site();
  site.log.add(of("a.example"));
  await site.log.turn(false);
  assertEquals([site.log.isOn, site.files], [false, []]);

  await site.log.turn(true);
  await site.log.turn(true);
  site.log.add(of("b.example"));
  await site.pass(500);
  assertEquals(await site.kept(), ["b.example"]);

  site.log.add(of("c.example"));
  await site.log.turn(false);
  await site.pass(1_000);
  assertEquals([site.log.isOn, site.files], [false, []]);
});

hostTest(
  "the end writes what there is, and a gateway that starts without it removes that",
  async () => {
    await using site = new Site();
    await site.log.turn(true);
    site.log.add(of("a.example"));
    await site.log[Symbol.asyncDispose]();
    assertEquals(await site.kept(), ["a.example"]);
    await site.log.turn(false);
    assertEquals(site.files, []);
  },
);

hostTest("queries are forgotten after 7 days, though nobody asks anything", async () => {
  await using site = new Site();
  await site.log.turn(true);
  site.log.add(of("a.example"));
  await site.pass(500);
  await site.pass(500, 6.9 * DAY);
  assertEquals(await site.kept(), ["a.example"]);
  await site.pass(500, 0.2 * DAY);
  assertEquals(await site.kept(), []);
});

hostTest("a file that cannot be used is said once, and written when it can be", async () => {
  await using site = new Site();
  Deno.mkdirSync(site.path);
  await site.log.turn(true);
  site.log.add({ ...of("quiet.example"), client: "quiet" });
  for (let i = 0; i < 11_000; i++) site.log.add(of(`${i}.example`));
  await site.pass(60_000);
  Deno.removeSync(site.path);
  await site.pass(60_500);
  const kept = await site.kept();
  // The one that asks a lot has lost its own oldest ones.
  assertEquals([kept[0], kept[1], kept.length], ["quiet.example", "1001.example", 10_000]);
  const failures = site.said.filter((line) => line.startsWith("cannot keep"));
  assertEquals(failures.length, 1);
  assertMatch(failures[0]!, /unable to open|is a directory/i);
});
