/**
 * Upkeep of what a tunnel has put on the host: routes and rules, tables of the firewall, addresses, `resolv.conf`,
 * sysctls.
 *
 * A full tunnel whose rule or route somebody removes leaks in the clear, with a healthy session. So what is lost is put
 * back at once, with one warning that names it. The state of the host is compared with what it should be, whatever the
 * notification said: so a change of our own is none, and one that went unnoticed is found with the next. Who takes the
 * same thing away at once again is not fought without end: the pauses grow, and the tunnel counts as degraded
 * meanwhile.
 */
import { DeviceGone } from "../../process/device_gone.ts";
import type { Fixture } from "./fixture.ts";
import { errorMessage } from "../../process/errors.ts";
import { guarded } from "../../process/guard.ts";
import { Swarm } from "../../process/swarm.ts";

/** ms between two looks for notifications about the firewall, and at what has waited out its pause. */
const TICK = 250;
/** Ticks between two looks at what no notification tells of, and at everything. */
const POLL_TICKS = 2;
const FULL_TICKS = 40;
/** ms between a notification and the look at the host, as they come in swarms; and between two such looks. */
const SETTLE_TIME = 20;
const LOOK_PAUSE = 200;
/** ms within which a loss is one of what was only just put back. */
const AT_ONCE = 1_000;
/** ms that the first pause takes, and the longest. */
const FIRST_PAUSE = 500;
const MAX_PAUSE = 30_000;
/** ms that something must stay in place to be trusted again. */
const CALM = 15_000;

/** Times that something is put back until it counts as removed again and again, however slowly. */
const TOLD_TIMES = 10;

/** A part of a fixture that was lost and is not trusted again yet. */
interface Part {
  /** By `missing()`. */
  readonly name: string;
  /** When it was put back last, and how often. */
  putBackAt: number;
  times: number;
  /** When it is tried again; 0 where it does not wait. */
  waitsUntil: number;
  pause: number;
  /** Whether it is lost again and again. */
  isDegraded: boolean;
}

export interface UpkeepOptions {
  /** What is to stay, in the order in which it is put back; more may come, and some go. */
  readonly fixtures: () => readonly Fixture[];
  /**
   * Tells whether the firewall has changed since the last call; null where there is none. Disposed of with the upkeep.
   */
  readonly firewall: { hasChanged(): boolean } & Disposable | null;
  /** Monotonic ms. */
  readonly now: () => number;
  readonly logger: UpkeepLogger;
}

/** What it tells. */
export interface UpkeepLogger {
  info(message: string, values: Record<string, unknown>): void;
  warn(message: string, values: Record<string, unknown>): void;
}

