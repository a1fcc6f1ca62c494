/**
 * Upstream health: which resolvers answer, so that a dead one costs a client its time once, and not with every
 * question.
 *
 * One that stayed silent for a whole exchange, in which it answered nothing else either, is dead: the others are asked
 * first, in the order of the configuration. A name that takes long makes no dead resolver of one that answers other
 * names meanwhile. From time to time a question that another answers goes to the dead one as well, whose answer nobody
 * waits for: with the first answer it has its place back. The pauses between such probes grow.
 */

/** ms from a resolver's silence to the first probe, longer than an exchange takes; and between two probes at most. */
const FIRST_PAUSE = 2_500;
const MAX_PAUSE = 60_000;
/**
 * Exchanges without an answer, one after the other, after which a person is told: one may be a name that takes long.
 */
const TOLD_AFTER = 3;

interface State {
  /** Exchanges in a row without an answer; 0: it is alive. */
  misses: number;
  /** When the last of them ended, monotonic ms. */
  missedAt: number;
  /** When it is probed next, monotonic ms. */
  probeAt: number;
  pause: number;
}

export interface HealthOptions<Upstream> {
  /** In the order in which they are asked while all are alive. */
  readonly upstreams: readonly Upstream[];
  /** Is told when one has been silent several times, and when such a one answers again. */
  readonly onChange: (upstream: Upstream, isAlive: boolean) => void;
}

export class UpstreamHealth<Upstream> {
  readonly #options: HealthOptions<Upstream>;
  readonly #states: Map<Upstream, State>;

  constructor(options: HealthOptions<Upstream>) {
    this.#options = options;
    this.#states = new Map(
      options.upstreams.map((
        upstream,
      ) => [upstream, { misses: 0, missedAt: -Infinity, probeAt: 0, pause: 0 }]),
    );
  }

  /** Those that answer, in their order. */
  get alive(): Upstream[] {
    return this.#options.upstreams.filter((upstream) => this.#states.get(upstream)!.misses === 0);
  }

  /** Those that do not, in their order. */
  get dead(): Upstream[] {
    return this.#options.upstreams.filter((upstream) => this.#states.get(upstream)!.misses > 0);
  }

  /**
   * The dead ones that are to be sent a question now, beside the one that is to answer it; each is due once for a call.
   */
  takeDue(now: number): Upstream[] {
    const due = this.dead.filter((upstream) => now >= this.#states.get(upstream)!.probeAt);
    for (const upstream of due) this.#postpone(this.#states.get(upstream)!, now);
    return due;
  }

  /** It has answered, whatever its answer says. */
  answered(upstream: Upstream): void {
    const state = this.#states.get(upstream)!;
    const { misses } = state;
    state.misses = 0;
    state.pause = 0;
    if (misses >= TOLD_AFTER) this.#options.onChange(upstream, true);
  }

  /**
   * It has answered nothing while an exchange with it lasted.
   *
   * @param exchange from when to when, monotonic ms: of those that overlap, all are one silence
   */
  missed(upstream: Upstream, { from, now }: { from: number; now: number }): void {
    const state = this.#states.get(upstream);
    // It was asked before others took its place.
    if (state === undefined) return;
    if (state.misses > 0 && from < state.missedAt) return;
    state.misses++;
    state.missedAt = now;
    if (state.misses === 1) this.#postpone(state, now);
    if (state.misses === TOLD_AFTER) this.#options.onChange(upstream, false);
  }

  #postpone(state: State, now: number): void {
    state.pause = Math.min(MAX_PAUSE, Math.max(FIRST_PAUSE, 2 * state.pause));
    state.probeAt = now + state.pause;
  }
}
