/** Login: who has the password of an account, and its second factor, gets a session. */
import type { AccountTable, StoredAccount } from "./account_table.ts";
import type { AuditTable } from "./audit_table.ts";
import type { DeviceTable } from "./device_table.ts";
import type { LoginAttempt, LoginLimits } from "./login_limits.ts";
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
  readonly devices: DeviceTable;
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
   * @param device the secret by which a browser is known; null for none
   * @throws {BusyError}
   */
  async byPassword(
    { name, password, code, source, device }: {
      readonly name: string;
      readonly password: string;
      readonly code: string | undefined;
      readonly source: string;
      readonly device: string | null;
    },
  ): Promise<LoginResult> {
    const { limits, accounts, audit } = this.#options;
    const attempt = this.attempt(source, { device, account: name });
    const tooMany = (wait: number): LoginResult => ({
      kind: "too-many",
      wait: Math.ceil(wait / 1000),
    });
    const wait = limits.begin(attempt);
    if (wait > 0) return tooMany(wait);
    const account = await this.#verified(password, attempt);
    if (account !== null && account.totp !== null) {
      const codeWait = code === undefined ? 0 : limits.beginCode(attempt);
      if (code === undefined || codeWait > 0) limits.takeBack(attempt);
      if (code === undefined) return { kind: "code-missing" };
      if (codeWait > 0) return tooMany(codeWait);
    }
    if (account === null || !this.#hasCode(account, code)) {
      const reason = account === null ? "name or password" : "code";
      // A name that is none may be a password that was typed in the wrong place.
      const target = accounts.find(name)?.name ?? null;
      audit.add({ account: null, source, action: "login-failed", target, detail: reason });
      return { kind: "wrong" };
    }
    if (account.totp !== null) limits.takeBackCode(attempt);
    limits.succeed(attempt);
    return { kind: "in", account, session: this.begin(account.name, source, "password") };
  }

  /**
   * Who tries, by what a browser has shown.
   *
   * @param account that is tried, of which the device has to be; null where any is
   */
  attempt(
    source: string,
    { device, account = null }: {
      readonly device: string | null;
      readonly account?: string | null;
    },
  ): LoginAttempt {
    const { accounts, devices } = this.#options;
    const known = devices.find(device);
    const isOwn = known !== null &&
      (account === null || known.account === accounts.find(account)?.name);
    return { source, account, device: isOwn ? known.hash : null };
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
    // By the account's sessions alone: strangers' guesses at it are none of this.
    const attempt: LoginAttempt = {
      source,
      account: name,
      device: `session ${name.toLowerCase()}`,
    };
    if (limits.begin(attempt) > 0) return "too-many";
    const account = await this.#verified(password, attempt);
    if (account === null) return false;
    limits.takeBack(attempt);
    return true;
  }

  async #verified(password: string, attempt: LoginAttempt): Promise<StoredAccount | null> {
    const { accounts, passwords, limits } = this.#options;
    const name = attempt.account!;
    const stored = accounts.find(name)?.password ?? null;
    let isRight: boolean;
    try {
      isRight = await passwords.verify(password, stored, attempt.device !== null);
    } catch (error) {
      limits.takeBack(attempt);
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
