/**
 * Accounts: what a gateway's peers have sent and received, by day and hour in UTC, kept in a file, and what of that is
 * within their quotas, which the data plane holds them to.
 *
 * The data plane counts from the time that it has a peer. Here the differences of what it says are added to the day
 * that the wall clock has, wherever that is set to: a period is whatever days it is made of, so that a clock that is
 * set forward begins a new one, and one that is set back goes on with the one before.
 */
import { encodeKey } from "../core/config/values/key_text.ts";
import type { QuotaConfig } from "../core/config/config.ts";
import { quotaDays } from "../core/config/values/quota.ts";
import type { DataPlaneHandle } from "../dataplane/data_plane_handle.ts";
import type { DataPlaneListener } from "../dataplane/data_plane_listener.ts";
import type { PeerQuota } from "../dataplane/data_plane_protocol.ts";
import {
  type AccountEvent,
  AccountStore,
  unixDay,
  unixHour,
} from "../host/accounts/account_store.ts";
import { RefusalError } from "../core/config/refusal_error.ts";
import { errorMessage } from "../process/errors.ts";
import { background, guarded } from "../process/guard.ts";
import type { Logger } from "../process/logging.ts";
import type { LivePeer } from "./live_peers.ts";
import { PendingUsage, renameKey } from "../host/accounts/pending_usage.ts";

/** ms between looks at the wall clock; how many of them until the data plane is asked, and a file that failed tried. */
const INTERVAL = 1_000;
const LOOKS = 10;
const LOOKS_TO_OPEN = 60;
/** ms until what was reported is written: what comes meanwhile is written together. */
const WRITE_PAUSE = 50;
/** Parts of a quota after each of which it is reported how far a peer has come. */
const STEPS = 400;
/** Events that are kept in memory while they cannot be written. */
const EVENTS_KEPT = 1_000;
/** Days that are kept in memory while they cannot be written, and hours: what is older is told by the day alone. */
const DAYS_KEPT = 62;
const HOURS_KEPT = 3;

/** Bytes since the data plane has the peer. */
interface Counters {
  readonly received: number;
  readonly sent: number;
}

/** How far a peer has come with its quota. */
interface Meter {
  readonly quota: QuotaConfig;
  readonly rate: number | null;
  /** The first day of the period; 0 for all there are. */
  readonly firstDay: number;
  /** Bytes in the period, as far as is known. */
  used: number;
}

/** The state of a quota. */
export interface QuotaState {
  /** Bytes both ways in the period. */
  readonly used: number;
  /** When the next period begins, Unix ms; null for never. */
  readonly resetsAt: number | null;
}

export interface AccountsOptions {
  readonly path: string;
  readonly dataPlane: Pick<DataPlaneHandle, "usage" | "setQuotas">;
  /** The wall clock, Unix ms. */
  readonly now: () => number;
  readonly logger: Logger;
}

type AccountedPeer = Pick<LivePeer, "name" | "quota" | "quotaRate" | "nextKey">;

/** A peer, as an event names it. */
export type EventPeer = Pick<LivePeer, "publicKey" | "name">;

type UsageReport = Parameters<DataPlaneListener["onUsage"]>[0];

export class Accounts implements AsyncDisposable {
  readonly #options: AccountsOptions;
  #store: AccountStore | null = null;
  /** By public key, in base64. */
  readonly #seen = new Map<string, Counters>();
  readonly #meters = new Map<string, Meter>();
  #peers: ReadonlyMap<string, AccountedPeer> = new Map();
  /** What is yet to be written; and keys that others have taken the place of, which comes first. */
  readonly #pending = new PendingUsage(DAYS_KEPT);
  readonly #pendingHours = new PendingUsage(HOURS_KEPT);
  #renamed: (readonly [from: string, to: string])[] = [];
  /** Keys that are to be peers', with those of now. */
  #nextKeys = new Map<string, string>();
  /** The same of events; and how many were given up, as there was no room. */
  #events: AccountEvent[] = [];
  #lostEvents = 0;
  readonly #listeners = new Set<() => void>();
  #day: number;
  #looks = 0;
  #timer: ReturnType<typeof setInterval> | undefined;
  #writing: ReturnType<typeof setTimeout> | undefined;
  /** Whether the last write failed, which is said once. */
  #hasFailed = false;
  #isClosed = false;

  private constructor(options: AccountsOptions) {
    this.#options = options;
    this.#day = unixDay(options.now());
  }

  /** Begins to keep accounts; while the file cannot be used, of this run alone. */
  static async start(options: AccountsOptions): Promise<Accounts> {
    const accounts = new Accounts(options);
    const { path, logger } = options;
    try {
      accounts.#store = await AccountStore.open(path);
    } catch (error) {
      logger.warn(
        "cannot keep accounts in {path}: {reason}: usage and quotas count from this start on until it can be opened: " +
          "move the file away, or make the folder writable",
        { path, reason: errorMessage(error) },
      );
    }
    accounts.#timer = setInterval(
      guarded("control", "keeping accounts", () => accounts.#look()),
      INTERVAL,
    );
    return accounts;
  }

