/** Account table: who may log in, with which role, and by what. */
import type { Database, Row } from "./database.ts";
import { timeColumn } from "./database.ts";
import type { RoleName } from "./roles.ts";
import { hashOf } from "./secrets.ts";

export interface StoredAccount {
  readonly name: string;
  readonly role: RoleName;
  /** As `Passwords` has it. */
  readonly password: string;
  /** TOTP's secret, base32; null where it is off. */
  readonly totp: string | null;
  /** One that is offered, and not in force before a code by it has come. */
  readonly totpPending: string | null;
  /** The last period of 30 s whose code was used: none is taken twice. */
  readonly totpStep: number;
  /** Recovery codes that are left. */
  readonly recoveryCodes: number;
  /** Unix ms. */
  readonly created: number;
  readonly lastLogin: number | null;
}

const COLUMNS =
  "account.*, (SELECT COUNT(*) FROM recovery WHERE recovery.account = account.name) AS recovery_codes";

export class AccountTable {
  readonly #database: Database;

  constructor(database: Database) {
    this.#database = database;
  }

  /** Whether the first account is still to be made. */
  get isEmpty(): boolean {
    return this.#database.row("SELECT 1 FROM account LIMIT 1") === undefined;
  }

  all(): StoredAccount[] {
    return this.#database.rows(`SELECT ${COLUMNS} FROM account ORDER BY name`).map(accountOf);
  }

  /** Without regard to the case of its letters; null where there is none. */
  find(name: string): StoredAccount | null {
    const row = this.#database.row(`SELECT ${COLUMNS} FROM account WHERE name = ?`, name);
    return row === undefined ? null : accountOf(row);
  }

  /** Returns false where the name is taken. */
  add(account: Pick<StoredAccount, "name" | "role" | "password" | "created">): boolean {
    const { name, role, password, created } = account;
    return this.#database.change(
      "INSERT INTO account (name, role, password, created) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
      name,
      role,
      password,
      created,
    ) > 0;
  }

  /** Its sessions, tokens, passkeys and links go with it. Returns false where there is none. */
  remove(name: string): boolean {
    return this.#database.change("DELETE FROM account WHERE name = ?", name) > 0;
  }

  setRole(name: string, role: RoleName): void {
    this.#database.change("UPDATE account SET role = ? WHERE name = ?", role, name);
  }

  setPassword(name: string, password: string): void {
    this.#database.change("UPDATE account SET password = ? WHERE name = ?", password, name);
  }

  setLastLogin(name: string, time: number): void {
    this.#database.change("UPDATE account SET last_login = ? WHERE name = ?", time, name);
  }

  /** Offers a secret; what is in force stays so. */
  offerTotp(name: string, secret: string): void {
    this.#database.change("UPDATE account SET totp_pending = ? WHERE name = ?", secret, name);
  }

  /** Puts the secret that was offered in force, and what is to be used where the device is lost. */
  confirmTotp(name: string, step: number, recoveryCodes: readonly string[]): void {
    this.#database.together(() => {
      this.#database.change(
        "UPDATE account SET totp = totp_pending, totp_pending = NULL, totp_step = ? WHERE name = ?",
        step,
        name,
      );
      this.#replaceRecoveryCodes(name, recoveryCodes);
    });
  }

  removeTotp(name: string): void {
    this.#database.together(() => {
      this.#database.change(
        "UPDATE account SET totp = NULL, totp_pending = NULL WHERE name = ?",
        name,
      );
      this.#replaceRecoveryCodes(name, []);
    });
  }

  /** Uses the code of a period up, and those before it. Returns false where it was used already. */
  useTotpStep(name: string, step: number): boolean {
    return this.#database.change(
      "UPDATE account SET totp_step = ? WHERE name = ? AND totp_step < ?",
      step,
      name,
      step,
    ) > 0;
  }

  setRecoveryCodes(name: string, codes: readonly string[]): void {
    this.#database.together(() => this.#replaceRecoveryCodes(name, codes));
  }

  /** Uses a recovery code up. Returns false where there is no such code, or no more. */
  useRecoveryCode(name: string, code: string): boolean {
    return this.#database.change(
      "DELETE FROM recovery WHERE account = ? AND hash = ?",
      name,
      hashOf(code),
    ) > 0;
  }

  #replaceRecoveryCodes(name: string, codes: readonly string[]): void {
    this.#database.change("DELETE FROM recovery WHERE account = ?", name);
    for (const code of codes) {
      this.#database.change("INSERT INTO recovery VALUES (?, ?)", name, hashOf(code));
    }
  }
}

function accountOf(row: Row): StoredAccount {
  const text = (value: unknown) => value === null ? null : String(value);
  return {
    name: String(row["name"]),
    role: String(row["role"]) as RoleName,
    password: String(row["password"]),
    totp: text(row["totp"]),
    totpPending: text(row["totp_pending"]),
    totpStep: Number(row["totp_step"]),
    recoveryCodes: Number(row["recovery_codes"]),
    created: Number(row["created"]),
    lastLogin: timeColumn(row["last_login"]),
  };
}
