/**
 * Login limits: how often somebody may be wrong, by where from, and by which account. A browser in which the account
 * was logged in before is counted by itself: others' guesses, from the same address or elsewhere, do not keep it out.
 */

/** Wrong ones in a row; and ms until one of them is forgotten. */
interface Limit {
  readonly most: number;
  readonly pause: number;
}

const BY_SOURCE: Limit = { most: 10, pause: 60_000 };
const BY_ACCOUNT: Limit = { most: 20, pause: 30_000 };
/** Who is asked for a code has the password: of a million codes three are right, so a year has to be too short. */
const BY_CODE: Limit = { most: 10, pause: 600_000 };
/** Sources, and accounts, that are kept: of more, who owes least is forgotten. */
const KEPT = 10_000;

/** Who tries. */
export interface LoginAttempt {
  /** As `sourceKey()` has it. */
  readonly source: string;
  /** That is tried; null where it is none, or is not known yet. */
  readonly account: string | null;
  /** What a browser is known by in which this account, or if none is tried any, was logged in; null for none. */
  readonly device: string | null;
}

export class LoginLimits {
  readonly #sources: Debts;
  readonly #accounts: Debts;
  readonly #devices: Debts;
  readonly #codes: Debts;
  readonly #guesses: Debts;
  /** Sources from which an account was logged in, by `known()`: for browsers that keep nothing. */
  readonly #known = new Set<string>();

  /** @param now monotonic ms */
  constructor(now: () => number) {
    this.#sources = new Debts(BY_SOURCE, now);
    this.#accounts = new Debts(BY_ACCOUNT, now);
    this.#devices = new Debts(BY_SOURCE, now);
    this.#codes = new Debts(BY_CODE, now);
    this.#guesses = new Debts(BY_SOURCE, now);
  }

  /**
   * Somebody tries, and is taken to be wrong until `succeed()`: so who tries many at once has no more than one by one.
   *
   * @returns ms to wait before the next one; 0 where this may be tried
   */
  begin(attempt: LoginAttempt): number {
    const debts = this.#debtsOf(attempt);
    const wait = Math.max(...debts.map(([table, key]) => table.wait(key)));
    if (wait > 0) return wait;
    for (const [table, key] of debts) table.add(key);
    return 0;
  }

  /** It was not wrong after all. */
  takeBack(attempt: LoginAttempt): void {
    for (const [table, key] of this.#debtsOf(attempt)) table.forgive(key);
  }

  /** It was right in all. */
  succeed(attempt: LoginAttempt): void {
    this.takeBack(attempt);
    if (attempt.account === null) return;
    if (this.#known.size >= KEPT) this.#known.delete(this.#known.values().next().value!);
    this.#known.add(known(attempt.source, attempt.account));
  }

  /** The same of a code, by somebody who has the password of an account. @returns ms to wait */
  beginCode(attempt: LoginAttempt): number {
    const key = codeKey(attempt);
    const wait = this.#codes.wait(key);
    if (wait === 0) this.#codes.add(key);
    return wait;
  }

  takeBackCode(attempt: LoginAttempt): void {
    this.#codes.forgive(codeKey(attempt));
  }

  /**
   * Somebody has been wrong about what nobody can guess: a link, say. Of no effect on logins, or on who is right.
   *
   * @param key by whom
   * @returns ms to wait before another answer than that
   */
  addGuess(key: string): number {
    const wait = this.#guesses.wait(key);
    if (wait === 0) this.#guesses.add(key);
    return wait;
  }

  /** What an attempt is counted by. */
  #debtsOf({ source, account, device }: LoginAttempt): readonly (readonly [Debts, string])[] {
    if (device !== null) return [[this.#devices, device]];
    if (account === null || this.#known.has(known(source, account))) {
      return [[this.#sources, source]];
    }
    return [[this.#sources, source], [this.#accounts, account.toLowerCase()]];
  }
}

/** By what codes are counted: a browser that is known is kept out by its own wrong ones alone. */
function codeKey({ account, device }: LoginAttempt): string {
  return device ?? `account ${account?.toLowerCase()}`;
}

function known(source: string, account: string): string {
  return `${source} ${account.toLowerCase()}`;
}

/** What each owes: one for each time, of which one is forgotten in a period. */
class Debts {
  readonly #most: number;
  readonly #pause: number;
  readonly #now: () => number;
  readonly #debts = new Map<string, { count: number; since: number }>();

  constructor({ most, pause }: Limit, now: () => number) {
    this.#most = most;
    this.#pause = pause;
    this.#now = now;
  }

  /** ms until one more is allowed. */
  wait(key: string): number {
    const debt = this.#debts.get(key);
    if (debt === undefined) return 0;
    return Math.max(0, (this.#countOf(debt) - (this.#most - 1)) * this.#pause);
  }

  add(key: string): void {
    const debt = this.#debts.get(key);
    const count = debt === undefined ? 0 : this.#countOf(debt);
    if (debt === undefined && this.#debts.size >= KEPT) this.#forgetLeast();
    this.#debts.set(key, { count: count + 1, since: this.#now() });
  }

  forgive(key: string): void {
    const debt = this.#debts.get(key);
    if (debt === undefined) return;
    if (debt.count <= 1) this.#debts.delete(key);
    else debt.count--;
  }

  /** With fractions. */
  #countOf({ count, since }: { readonly count: number; readonly since: number }): number {
    return Math.max(0, count - (this.#now() - since) / this.#pause);
  }

  #forgetLeast(): void {
    let least: string | undefined;
    let fewest = Infinity;
    for (const [key, debt] of this.#debts) {
      const count = this.#countOf(debt);
      if (count >= fewest) continue;
      fewest = count;
      least = key;
    }
    if (least !== undefined) this.#debts.delete(least);
  }
}
