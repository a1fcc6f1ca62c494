/** Search for the highest rate at which a tunnel delivers what it is given. */
import type { UdpTrial } from "../load/udp_load.ts";

/** Share of the datagrams that may be lost. */
const MAX_LOSS = 0.01;
/** Share that may arrive late: a tunnel that only stores them does not deliver at that rate. */
const MAX_BACKLOG = 0.05;
/** Trials of one rate: one failure may be the machine's. */
const ATTEMPTS = 2;
/** Rates are within this factor of the limit when the search ends. */
const PRECISION = 1.07;
/** Datagrams a second beyond which the load itself is the limit. */
const MAX_RATE = 400_000;
const MIN_RATE = 1_000;

export interface RateSearchOptions {
  /** Where to begin: best a little below the limit. */
  readonly start: number;
  /** The factor of the first steps, above 1. */
  readonly factor: number;
}

/**
 * The highest rate delivered with at most 1 % lost, in datagrams a second as they arrived; 0 where there is none. Steps
 * up or down from `start` until the limit lies between two rates, and then halves what is between them.
 *
 * @param trial sends at a rate
 */
export async function searchRate(
  trial: (rate: number) => Promise<UdpTrial>,
  { start, factor }: RateSearchOptions,
): Promise<number> {
  let best = 0;
  const passes = async (rate: number) => {
    for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
      const { sent, receivedInTime, received, seconds } = await trial(rate);
      if (received < sent * (1 - MAX_LOSS) || receivedInTime < sent * (1 - MAX_BACKLOG)) continue;
      best = Math.max(best, receivedInTime / seconds);
      return true;
    }
    return false;
  };
  let [low, high] = await bracket(passes, { start, factor });
  while (low > 0 && high / low > PRECISION) {
    const middle = Math.sqrt(low * high);
    if (await passes(middle)) low = middle;
    else high = middle;
  }
  return best;
}

/** A rate that passes and one above it that does not, or that is the highest tried; 0 where none passes. */
async function bracket(
  passes: (rate: number) => Promise<boolean>,
  { start, factor }: RateSearchOptions,
): Promise<[low: number, high: number]> {
  let rate = Math.min(start, MAX_RATE);
  if (await passes(rate)) {
    while (rate * factor <= MAX_RATE) {
      if (!await passes(rate * factor)) return [rate, rate * factor];
      rate *= factor;
    }
    return [rate, rate];
  }
  while (rate / factor >= MIN_RATE) {
    if (await passes(rate / factor)) return [rate / factor, rate];
    rate /= factor;
  }
  return [0, rate];
}
