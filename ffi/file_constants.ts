/**
 * File constants: the numbers of `open(2)` and `statx(2)` that more than one module takes, and the identity of a file.
 */
import { struct } from "./layout.ts";

export const O_RDONLY = 0;
export const O_NONBLOCK = 0o4000;
export const O_CLOEXEC = 0o2000000;

/** The folder of a call whose name ends in `at`: the working directory. */
export const AT_FDCWD = -100;

/** `sizeof(struct statx)` */
export const STATX_SIZE = 256;
/** `__u64 stx_ino`, in halves. */
const STX_INO_OFFSET = 32;
const STX_INO = struct({ low: "u32", high: "u32" });
/** `__u32 stx_dev_major, stx_dev_minor` */
const STX_DEV_OFFSET = 136;
const STX_DEV = struct({ major: "u32", minor: "u32" });

/** What tells the file of a `struct statx` from all others: device and inode. */
export function identityIn(status: Uint8Array): string {
  const { low, high } = STX_INO.read(status, STX_INO_OFFSET);
  const { major, minor } = STX_DEV.read(status, STX_DEV_OFFSET);
  return `${major}:${minor}:${high}:${low}`;
}
