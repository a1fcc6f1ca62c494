/**
 * Denied events: what access rules have cost each peer, as an event now and then. A program that is denied may try a
 * thousand times a second, so a peer's denials are looked at each minute, and are one event in ten minutes at most; and
 * one at the end, as what has not been told by then never would be.
 */
import { encodeKey } from "../core/config/values/key_text.ts";
import type { Denials } from "../core/access/access_items.ts";
import { guarded } from "../process/guard.ts";
import type { EventPeer } from "./accounts.ts";

/** ms between two looks. */
export const LOOK = 60_000;
/** ms between two events of a peer. */
export const EVENT_PAUSE = 600_000;
/** Rules that an event names; the packets of all are counted. */
const NAMED = 3;

/** A peer with what rules have cost it since the data plane has it. */
export interface DeniedPeer extends EventPeer {
  readonly denials: readonly Denials[];
}

export interface DeniedEventsOptions {
  /** The peers that the data plane has. */
  readonly ask: () => Promise<readonly DeniedPeer[]>;
  /** Whether there are rules. */
  readonly hasRules: () => boolean;
  /** What a rule says, and where it stands. */
  readonly ruleText: (rule: number) => string;
  readonly record: (kind: string, peer: EventPeer, detail: string) => void;
  /** Monotonic ms. */
  readonly now: () => number;
}

/** What was told of a peer last. */
interface Told {
  readonly at: number;
  /** Packets by rule. */
  readonly packets: ReadonlyMap<number, number>;
}

export class DeniedEvents implements AsyncDisposable {
  readonly #options: DeniedEventsOptions;
  /** By public key in base64. */
  #told = new Map<string, Told>();
  readonly #timer: ReturnType<typeof setInterval>;

  /** Looks until it is disposed of. */
  constructor(options: DeniedEventsOptions) {
    this.#options = options;
    const look = guarded(
      "control",
      "looking at what access rules deny",
      () => this.#look(EVENT_PAUSE),
    );
    this.#timer = setInterval(look, LOOK);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    // A data plane that has died has nothing more to say.
    await this.#look(0).catch(() => {});
  }

  /** @param pause ms since the last event of a peer until there may be another */
  async #look(pause: number): Promise<void> {
    const { ask, hasRules, now } = this.#options;
    if (!hasRules()) return;
    const peers = await ask();
    const kept = new Map<string, Told>();
    for (const peer of peers) {
      if (peer.denials.length === 0) continue;
      const key = encodeKey(peer.publicKey);
      const last = this.#told.get(key);
      const isDue = last === undefined || now() - last.at >= pause;
      const told = isDue && this.#tell(peer, last?.packets ?? new Map())
        ? { at: now(), packets: new Map(peer.denials.map(({ rule, packets }) => [rule, packets])) }
        : last;
      if (told !== undefined) kept.set(key, told);
    }
    this.#told = kept;
  }

  /** Tells of the packets since then; whether there are any. */
  #tell(peer: DeniedPeer, before: ReadonlyMap<number, number>): boolean {
    const { ruleText, record } = this.#options;
    const since = peer.denials.map(({ rule, packets }) => {
      const known = before.get(rule) ?? 0;
      // Fewer than before are those of a peer that came again, or a rule.
      return { rule, packets: packets < known ? packets : packets - known };
    }).filter(({ packets }) => packets > 0).sort((a, b) => b.packets - a.packets);
    if (since.length === 0) return false;
    const sum = since.reduce((all, { packets }) => all + packets, 0);
    const rules = since.slice(0, NAMED).map(({ rule }) => ruleText(rule)).join("; ");
    const others = since.length > NAMED ? `; and ${since.length - NAMED} other rules` : "";
    record("denied", peer, `${sum} ${sum === 1 ? "packet" : "packets"}: ${rules}${others}`);
    return true;
  }
}
