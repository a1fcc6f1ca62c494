/** Flow metering: has the packets of a thread counted by flow, as long as that is asked for. */
import { randomBytes } from "node:crypto";
import type { Shaping } from "../core/engine/shaping.ts";
import { type FlowBatch, FlowMeter } from "../core/flows/flow_meter.ts";

export class FlowMetering {
  readonly #shaping: Shaping;
  readonly #view: DataView;

  /** @param view of the memory in which packets are */
  constructor(shaping: Shaping, view: DataView) {
    this.#shaping = shaping;
    this.#view = view;
  }

  /** Has them counted from now on; or no more, and what there was is forgotten. */
  turn(isOn: boolean): void {
    const { meter } = this.#shaping;
    this.#shaping.meter = isOn
      ? meter ?? new FlowMeter(this.#view, randomBytes(4).readInt32LE())
      : null;
  }

  /** What has ended since the last call; with `isLast`, all that there is. Null where nothing is counted. */
  take(now: number, isLast: boolean): FlowBatch | null {
    return this.#shaping.meter?.take(now, Date.now(), isLast) ?? null;
  }
}
