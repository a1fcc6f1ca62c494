/** Check of `vpn doctor`: examines one thing, and says the outcome. */
import { errorMessage, ExitCode, exitCodeOf } from "../../process/errors.ts";
import { AS_ROOT, privilegeRemedy } from "../../process/privileges.ts";
import type { Subject } from "./subject.ts";

/** `ok`: nothing to do. `warn`: works, but not as one would wish, or could not be found out. `fail`: does not work. */
export type CheckStatus = "ok" | "warn" | "fail";

/** What came of a look. */
export interface Verdict {
  readonly status: CheckStatus;
  /** What was found, and what follows from it. */
  readonly why: string;
  /** The command or the line of the configuration that fixes it; null where nothing is to be fixed. */
  readonly remedy: string | null;
}

/** A check by its name, which is stable: it is in `--json`. */
export interface Check {
  readonly name: string;
  /** Several verdicts where several things are wrong, none where the check does not apply. */
  readonly look: (subject: Subject) => readonly Verdict[] | Promise<readonly Verdict[]>;
}

/** A verdict with the name of its check. */
export interface Finding extends Verdict {
  readonly name: string;
}

export function ok(why: string): Verdict {
  return { status: "ok", why, remedy: null };
}

export function warn(why: string, remedy: string): Verdict {
  return { status: "warn", why, remedy };
}

export function fail(why: string, remedy: string): Verdict {
  return { status: "fail", why, remedy };
}

/**
 * Carries a check out. That it cannot be carried out is a warning: nothing is known then, and nothing else is kept from
 * being found.
 */
export async function carryOut(check: Check, subject: Subject): Promise<Finding[]> {
  let verdicts: readonly Verdict[];
  try {
    verdicts = await check.look(subject);
  } catch (error) {
    verdicts = [notFoundOut(error)];
  }
  return verdicts.map((verdict) => ({ name: check.name, ...verdict }));
}

/** What only root sees: whether it is ours, or in the way, is not known. */
export function hidden(why: string): Verdict {
  return warn(`${why}: whose it is, this user does not see`, AS_ROOT);
}

function notFoundOut(error: unknown): Verdict {
  const message = errorMessage(error);
  const isForbidden = error instanceof Deno.errors.PermissionDenied ||
    exitCodeOf(error) === ExitCode.privilege;
  return warn(
    `this check failed: ${message}`,
    isForbidden ? privilegeRemedy() : "run `vpn doctor --log-level debug` and report this",
  );
}
