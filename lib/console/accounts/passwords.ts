/**
 * Passwords: hashed by scrypt (RFC 7914) with a salt each, a few at a time: each takes 32 MiB and a part of a second,
 * so that who tries many can neither fill the memory nor keep the processor.
 */
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";
import { Buffer } from "node:buffer";

/** Characters. */
export const LEAST_PASSWORD = 10;
export const LONGEST_PASSWORD = 1024;

export interface ScryptCost {
  readonly N: number;
  readonly r: number;
  readonly p: number;
}

/** Makes the key of 32 bytes that a password and a salt have at a cost. */
export type Derivation = (
  password: string,
  salt: Uint8Array,
  cost: ScryptCost,
) => Promise<Uint8Array & Buffer>;

/** Of those that OWASP's cheat sheet on password storage has as equally good, one that takes 32 MiB. */
const COST: ScryptCost = { N: 1 << 15, r: 8, p: 3 };
const MAX_MEMORY = 64 << 20;
const SALT_BYTES = 16;
const HASH_BYTES = 32;
/** At once, and waiting for their turn: of those who are known here, and as many of strangers. */
const AT_ONCE = 2;
const WAITING = 16;

/** Too many passwords wait to be hashed. */
export class BusyError extends Error {
  override readonly name = "BusyError";
}

export class Passwords {
  readonly #cost: ScryptCost;
  readonly #derivation: Derivation;
  readonly #known: (() => void)[] = [];
  readonly #strangers: (() => void)[] = [];
  #running = 0;

  /**
   * @param cost of those that are hashed from now on
   * @param derivation what makes the keys; scrypt, but in tests
   */
  constructor(cost: ScryptCost = COST, derivation: Derivation = derivedByScrypt) {
    this.#cost = cost;
    this.#derivation = derivation;
  }

  /** What is stored of a password, which somebody sets who is known here. @throws {BusyError} */
  async hash(password: string): Promise<string> {
    const salt = randomBytes(SALT_BYTES);
    const hash = await this.#derive(password, salt, { ...this.#cost, isKnown: true });
    const { N, r, p } = this.#cost;
    return ["scrypt", N, r, p, salt.toString("base64url"), hash.toString("base64url")].join("$");
  }

  /**
   * Whether it is the password. Where there is no account, it takes as long.
   *
   * @param isKnown whether somebody asks who was logged in before: strangers, however many, do not keep him waiting
   * @throws {BusyError}
   */
  async verify(password: string, stored: string | null, isKnown = false): Promise<boolean> {
    const [, N, r, p, salt = "", hash = ""] = stored?.split("$") ?? [];
    const cost = stored === null ? this.#cost : { N: Number(N), r: Number(r), p: Number(p) };
    const found = await this.#derive(password, Buffer.from(salt, "base64url"), {
      ...cost,
      isKnown,
    });
    const wanted = Buffer.from(hash, "base64url");
    return wanted.length === found.length && timingSafeEqual(wanted, found);
  }

  async #derive(
    password: string,
    salt: Uint8Array,
    { isKnown, ...cost }: ScryptCost & { readonly isKnown: boolean },
  ): Promise<Uint8Array & Buffer> {
    const waiting = isKnown ? this.#known : this.#strangers;
    if (this.#running < AT_ONCE) this.#running++;
    else if (waiting.length >= WAITING) {
      throw new BusyError("too many passwords wait to be checked");
    } else await new Promise<void>((resolve) => waiting.push(resolve));
    try {
      // The same password may be typed as different code points.
      return await this.#derivation(password.normalize("NFKC"), salt, cost);
    } finally {
      const next = this.#known.shift() ?? this.#strangers.shift();
      // Whose turn comes takes the place over.
      if (next === undefined) this.#running--;
      else next();
    }
  }
}

function derivedByScrypt(
  password: string,
  salt: Uint8Array,
  cost: ScryptCost,
): Promise<Uint8Array & Buffer> {
  return new Promise((resolve, reject) => {
    scrypt(password, salt, HASH_BYTES, { ...cost, maxmem: MAX_MEMORY }, (error, key) => {
      if (error === null) resolve(key);
      else reject(error);
    });
  });
}
