/**
 * Last resort for errors: an exception or a rejection that went past every guard ends the program, but in good order,
 * by the way that a signal takes, so that the host is as it was before.
 */
import { AppError, errorMessage, ExitCode } from "./errors.ts";
import type { Logger } from "./logging.ts";

export interface LastResort extends Disposable {
  /** Rejects with the first error that nothing handled, as one for the user; never resolves. */
  readonly failed: Promise<never>;
  /** Resolves with it. */
  readonly struck: Promise<void>;
}

/**
 * Catches from now on, and until disposed of, what would end the process on the spot. The first one makes `failed`
 * reject, which the caller waits for; those behind it, which may come from the end itself, are logged.
 */
export function catchFaults(logger: Logger): LastResort {
  const failed = Promise.withResolvers<never>();
  const struck = Promise.withResolvers<void>();
  // It may come before anybody waits.
  failed.promise.catch(() => {});
  let isStruck = false;
  const take = (error: unknown) => {
    // Nothing here may throw: it would be called again, for ever.
    const stack = error instanceof Error ? error.stack ?? error.message : String(error);
    logger.error("unhandled error: {stack}", { stack });
    if (isStruck) return;
    isStruck = true;
    const message = errorMessage(error);
    const cause = new AppError(
      `Cannot continue after an internal error: ${message}: all changes are undone: ` +
        "start it again, and report the error with the log",
      { exitCode: ExitCode.unexpected, cause: error },
    );
    failed.reject(cause);
    struck.resolve();
  };
  const onError = (event: ErrorEvent) => {
    event.preventDefault();
    take(event.error);
  };
  const onRejection = (event: PromiseRejectionEvent) => {
    event.preventDefault();
    take(event.reason);
  };
  globalThis.addEventListener("error", onError);
  globalThis.addEventListener("unhandledrejection", onRejection);
  return {
    failed: failed.promise,
    struck: struck.promise,
    [Symbol.dispose]() {
      globalThis.removeEventListener("error", onError);
      globalThis.removeEventListener("unhandledrejection", onRejection);
    },
  };
}
