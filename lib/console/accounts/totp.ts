/** TOTP (RFC 6238): codes of six digits of a device, each taken once; and recovery codes for the day it is lost. */
import { Secret, TOTP } from "otpauth";
import { randomBytes } from "node:crypto";

/** s for which a code holds; those of the periods beside the present one are taken too (RFC 6238, section 5.2). */
const PERIOD = 30;
const WINDOW = 1;
/** RFC 4226, section 4, recommends this length. */
const SECRET_BYTES = 20;
const CODES = 10;
/** 80 bits: as many as nobody can try, even with the hashes. */
const CODE_BYTES = 10;

/** A new secret, base32. */
export function newTotpSecret(): string {
  return new Secret({ size: SECRET_BYTES }).base32;
}

/** What an authenticator reads, as a QR code. */
export function totpUri(secret: string, account: string, issuer: string): string {
  return totpOf(secret, { label: account, issuer }).toString();
}

/**
 * The number of the period whose code this is; null where it is none.
 *
 * @param now Unix ms
 */
export function totpStep(secret: string, code: string, now: number): number | null {
  if (!/^\d{6}$/.test(code)) return null;
  const delta = totpOf(secret).validate({ token: code, timestamp: now, window: WINDOW });
  return delta === null ? null : Math.floor(now / 1000 / PERIOD) + delta;
}

function totpOf(secret: string, names: { label?: string; issuer?: string } = {}): TOTP {
  return new TOTP({ ...names, secret: Secret.fromBase32(secret), period: PERIOD });
}

/** New ones, as in `abcd-efgh-ijkl-mnop`. */
export function newRecoveryCodes(): string[] {
  return Array.from({ length: CODES }, () => {
    const code = new Secret({ buffer: new Uint8Array(randomBytes(CODE_BYTES)).buffer }).base32;
    return code.toLowerCase().match(/.{4}/g)!.join("-");
  });
}

/** A recovery code as it was given out, however it was typed. */
export function typedRecoveryCode(code: string): string {
  return code.toLowerCase().replace(/[^a-z2-7]/g, "").match(/.{1,4}/g)?.join("-") ?? "";
}
