/**
 * Link table: one-time links, by which somebody else adds one peer. The key pair is made where the link is opened, so a
 * link authorizes and tells nothing.
 */
import { type Database, type Row } from "./database.ts";
import { hashOf, LINK_BITS, newId, newSecret } from "./secrets.ts";
import { CLOCK_STEP } from "./session_table.ts";

/** At once, of all accounts. */
const MAX_LINKS = 1_000;

export interface StoredLink {
  readonly id: string;
  /** Who has made it, whose right to add a peer it takes. */
  readonly account: string;
  /** Of the peer. */
  readonly name: string;
  readonly groups: readonly string[];
  /** Unix ms. */
  readonly created: number;
  readonly expires: number;
}

export class LinkTable {
  readonly #database: Database;
  readonly #now: () => number;

  constructor(database: Database, now: () => number) {
    this.#database = database;
    this.#now = now;
  }

  /** Makes one. Returns it with its secret, which is told this once; null where there are too many. */
  add(
    { account, name, groups, expires }: Pick<
      StoredLink,
      "account" | "name" | "groups" | "expires"
    >,
  ): { readonly link: StoredLink; readonly secret: string } | null {
    if (this.all().length >= MAX_LINKS) return null;
    const secret = newSecret(LINK_BITS);
    const link: StoredLink = { id: newId(), account, name, groups, created: this.#now(), expires };
    this.#database.change(
      "INSERT INTO link VALUES (?, ?, ?, ?, ?, ?, ?)",
      hashOf(secret),
      link.id,
      account,
      name,
      JSON.stringify(groups),
      link.created,
      expires,
    );
    return { link, secret };
  }

  /** Those that have not expired. */
  all(): StoredLink[] {
    const now = this.#now();
    this.#database.tryChange("DELETE FROM link WHERE expires <= ?", now);
    return this.#database.rows(
      "SELECT * FROM link WHERE expires > ? AND created <= ? ORDER BY created DESC",
      now,
      now + CLOCK_STEP,
    ).map(linkOf);
  }

  /** The link with this secret; null where there is none, or it has been used or has expired. */
  find(secret: string): StoredLink | null {
    const now = this.#now();
    const row = this.#database.row(
      "SELECT * FROM link WHERE hash = ? AND expires > ? AND created <= ?",
      hashOf(secret),
      now,
      now + CLOCK_STEP,
    );
    return row === undefined ? null : linkOf(row);
  }

  /** Uses it up: of two who try at once, one gets it. */
  use(secret: string): StoredLink | null {
    return this.#database.together(() => {
      const link = this.find(secret);
      if (link !== null) this.remove(link.id);
      return link;
    });
  }

  /** Makes one that was used, for nothing, as good as before. */
  putBack(link: StoredLink, secret: string): void {
    const { id, account, name, groups, created, expires } = link;
    this.#database.change(
      "INSERT INTO link VALUES (?, ?, ?, ?, ?, ?, ?)",
      hashOf(secret),
      id,
      account,
      name,
      JSON.stringify(groups),
      created,
      expires,
    );
  }

  /** Returns what was removed; null where there is none. */
  remove(id: string): StoredLink | null {
    const row = this.#database.row("DELETE FROM link WHERE id = ? RETURNING *", id);
    return row === undefined ? null : linkOf(row);
  }

  /** Removes all that an account has made. */
  removeAll(account: string): void {
    this.#database.change("DELETE FROM link WHERE account = ?", account);
  }
}

function linkOf(row: Row): StoredLink {
  return {
    id: String(row["id"]),
    account: String(row["account"]),
    name: String(row["name"]),
    groups: JSON.parse(String(row["groups"])) as string[],
    created: Number(row["created"]),
    expires: Number(row["expires"]),
  };
}
