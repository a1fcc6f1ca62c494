/** StoredSession table: who is logged in, from where and until when. */
import { type Database, type Row } from "./database.ts";
import { hashOf, newId, newSecret } from "./secrets.ts";

/** ms without a request, and in all, after which a session has ended. */
const IDLE_LIMIT = 3_600_000;
const ABSOLUTE_LIMIT = 12 * 3_600_000;
/** ms by which the time of the last request may be late: so few requests write. */
const PRECISION = 60_000;
/**
 * ms that the clock may be set back. What was begun by a clock that was further ahead has ended: its time would not
 * come for as long as that.
 */
export const CLOCK_STEP = 300_000;
/** Of one account; the one that was not used for longest goes. */
const MAX_SESSIONS = 20;

export interface StoredSession {
  /** What it is called; no secret. */
  readonly id: string;
  readonly account: string;
  /** Unix ms. */
  readonly created: number;
  readonly lastUsed: number;
  /** Address that it was begun from. */
  readonly source: string;
}

export class LoginSessions {
  readonly #database: Database;
  readonly #now: () => number;

  constructor(database: Database, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  /** Begins one. Returns its secret: what a client had before is never taken over. */
  begin(account: string, source: string): string {
    const secret = newSecret();
    const now = this.#now();
    this.#database.together(() => {
      this.#removeEnded();
      this.#database.change(
        `DELETE FROM session WHERE hash IN
           (SELECT hash FROM session WHERE account = ? ORDER BY last_used DESC LIMIT -1 OFFSET ?)`,
        account,
        MAX_SESSIONS - 1,
      );
      this.#database.change(
        "INSERT INTO session VALUES (?, ?, ?, ?, ?, ?)",
        hashOf(secret),
        newId(),
        account,
        now,
        now,
        source,
      );
    });
    return secret;
  }

  /**
   * The session with this secret; null where there is none, or it has ended.
   *
   * @param isUse whether it is used by that, which makes it last
   */
  find(secret: string, isUse: boolean): StoredSession | null {
    const hash = hashOf(secret);
    const row = this.#database.row("SELECT * FROM session WHERE hash = ?", hash);
    if (row === undefined) return null;
    const session = sessionOf(row);
    const now = this.#now();
    if (sessionEnd(session) <= now || session.created > now + CLOCK_STEP) return null;
    if (isUse && now - session.lastUsed >= PRECISION) {
      this.#database.tryChange("UPDATE session SET last_used = ? WHERE hash = ?", now, hash);
    }
    return session;
  }

  of(account: string): StoredSession[] {
    const now = this.#now();
    return this.#database.rows(
      "SELECT * FROM session WHERE account = ? ORDER BY created DESC",
      account,
    ).map(sessionOf)
      .filter((each) => sessionEnd(each) > now && each.created <= now + CLOCK_STEP);
  }

  /** Ends one of an account's. Returns false where there is none. */
  end(account: string, id: string): boolean {
    return this.#database.change(
      "DELETE FROM session WHERE account = ? AND id = ?",
      account,
      id,
    ) > 0;
  }

  /** Ends the one with this secret, if there is one. */
  endSecret(secret: string): void {
    this.#database.change("DELETE FROM session WHERE hash = ?", hashOf(secret));
  }

  /** Ends all of an account's. */
  endAll(account: string): void {
    this.#database.change("DELETE FROM session WHERE account = ?", account);
  }

  #removeEnded(): void {
    const now = this.#now();
    this.#database.change(
      "DELETE FROM session WHERE last_used <= ? OR created <= ? OR created > ?",
      now - IDLE_LIMIT,
      now - ABSOLUTE_LIMIT,
      now + CLOCK_STEP,
    );
  }
}

/** When a session ends if it is not used any more, Unix ms. */
export function sessionEnd({ created, lastUsed }: StoredSession): number {
  return Math.min(lastUsed + IDLE_LIMIT, created + ABSOLUTE_LIMIT);
}

function sessionOf(row: Row): StoredSession {
  return {
    id: String(row["id"]),
    account: String(row["account"]),
    created: Number(row["created"]),
    lastUsed: Number(row["last_used"]),
    source: String(row["source"]),
  };
}
