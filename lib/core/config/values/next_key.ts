/** Next key: the key that a peer has been given in place of its own, put together of the keys of a file. */
import type { NextKey } from "../config.ts";
import { ConfigError } from "../config_error.ts";

/** What a file says; what it does not say is left out, or null. */
export interface NextKeyValues {
  readonly NextPublicKey?: Uint8Array | null | undefined;
  readonly NextPresharedKey?: Uint8Array | null | undefined;
  readonly KeyExpires?: number | null | undefined;
}

/**
 * @param placeOf where one of the keys stands, as a message begins: file, line and key
 * @throws {ConfigError} for what would be of a key that is not there
 */
export function nextKeyOf(
  { NextPublicKey, NextPresharedKey, KeyExpires }: NextKeyValues,
  placeOf: (key: keyof NextKeyValues) => string,
): NextKey | null {
  if (NextPublicKey) {
    return {
      publicKey: NextPublicKey,
      presharedKey: noneIfZero(NextPresharedKey),
      since: KeyExpires ?? null,
    };
  }
  const alone = NextPresharedKey ? "NextPresharedKey" : KeyExpires ? "KeyExpires" : null;
  if (alone === null) return null;
  throw new ConfigError(`${placeOf(alone)}: it is of use with NextPublicKey alone`);
}

/** A preshared key; zeros are how WireGuard writes that there is none. */
export function noneIfZero(key: Uint8Array | null | undefined): Uint8Array | null {
  return key?.some((byte) => byte !== 0) ? key : null;
}
