/**
 * Database of the console: its accounts, sessions, tokens, one-time links and what was done with them, in SQLite in the
 * state folder, which nobody else may read.
 */
import { DatabaseSync, type SQLOutputValue } from "node:sqlite";
import { AppError, errorMessage, ExitCode } from "../../process/errors.ts";
import { makeStateFolder } from "./setup_token.ts";

/** In the file's header, by which it is known as ours: "vpnc". */
const APPLICATION_ID = 0x76706e63;
const VERSION = 1;
/** ms that a write waits for another process. */
const BUSY_TIMEOUT = 2_000;

/** Times are Unix ms. What authorizes is stored as a hash, but for TOTP's secret, by which codes are made. */
const SCHEMA = `
  CREATE TABLE setup (hash TEXT NOT NULL) STRICT;
  CREATE TABLE account (
    name TEXT NOT NULL PRIMARY KEY COLLATE NOCASE, role TEXT NOT NULL, password TEXT NOT NULL,
    totp TEXT, totp_pending TEXT, totp_step INTEGER NOT NULL DEFAULT 0,
    created INTEGER NOT NULL, last_login INTEGER
  ) STRICT;
  CREATE TABLE recovery (
    account TEXT NOT NULL COLLATE NOCASE REFERENCES account ON DELETE CASCADE ON UPDATE CASCADE, hash TEXT NOT NULL,
    PRIMARY KEY (account, hash)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE passkey (
    id TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL COLLATE NOCASE REFERENCES account ON DELETE CASCADE ON UPDATE CASCADE,
    name TEXT NOT NULL, public_key BLOB NOT NULL, counter INTEGER NOT NULL, created INTEGER NOT NULL, last_used INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE session (
    hash TEXT NOT NULL PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL COLLATE NOCASE REFERENCES account ON DELETE CASCADE ON UPDATE CASCADE,
    created INTEGER NOT NULL, last_used INTEGER NOT NULL, source TEXT NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE token (
    hash TEXT NOT NULL PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL COLLATE NOCASE REFERENCES account ON DELETE CASCADE ON UPDATE CASCADE,
    name TEXT NOT NULL, scope TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER, last_used INTEGER
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE link (
    hash TEXT NOT NULL PRIMARY KEY, id TEXT NOT NULL UNIQUE,
    account TEXT NOT NULL COLLATE NOCASE REFERENCES account ON DELETE CASCADE ON UPDATE CASCADE,
    name TEXT NOT NULL, groups TEXT NOT NULL, created INTEGER NOT NULL, expires INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE audit (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, account TEXT, source TEXT NOT NULL,
    action TEXT NOT NULL, target TEXT, detail TEXT
  ) STRICT;
`;

/** Made where they are not there: the first consoles had none. */
const LATER_SCHEMA = `
  CREATE TABLE IF NOT EXISTS device (
    hash TEXT NOT NULL PRIMARY KEY,
    account TEXT NOT NULL COLLATE NOCASE REFERENCES account ON DELETE CASCADE ON UPDATE CASCADE,
    last_login INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE INDEX IF NOT EXISTS audit_by_kind ON audit (account IS NULL, id);
`;

/** What SQLite says of a disk that takes no more, or none at all (sqlite.org/rescode.html): its low byte. */
const READ_ONLY = 8;
const IO_ERROR = 10;
const FULL = 13;
const CANNOT_OPEN = 14;
const NOT_STORED: readonly number[] = [READ_ONLY, IO_ERROR, FULL, CANNOT_OPEN];
/** And of a file that is damaged. */
const CORRUPT = 11;
const NOT_A_DATABASE = 26;

/** A change that the disk does not take: it is full, say. */
export class StorageError extends Error {
  override readonly name = "StorageError";
}

export type Row = Record<string, SQLOutputValue>;

export class Database implements Disposable {
  readonly #sqlite: DatabaseSync;

