/**
 * Liveness: which of the other gateways are there, by what they send themselves. One that has missed three heartbeats
 * is asked directly, and is dead when it does not answer that: a gateway that has itself been kept from running finds
 * what has arrived meanwhile before it judges.
 */
import type { GatewayHeartbeat } from "./heartbeat.ts";

/** ms between heartbeats to each gateway. */
export const HEARTBEAT_INTERVAL = 150;
/** ms of silence after which one is asked, and those that it has for the answer. */
const ASK_AFTER = 3 * HEARTBEAT_INTERVAL;
const ANSWER_TIMEOUT = HEARTBEAT_INTERVAL;

/** Another gateway as it is known here. */
export interface Remote {
  readonly gateway: number;
  readonly isUp: boolean;
  /** Since when it is so, monotonic ms. */
  readonly since: number;
  /** The last one, of a gateway that is up. */
  readonly heartbeat: GatewayHeartbeat | null;
}

interface Known extends Remote {
  isUp: boolean;
  since: number;
  heartbeat: GatewayHeartbeat | null;
  /** When it was last heard, and asked since then; monotonic ms. */
  heardAt: number;
  askedAt: number | null;
}

export class Liveness {
  readonly #remotes = new Map<number, Known>();

  get remotes(): Iterable<Remote> {
    return this.#remotes.values();
  }

  remote(gateway: number): Remote | null {
    return this.#remotes.get(gateway) ?? null;
  }

  /** Those that are up. */
  get heard(): ReadonlySet<number> {
    const heard = new Set<number>();
    for (const { gateway, isUp } of this.#remotes.values()) if (isUp) heard.add(gateway);
    return heard;
  }

  /** When `due()` has something to do; `Infinity` for never. */
  get dueAt(): number {
    let dueAt = Infinity;
    for (const remote of this.#remotes.values()) {
      if (remote.isUp) dueAt = Math.min(dueAt, deadline(remote));
    }
    return dueAt;
  }

  /**
   * These are the other gateways.
   *
   * @returns those that were up and are none any more
   */
  setGateways(gateways: readonly number[], now: number): readonly number[] {
    const gone: number[] = [];
    for (const { gateway, isUp } of this.#remotes.values()) {
      if (gateways.includes(gateway)) continue;
      this.#remotes.delete(gateway);
      if (isUp) gone.push(gateway);
    }
    for (const gateway of gateways) {
      if (this.#remotes.has(gateway)) continue;
      this.#remotes.set(gateway, {
        gateway,
        isUp: false,
        since: now,
        heartbeat: null,
        heardAt: -Infinity,
        askedAt: null,
      });
    }
    return gone;
  }

  /**
   * A gateway has sent a heartbeat.
   *
   * @returns "up" where it is up by that; null for one that is too late, or from none of the fleet
   */
  received(from: number, heartbeat: GatewayHeartbeat, now: number): "up" | "heard" | null {
    const remote = this.#remotes.get(from);
    if (remote === undefined || isLate(heartbeat, remote.heartbeat)) return null;
    const wasUp = remote.isUp;
    if (!wasUp) remote.since = now;
    remote.isUp = true;
    remote.heartbeat = heartbeat;
    remote.heardAt = now;
    remote.askedAt = null;
    return wasUp ? "heard" : "up";
  }

  /** Time has passed: who is to be asked now, and who is dead. */
  due(now: number): { readonly ask: readonly number[]; readonly dead: readonly number[] } {
    const ask: number[] = [];
    const dead: number[] = [];
    for (const remote of this.#remotes.values()) {
      if (!remote.isUp || now < deadline(remote)) continue;
      if (remote.askedAt === null) {
        remote.askedAt = now;
        ask.push(remote.gateway);
      } else {
        remote.isUp = false;
        remote.since = now;
        dead.push(remote.gateway);
      }
    }
    return { ask, dead };
  }
}

function deadline({ heardAt, askedAt }: Known): number {
  return askedAt === null ? heardAt + ASK_AFTER : askedAt + ANSWER_TIMEOUT;
}

/** Of two, the network may bring the later one first. */
function isLate(heartbeat: GatewayHeartbeat, last: GatewayHeartbeat | null): boolean {
  return last !== null && heartbeat.generation === last.generation &&
    heartbeat.sequence <= last.sequence;
}
