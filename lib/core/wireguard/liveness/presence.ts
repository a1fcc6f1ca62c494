/**
 * Presence of a peer: the state that `vpn status`, its JSON and the metrics show; in one place, so that they agree.
 */
import { REJECT_AFTER_TIME } from "../constants.ts";

/**
 * `never`: not one authenticated message since the start. `up`: last seen within the life of a session. `silent`:
 * longer ago than that, which a phone that sleeps may be for days. `down`: found missing, or gone with a goodbye, and
 * not seen since.
 */
export type Presence = "never" | "up" | "silent" | "down";

/** When a peer was last seen. */
export interface LastSeen {
  /** ms since its last authenticated message; null for never. */
  readonly silence: number | null;
  /** Whether it was found missing, or has said goodbye, and has not been seen since. */
  readonly isDown: boolean;
}

export function presenceOf({ silence, isDown }: LastSeen): Presence {
  if (silence === null) return "never";
  if (isDown) return "down";
  return silence <= REJECT_AFTER_TIME ? "up" : "silent";
}
