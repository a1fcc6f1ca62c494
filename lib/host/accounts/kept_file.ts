/**
 * Kept file: opens a file of SQLite in which a gateway keeps what it has counted or seen, for root alone, known as ours
 * by its header, and bounded in size.
 */
import type { DatabaseSync } from "node:sqlite";

/** ms that a write waits for another process; a reader waits longer. */
const BUSY_TIMEOUT = 200;
const PAGE_SIZE = 4096;
/** Pages at most: 64 MiB; and from how many in use on the bound is what a write has failed by. */
const PAGES = 16_384;
const PAGES_FULL = PAGES * 3 / 4;

/** What a file is for. */
export interface FileKind {
  /** In its header (`PRAGMA application_id`), by which it is known as ours. */
  readonly applicationId: number;
  readonly version: number;
  /** Statements that make its tables where there are none. */
  readonly schema: string;
}

/**
 * Opens the file to write, and makes it where there is none.
 *
 * @throws {Error} for one that is not ours, or is damaged, or cannot be made
 */
export async function openToWrite<T>(
  path: string,
  kind: FileKind,
  use: (database: DatabaseSync) => T,
): Promise<T> {
  Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true, mode: 0o700 });
  // In a folder that was there already, others may read what has their mode by default; its logs take over this one.
  Deno.openSync(path, { append: true, create: true, mode: 0o600 }).close();
  return await opened(path, { timeout: BUSY_TIMEOUT }, (database) => {
    const isNew = valueOf(database, "PRAGMA page_count") === 0;
    if (!isNew) requireKind(database, kind);
    // Where nothing is new, nothing is written: a file that is locked, or on a full disk, is still there to be read.
    database.exec(`PRAGMA page_size = ${PAGE_SIZE}`);
    if (isNew) makeKind(database, kind);
    else database.exec(kind.schema);
    // In the log by then, a transaction is safe from the end of the process, though not from that of the machine.
    database.exec(`PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL`);
    database.exec(`PRAGMA max_page_count = ${PAGES}`);
    return use(database);
  });
}

/** Opens the file to read it. @throws {Error} the same, or where there is none */
export async function openToRead<T>(
  path: string,
  kind: FileKind,
  use: (database: DatabaseSync) => T,
): Promise<T> {
  return await opened(path, { timeout: 10 * BUSY_TIMEOUT, readOnly: true }, (database) => {
    requireKind(database, kind);
    return use(database);
  });
}

/** Makes a change as a whole, or not at all. @throws {Error} where it cannot */
export function transact(database: DatabaseSync, change: () => void): void {
  database.exec("BEGIN IMMEDIATE");
  try {
    change();
    database.exec("COMMIT");
  } catch (error) {
    if (database.isTransaction) database.exec("ROLLBACK");
    throw error;
  }
}

/**
 * Whether so much is in the file that a write may have failed by its bound: else it is the disk that is full. What was
 * undone is in use no more, so that it need not be all pages.
 */
export function isFull(database: DatabaseSync): boolean {
  const inUse = valueOf(database, "PRAGMA page_count") - valueOf(database, "PRAGMA freelist_count");
  return inUse >= PAGES_FULL;
}

async function opened<T>(
  path: string,
  options: { readonly timeout: number; readonly readOnly?: boolean },
  use: (database: DatabaseSync) => T,
): Promise<T> {
  // Only a gateway and the commands about what it has kept need it.
  const { DatabaseSync } = await import("node:sqlite");
  const database = new DatabaseSync(path, options);
  try {
    return use(database);
  } catch (error) {
    database.close();
    throw error;
  }
}

/** All at once: one that is killed meanwhile leaves an empty file, not one that is nobody's. */
function makeKind(
  database: DatabaseSync,
  { applicationId, version, schema }: FileKind,
): void {
  database.exec(
    `BEGIN IMMEDIATE; PRAGMA application_id = ${applicationId}; PRAGMA user_version = ${version};
     ${schema} COMMIT`,
  );
}

/** @throws {Error} for another program's file, one of a later version, and one that is damaged */
function requireKind(database: DatabaseSync, { applicationId, version }: FileKind): void {
  if (valueOf(database, "PRAGMA application_id") !== applicationId) {
    throw new Error("another program's file");
  }
  if (valueOf(database, "PRAGMA user_version") > version) {
    throw new Error("a later version's file");
  }
  const { quick_check: found } = database.prepare("PRAGMA quick_check(1)").get() ?? {};
  if (found !== "ok") throw new Error(`the file is damaged: ${found}`);
}

function valueOf(database: DatabaseSync, pragma: string): number {
  return Number(Object.values(database.prepare(pragma).get() ?? {})[0]);
}
