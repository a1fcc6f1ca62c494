/**
 * Account store: what peers have sent and received, by day and hour in UTC, and what happened to them, in SQLite.
 *
 * Writes come in batches, each a transaction in the write-ahead log: a process that is killed loses none that has been
 * made. The file is bounded by age and by size: what is oldest goes first.
 */
import type { DatabaseSync } from "node:sqlite";
import type { UsagePeriod } from "../../core/config/values/usage_period.ts";
import { ACCOUNT_FILE } from "./account_file.ts";
import { isFull, openToRead, openToWrite, transact } from "./kept_file.ts";

/**
 * Days of usage and of events that are kept, and events at most. It is days with any that count, not those since: a
 * clock that is wrong for a moment, as at the start of a machine without a battery, must not cost all there is.
 */
const DAYS = 800;
/** The same of hours: two days and the current one, for which 8,192 peers take half of the file. */
const HOURS = 49;
const EVENT_DAYS = 90;
const EVENTS = 100_000;
/** Events that are read at a time. */
const EVENTS_READ = 10_000;
/** ms */
const HOUR = 3_600_000;
const DAY = 24 * HOUR;

/** The hours that there are, by a look at each and none at their peers; and a NULL behind them. */
const HOURS_THERE = `
  WITH RECURSIVE there (hour) AS (
    SELECT MAX(hour) FROM hour
    UNION ALL
    SELECT (SELECT MAX(hour) FROM hour WHERE hour < there.hour) FROM there WHERE there.hour IS NOT NULL
  )
`;

/** How each is written, and where it is found. */
const PERIODS: Readonly<Record<UsagePeriod, { readonly text: string; readonly from: string }>> = {
  hour: {
    text: "strftime('%Y-%m-%dT%H:%MZ', hour * 3600, 'unixepoch')",
    from: `(${HOURS_THERE} SELECT hour.* FROM there CROSS JOIN hour USING (hour))`,
  },
  day: { text: "strftime('%Y-%m-%d', day * 86400, 'unixepoch')", from: "usage" },
  month: { text: "strftime('%Y-%m', day * 86400, 'unixepoch')", from: "usage" },
};

/** What a peer, by its public key in base64, has sent and received; bytes. */
export interface PeerUsage {
  readonly peer: string;
  readonly name: string | null;
  readonly received: number;
  readonly sent: number;
}

/** The same in a period: `2026-11`, `2026-11-28` or `2026-11-28T14:00Z`. */
export interface PeriodUsage extends PeerUsage {
  readonly period: string;
}

/** What happened, to a peer if it names one. */
export interface AccountEvent {
  /** Unix ms. */
  readonly time: number;
  readonly kind: string;
  /** Public key, in base64. */
  readonly peer: string | null;
  readonly name: string | null;
  readonly detail: string | null;
}

/** The same with its number, which is greater than those of all before it. */
export interface RecordedEvent extends AccountEvent {
  readonly id: number;
}

/** Which events are asked for. */
export interface EventQuery {
  /** The number that theirs are greater than. */
  readonly after: number;
  /** Unix ms, which they are no older than. */
  readonly since: number;
  /** Public key or name; null for all. */
  readonly peer: string | null;
  /** How many at most: 10,000. */
  readonly limit: number;
  /** Whether they are the last ones where there are more; the first ones otherwise. */
  readonly newest: boolean;
}

/** The number of a day in UTC. */
export function unixDay(unixTime: number): number {
  return Math.floor(unixTime / DAY);
}

/** The number of an hour in UTC. */
export function unixHour(unixTime: number): number {
  return Math.floor(unixTime / HOUR);
}

export class AccountStore implements Disposable {
  readonly #database: DatabaseSync;
  /** The day on which what is too old was last looked for, and the hour. */
  #prunedOn = -1;
  #prunedAt = -1;

  private constructor(database: DatabaseSync) {
    this.#database = database;
  }

  /**
   * Opens the file to write, and makes it where there is none.
   *
   * @throws {Error} for one that is not ours, or is damaged, or cannot be made
   */
  static async open(path: string): Promise<AccountStore> {
    return await openToWrite(path, ACCOUNT_FILE, (database) => new AccountStore(database));
  }

  /** Opens the file to read it. @throws {Error} the same, or where there is none */
  static async openToRead(path: string): Promise<AccountStore> {
    return await openToRead(path, ACCOUNT_FILE, (database) => new AccountStore(database));
  }

  /**
   * Adds what peers have sent and received on a day.
   *
   * @throws {Error} where it cannot: then nothing is added
   */
  add(day: number, peers: readonly PeerUsage[]): void {
    this.#write(() => this.#add(day, peers));
  }

