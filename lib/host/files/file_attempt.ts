/** File attempt: a system call on a file, with its failure as one line that says what to do. */
import {
  EACCES,
  EAGAIN,
  EEXIST,
  ELOOP,
  ENOENT,
  ENOTDIR,
  EPERM,
  SystemCallError,
} from "../../../ffi/errno.ts";
import { AppError, ExitCode } from "../../process/errors.ts";

/** Calls, with what goes wrong put into one line; `reasons` come before those of all files. */
export function fileAttempt<Result>(
  action: string,
  call: () => Result,
  reasons: Readonly<Record<number, string>> = {},
): Result {
  try {
    return call();
  } catch (cause) {
    if (!(cause instanceof SystemCallError)) throw cause;
    const privilege = cause.errno === EACCES || cause.errno === EPERM;
    throw new AppError(
      `Cannot ${action}: ${reasons[cause.errno] ?? REASONS[cause.errno] ?? cause.message}`,
      {
        exitCode: privilege ? ExitCode.privilege : ExitCode.usage,
        cause,
      },
    );
  }
}

/** What opens a file without waiting ends the lease on it within `/proc/sys/fs/lease-break-time`, 45 s. */
export const LEASED =
  "another program holds a lease on it (`fuser -v FILE`): try again in a minute";
const DENIED = "permission denied: run as the owner of its folder or as root";
const REASONS: Readonly<Record<number, string>> = {
  [EEXIST]:
    "it exists already and contains keys: remove it, or choose another name with --out FILE",
  [EACCES]: DENIED,
  [EPERM]: DENIED,
  [ENOENT]: "no such file or folder",
  [EAGAIN]: LEASED,
  [ENOTDIR]: "a part of its path is not a folder, or is a symbolic link, which is not allowed here",
  [ELOOP]:
    "it is a symbolic link, or is reached by another user's symbolic link: give the path of the file itself",
};
