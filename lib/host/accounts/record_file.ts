/**
 * Record file: what a gateway keeps of single acts of its clients where it was asked to, in SQLite, a file for each
 * kind, apart from the accounts, as it is private: nobody but root reads it, it forgets by itself, and it is removed
 * when that is off.
 *
 * It is bounded by age, number and size. Where there are too many, the client with the most loses its oldest ones, so
 * that none can have those of others forgotten by doing a lot.
 */
import type { DatabaseSync, SQLInputValue } from "node:sqlite";
import { fairCut } from "../../core/limits/fair_cut.ts";
import { type FileKind, isFull, openToRead, openToWrite, transact } from "./kept_file.ts";

/** ms that one is kept. */
const AGE = 7 * 86_400_000;
/** ms that the clock may have been set back since one was written: later ones would else never be too old. */
const SET_BACK = 3_600_000;
const RECORDS = 200_000;
/**
 * Parts of the records that are forgotten where the size is the bound: a small one first, as the caller waits. What
 * goes may be scattered over pages that others' records keep in use, so more go until there is room.
 */
const PARTS = [1 / 64, 1 / 16, 1 / 4, 1 / 2];
/** Records that are read at a time. */
const RECORDS_READ = 10_000;
/** The file's parts, each with what it has beside the main one. */
const SUFFIXES = ["", "-wal", "-shm", "-journal"];

/** What there is of each. */
export interface ClientRecord {
  /** Unix ms. */
  readonly time: number;
  /** Public key of the peer, in base64, or an address that is no peer's. */
  readonly client: string;
}

/** The same with its number, which is greater than those of all before it. */
export type Numbered<T> = T & { readonly id: number };

/** A kind of records, and of the file that has them. */
export interface ClientRecordKind<T extends ClientRecord> {
  /** See `FileKind`. */
  readonly applicationId: number;
  readonly version: number;
  /** What its table is called. */
  readonly table: string;
  /** What there is of a record, each field as the column of SQLite that has it. */
  readonly columns: {
    readonly [Field in keyof T]: "INTEGER" | "INTEGER NOT NULL" | "TEXT" | "TEXT NOT NULL";
  };
}

function fileKind<T extends ClientRecord>(
  { applicationId, version, table, columns }: ClientRecordKind<T>,
): FileKind {
  const declared = Object.entries(columns).map(([name, type]) => `${name} ${type}`).join(", ");
  return {
    applicationId,
    version,
    schema: `
      CREATE TABLE IF NOT EXISTS ${table} (
        id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, ${declared}
      ) STRICT;
      CREATE INDEX IF NOT EXISTS ${table}_client ON ${table} (client);
    `,
  };
}

export class RecordFile<T extends ClientRecord> implements Disposable {
  readonly #database: DatabaseSync;
  readonly #table: string;
  readonly #fields: readonly (keyof T & string)[];
  readonly #most: number;
  /** Records by client: to count them in the file would take longer than all else. Null: not counted yet. */
  #counts: Map<string, number> | null = null;

  private constructor(
    database: DatabaseSync,
    { table, columns }: ClientRecordKind<T>,
    most: number,
  ) {
    this.#database = database;
    this.#table = table;
    this.#fields = Object.keys(columns) as (keyof T & string)[];
    this.#most = most;
  }

  /**
   * Opens the file to write, and makes it where there is none.
   *
   * @param most how many records are kept
   * @throws {Error} for one that is not ours, or is damaged, or cannot be made
   */
  static async open<T extends ClientRecord>(
    path: string,
    kind: ClientRecordKind<T>,
    most = RECORDS,
  ): Promise<RecordFile<T>> {
    return await openToWrite(path, fileKind(kind), (database) => {
      // What is forgotten is overwritten.
      database.exec("PRAGMA secure_delete = ON");
      return new RecordFile(database, kind, most);
    });
  }

  /** Opens the file to read it. @throws {Error} the same, or where there is none */
  static async openToRead<T extends ClientRecord>(
    path: string,
    kind: ClientRecordKind<T>,
  ): Promise<RecordFile<T>> {
    return await openToRead(
      path,
      fileKind(kind),
      (database) => new RecordFile(database, kind, RECORDS),
    );
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

  /** Adds records. @throws {Error} where it cannot: then none is added */
  add(records: readonly T[]): void {
    for (const part of PARTS) {
      try {
        return this.#transact(() => this.#add(records));
      } catch (error) {
        // SQLITE_FULL is also what the bound on the size leads to.
        if (!isFull(this.#database)) throw error;
      }
      this.#transact(() => this.#forget(Math.ceil(this.#count() * part)));
    }
    this.#transact(() => this.#add(records));
  }

  #add(records: readonly T[]): void {
    const fields = this.#fields;
    const insert = this.#database.prepare(
      `INSERT INTO ${this.#table} (${fields.join(", ")}) VALUES (${
        fields.map(() => "?").join(", ")
      })`,
    );
    const counts = this.#counted();
    for (const record of records) {
      insert.run(...fields.map((field) => record[field] as SQLInputValue));
      counts.set(record.client, (counts.get(record.client) ?? 0) + 1);
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
      this.#database.prepare(`DELETE FROM ${this.#table} WHERE time NOT BETWEEN ? AND ?`).run(
        now - AGE,
        now + SET_BACK,
      );
    });
    // What was overwritten in the file is in its log until then.
    this.#database.exec("PRAGMA wal_checkpoint(TRUNCATE)");
  }

  #counted(): Map<string, number> {
    return this.#counts ??= new Map(
      this.#database.prepare(`SELECT client, COUNT(*) AS count FROM ${this.#table} GROUP BY client`)
        .all()
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
      `DELETE FROM ${this.#table} WHERE id IN (SELECT id FROM ${this.#table} WHERE client = ? ORDER BY id LIMIT ?)`,
    );
    for (const [client, part] of fairCut(counts, count)) {
      forget.run(client, part);
      const left = counts.get(client)! - part;
      if (left > 0) counts.set(client, left);
      else counts.delete(client);
    }
  }

  /** Records behind number `after` that are no older than `since`, Unix ms, in their order; some, if there are many. */
  records(after: number, since: number): Numbered<T>[] {
    return this.#database.prepare(
      `SELECT * FROM ${this.#table} WHERE id > ? AND time >= ? ORDER BY id LIMIT ${RECORDS_READ}`,
    ).all(after, since) as unknown as Numbered<T>[];
  }

  [Symbol.dispose](): void {
    this.#database.close();
  }
}
