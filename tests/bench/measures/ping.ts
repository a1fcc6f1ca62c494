/**
 * Round trips through idle tunnels, of all contenders at once and in turns: their ratios are of the same moments. Each
 * is started several times, as processes of one program differ by a tenth.
 */
import { errorMessage } from "../../../lib/process/errors.ts";
import type { TestNamespace } from "../../support/net.ts";
import { delay, SERVER_INSIDE, type Wire } from "../../net/support/wire.ts";
import type { Contender } from "../contenders/contender.ts";
import { median, type Samples } from "../samples.ts";
import { measureTcp, startIperfServer } from "./tcp.ts";

/** Pings of one turn, 10 ms apart. */
const PINGS = 40;
/** Pings before any counts, closer together: streams compile no code for what comes alone, and is no TCP. */
const WARM_UP_PINGS = 400;
const WARM_UP_INTERVAL = 0.002;
/** ms after the traffic that has the code compiled, in which what was under way settles. */
const SETTLE_MS = 500;

export interface PingOptions {
  readonly contenders: readonly Contender[];
  /** Lays a wire of its own for each contender. */
  readonly layWire: () => Promise<Wire>;
  /** Processes of each contender, and turns of each of them. */
  readonly processes: number;
  readonly turns: number;
  readonly samples: Samples;
  /** Told which contender could not be measured, and why. */
  readonly remark: (text: string) => void;
}

/** Fills the figure `ping`. What a round trip takes depends on the machine's mood more than on the program. */
export async function measurePings(options: PingOptions): Promise<void> {
  for (let process = 0; process < options.processes; process++) await measureOnce(options);
}

async function measureOnce(
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
      await measurePing(wire.client, WARM_UP_PINGS, WARM_UP_INTERVAL);
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

/** Pings `count` times, so many seconds apart, and returns the median round trip in ms. */
export async function measurePing(
  client: TestNamespace,
  count: number,
  interval = 0.01,
): Promise<number> {
  const options = ["-n", "-i", `${interval}`, "-c", `${count}`];
  const stdout = await client.output(["ping", ...options, SERVER_INSIDE]);
  const times = Array.from(stdout.matchAll(/time=([0-9.]+) ms/g), ([, time]) => Number(time));
  if (times.length === 0) throw new Error(`Cannot read round trips from ping:\n${stdout}`);
  return median(times);
}
