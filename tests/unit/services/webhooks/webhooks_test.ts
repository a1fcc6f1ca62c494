/** Tests of when webhooks are sent, of what is sent again, and of what is given up. */
import type { RecordedEvent } from "../../../../lib/host/accounts/account_store.ts";
import type { WebhookMessage } from "../../../../lib/services/webhooks/webhook_request.ts";
import { Webhooks } from "../../../../lib/services/webhooks/webhooks.ts";
import { assertEquals } from "../../../support/assert.ts";

const DAY = 86_400_000;
const ONE = { url: "https://one.example/", secret: new Uint8Array(32) };
const TWO = { url: "https://two.example/", secret: new Uint8Array(32) };

/** Events and servers of a fake gateway, whose clock stands still. */
class Stage implements Disposable {
  now = 10 * DAY;
  readonly recorded: RecordedEvent[] = [];
  readonly cursors = new Map<string, number>();
  /** What servers were sent, by number of the event. */
  readonly sent: string[] = [];
  readonly told: string[] = [];
  /** What a server says. */
  answer: (url: string) => string | null = () => null;
  readonly webhooks: Webhooks;

  constructor(before?: Stage) {
    if (before !== undefined) {
      this.recorded.push(...before.recorded);
      for (const [server, event] of before.cursors) this.cursors.set(server, event);
    }
    this.webhooks = new Webhooks({
      gateway: "vpn0",
      source: {
        events: (after, since) =>
          this.recorded.filter(({ id, time }) => id > after && time >= since),
        lastEvent: () => this.recorded.length,
        delivered: (server) => this.cursors.get(server) ?? null,
        setDelivered: (server, event) => void this.cursors.set(server, event),
      },
      post: (url, { headers }: WebhookMessage) => {
        this.sent.push(`${new URL(url).host[0]}${headers["webhook-id"]!.split("-").at(-1)}`);
        return Promise.resolve(this.answer(url));
      },
      now: () => this.now,
      random: () => 0,
      onChange: (url, problem) => this.told.push(`${new URL(url).host} ${problem}`),
      onLoss: (url, count) => this.told.push(`${new URL(url).host} lost ${count}`),
    });
  }

  happen(count: number): void {
    for (let i = 0; i < count; i++) {
      const id = this.recorded.length + 1;
      this.recorded.push({
        id,
        time: this.now,
        kind: "connected",
        peer: "K",
        name: null,
        detail: null,
      });
    }
  }

  /** Lets ms pass, and all that follows from it happen. */
  async pass(time = 0): Promise<string[]> {
    this.now += time;
    this.webhooks.look();
    await new Promise((resolve) => setTimeout(resolve, 0));
    return this.sent.splice(0);
  }

  [Symbol.dispose](): void {
    this.webhooks[Symbol.dispose]();
  }
}

Deno.test("a server is told of what happens from its first configuration on, in order and once", async () => {
  using stage = new Stage();
  stage.happen(3);
  stage.webhooks.setTargets([ONE]);
  assertEquals(await stage.pass(), []);
  stage.happen(2);
  assertEquals(await stage.pass(), ["o4", "o5"]);
  assertEquals(await stage.pass(), []);
});

Deno.test("what a server did not take is sent again, after pauses that double up to 5 min, and is told once", async () => {
  using stage = new Stage();
  stage.webhooks.setTargets([ONE]);
  stage.answer = () => "it answers 500";
  stage.happen(2);
  assertEquals(await stage.pass(), ["o1"]);
  const pauses: number[] = [];
  for (let i = 0; i < 11; i++) {
    let pause = 0;
    while ((await stage.pass(1_000)).length === 0) pause++;
    pauses.push(pause + 1);
  }
  assertEquals(pauses, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
  assertEquals(stage.told, ["one.example it answers 500"]);
  stage.answer = () => null;
  assertEquals(await stage.pass(300_000), ["o1", "o2"]);
  assertEquals(stage.told.slice(1), ["one.example null"]);
});

Deno.test("a server that takes nothing keeps no other from hearing", async () => {
  using stage = new Stage();
  stage.webhooks.setTargets([ONE, TWO]);
  stage.answer = (url) => url === ONE.url ? "silent" : null;
  stage.happen(2);
  assertEquals((await stage.pass()).toSorted(), ["o1", "t1", "t2"]);
});

Deno.test("a restart goes on where it was, and what is older than 3 days is given up, and counted", async () => {
  using before = new Stage();
  before.webhooks.setTargets([ONE]);
  before.happen(2);
  before.answer = () => before.sent.length > 1 ? "silent" : null;
  assertEquals(await before.pass(), ["o1", "o2"]);
  using after = new Stage(before);
  after.webhooks.setTargets([ONE]);
  after.now += 3 * DAY + 1;
  after.happen(1);
  assertEquals(await after.pass(), ["o3"]);
  assertEquals(after.told, ["one.example lost 1"]);
});

Deno.test("a clock that was set back delays nothing", async () => {
  using stage = new Stage();
  stage.webhooks.setTargets([ONE]);
  stage.answer = () => "silent";
  stage.happen(1);
  assertEquals(await stage.pass(), ["o1"]);
  assertEquals(await stage.pass(-2 * DAY), ["o1"]);
});

Deno.test("one that is configured no longer is told no more", async () => {
  using stage = new Stage();
  stage.webhooks.setTargets([ONE, TWO]);
  stage.happen(1);
  stage.webhooks.setTargets([TWO]);
  assertEquals(await stage.pass(), ["t1"]);
});
