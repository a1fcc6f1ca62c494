/** TCP through a rate limit: near the limit at any rate and round trip, smooth, with little delay, one or many. */
import { RateLimit } from "../../../lib/core/limits/rate_limit.ts";
import { Shaper } from "../../../lib/core/limits/shaper.ts";
import { TokenBucket } from "../../../lib/core/limits/token_bucket.ts";
import { assert } from "../../support/assert.ts";
import { Random } from "../../support/random.ts";
import { PACKET_SIZE, TcpSender } from "../../support/shaping/tcp_sender.ts";
import { Schedule } from "../../support/time/schedule.ts";

const SECOND = 1_000;
/** ms of a window in which the rate is looked at by itself. */
const WINDOW = 200;

interface Run {
  /** Bytes delivered in each window. */
  readonly windows: number[];
  /** ms that packets have waited, in order. */
  readonly delays: number[];
  readonly senders: readonly TcpSender[];
}

interface RunOptions {
  readonly rate: number;
  /** ms without any queue. */
  readonly roundTrip: number;
  readonly seconds: number;
  readonly flows?: number;
  /** Whether packets are marked in place of dropped. */
  readonly ecn?: boolean;
  /** ms by which the thread is late now and then. */
  readonly late?: number;
}

function run({ rate, roundTrip, seconds, flows = 1, ecn = false, late = 0 }: RunOptions): Run {
  const random = new Random(7);
  const slotSize = 2_048;
  const slots = 8_192;
  const bytes = new Uint8Array(slots * slotSize + slotSize);
  const view = new DataView(bytes.buffer);
  const packet = slots * slotSize;
  const arrivals = new Schedule<() => void>();
  const windows = Array.from({ length: seconds * SECOND / WINDOW }, () => 0);
  const delays: number[] = [];
  let now = 1;
  const deliver = (offset: number, at: number) => {
    windows[Math.floor((at - 1) / WINDOW)]! += PACKET_SIZE;
    const [flow, sequence] = [view.getUint32(offset), view.getUint32(offset + 4)];
    const marked = view.getUint8(offset + 16) !== 0;
    delays.push(at - view.getFloat64(offset + 8));
    arrivals.add(at + roundTrip, () => senders[flow]!.acknowledged(sequence, now, marked));
  };
  const limit = new RateLimit(null, true, new TokenBucket(rate));
  const shaper = new Shaper<null>({
    bytes,
    region: { offset: 0, slots, slotSize },
    release: (_, offset, _length, at) => deliver(offset, at),
    mark: (offset) => {
      if (ecn) view.setUint8(offset + 16, 1);
      return ecn;
    },
    drop: () => {},
  });
  const senders = Array.from({ length: flows }, (_, flow) =>
    new TcpSender((sequence) => {
      view.setUint32(packet, flow);
      view.setUint32(packet + 4, sequence);
      view.setFloat64(packet + 8, now);
      view.setUint8(packet + 16, 0);
      if (shaper.take(limit, packet, PACKET_SIZE, now)) deliver(packet, now);
    }));
  while (now < seconds * SECOND) {
    for (let action = arrivals.take(now); action !== undefined; action = arrivals.take(now)) {
      action();
    }
    for (const sender of senders) sender.poll(now);
    if (now >= shaper.at) {
      while (shaper.release(now, 32)) shaper.recycle();
      shaper.recycle();
    }
    now += late > 0 && random.chance(0.002) ? random.below(late) : 0.5;
  }
  return { windows, delays, senders };
}

/** Windows until the first losses have been made good. */
const START = 5 * SECOND / WINDOW;

/** What was delivered of what the limit would have let through. */
function share(windows: readonly number[], rate: number): number {
  const bytes = windows.reduce((sum, each) => sum + each, 0);
  return bytes / (rate / 8 * windows.length * WINDOW / SECOND);
}

function quantile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(share * (sorted.length - 1))]!;
}

const RATES = [1e6, 5e6, 20e6, 100e6, 400e6];

for (const flows of [1, 4]) {
  Deno.test(`${flows} TCP flows get at least 95 % of a limit and never more, at any rate and round trip`, () => {
    for (const rate of RATES) {
      for (const roundTrip of [1, 20, 100]) {
        const { windows } = run({ rate, roundTrip, flows, seconds: 15 });
        const got = share(windows.slice(START), rate);
        assert(got > 0.95 && got < 1.005, `${rate} bit/s, ${roundTrip} ms: ${got}`);
      }
    }
  });
}

Deno.test("a limit is smooth: no fifth of a second has less or more than its share", () => {
  for (const rate of RATES) {
    const { windows } = run({ rate, roundTrip: 20, seconds: 15 });
    for (const bytes of windows.slice(START)) {
      const got = share([bytes], rate);
      assert(got > 0.9 && got < 1.06, `${rate} bit/s: ${got}`);
    }
  }
});

Deno.test("what a limit makes packets wait is bounded, and short as long as the senders answer", () => {
  for (const rate of RATES) {
    const { delays } = run({ rate, roundTrip: 20, seconds: 15 });
    const [median, most] = [quantile(delays, 0.5), quantile(delays, 1)];
    // At the lowest rate, two packets alone take 24 ms.
    assert(median < 30, `${rate} bit/s: half of them ${median} ms`);
    assert(most < Math.max(260, 80_000 * 8_000 / rate + 12), `${rate} bit/s: at most ${most} ms`);
  }
});

Deno.test("a thread that is late now and then takes nothing from the rate", () => {
  const { windows } = run({ rate: 20e6, roundTrip: 20, seconds: 15, late: 30 });
  const got = share(windows.slice(START), 20e6);
  assert(got > 0.95 && got < 1.005, `${got}`);
});

Deno.test("packets that can be marked are marked: nothing is lost after the start", () => {
  const lossy = run({ rate: 20e6, roundTrip: 20, seconds: 15 });
  const marked = run({ rate: 20e6, roundTrip: 20, seconds: 15, ecn: true });
  const got = share(marked.windows.slice(START), 20e6);
  assert(got > 0.95 && got < 1.005, `${got}`);
  const [lost] = [lossy, marked].map(({ senders }) => senders[0]!.lost) as [number, number];
  assert(lost > 0 && marked.senders[0]!.lost === 0, `${lost}, ${marked.senders[0]!.lost}`);
});
