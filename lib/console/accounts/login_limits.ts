/**
 * Login limits: how often somebody may be wrong, by where from, and by which account. Where an account has been logged
 * in from before, others' guesses at its password do not keep it out.
 */

/** Wrong ones in a row; and ms until one of them is forgotten. */
const BY_SOURCE = { most: 10, pause: 60_000 };
const BY_ACCOUNT = { most: 20, pause: 30_000 };
/** Sources, and accounts, that are kept: of more, who owes least is forgotten. */
const KEPT = 10_000;

export class LoginLimits {
  readonly #sources: Debts;
  readonly #accounts: Debts;
  /** Sources from which an account was logged in, by `known()`. */
  readonly #known = new Set<string>();

  /** @param now monotonic ms */
  constructor(now: () => number) {
    this.#sources = new Debts(BY_SOURCE, now);
    this.#accounts = new Debts(BY_ACCOUNT, now);
  }

  /**
   * Somebody tries, and is taken to be wrong until `succeed()`: so who tries many at once has no more than one by one.
   *
   * @param account null where it is no account that is tried
   * @returns ms to wait before the next one; 0 where this may be tried
   */
  begin(source: string, account: string | null): number {
    const isKnown = account === null || this.#known.has(known(source, account));
    const name = account?.toLowerCase() ?? "";
    const wait = Math.max(this.#sources.wait(source), isKnown ? 0 : this.#accounts.wait(name));
    if (wait > 0) return wait;
    this.#sources.add(source);
    if (!isKnown) this.#accounts.add(name);
    return 0;
  }

  /** It was not wrong after all. */
  takeBack(source: string, account: string | null): void {
    this.#sources.forgive(source);
    if (account !== null && !this.#known.has(known(source, account))) {
      this.#accounts.forgive(account.toLowerCase());
    }
  }

  /** It was right in all. */
  succeed(source: string, account: string): void {
    this.takeBack(source, account);
    if (this.#known.size >= KEPT) this.#known.delete(this.#known.values().next().value!);
    this.#known.add(known(source, account));
  }
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

  constructor({ most, pause }: typeof BY_SOURCE, now: () => number) {
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
