/** Shows how rates come from two looks at an instance. */
import type { Status } from "../../../../lib/control/status.ts";
import { RateMeter } from "../../../../lib/commands/status/rates.ts";
import { assertEquals } from "../../../support/assert.ts";
import { peerOf, statusOf } from "../../../support/status/statuses.ts";

function look(seconds: number, received: number, sent: number, pid = 7): Status {
  return statusOf({
    pid,
    time: new Date(1_790_000_000_000 + seconds * 1000).toISOString(),
    peers: [peerOf({ publicKey: "key", received, sent })],
  });
}

Deno.test("rates() knows nothing at the first reading, then bytes a second", () => {
  const meter = new RateMeter();
  assertEquals(meter.rates([look(0, 100, 100)])[0]!.size, 0);
  const { received, sent, history } = meter.rates([look(2, 300, 100)])[0]!.get("key")!;
  assertEquals([received, sent, history], [100, 0, [100]]);
  assertEquals(meter.rates([look(3, 310, 150)])[0]!.get("key")!.history, [100, 60]);
});

Deno.test("rates() tells instances apart that have the same peer", () => {
  const meter = new RateMeter();
  meter.rates([look(0, 0, 0, 1), look(0, 1000, 0, 2)]);
  const [one, other] = meter.rates([look(1, 10, 0, 1), look(1, 1020, 0, 2)]);
  assertEquals([one!.get("key")!.received, other!.get("key")!.received], [10, 20]);
});

Deno.test("rates() starts again with a peer that was removed, and is never below 0", () => {
  const meter = new RateMeter();
  meter.rates([look(0, 1000, 1000)]);
  assertEquals(meter.rates([look(1, 10, 10)])[0]!.get("key")!.received, 0);
  meter.rates([statusOf({ peers: [] })]);
  assertEquals(meter.rates([look(3, 2000, 0)])[0]!.size, 0);
});

Deno.test("rates() remembers a minute", () => {
  const meter = new RateMeter();
  let history: readonly number[] = [];
  for (let second = 0; second < 100; second++) {
    history = meter.rates([look(second, second ** 2, 0)])[0]!.get("key")?.history ?? [];
  }
  assertEquals(history.length, 60);
  assertEquals(history.at(-1), 99 ** 2 - 98 ** 2);
});
