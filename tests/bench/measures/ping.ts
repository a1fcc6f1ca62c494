/** Round trip through an idle tunnel. */
import type { TestNamespace } from "../../support/net.ts";
import { SERVER_INSIDE } from "../../net/support/wire.ts";
import { median } from "../samples.ts";

/** Pings `count` times, 10 ms apart, and returns the median round trip in ms. */
export async function measurePing(client: TestNamespace, count: number): Promise<number> {
  const stdout = await client.output(["ping", "-n", "-i", "0.01", "-c", `${count}`, SERVER_INSIDE]);
  const times = Array.from(stdout.matchAll(/time=([0-9.]+) ms/g), ([, time]) => Number(time));
  if (times.length === 0) throw new Error(`Cannot read round trips from ping:\n${stdout}`);
  return median(times);
}
