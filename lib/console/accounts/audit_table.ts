/** Audit table: what was done by the console, by whom and from where; the last ones of it. */
import { type Database, type Row, StorageError } from "./database.ts";

/** Of those who are logged in, and of strangers, whose failures put out no more than their own. */
const KEPT = 40_000;
const KEPT_OF_STRANGERS = 10_000;
/** Entries between two looks at how many there are. */
const LOOK = 64;
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

type AuditEntry =
  & Pick<StoredAuditEntry, "account" | "source" | "action">
  & Partial<Pick<StoredAuditEntry, "target" | "detail">>;

export class AuditTable {
  readonly #database: Database;
  readonly #now: () => number;
  readonly #onFault: (error: unknown) => void;

  /** @param onFault is told of an entry that the disk does not take */
  constructor(database: Database, now: () => number, onFault: (error: unknown) => void) {
    this.#database = database;
    this.#now = now;
    this.#onFault = onFault;
  }

  /** What it is about has been done: where it cannot be kept, it is told to the log in its place. */
  add(entry: AuditEntry): void {
    this.addAll([entry]);
  }

  /** The same of several at once, which are one write: a thousand of them would hold the console up for seconds. */
  addAll(entries: readonly AuditEntry[]): void {
    const whole = entries.map(({ target = null, detail = null, ...entry }) => ({
      ...entry,
      target,
      detail,
    }));
    try {
      this.#database.together(() => whole.forEach((entry) => this.#store(entry)));
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      for (const entry of whole) {
        const text = `the audit cannot be stored: ${error.message}: ${JSON.stringify(entry)}`;
        this.#onFault(new Error(text, { cause: error }));
      }
    }
  }

  #store(
    { account, source, action, target, detail }: Omit<StoredAuditEntry, "id" | "time">,
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
    if (Number(row!["id"]) % LOOK !== 0) return;
    for (const [isStrangers, kept] of [[0, KEPT], [1, KEPT_OF_STRANGERS]] as const) {
      this.#database.change(
        `DELETE FROM audit WHERE (account IS NULL) = ?1 AND id <=
           (SELECT id FROM audit WHERE (account IS NULL) = ?1 ORDER BY id DESC LIMIT 1 OFFSET ?2)`,
        isStrangers,
        kept,
      );
    }
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
