/** Login: who has the password of an account, and its second factor, gets a session. */
import type { AccountTable, StoredAccount } from "./account_table.ts";
import type { AuditTable } from "./audit_table.ts";
import type { LoginLimits } from "./login_limits.ts";
import type { Passwords } from "./passwords.ts";
import type { LoginSessions } from "./session_table.ts";
import { totpStep, typedRecoveryCode } from "./totp.ts";

export type LoginResult =
  /** The session's secret. */
  | { readonly kind: "in"; readonly account: StoredAccount; readonly session: string }
  | { readonly kind: "wrong" }
  /** The password is right, and a code is asked for. */
  | { readonly kind: "code-missing" }
  /** s until the next may be tried. */
  | { readonly kind: "too-many"; readonly wait: number };

export interface LoginOptions {
  readonly accounts: AccountTable;
  readonly sessions: LoginSessions;
  readonly audit: AuditTable;
  readonly passwords: Passwords;
  readonly limits: LoginLimits;
  /** The wall clock, Unix ms. */
  readonly now: () => number;
}

export class Login {
  readonly #options: LoginOptions;

  constructor(options: LoginOptions) {
    this.#options = options;
  }

  /**
   * By what a person has typed.
   *
   * @param source as `sourceKey()` has it
   * @throws {BusyError}
   */
  async byPassword(
    { name, password, code, source }: {
      readonly name: string;
      readonly password: string;
      readonly code: string | undefined;
      readonly source: string;
    },
  ): Promise<LoginResult> {
    const { limits, accounts, audit } = this.#options;
    const wait = limits.begin(source, name);
    if (wait > 0) return { kind: "too-many", wait: Math.ceil(wait / 1000) };
    const account = await this.#verified(name, password, () => limits.takeBack(source, name));
    if (account !== null && account.totp !== null && code === undefined) {
      limits.takeBack(source, name);
      return { kind: "code-missing" };
    }
    if (account === null || !this.#hasCode(account, code)) {
      const reason = account === null ? "name or password" : "code";
      // A name that is none may be a password that was typed in the wrong place.
      const target = accounts.find(name)?.name ?? null;
      audit.add({ account: null, source, action: "login-failed", target, detail: reason });
      return { kind: "wrong" };
    }
    limits.succeed(source, name);
    return { kind: "in", account, session: this.begin(account.name, source, "password") };
  }

  /** Begins the session of an account, whatever proves that it is its owner's. Returns its secret. */
  begin(name: string, source: string, how: string): string {
    const { accounts, sessions, audit, now } = this.#options;
    accounts.setLastLogin(name, now());
    audit.add({ account: name, source, action: "login", detail: how });
    return sessions.begin(name, source);
  }

  /**
   * Whether it is the account's password: asked for again before what a stolen session must not do.
   *
   * @returns "too-many" where it was wrong too often
   * @throws {BusyError}
   */
  async confirms(
    name: string,
    password: string,
    source: string,
  ): Promise<boolean | "too-many"> {
    const { limits } = this.#options;
    if (limits.begin(source, name) > 0) return "too-many";
    const account = await this.#verified(name, password, () => limits.takeBack(source, name));
    if (account === null) return false;
    limits.takeBack(source, name);
    return true;
  }

  async #verified(
    name: string,
    password: string,
    onBusy: () => void,
  ): Promise<StoredAccount | null> {
    const { accounts, passwords } = this.#options;
    const stored = accounts.find(name)?.password ?? null;
    let isRight: boolean;
    try {
      isRight = await passwords.verify(password, stored);
    } catch (error) {
      onBusy();
      throw error;
    }
    const account = accounts.find(name);
    // It may have been changed meanwhile.
    return isRight && account?.password === stored ? account : null;
  }

  #hasCode(account: StoredAccount, code: string | undefined): boolean {
    const { accounts, now } = this.#options;
    if (account.totp === null) return true;
    if (code === undefined) return false;
    const step = totpStep(account.totp, code, now());
    if (step !== null) return accounts.useTotpStep(account.name, step);
    return accounts.useRecoveryCode(account.name, typedRecoveryCode(code));
  }
}