  /** Adds the same in an hour, which is of no account for the day. @throws {Error} the same */
  addHour(hour: number, peers: readonly PeerUsage[]): void {
    this.#write(() => this.#addHour(hour, peers));
  }

  /** What is kept of a peer is another key's from now on. @throws {Error} the same */
  rename(from: string, to: string): void {
    this.#write(() => this.#rename(from, to));
  }

  /** Adds what happened. @throws {Error} the same */
  addEvents(events: readonly AccountEvent[]): void {
    this.#write(() => this.#addEvents(events));
  }

  #write(change: () => void): void {
    try {
      transact(this.#database, change);
    } catch (error) {
      // SQLITE_FULL is also what the bound on the size leads to.
      if (!this.#forgetOldest()) throw error;
      transact(this.#database, change);
    }
  }

  #add(day: number, peers: readonly PeerUsage[]): void {
    const database = this.#database;
    const ofDay = database.prepare(
      `INSERT INTO usage VALUES (?, ?, ?, ?, ?) ON CONFLICT (peer, day) DO UPDATE SET
           name = excluded.name, received = received + excluded.received, sent = sent + excluded.sent`,
    );
    const inAll = database.prepare(
      `INSERT INTO total VALUES (?, ?, ?) ON CONFLICT (peer) DO UPDATE SET
           received = received + excluded.received, sent = sent + excluded.sent`,
    );
    for (const { peer, name, received, sent } of peers) {
      ofDay.run(day, peer, name, received, sent);
      inAll.run(peer, received, sent);
    }
    if (day !== this.#prunedOn) {
      database.exec(
        `DELETE FROM usage WHERE day <= (${nextNewest("day", "usage", DAYS)});
         DELETE FROM event WHERE time / ${DAY} <= (${
          nextNewest(`time / ${DAY}`, "event", EVENT_DAYS)
        })`,
      );
    }
    this.#prunedOn = day;
  }

  #addHour(hour: number, peers: readonly PeerUsage[]): void {
    const database = this.#database;
    const add = database.prepare(
      `INSERT INTO hour VALUES (?, ?, ?, ?, ?) ON CONFLICT (hour, peer) DO UPDATE SET
         name = excluded.name, received = received + excluded.received, sent = sent + excluded.sent`,
    );
    for (const { peer, name, received, sent } of peers) add.run(hour, peer, name, received, sent);
    if (hour !== this.#prunedAt) {
      database.exec(
        `${HOURS_THERE} DELETE FROM hour WHERE hour <=
           (SELECT hour FROM there ORDER BY hour DESC LIMIT 1 OFFSET ${HOURS})`,
      );
    }
    this.#prunedAt = hour;
  }

