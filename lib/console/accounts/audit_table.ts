/** Audit table: what was done by the console, by whom and from where; the last ones of it. */
import { type Database, type Row } from "./database.ts";

const KEPT = 50_000;
const MAX_TEXT = 256;

export interface StoredAuditEntry {
  /** Greater than those of all before it. */
  readonly id: number;
  /** Unix ms. */
  readonly time: number;
  /** Null where nobody was logged in. */
  readonly account: string | null;
  readonly source: string;
  /** As in `login-failed`. */
  readonly action: string;
  readonly target: string | null;
  readonly detail: string | null;
}

export class AuditTable {
  readonly #database: Database;
  readonly #now: () => number;

  constructor(database: Database, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  add(
    { account, source, action, target = null, detail = null }:
      & Pick<StoredAuditEntry, "account" | "source" | "action">
      & Partial<Pick<StoredAuditEntry, "target" | "detail">>,
  ): void {
    const bounded = (text: string | null) => text === null ? null : text.slice(0, MAX_TEXT);
    const row = this.#database.row(
      "INSERT INTO audit (time, account, source, action, target, detail) VALUES (?, ?, ?, ?, ?, ?) RETURNING id",
      this.#now(),
      bounded(account),
      source,
      action,
      bounded(target),
      bounded(detail),
    );
    this.#database.change("DELETE FROM audit WHERE id <= ?", Number(row!["id"]) - KEPT);
  }

  /** The newest ones with a number greater than `after`, the oldest first. */
  after(after: number, limit: number): StoredAuditEntry[] {
    return this.#database.rows(
      "SELECT * FROM audit WHERE id > ? ORDER BY id DESC LIMIT ?",
      after,
      limit,
    ).map(entryOf).reverse();
  }
}

function entryOf(row: Row): StoredAuditEntry {
  const text = (value: unknown) => value === null ? null : String(value);
  return {
    id: Number(row["id"]),
    time: Number(row["time"]),
    account: text(row["account"]),
    source: String(row["source"]),
    action: String(row["action"]),
    target: text(row["target"]),
    detail: text(row["detail"]),
  };
}
