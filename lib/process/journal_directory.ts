/** Journal directory: `/run/vpn`, and `$XDG_RUNTIME_DIR/vpn` for users other than root. */
import { AppError, errorMessage, ExitCode } from "./errors.ts";

/** Where journals are: in memory, as what they name does not outlive the kernel either. Users have their own. */
export function journalDirectory(): string {
  const ofUser = Deno.uid() === 0 ? undefined : Deno.env.get("XDG_RUNTIME_DIR");
  return ofUser ? `${ofUser}/vpn` : "/run/vpn";
}

/**
 * Makes sure that a journal can be written: without one, nothing may be changed.
 *
 * @throws {AppError} with exit code 5 and the remedy
 */
export function requireJournalDirectory(): void {
  const path = journalDirectory();
  try {
    Deno.mkdirSync(path, { recursive: true, mode: 0o700 });
    Deno.removeSync(Deno.makeTempFileSync({ dir: path }));
  } catch (error) {
    const isReadOnly = error instanceof Error && "code" in error && error.code === "EROFS";
    const reason = isReadOnly
      ? "it is read-only: mount a file system there, for example with `--tmpfs /run` if a container's root is read-only"
      : `${
        error instanceof Deno.errors.PermissionDenied ? "permission denied" : errorMessage(error)
      }: run as root, or set XDG_RUNTIME_DIR to a directory of this user`;
    throw new AppError(`Cannot write the journal of changes to ${path}: ${reason}`, {
      exitCode: ExitCode.privilege,
      cause: error,
    });
  }
}
