/**
 * Set-up token: the one-time link by which the first account is made, and one that `vpn init --console` leaves, as a
 * hash, in the state folder of a console that has not run yet.
 */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { hashOf, newSecret } from "./secrets.ts";

/** In the state folder. */
const LEFT_FILE = "setup-token.sha256";

/** The token stands behind `#`, so that it is in no request and in nobody's log. */
export function setupLinkOf(origin: string, token: string): string {
  return `${origin}/#/setup/${token}`;
}

/**
 * Makes a console's state folder, with one in it. Returns it; null where there is such a folder already: it is another
 * user's, who could have root write elsewhere by a link in it.
 *
 * @param owner whose the console will be; null for this process's user
 * @throws {Error} where it cannot
 */
export function leaveSetupToken(
  folder: string,
  owner: { readonly user: number; readonly group: number } | null,
): string | null {
  if (!makeStateFolder(folder)) return null;
  const token = newSecret();
  const path = `${folder}/${LEFT_FILE}`;
  Deno.writeTextFileSync(path, `${hashOf(token)}\n`, { mode: 0o600 });
  if (owner !== null) {
    for (const each of [path, folder]) Deno.chownSync(each, owner.user, owner.group);
  }
  return token;
}

/** The hash of what was left there; null for nothing. */
export function leftTokenHash(folder: string): string | null {
  try {
    return Deno.readTextFileSync(`${folder}/${LEFT_FILE}`).trim();
  } catch {
    return null;
  }
}

/** Removes what was left there; where it cannot be, it has no effect all the same once there is an account. */
export function removeLeftToken(folder: string): void {
  try {
    Deno.removeSync(`${folder}/${LEFT_FILE}`);
  } catch {
    // None was left, or it is another user's.
  }
}

/**
 * Makes the folder of a console's state, which is its own user's; those above are for others' as well.
 *
 * @returns false where it is there already
 */
export function makeStateFolder(folder: string): boolean {
  if (existsSync(folder)) return false;
  Deno.mkdirSync(dirname(folder), { recursive: true });
  Deno.mkdirSync(folder, { mode: 0o700 });
  return true;
}
