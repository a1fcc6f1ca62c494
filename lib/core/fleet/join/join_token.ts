/**
 * Join token: what a gateway needs to enter a fleet, in one line that is carried to it. It has the private keys of the
 * fleet and of the gateway at the store, so it is a secret; nothing in it can be trusted before `readJoinToken()`.
 */
import { RefusalError } from "../../config/refusal_error.ts";
import { isCommonKey, type Setting } from "./common_settings.ts";
import { blake2sHash } from "../../noise/blake2s.ts";

/** What one begins with, but for its version. */
const KIND = "vpnfleet";
const VERSION = 1;
/** Characters of a token, and what is in one. */
export const MAX_TOKEN_LENGTH: number = 64 * 1024;
const MAX_SETTINGS = 256;
const MAX_VALUE_LENGTH = 8 * 1024;
/** Bytes of a hash of the content. */
const CHECKSUM_SIZE = 6;
const SEED = /^SU[A-Z2-7]{56}$/;
const CERTIFICATES =
  /^(?:-----BEGIN CERTIFICATE-----\n(?:[A-Za-z0-9+/=]{1,76}\n){1,200}-----END CERTIFICATE-----\n){1,8}$/;

export interface JoinToken {
  /** Of `[Interface]`, in the order of the first gateway's file; `PrivateKey` and `Store` are among them. */
  readonly settings: readonly Setting[];
  /** The private key by which NATS knows this gateway: a seed of a user's nkey. */
  readonly seed: string;
  /** Certificates that vouch for the servers of the store, in PEM. */
  readonly ca: string;
}

/** One line of `A-Z a-z 0-9 - _`, without its end. */
export function joinTokenText({ settings, seed, ca }: JoinToken): string {
  const content = new TextEncoder().encode(JSON.stringify({ settings, seed, ca }));
  const bytes = new Uint8Array(CHECKSUM_SIZE + content.length);
  bytes.set(checksum(content));
  bytes.set(content, CHECKSUM_SIZE);
  return `${KIND}${VERSION}_${bytes.toBase64({ alphabet: "base64url", omitPadding: true })}`;
}

/** Whether this is meant as a token, and not as the path of a file with one. */
export function isJoinToken(text: string): boolean {
  return /^vpnfleet\d*_/.test(text);
}

/**
 * Reads one, which may have been broken into lines on its way. What its settings say is not looked at here.
 *
 * @throws {RefusalError} `invalid`, with what to do; nothing of the token is in the message
 */
export function readJoinToken(text: string): JoinToken {
  if (text.length > MAX_TOKEN_LENGTH) {
    throw refusal(`it is longer than ${MAX_TOKEN_LENGTH} characters`);
  }
  const [, version, digits] =
    /^vpnfleet(\d{1,9})_([A-Za-z0-9_-]*)$/.exec(text.replace(/\s/g, "")) ??
      [];
  if (digits === undefined) throw refusal(`it does not begin with ${KIND}${VERSION}_, as all do`);
  if (Number(version) !== VERSION) {
    throw refusal(`it is of version ${version}, and this program reads ${VERSION}: update it`);
  }
  const bytes = decoded(digits);
  const content = bytes.subarray(CHECKSUM_SIZE);
  const sum = checksum(content);
  if (sum.some((byte, index) => byte !== bytes[index])) throw damaged();
  return checked(parsed(content));
}

function decoded(digits: string): Uint8Array {
  try {
    return Uint8Array.fromBase64(digits, { alphabet: "base64url" });
  } catch {
    throw damaged();
  }
}

function parsed(content: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(content));
  } catch {
    throw foreign("it is no JSON");
  }
}

/** A checksum is right in a forged token, too: each part is held against what `vpn fleet init` writes. */
function checked(value: unknown): JoinToken {
  if (typeof value !== "object" || value === null) throw foreign("it is no object");
  const { settings, seed, ca } = value as Readonly<Record<string, unknown>>;
  if (!Array.isArray(settings) || settings.length > MAX_SETTINGS) throw foreign("its settings");
  if (!settings.every(isSetting)) throw foreign("its settings");
  // Commands, which would run as root, and paths of this host's files are none of them.
  const other = settings.find(([key]) => !isCommonKey(key));
  if (other !== undefined) throw foreign(`${other[0]} is no setting of a fleet`);
  for (const key of ["PrivateKey", "Address", "Store"]) {
    if (!settings.some(([each]) => each === key)) throw foreign(`${key} is missing`);
  }
  if (typeof seed !== "string" || !SEED.test(seed)) throw foreign("its key of NATS");
  if (typeof ca !== "string" || !CERTIFICATES.test(ca)) throw foreign("its certificates");
  return { settings, seed, ca };
}

/** One line of a file, without a comment. */
function isSetting(value: unknown): value is Setting {
  if (!Array.isArray(value) || value.length !== 2) return false;
  const [key, text] = value;
  return typeof key === "string" && /^[A-Za-z0-9]{1,30}$/.test(key) &&
    typeof text === "string" && text.length <= MAX_VALUE_LENGTH && !/[\p{Cc}#]/u.test(text);
}

function checksum(content: Uint8Array): Uint8Array {
  return blake2sHash(content).subarray(0, CHECKSUM_SIZE);
}

function damaged(): RefusalError {
  return refusal("its checksum is wrong: copy the whole of it again");
}

function foreign(what: string): RefusalError {
  return refusal(`\`vpn fleet init\` has not made it (${what}): ask for another`);
}

function refusal(why: string): RefusalError {
  return new RefusalError("invalid", `Cannot use the token: ${why}`);
}