  /** Opens the file that could not be opened at the start: a disk that was full need not be for ever. */
  async #openAgain(): Promise<void> {
    const { path, logger } = this.#options;
    let store: AccountStore;
    try {
      store = await AccountStore.open(path);
    } catch {
      // Why was said at the start.
      return;
    }
    if (this.#isClosed) return store[Symbol.dispose]();
    this.#store = store;
    logger.info("accounts are kept in {path} from now on", { path });
    // What was used before this start counts as well.
    this.#meters.clear();
    this.#setQuotas();
    this.#write();
  }

  /** These peers are the data plane's by now, each by its public key in base64. */
  follow(peers: ReadonlyMap<string, AccountedPeer>): void {
    for (const [next, key] of this.#nextKeys) {
      if (peers.has(next) && !peers.has(key)) this.rename(key, next);
    }
    this.#peers = peers;
    this.#nextKeys = new Map();
    for (const [key, { nextKey }] of peers) {
      if (nextKey !== null) this.#nextKeys.set(encodeKey(nextKey.publicKey), key);
    }
    this.#setQuotas();
  }

  /** A peer goes by another key from now on; what it has used stays its own. */
  rename(from: string, to: string): void {
    renameKey(this.#seen, from, to);
    renameKey(this.#meters, from, to);
    for (const pending of [this.#pending, this.#pendingHours]) pending.rename(from, to);
    this.#renamed.push([from, to]);
    this.#write();
  }

  /** The data plane reports what a peer has used. */
  take({ publicKey, receivedBytes, sentBytes, isRemoved }: UsageReport): void {
    const key = this.#keyOf(publicKey);
    this.#count(key, { received: receivedBytes, sent: sentBytes });
    if (isRemoved) {
      this.#seen.delete(key);
      this.#meters.delete(key);
    }
    this.#writeSoon();
  }

  /** By which a peer is accounted: the data plane knows sooner that its next key has taken over. */
  #keyOf(publicKey: Uint8Array): string {
    const key = encodeKey(publicKey);
    return this.#peers.has(key) ? key : this.#nextKeys.get(key) ?? key;
  }

  /** Takes note of what has happened, to a peer if one is given. */
  record(kind: string, peer: EventPeer | null, detail: string | null = null): void {
    const key = peer && encodeKey(peer.publicKey);
    const event = { time: this.#options.now(), kind, peer: key, name: peer?.name ?? null, detail };
    this.#events.push(event);
    if (this.#events.length > EVENTS_KEPT) {
      this.#events.shift();
      this.#lostEvents++;
    }
    this.#writeSoon();
  }

  /**
   * What is kept, by the question, with all that has come until now.
   *
   * @throws {RefusalError} where the file cannot be used
   */
  ask<T>(question: (store: AccountStore) => T): T {
    this.#write();
    const store = this.#store;
    if (store === null) throw unreadable(this.#options.path, "it cannot be opened");
    try {
      return question(store);
    } catch (error) {
      throw unreadable(this.#options.path, errorMessage(error));
    }
  }

  /** Calls after events have been written, until it is disposed of. */
  onEvents(call: () => void): Disposable {
    this.#listeners.add(call);
    return {
      [Symbol.dispose]: () => {
        this.#listeners.delete(call);
      },
    };
  }

  #writeSoon(): void {
    this.#writing ??= setTimeout(
      guarded("control", "writing accounts", () => this.#write()),
      WRITE_PAUSE,
    );
  }

  /**
   * The state of a peer's quota; null where it has none.
   *
   * @param counted what the data plane has counted of it by now, bytes both ways
   */
  quotaOf(key: string, counted: number | null): QuotaState | null {
    const meter = this.#meters.get(key);
    if (meter === undefined) return null;
    const days = quotaDays(meter.quota.period, this.#options.now());
    const since = counted === null ? 0 : Math.max(0, counted - this.#countedOf(key));
    const used = meter.used + since;
    return {
      // What was dropped is counted as what has come, but is of no use to the peer.
      used: meter.rate === null ? Math.min(used, meter.quota.bytes) : used,
      resetsAt: days === null ? null : (days.last + 1) * 86_400_000,
    };
  }

  #countedOf(key: string): number {
    const { received, sent } = this.#seen.get(key) ?? { received: 0, sent: 0 };
    return received + sent;
  }

  #look(): void {
    const day = unixDay(this.#options.now());
    if (day !== this.#day) {
      this.#day = day;
      this.#setQuotas();
    }
    if (++this.#looks % LOOKS === 0) background("control", "keeping accounts", this.#ask());
    if (this.#store === null && this.#looks % LOOKS_TO_OPEN === 0) {
      background("control", "opening accounts", this.#openAgain());
    }
  }

  async #ask(): Promise<void> {
    for (const { publicKey, receivedBytes, sentBytes } of await this.#options.dataPlane.usage()) {
      this.#count(this.#keyOf(publicKey), { received: receivedBytes, sent: sentBytes });
    }
    this.#write();
  }

  #count(key: string, counters: Counters): void {
    const { received, sent } = counters;
    let before = this.#seen.get(key) ?? { received: 0, sent: 0 };
    // It has been removed and added again.
    if (received < before.received || sent < before.sent) before = { received: 0, sent: 0 };
    this.#seen.set(key, counters);
    const gain = { received: received - before.received, sent: sent - before.sent };
    if (gain.received + gain.sent === 0) return;
    const now = this.#options.now();
    const used = { peer: key, name: this.#peers.get(key)?.name ?? null, ...gain };
    this.#pending.add(unixDay(now), used);
    this.#pendingHours.add(unixHour(now), used);
    const meter = this.#meters.get(key);
    if (meter !== undefined) meter.used += gain.received + gain.sent;
  }

  #write(): void {
    clearTimeout(this.#writing);
    this.#writing = undefined;
    const { logger, path } = this.#options;
    try {
      const store = this.#store;
      if (store !== null) {
        for (; this.#renamed.length > 0; this.#renamed.shift()) store.rename(...this.#renamed[0]!);
        this.#pending.takeEach((day, peers) => store.add(day, peers));
        this.#pendingHours.takeEach((hour, peers) => store.addHour(hour, peers));
      }
      this.#writeEvents();
    } catch (error) {
      if (!this.#hasFailed) {
        logger.warn(
          "cannot write accounts to {path}: {reason}: they are kept in memory, and written when that is possible again",
          { path, reason: errorMessage(error) },
        );
      }
      this.#hasFailed = true;
      return;
    } finally {
      this.#pending.bound();
      this.#pendingHours.bound();
    }
    if (this.#hasFailed) logger.info("accounts are written to {path} again", { path });
    this.#hasFailed = false;
  }

  #writeEvents(): void {
    if (this.#store === null || this.#events.length === 0) return;
    const lost: AccountEvent = {
      time: this.#events[0]!.time,
      kind: "events-lost",
      peer: null,
      name: null,
      detail: `${this.#lostEvents} events that could not be written`,
    };
    this.#store.addEvents([...this.#lostEvents > 0 ? [lost] : [], ...this.#events]);
    this.#events = [];
    this.#lostEvents = 0;
    for (const call of this.#listeners) call();
  }

  // Quotas.

  /** Has the data plane hold peers to the quotas that they have by now, in the periods that there are by now. */
  #setQuotas(): void {
    const told: PeerQuota[] = [];
    for (const [key, { quota, quotaRate }] of this.#peers) {
      const known = this.#meters.get(key);
      if (quota === null) {
        if (known === undefined) continue;
        this.#meters.delete(key);
        told.push({ peer: key, quota: null });
        continue;
      }
      const firstDay = quotaDays(quota.period, this.#options.now())?.first ?? 0;
      if (known !== undefined && isSame(known, { quota, rate: quotaRate, firstDay })) continue;
      const meter = { quota, rate: quotaRate, firstDay, used: this.#usedIn(key, quota) };
      this.#meters.set(key, meter);
      const end = this.#countedOf(key) + quota.bytes - meter.used;
      told.push({ peer: key, quota: { end, step: quota.bytes / STEPS, rate: quotaRate } });
    }
    for (const key of this.#meters.keys()) if (!this.#peers.has(key)) this.#meters.delete(key);
    if (told.length === 0) return;
    background("control", "setting quotas", this.#options.dataPlane.setQuotas(told));
  }

  #usedIn(key: string, { period }: QuotaConfig): number {
    const days = quotaDays(period, this.#options.now());
    let used = 0;
    try {
      used = this.#store?.used(key, days) ?? 0;
    } catch (error) {
      const { path, logger } = this.#options;
      logger.warn("cannot read accounts from {path}: {reason}", {
        path,
        reason: errorMessage(error),
      });
    }
    return used + this.#pending.used(key, days);
  }

  /** Writes what there is, and ends. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.#isClosed = true;
    clearInterval(this.#timer);
    clearTimeout(this.#writing);
    // A data plane that has died has nothing more to say.
    await this.#ask().catch(() => this.#write());
    this.#store?.[Symbol.dispose]();
    this.#store = null;
  }
}

function isSame(meter: Omit<Meter, "used">, other: Omit<Meter, "used">): boolean {
  return meter.quota.bytes === other.quota.bytes && meter.quota.period === other.quota.period &&
    meter.rate === other.rate && meter.firstDay === other.firstDay;
}

function unreadable(path: string, reason: string): RefusalError {
  return new RefusalError("unavailable", `Cannot read the accounts in ${path}: ${reason}`);
}
