/** Token table: the bearer tokens by which programs use the API, in the name of an account. */
import { type Database, type Row, timeColumn } from "./database.ts";
import type { Scope } from "./roles.ts";
import { CLOCK_STEP } from "./session_table.ts";
import { hashOf, newId, newSecret } from "./secrets.ts";

/** By which programs that search for leaked secrets know one. */
const TOKEN_PREFIX = "vpn_";
/** ms by which the time of the last use may be late: so few requests write. */
const PRECISION = 60_000;
/** Of one account. */
const MAX_TOKENS = 100;

export interface Token {
  readonly id: string;
  readonly account: string;
  readonly name: string;
  readonly scope: Scope;
  /** Unix ms; null for never. */
  readonly created: number;
  readonly expires: number | null;
  readonly lastUsed: number | null;
}

export class TokenTable {
  readonly #database: Database;
  readonly #now: () => number;

  constructor(database: Database, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  /** Makes one. Returns it with its secret, which is told this once; null where the account has too many. */
  add(
    { account, name, scope, expires }: Pick<Token, "account" | "name" | "scope" | "expires">,
  ): { readonly token: Token; readonly secret: string } | null {
    if (this.of(account).length >= MAX_TOKENS) return null;
    const secret = TOKEN_PREFIX + newSecret();
    const token: Token = {
      id: newId(),
      account,
      name,
      scope,
      created: this.#now(),
      expires,
      lastUsed: null,
    };
    this.#database.change(
      "INSERT INTO token VALUES (?, ?, ?, ?, ?, ?, ?, NULL)",
      hashOf(secret),
      token.id,
      account,
      name,
      scope,
      token.created,
      expires,
    );
    return { token, secret };
  }

  /** The token with this secret, which is used by that; null where there is none, or it has expired. */
  find(secret: string): Token | null {
    const hash = hashOf(secret);
    const row = this.#database.row("SELECT * FROM token WHERE hash = ?", hash);
    if (row === undefined) return null;
    const token = tokenOf(row);
    const now = this.#now();
    if (token.expires !== null && (token.expires <= now || token.created > now + CLOCK_STEP)) {
      return null;
    }
    if (now - (token.lastUsed ?? 0) >= PRECISION) {
      this.#database.tryChange("UPDATE token SET last_used = ? WHERE hash = ?", now, hash);
    }
    return token;
  }

  /** Of an account, or all. */
  of(account: string | null): Token[] {
    return this.#database.rows(
      "SELECT * FROM token WHERE ? IS NULL OR account = ? ORDER BY created DESC",
      account,
      account,
    ).map(tokenOf);
  }

  /** Of an account, or anybody's. Returns what was removed; null where there is none. */
  remove(id: string, account: string | null): Token | null {
    const token = this.of(account).find((each) => each.id === id) ?? null;
    if (token !== null) this.#database.change("DELETE FROM token WHERE id = ?", id);
    return token;
  }

  /** Removes all of an account's. */
  removeAll(account: string): void {
    this.#database.change("DELETE FROM token WHERE account = ?", account);
  }
}

function tokenOf(row: Row): Token {
  return {
    id: String(row["id"]),
    account: String(row["account"]),
    name: String(row["name"]),
    scope: String(row["scope"]) as Scope,
    created: Number(row["created"]),
    expires: timeColumn(row["expires"]),
    lastUsed: timeColumn(row["last_used"]),
  };
}
