/**
 * Query file: which names clients have asked the DNS proxy for, in SQLite, apart from the accounts, as it is private:
 * nobody but root reads it, it forgets by itself, and it is removed when `DnsQueryLog` is off.
 *
 * It is bounded by age, number and size. Where there are too many, the client with the most loses its oldest ones, so
 * that none can have those of others forgotten by asking a lot.
 */
import type { DatabaseSync } from "node:sqlite";
import { fairCut } from "../../core/limits/fair_cut.ts";
import { type FileKind, isFull, openToRead, openToWrite, transact } from "./kept_file.ts";

/** ms that one is kept. */
const AGE = 7 * 86_400_000;
/** ms that the clock may have been set back since one was written: later ones would else never be too old. */
const SET_BACK = 3_600_000;
const QUERIES = 200_000;
/**
 * Parts of the queries that are forgotten where the size is the bound: a small one first, as the caller waits. What
 * goes may be scattered over pages that others' queries keep in use, so more go until there is room.
 */
const PARTS = [1 / 64, 1 / 16, 1 / 4, 1 / 2];
/** Queries that are read at a time. */
const QUERIES_READ = 10_000;
/** The file's parts, each with what it has beside the main one. */
const SUFFIXES = ["", "-wal", "-shm", "-journal"];

/** What is forgotten is overwritten (`secure_delete`). In the header is "vpnq". */
const QUERY_FILE: FileKind = {
  applicationId: 0x76706e71,
  version: 1,
  schema: `
    CREATE TABLE IF NOT EXISTS query (
      id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, client TEXT NOT NULL, name TEXT,
      question TEXT NOT NULL, type TEXT NOT NULL, source TEXT NOT NULL, code TEXT
    ) STRICT;
    CREATE INDEX IF NOT EXISTS query_client ON query (client);
  `,
};

/** One query. */
export interface ClientQuery {
  /** Unix ms. */
  readonly time: number;
  /** Public key of the peer, in base64, or an address that is no peer's. */
  readonly client: string;
  /** What the peer is called. */
  readonly name: string | null;
  /** As in `example.org`, and `AAAA`. */
  readonly question: string;
  readonly type: string;
  /** Who has answered: a resolver, or the proxy by its cache, the peers' names or its lists of blocked names. */
  readonly source: string;
  /** As in `NXDOMAIN`; null where there was no answer. */
  readonly code: string | null;
}

/** The same with its number, which is greater than those of all before it. */
export interface RecordedQuery extends ClientQuery {
  readonly id: number;
}

export class QueryFile implements Disposable {
  readonly #database: DatabaseSync;
  readonly #most: number;
  /** Queries by client: to count them in the file would take longer than all else. Null: not counted yet. */
  #counts: Map<string, number> | null = null;

  private constructor(database: DatabaseSync, most: number) {
    this.#database = database;
    this.#most = most;
  }

  /**
   * Opens the file to write, and makes it where there is none.
   *
   * @param most how many queries are kept
   * @throws {Error} for one that is not ours, or is damaged, or cannot be made
   */
  static async open(path: string, most = QUERIES): Promise<QueryFile> {
    return await openToWrite(path, QUERY_FILE, (database) => {
      database.exec("PRAGMA secure_delete = ON");
      return new QueryFile(database, most);
    });
  }

  /** Opens the file to read it. @throws {Error} the same, or where there is none */
  static async openToRead(path: string): Promise<QueryFile> {
    return await openToRead(path, QUERY_FILE, (database) => new QueryFile(database, QUERIES));
  }

  /** Removes the file. @throws {Error} where it is there and cannot be removed */
  static remove(path: string): void {
    for (const suffix of SUFFIXES) {
      try {
        Deno.removeSync(path + suffix);
      } catch (error) {
        if (!(error instanceof Deno.errors.NotFound)) throw error;
      }
    }
  }

  /** Adds queries. @throws {Error} where it cannot: then none is added */
  add(queries: readonly ClientQuery[]): void {
    for (const part of PARTS) {
      try {
        return this.#transact(() => this.#add(queries));
      } catch (error) {
        // SQLITE_FULL is also what the bound on the size leads to.
        if (!isFull(this.#database)) throw error;
      }
      this.#transact(() => this.#forget(Math.ceil(this.#count() * part)));
    }
    this.#transact(() => this.#add(queries));
  }

  #add(queries: readonly ClientQuery[]): void {
    const insert = this.#database.prepare(
      "INSERT INTO query (time, client, name, question, type, source, code) VALUES (?, ?, ?, ?, ?, ?, ?)",
    );
    const counts = this.#counted();
    for (const { time, client, name, question, type, source, code } of queries) {
      insert.run(time, client, name, question, type, source, code);
      counts.set(client, (counts.get(client) ?? 0) + 1);
    }
    this.#forget(this.#count() - this.#most);
  }

  /** What a change that failed has counted is counted again. */
  #transact(change: () => void): void {
    try {
      transact(this.#database, change);
    } catch (error) {
      this.#counts = null;
      throw error;
    }
  }

  /** Forgets what is too old by the wall clock, Unix ms. @throws {Error} where it cannot */
  forgetOld(now: number): void {
    this.#counts = null;
    transact(this.#database, () => {
      this.#database.prepare("DELETE FROM query WHERE time NOT BETWEEN ? AND ?").run(
        now - AGE,
        now + SET_BACK,
      );
    });
    // What was overwritten in the file is in its log until then.
    this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  #counted(): Map<string, number> {
    return this.#counts ??= new Map(
      this.#database.prepare("SELECT client, COUNT(*) AS count FROM query GROUP BY client").all()
        .map((row) => [String(row["client"]), Number(row["count"])]),
    );
  }

  #count(): number {
    let sum = 0;
    for (const count of this.#counted().values()) sum += count;
    return sum;
  }

  /** Has so many forgotten, the oldest of the clients with the most. */
  #forget(count: number): void {
    if (count <= 0) return;
    const counts = this.#counted();
    const forget = this.#database.prepare(
      "DELETE FROM query WHERE id IN (SELECT id FROM query WHERE client = ? ORDER BY id LIMIT ?)",
    );
    for (const [client, part] of fairCut(counts, count)) {
      forget.run(client, part);
      const left = counts.get(client)! - part;
      if (left > 0) counts.set(client, left);
      else counts.delete(client);
    }
  }

  /** Queries behind number `after` that are no older than `since`, Unix ms, in their order; some, if there are many. */
  queries(after: number, since: number): RecordedQuery[] {
    return this.#database.prepare(
      `SELECT * FROM query WHERE id > ? AND time >= ? ORDER BY id LIMIT ${QUERIES_READ}`,
    ).all(after, since).map((row) => ({
      id: Number(row["id"]),
      time: Number(row["time"]),
      client: String(row["client"]),
      name: row["name"] === null ? null : String(row["name"]),
      question: String(row["question"]),
      type: String(row["type"]),
      source: String(row["source"]),
      code: row["code"] === null ? null : String(row["code"]),
    }));
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