  #rename(from: string, to: string): void {
    this.#database.prepare(
      `INSERT INTO usage SELECT day, ?2, name, received, sent FROM usage WHERE peer = ?1
         ON CONFLICT (peer, day) DO UPDATE SET
           received = received + excluded.received, sent = sent + excluded.sent`,
    ).run(from, to);
    this.#database.prepare(
      `INSERT INTO total SELECT ?2, received, sent FROM total WHERE peer = ?1
         ON CONFLICT (peer) DO UPDATE SET
           received = received + excluded.received, sent = sent + excluded.sent`,
    ).run(from, to);
    this.#database.prepare(
      `INSERT INTO hour SELECT hour, ?2, name, received, sent FROM hour WHERE peer = ?1
         ON CONFLICT (hour, peer) DO UPDATE SET
           received = received + excluded.received, sent = sent + excluded.sent`,
    ).run(from, to);
    for (const table of ["usage", "total", "hour"]) {
      this.#database.prepare(`DELETE FROM ${table} WHERE peer = ?`).run(from);
    }
  }

  #addEvents(events: readonly AccountEvent[]): void {
    const insert = this.#database.prepare(
      "INSERT INTO event (time, kind, peer, name, detail) VALUES (?, ?, ?, ?, ?)",
    );
    let last = 0;
    for (const { time, kind, peer, name, detail } of events) {
      last = Number(insert.run(time, kind, peer, name, detail).lastInsertRowid);
    }
    this.#database.prepare("DELETE FROM event WHERE id <= ?").run(last - EVENTS);
  }

  /** Makes room by what is oldest. Returns false where the file is not that long: it is the disk that is full. */
  #forgetOldest(): boolean {
    const database = this.#database;
    if (!isFull(database)) return false;
    database.exec(
      `DELETE FROM usage WHERE day IN (SELECT DISTINCT day FROM usage ORDER BY day LIMIT 31);
       DELETE FROM hour WHERE hour < (SELECT MAX(hour) FROM hour) - 24;
       DELETE FROM event WHERE id <= (SELECT MAX(id) FROM event) - ${EVENTS / 2}`,
    );
    return true;
  }

  /** Bytes both ways of a peer, from a day to another (inclusive), or ever. */
  used(peer: string, days: { readonly first: number; readonly last: number } | null): number {
    const query = days === null
      ? "SELECT received + sent AS bytes FROM total WHERE peer = ?"
      : "SELECT SUM(received + sent) AS bytes FROM usage WHERE peer = ? AND day BETWEEN ? AND ?";
    const values = days === null ? [peer] : [peer, days.first, days.last];
    return Number(this.#database.prepare(query).get(...values)?.["bytes"] ?? 0);
  }

  /** Public keys of all that have ever used anything. */
  users(): string[] {
    return this.#database.prepare("SELECT peer FROM total").all().map(({ peer }) => String(peer));
  }

  /**
   * Usage by period, the newest first, and in a period by peer, who has most first: of all, for which all is read, or
   * of one, by its public key, and then in as many periods at most.
   */
  usage(by: UsagePeriod, peer: string | null = null, periods: number | null = null): PeriodUsage[] {
    if (by === "hour" && !this.#hasHours()) return [];
    const ofPeer = peer === null ? "" : "WHERE peer = ?";
    return this.#database.prepare(
      `SELECT ${PERIODS[by].text} AS period, peer, MAX(name) AS name,
         SUM(received) AS received, SUM(sent) AS sent
       FROM ${PERIODS[by].from} ${ofPeer}
       GROUP BY period, peer ORDER BY period DESC, SUM(received + sent) DESC, peer
       ${periods === null ? "" : "LIMIT ?"}`,
    ).all(...[peer, periods].filter((each) => each !== null)).map((
      { period, peer, name, received, sent },
    ) => ({
      period: String(period),
      peer: String(peer),
      name: name === null ? null : String(name),
      received: Number(received),
      sent: Number(sent),
    }));
  }

  /** Not in a file that is read before a gateway of this version has written it. */
  #hasHours(): boolean {
    return this.#database.prepare("SELECT 1 FROM sqlite_schema WHERE name = 'hour'").get() !==
      undefined;
  }

  /**
   * Events behind number `after` that are no older than `since`, Unix ms, in their order; some of them, where there are
   * very many: the others are behind the last one.
   */
  events(after: number, since: number): RecordedEvent[] {
    return this.#database.prepare(
      `SELECT * FROM event WHERE id > ? AND time >= ? ORDER BY id LIMIT ${EVENTS_READ}`,
    ).all(after, since).map(eventOf);
  }

  /** Events that are asked for, in their order. */
  findEvents({ after, since, peer, limit, newest }: EventQuery): RecordedEvent[] {
    const order = newest ? "DESC" : "ASC";
    const found = this.#database.prepare(
      `SELECT * FROM event WHERE id > ?1 AND time >= ?2 AND (?3 IS NULL OR peer = ?3 OR name = ?3)
       ORDER BY id ${order} LIMIT ?4`,
    ).all(after, since, peer, Math.min(limit, EVENTS_READ)).map(eventOf);
    return newest ? found.reverse() : found;
  }

  /** Number of the last event there has been. */
  lastEvent(): number {
    return Number(this.#database.prepare("SELECT MAX(id) AS id FROM event").get()?.["id"] ?? 0);
  }

  /** Number of the last event that a server was told of; null for one that is new. */
  delivered(server: string): number | null {
    const row = this.#database.prepare("SELECT event FROM webhook WHERE server = ?").get(server);
    return row === undefined ? null : Number(row["event"]);
  }

  /** Takes note of that. @throws {Error} where it cannot */
  setDelivered(server: string, event: number): void {
    this.#write(() =>
      this.#database.prepare(
        "INSERT INTO webhook VALUES (?, ?) ON CONFLICT (server) DO UPDATE SET event = excluded.event",
      ).run(server, event)
    );
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}

function eventOf(
  { id, time, kind, peer, name, detail }: Readonly<Record<string, unknown>>,
): RecordedEvent {
  const text = (value: unknown) => value === null ? null : String(value);
  return {
    id: Number(id),
    time: Number(time),
    kind: String(kind),
    peer: text(peer),
    name: text(name),
    detail: text(detail),
  };
}

/** The query for the newest value that is behind so many newer ones; it finds none where there are not more. */
function nextNewest(value: string, table: string, newer: number): string {
  return `SELECT DISTINCT ${value} FROM ${table} ORDER BY 1 DESC LIMIT 1 OFFSET ${newer}`;
}
