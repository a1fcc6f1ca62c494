/** Flags of files that go beyond their mode, as `lsattr` shows them: what makes root's writing fail. */
import { O_CLOEXEC, O_NONBLOCK, O_RDONLY } from "./file_constants.ts";
import { cString, openLibc } from "./libc.ts";

/** `_IOR('f', 1, long)` (include/uapi/linux/fs.h), on 64-bit machines. */
const FS_IOC_GETFLAGS = 0x80086601;
const FS_IMMUTABLE_FL = 0x10;

/** Whether nobody may change a file, root included, as after `chattr +i`. False where that cannot be told. */
export function isImmutable(path: string): boolean {
  const libc = openLibc();
  const fd = libc.symbols.open(cString(path), O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  if (fd < 0) return false;
  // The kernel writes an int, whatever the macro says.
  const flags = new Uint8Array(8);
  const result = libc.symbols.ioctl(fd, FS_IOC_GETFLAGS, flags);
  libc.symbols.close(fd);
  return result === 0 && (flags[0]! & FS_IMMUTABLE_FL) !== 0;
}
