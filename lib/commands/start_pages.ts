/**
 * Start pages: half of the runtime's program that is resident once it runs is code and tables which its start alone has
 * needed, and counts as this process's memory for as long as it lives.
 */
import type { LogCategory } from "../cli/command.ts";
import { releaseProgramPages } from "../../ffi/program_pages.ts";
import { guarded } from "../process/guard.ts";
import { getLogger } from "../process/logging.ts";

/** ms from when a program is up until what it does now and then has been done once. */
const PAUSE = 3_000;

/** Gives them back, once, a little later; where the host does not let it, they stay. */
export function releaseStartPages(category: LogCategory): Disposable {
  const logger = getLogger(category);
  const release = guarded(category, "giving back memory of the start", () => {
    try {
      const bytes = releaseProgramPages();
      logger.debug("{bytes} bytes of the program are mapped again when needed", { bytes });
    } catch (error) {
      if (!isRefusal(error)) throw error;
      logger.debug("memory of the start is kept: {message}", { message: error.message });
    }
  });
  const timer = setTimeout(release, PAUSE);
  return { [Symbol.dispose]: () => clearTimeout(timer) };
}

/** Of a host without /proc, or one where it is closed. */
function isRefusal(error: unknown): error is Error {
  return error instanceof Deno.errors.NotFound || error instanceof Deno.errors.NotCapable ||
    error instanceof Deno.errors.PermissionDenied;
}
