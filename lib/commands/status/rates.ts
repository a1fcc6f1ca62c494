/** Rates: what passed between two samples of a running instance, and how that changed in the last while. */
import type { Status } from "../../control/status.ts";

/** Looks that are remembered for each peer. */
const HISTORY = 60;

/** What passes with a peer. */
export interface PeerRate {
  /** Bytes a second from it and to it. */
  readonly received: number;
  readonly sent: number;
  /** Both together at each look, oldest first. */
  readonly history: readonly number[];
}

interface Seen {
  readonly at: number;
  readonly received: number;
  readonly sent: number;
  readonly history: readonly number[];
}

export class RateMeter {
  /** By process and public key. */
  #seen = new Map<string, Seen>();

  /**
   * Takes what an instance says now. Returns what passes with each peer, by its public key; nothing at the first look.
   */
  rates(statuses: readonly Status[]): ReadonlyMap<string, PeerRate>[] {
    const before = this.#seen;
    this.#seen = new Map();
    return statuses.map((status) => {
      const at = Date.parse(status.time);
      const rates = new Map<string, PeerRate>();
      for (const { publicKey, received, sent } of status.peers) {
        const id = `${status.pid} ${publicKey}`;
        const last = before.get(id);
        const history = [...last?.history ?? []];
        if (last !== undefined && at > last.at) {
          const seconds = (at - last.at) / 1000;
          // A peer that was removed and added again begins again.
          const rate = {
            received: Math.max(0, received - last.received) / seconds,
            sent: Math.max(0, sent - last.sent) / seconds,
          };
          history.push(rate.received + rate.sent);
          if (history.length > HISTORY) history.shift();
          rates.set(publicKey, { ...rate, history });
        }
        this.#seen.set(id, { at, received, sent, history });
      }
      return rates;
    });
  }
}
