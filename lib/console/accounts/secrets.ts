/** Secrets: random texts that authorize who has them, and the hashes by which they are known here. */
import { createHash, randomBytes } from "node:crypto";

/** Bits: of what lives long, or is tried from outside; and of a one-time link, which lives for minutes. */
const SECRET_BITS = 256;
export const LINK_BITS = 128;
/** Bits of the number by which an entry is named that is no secret. */
const ID_BITS = 72;

/** A new one, in base64url. */
export function newSecret(bits = SECRET_BITS): string {
  return randomBytes(bits / 8).toString("base64url");
}

/** A name for an entry, which authorizes nobody. */
export function newId(): string {
  return newSecret(ID_BITS);
}

/** What is stored in place of a secret: who reads the file cannot use it. It has too many bits to be guessed. */
export function hashOf(secret: string): string {
  return createHash("sha256").update(secret).digest("base64url");
}
