/** Account file: the tables of the account store, and by what a file is known as one. */
import type { DatabaseSync } from "node:sqlite";

/** In the file's header, by which it is known as ours: "vpna". */
const APPLICATION_ID = 0x76706e61;
const VERSION = 1;

/**
 * `WITHOUT ROWID`, as the key is all that is looked for. `total` has what is older than the days that are kept. Hours
 * are forgotten so often that they lie in their order.
 */
export const SCHEMA = `
  CREATE TABLE IF NOT EXISTS usage (
    day INTEGER NOT NULL, peer TEXT NOT NULL, name TEXT, received INTEGER NOT NULL, sent INTEGER NOT NULL,
    PRIMARY KEY (peer, day)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS hour (
    hour INTEGER NOT NULL, peer TEXT NOT NULL, name TEXT, received INTEGER NOT NULL, sent INTEGER NOT NULL,
    PRIMARY KEY (hour, peer)
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS total (
    peer TEXT NOT NULL PRIMARY KEY, received INTEGER NOT NULL, sent INTEGER NOT NULL
  ) STRICT, WITHOUT ROWID;
  CREATE TABLE IF NOT EXISTS event (
    id INTEGER NOT NULL PRIMARY KEY AUTOINCREMENT, time INTEGER NOT NULL, kind TEXT NOT NULL, peer TEXT, name TEXT,
    detail TEXT
  ) STRICT;
  CREATE TABLE IF NOT EXISTS webhook (server TEXT NOT NULL PRIMARY KEY, event INTEGER NOT NULL) STRICT, WITHOUT ROWID;
`;

/** All at once: one that is killed meanwhile leaves an empty file, not one that is nobody's. */
export function makeOurs(database: DatabaseSync): void {
  database.exec(
    `BEGIN IMMEDIATE; PRAGMA application_id = ${APPLICATION_ID}; PRAGMA user_version = ${VERSION};
     ${SCHEMA} COMMIT`,
  );
}

/** @throws {Error} for another program's file, one of a later version, and one that is damaged */
export function requireOurs(database: DatabaseSync): void {
  if (valueOf(database, "PRAGMA application_id") !== APPLICATION_ID) {
    throw new Error("another program's file");
  }
  if (valueOf(database, "PRAGMA user_version") > VERSION) {
    throw new Error("a later version's file");
  }
  const { quick_check: found } = database.prepare("PRAGMA quick_check(1)").get() ?? {};
  if (found !== "ok") throw new Error(`the file is damaged: ${found}`);
}

export function valueOf(database: DatabaseSync, pragma: string): number {
  return Number(Object.values(database.prepare(pragma).get() ?? {})[0]);
}
