/**
 * Device table: browsers in which an account was logged in. One that shows so, by a secret of its own, is not kept out
 * by what strangers have guessed wrong, from the same address or at the same account.
 */
import { type Database, type Row } from "./database.ts";
import { hashOf, newSecret } from "./secrets.ts";

/** ms without a login after which a browser is as strange as any. */
export const DEVICE_TIME = 90 * 86_400_000;
/** Of one account; the one that was not used for longest goes. */
const MAX_DEVICES = 20;

export interface KnownDevice {
  /** What it is known by; no secret. */
  readonly hash: string;
  readonly account: string;
}

export class DeviceTable {
  readonly #database: Database;
  readonly #now: () => number;

  constructor(database: Database, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  /** The device with this secret; null where there is none, or its time is over. */
  find(secret: string | null): KnownDevice | null {
    if (secret === null) return null;
    const now = this.#now();
    const row = this.#database.row(
      "SELECT hash, account FROM device WHERE hash = ? AND last_login > ?",
      hashOf(secret),
      now - DEVICE_TIME,
    );
    return row === undefined ? null : deviceOf(row);
  }

  /**
   * An account has been logged in.
   *
   * @param secret that the browser has shown; null for none
   * @returns the secret that it has from now on, which is another where that one was another account's
   */
  remember(account: string, secret: string | null): string {
    const now = this.#now();
    const known = this.find(secret);
    if (secret !== null && known !== null && known.account === account) {
      this.#database.change("UPDATE device SET last_login = ? WHERE hash = ?", now, known.hash);
      return secret;
    }
    const made = newSecret();
    this.#database.together(() => {
      this.#database.change("DELETE FROM device WHERE last_login <= ?", now - DEVICE_TIME);
      this.#database.change(
        `DELETE FROM device WHERE hash IN
           (SELECT hash FROM device WHERE account = ? ORDER BY last_login DESC LIMIT -1 OFFSET ?)`,
        account,
        MAX_DEVICES - 1,
      );
      this.#database.change("INSERT INTO device VALUES (?, ?, ?)", hashOf(made), account, now);
    });
    return made;
  }
}

function deviceOf(row: Row): KnownDevice {
  return { hash: String(row["hash"]), account: String(row["account"]) };
}
