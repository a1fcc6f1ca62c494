/** Round trips through idle tunnels, of all contenders at once and in turns: their ratios are of the same moments. */
import { errorMessage } from "../../../lib/process/errors.ts";
import type { TestNamespace } from "../../support/net.ts";
import { delay, SERVER_INSIDE, type Wire } from "../../net/support/wire.ts";
import type { Contender } from "../contenders/contender.ts";
import { median, type Samples } from "../samples.ts";
import { measureTcp, startIperfServer } from "./tcp.ts";

/** Pings of one turn. */
const PINGS = 40;
/** ms after the traffic that has the code compiled, in which what was under way settles. */
const SETTLE_MS = 500;

export interface PingOptions {
  readonly contenders: readonly Contender[];
  /** Lays a wire of its own for each contender. */
  readonly layWire: () => Promise<Wire>;
  readonly turns: number;
  readonly samples: Samples;
  /** Told which contender could not be measured, and why. */
  readonly remark: (text: string) => void;
}

/** Fills the figure `ping`. What a round trip takes depends on the machine's mood more than on the program. */
export async function measurePings(
  { contenders, layWire, turns, samples, remark }: PingOptions,
): Promise<void> {
  await using tunnels = new AsyncDisposableStack();
  const clients = new Map<string, TestNamespace>();
  for (const contender of contenders) {
    const wire = await layWire();
    try {
      tunnels.use(await contender.start(wire));
      await using _iperf = await startIperfServer(wire.server);
      await measureTcp(wire.client, { seconds: 1 });
      await measureTcp(wire.client, { seconds: 1, down: true });
      clients.set(contender.name, wire.client);
    } catch (error) {
      const message = errorMessage(error);
      remark(`FAILED: ping, ${contender.name}: ${message}`);
    }
  }
  await delay(SETTLE_MS);
  for (let turn = 0; turn < turns; turn++) {
    for (const [name, client] of clients) {
      samples.add("ping", name, await measurePing(client, PINGS));
    }
  }
}

/** Pings `count` times, 10 ms apart, and returns the median round trip in ms. */
export async function measurePing(client: TestNamespace, count: number): Promise<number> {
  const stdout = await client.output(["ping", "-n", "-i", "0.01", "-c", `${count}`, SERVER_INSIDE]);
  const times = Array.from(stdout.matchAll(/time=([0-9.]+) ms/g), ([, time]) => Number(time));
  if (times.length === 0) throw new Error(`Cannot read round trips from ping:\n${stdout}`);
  return median(times);
}
