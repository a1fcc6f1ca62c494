/**
 * Commands `vpn genkey`, `vpn pubkey` and `vpn genpsk`, which read and write what `wg` does, and new keys for others.
 */
import { decodeKey, encodeKey, KEY_LENGTH, keyProblem } from "../core/config/values/key_text.ts";
import { clamp, publicKey } from "../core/noise/x25519.ts";
import { AppError, ExitCode } from "../process/errors.ts";
import { writeText } from "../process/output.ts";

/** Runs one of the commands on the process's standard streams. */
export async function runKeyCommand(command: "genkey" | "pubkey" | "genpsk"): Promise<number> {
  if (command === "pubkey") {
    writeText(Deno.stdout, `${publicKeyText(await readInput())}\n`);
    return ExitCode.ok;
  }
  if (await isExposed()) {
    writeText(
      Deno.stderr,
      "vpn: warning: other users can read the file that this key is written to: set umask 077 and create a new key\n",
    );
  }
  const key = command === "genkey" ? newPrivateKey() : newPresharedKey();
  writeText(Deno.stdout, `${encodeKey(key)}\n`);
  return ExitCode.ok;
}

/** 32 bytes, in the form in which `wg genkey` prints them. */
export function newPrivateKey(): Uint8Array {
  return clamp(newPresharedKey());
}

/** 32 random bytes. */
export function newPresharedKey(): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(KEY_LENGTH));
}

/**
 * The public key of a private key, both as text. Space around it is ignored.
 *
 * @throws {AppError} `usage`, if `text` is no key; the text is not shown
 */
export function publicKeyText(text: string): string {
  const key = decodeKey(text.trim());
  if (key === null) {
    throw new AppError(`Cannot read the private key: ${keyProblem(text.trim())}`, {
      exitCode: ExitCode.usage,
    });
  }
  return encodeKey(publicKey(key));
}

/**
 * The preshared key that stands on standard input, as text.
 *
 * @throws {AppError} `usage`, if that is no key; it is not shown
 */
export async function readPresharedKey(): Promise<string> {
  const text = (await readInput()).trim();
  if (decodeKey(text) !== null) return text;
  throw new AppError(`Cannot read the preshared key: ${keyProblem(text)}`, {
    exitCode: ExitCode.usage,
  });
}

/** What stands on standard input; a little beyond the length of a key is enough to see that it is none. */
async function readInput(): Promise<string> {
  const bytes = new Uint8Array(256);
  let length = 0;
  for (let read: number | null = 0; read !== null && length < bytes.length;) {
    read = await Deno.stdin.read(bytes.subarray(length));
    length += read ?? 0;
  }
  return new TextDecoder().decode(bytes.subarray(0, length));
}

/** Whether standard output is a file that others than its owner can read or write. */
async function isExposed(): Promise<boolean> {
  if (Deno.stdout.isTerminal()) return false;
  // Deno has no fstat() for the standard streams, and /dev/stdout takes all permissions there are.
  const { fstatSync } = await import("node:fs");
  const info = fstatSync(1);
  return info.isFile() && (info.mode & 0o077) !== 0;
}
