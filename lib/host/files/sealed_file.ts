/**
 * Sealed bytes: encrypted by a passphrase in the age format (age-encryption.org/v1), so that other programs than this
 * one can open them.
 */
import { Decrypter, Encrypter } from "age-encryption";
import { AppError, errorMessage, ExitCode } from "../../process/errors.ts";

/** log2 of scrypt's cost, as `age -p` has it: 256 MiB and about a second for each try of an attacker. */
const WORK_FACTOR = 18;

/** @param workFactor log2 of scrypt's cost */
export async function seal(
  bytes: Uint8Array,
  passphrase: string,
  workFactor = WORK_FACTOR,
): Promise<Uint8Array<ArrayBuffer>> {
  const encrypter = new Encrypter();
  encrypter.setPassphrase(passphrase);
  encrypter.setScryptWorkFactor(workFactor);
  return new Uint8Array(await encrypter.encrypt(bytes));
}

/**
 * @param path as messages name it
 * @throws {AppError} `usage` where the passphrase is another, or the bytes are not as they were written
 */
export async function unseal(
  sealed: Uint8Array,
  passphrase: string,
  path: string,
): Promise<Uint8Array<ArrayBuffer>> {
  try {
    const decrypter = new Decrypter();
    decrypter.addPassphrase(passphrase);
    return new Uint8Array(await decrypter.decrypt(sealed));
  } catch (cause) {
    throw new AppError(
      `Cannot open ${path}: the passphrase is wrong, or the file is damaged or no backup ` +
        `(${errorMessage(cause)})`,
      { exitCode: ExitCode.usage, cause },
    );
  }
}
