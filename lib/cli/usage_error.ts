/** Usage error: the exception that wrong arguments become. */

/** Arguments that make no command (exit code 2). The message is one line. */
export class UsageError extends Error {
  override readonly name = "UsageError";
}
