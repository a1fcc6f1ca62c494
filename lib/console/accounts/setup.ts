/**
 * Set-up: the one-time token by which the first account is made. There is no password that anybody could know before.
 *
 * Each start without an account makes a new one, which is shown to who started it. `vpn init --console` may have left
 * one as well: its hash, in a file of the state folder.
 */
import { timingSafeEqual } from "node:crypto";
import { Buffer } from "node:buffer";
import type { Database } from "./database.ts";
import { hashOf, newSecret } from "./secrets.ts";
import { leftTokenHash, removeLeftToken } from "./setup_token.ts";

export class Setup {
  readonly #database: Database;
  readonly #folder: string;

  constructor(database: Database, folder: string) {
    this.#database = database;
    this.#folder = folder;
  }

  /** Makes a token, and forgets the one of the start before. */
  newToken(): string {
    const token = newSecret();
    this.#database.together(() => {
      this.#database.change("DELETE FROM setup");
      this.#database.change("INSERT INTO setup VALUES (?)", hashOf(token));
    });
    return token;
  }

  accepts(token: string): boolean {
    const hash = Buffer.from(hashOf(token));
    const known = this.#database.rows("SELECT hash FROM setup").map(({ hash }) => String(hash));
    return [...known, leftTokenHash(this.#folder) ?? ""].some((each) => {
      const other = Buffer.from(each);
      return other.length === hash.length && timingSafeEqual(other, hash);
    });
  }

  /** It is done: no token is of use any more. */
  end(): void {
    this.#database.change("DELETE FROM setup");
    removeLeftToken(this.#folder);
  }
}