  /** @throws {AppError} for a file that is not ours, or is a later version's, or cannot be made */
  constructor(folder: string) {
    const path = `${folder}/console.sqlite`;
    try {
      makeStateFolder(folder);
      // Its logs take over the mode.
      Deno.openSync(path, { append: true, create: true, mode: 0o600 }).close();
      this.#sqlite = new DatabaseSync(path, { timeout: BUSY_TIMEOUT });
      this.#prepare();
    } catch (error) {
      const code = codeOf(error);
      const remedy = code === CORRUPT || code === NOT_A_DATABASE
        ? "it is damaged: restore it from a backup, or move the folder away and start again, with new accounts"
        : isOwn(folder)
        ? "choose another folder with --state, or give it room and rights there"
        : "the folder is another user's: choose another with --state, or give it to this one by chown -R";
      const reason = errorMessage(error);
      throw new AppError(`Cannot keep the console's accounts in ${path}: ${reason}: ${remedy}`, {
        exitCode: ExitCode.usage,
        cause: error,
      });
    }
  }

  #prepare(): void {
    const sqlite = this.#sqlite;
    if (numberOf(this.row("PRAGMA page_count")) === 0) {
      sqlite.exec(
        `BEGIN IMMEDIATE; PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${VERSION}; ${SCHEMA} COMMIT`,
      );
    } else if (numberOf(this.row("PRAGMA application_id")) !== APPLICATION_ID) {
      throw new Error("another program's file");
    } else if (numberOf(this.row("PRAGMA user_version")) > VERSION) {
      throw new Error("a later version's file");
    }
    // Who has been told that a session has ended may rely on it, whatever becomes of the machine.
    sqlite.exec("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON");
    sqlite.exec(LATER_SCHEMA);
  }

  /** The first row that a query finds. @throws {StorageError} for one that changes, too */
  row(query: string, ...values: readonly (string | number | null | Uint8Array)[]): Row | undefined {
    return storing(() => this.#sqlite.prepare(query).get(...values));
  }

  rows(query: string, ...values: readonly (string | number | null | Uint8Array)[]): Row[] {
    return this.#sqlite.prepare(query).all(...values);
  }

  /** Changes rows. Returns how many. @throws {StorageError} */
  change(query: string, ...values: readonly (string | number | null | Uint8Array)[]): number {
    return storing(() => Number(this.#sqlite.prepare(query).run(...values).changes));
  }

  /** The same of what is of use without: a disk that is full keeps nobody from reading. */
  tryChange(query: string, ...values: readonly (string | number | null | Uint8Array)[]): void {
    try {
      this.change(query, ...values);
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
    }
  }

  /** Makes several changes, or none of them where one throws. @throws {StorageError} */
  together<Result>(changes: () => Result): Result {
    const sqlite = this.#sqlite;
    // Prepared, as what exec() throws has no code.
    storing(() => sqlite.prepare("BEGIN IMMEDIATE").run());
    try {
      const result = changes();
      storing(() => sqlite.prepare("COMMIT").run());
      return result;
    } catch (error) {
      if (sqlite.isTransaction) sqlite.exec("ROLLBACK");
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#sqlite.close();
  }
}

/** Whether a folder is this process's user's, or none. */
function isOwn(folder: string): boolean {
  try {
    return Deno.statSync(folder).uid === Deno.uid();
  } catch {
    return true;
  }
}

function codeOf(error: unknown): number {
  const { errcode = 0 } = error as { readonly errcode?: number };
  return errcode & 0xff;
}

/** @throws {StorageError} */
function storing<Result>(call: () => Result): Result {
  try {
    return call();
  } catch (error) {
    if (!NOT_STORED.includes(codeOf(error))) throw error;
    throw new StorageError(errorMessage(error), {
      cause: error,
    });
  }
}

function numberOf(row: Row | undefined): number {
  return Number(Object.values(row ?? {})[0]);
}

/** A time of a row; null where there is none. */
export function timeColumn(value: SQLOutputValue | undefined): number | null {
  return value === null || value === undefined ? null : Number(value);
}