export class Upkeep implements Disposable {
  readonly #options: UpkeepOptions;
  /** Each for itself: what is removed again and again keeps nothing else waiting. */
  readonly #parts = new Map<Fixture, Map<string, Part>>();
  /** What could not be looked at: no other notification may come of what is lost of it. */
  #unread = new Set<Fixture>();
  /** What `PostUp` has taken away, which has its reasons, as `missing()` names it. */
  readonly #leftAlone = new Map<Fixture, ReadonlySet<string>>();
  #isPostUp = false;
  readonly #timer: ReturnType<typeof setInterval>;
  readonly #failed = Promise.withResolvers<never>();
  readonly #changes = new Swarm({
    category: "upkeep",
    entry: "watching the host's network",
    call: () => this.check(() => true),
    settleTime: SETTLE_TIME,
    pause: LOOK_PAUSE,
  });
  #ticks = 0;

  constructor(options: UpkeepOptions) {
    this.#options = options;
    this.#failed.promise.catch(() => {});
    this.#timer = setInterval(
      guarded("upkeep", "watching the host's network", () => this.tick()),
      TICK,
    );
  }

  /** Rejects when the device of the tunnel is gone, which nothing can put back; never resolves. */
  get failed(): Promise<never> {
    return this.#failed.promise;
  }

  /** What others take away again and again, in words; empty where all is well. */
  get degraded(): readonly string[] {
    return [...this.#parts.keys()].flatMap((fixture) => this.#degradedOf(fixture));
  }

  /**
   * Calls what runs the `PostUp` commands. What others have taken away until then is put back first; what goes while
   * they run is theirs to change, and left alone, but for what does not yield to them: that is watched meanwhile.
   */
  async whilePostUp(call: () => Promise<void>): Promise<void> {
    guarded("upkeep", "looking at the host before PostUp", () => this.check(() => true))();
    const before = this.#lostToPostUp();
    this.#isPostUp = true;
    try {
      await call();
    } finally {
      this.#isPostUp = false;
    }
    const names: string[] = [];
    for (const [fixture, lost] of this.#lostToPostUp()) {
      const changed = new Set(lost).difference(new Set(before.get(fixture)));
      this.#leftAlone.set(fixture, changed);
      names.push(...changed);
    }
    if (names.length === 0) return;
    this.#options.logger.info("changed while PostUp ran, and not restored: {names}", {
      names: names.join(", "),
    });
  }

  #lostToPostUp(): Map<Fixture, readonly string[]> {
    const fixtures = this.#options.fixtures().filter(({ yieldsToPostUp }) => yieldsToPostUp);
    return new Map(fixtures.map((fixture) => [fixture, fixture.missing()]));
  }

  /** Takes note that links, addresses, routes or rules have changed. */
  notice(): void {
    this.#changes.notice();
  }

  /** Looks at what may have changed since the last time; called by a timer. */
  tick(): void {
    this.#ticks++;
    const polled = this.#ticks % POLL_TICKS === 0;
    // Where that cannot be told, it may have.
    let all = true;
    try {
      all = (this.#options.firewall?.hasChanged() ?? false) || this.#ticks % FULL_TICKS === 0;
    } finally {
      this.check((fixture) =>
        all || polled && fixture.isPolled || this.#unread.has(fixture) ||
        this.#degradedOf(fixture).length > 0
      );
    }
  }

  /** Looks at the fixtures that are chosen, and puts back what is lost of them. */
  check(isChosen: (fixture: Fixture) => boolean): void {
    const fixtures = this.#options.fixtures();
    this.#forget(new Set(fixtures));
    const now = this.#options.now();
    const putBack: string[] = [];
    const errors: unknown[] = [];
    for (const fixture of fixtures) {
      if (this.#isPostUp && fixture.yieldsToPostUp || !isChosen(fixture)) continue;
      try {
        putBack.push(...this.#keep(fixture, now));
        this.#unread.delete(fixture);
      } catch (error) {
        if (error instanceof DeviceGone) return this.#failed.reject(error);
        // What cannot be looked at keeps nothing else from being looked after, and is next time.
        errors.push(error);
        this.#unread.add(fixture);
      }
    }
    if (putBack.length > 0) {
      this.#options.logger.warn("removed by another program and restored: {lost}", {
        lost: putBack.join(", "),
      });
    }
    if (errors.length > 0) throw errors[0];
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#changes[Symbol.dispose]();
    this.#options.firewall?.[Symbol.dispose]();
  }

  /** @returns what was put back that is not lost again and again */
  #keep(fixture: Fixture, now: number): readonly string[] {
    const missing = this.#lostOf(fixture);
    this.#trustAgain(fixture, missing, now);
    if (missing.length === 0) return [];
    const due = this.#partsOf(fixture, missing).filter(({ waitsUntil }) => waitsUntil <= now);
    const again = due.filter((part) => part.waitsUntil === 0 && now - part.putBackAt < AT_ONCE);
    this.#backOff(again, now, "removed again at once");
    const lost = due.filter((part) => !again.includes(part));
    if (lost.length === 0) return [];
    for (const part of lost) {
      part.putBackAt = now;
      part.times++;
      part.waitsUntil = 0;
    }
    try {
      fixture.putBack(lost.map(({ name }) => name));
    } catch (error) {
      if (error instanceof DeviceGone) throw error;
      // It has put back what it could.
      const still = new Set(this.#lostOf(fixture));
      const reason = `it cannot be restored (${errorMessage(error)})`;
      this.#backOff(lost.filter(({ name }) => still.has(name)), now, reason);
    }
    const putBack = lost.filter(({ waitsUntil }) => waitsUntil === 0);
    // It is put back at once for all that, but no longer told of each time.
    this.#degrade(putBack.filter(({ times }) => times > TOLD_TIMES), "removed again and again");
    return putBack.filter(({ isDegraded }) => !isDegraded).map(({ name }) => name);
  }

  #partsOf(fixture: Fixture, names: readonly string[]): Part[] {
    const parts = this.#parts.get(fixture) ?? new Map<string, Part>();
    this.#parts.set(fixture, parts);
    return names.map((name) => {
      const part = parts.get(name) ??
        { name, putBackAt: -Infinity, times: 0, waitsUntil: 0, pause: 0, isDegraded: false };
      parts.set(name, part);
      return part;
    });
  }

  #lostOf(fixture: Fixture): readonly string[] {
    const leftAlone = this.#leftAlone.get(fixture);
    const lost = fixture.missing().filter((each) => !leftAlone?.has(each));
    if (lost.length === 0 || fixture.isOfOthers !== true) return lost;
    const others = this.#options.fixtures().filter(({ isOfOthers }) => isOfOthers !== true);
    return others.some((other) => this.#lostOf(other).length > 0) ? [] : lost;
  }

  #backOff(parts: readonly Part[], now: number, reason: string): void {
    for (const part of parts) {
      part.pause = Math.min(MAX_PAUSE, Math.max(FIRST_PAUSE, 2 * part.pause));
      part.waitsUntil = now + part.pause;
    }
    this.#degrade(parts, reason);
  }

  #degrade(parts: readonly Part[], reason: string): void {
    const untold = parts.filter(({ isDegraded }) => !isDegraded);
    if (untold.length === 0) return;
    for (const part of untold) part.isDegraded = true;
    this.#options.logger.warn(
      "the tunnel is degraded, without {lost}: {reason}: find the program that removes it; retrying at intervals of up to {most} s",
      { lost: untold.map(({ name }) => name).join(", "), reason, most: MAX_PAUSE / 1000 },
    );
  }

  #trustAgain(fixture: Fixture, missing: readonly string[], now: number): void {
    const parts = this.#parts.get(fixture);
    if (parts === undefined) return;
    const back: string[] = [];
    for (const part of parts.values()) {
      if (part.waitsUntil > now || missing.includes(part.name)) continue;
      part.waitsUntil = 0;
      if (now - part.putBackAt < CALM) continue;
      parts.delete(part.name);
      if (part.isDegraded) back.push(part.name);
    }
    if (back.length === 0) return;
    this.#options.logger.info("restored, and not removed again: {back}", {
      back: back.join(", "),
    });
  }

  #degradedOf(fixture: Fixture): readonly string[] {
    const parts = [...this.#parts.get(fixture)?.values() ?? []];
    return parts.filter(({ isDegraded }) => isDegraded).map(({ name }) => name);
  }

  #forget(fixtures: ReadonlySet<Fixture>): void {
    this.#unread = this.#unread.intersection(fixtures);
    for (const fixture of this.#parts.keys()) {
      if (!fixtures.has(fixture)) this.#parts.delete(fixture);
    }
  }
}
