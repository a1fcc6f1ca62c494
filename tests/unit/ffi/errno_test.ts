/** Tests of `ffi/errno.ts`. */
import {
  check,
  EADDRINUSE,
  EAGAIN,
  EEXIST,
  EHOSTUNREACH,
  ENETUNREACH,
  ENOENT,
  EPERM,
  errnoName,
  SystemCallError,
} from "../../../ffi/errno.ts";
import { type Libc, openLibc } from "../../../ffi/libc.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";
import { hostTest } from "../../support/permissions.ts";

/** A libc whose last call has failed with this number. */
function failedWith(errno: number): Libc {
  return { symbols: openLibc().symbols, errno: () => errno };
}

Deno.test("errnoName() gives the symbol of a number, or the number where it has none", () => {
  const names = [EPERM, ENOENT, EAGAIN, EEXIST, EADDRINUSE, ENETUNREACH, EHOSTUNREACH].map(
    errnoName,
  );
  assertEquals(names, [
    "EPERM",
    "ENOENT",
    "EAGAIN",
    "EEXIST",
    "EADDRINUSE",
    "ENETUNREACH",
    "EHOSTUNREACH",
  ]);
  assertEquals(errnoName(4000), "errno 4000");
});

Deno.test("every error number that the kernel defines has a name of its own, and words", () => {
  // Of include/uapi/asm-generic/errno-base.h and errno.h; 41 and 58 are other names for 11 and 35.
  const defined = Array.from({ length: 133 }, (_, i) => i + 1).filter((n) => n !== 41 && n !== 58);
  // Of include/linux/errno.h.
  const internal = Array.from({ length: 530 - 511 }, (_, i) => i + 512).filter((n) => n !== 520);
  const names = [...defined, ...internal].map(errnoName);
  assertEquals(names.filter((name) => !/^E[A-Z0-9_]+$/.test(name)), []);
  assertEquals(new Set(names).size, names.length);
  assertEquals(
    [77, 97, 133, 524].map((number) => new SystemCallError("do this", number).message),
    [
      "Cannot do this: file descriptor in bad state (EBADFD)",
      "Cannot do this: address family not supported by protocol (EAFNOSUPPORT)",
      "Cannot do this: memory page has hardware error (EHWPOISON)",
      "Cannot do this: operation not supported (ENOTSUPP)",
    ],
  );
});

hostTest("check() passes a result on when it is not negative", () => {
  assertEquals(check(failedWith(EPERM), 0, "do this"), 0);
  assertEquals(check(failedWith(EPERM), 7, "do this"), 7);
});

hostTest(
  "check() throws what was tried, why it failed and the number when the result is negative",
  () => {
    const error = assertThrows(
      () => check(failedWith(EADDRINUSE), -1, "bind UDP port 51820"),
      SystemCallError,
    );
    assertEquals(error.message, "Cannot bind UDP port 51820: address already in use (EADDRINUSE)");
    assertEquals([error.errno, error.code], [EADDRINUSE, "EADDRINUSE"]);
    const unknown = assertThrows(() => check(failedWith(4000), -1, "do this"), SystemCallError);
    assertEquals(unknown.message, "Cannot do this: unknown error (errno 4000)");
  },
);

Deno.test("isUnavailable tells what a kernel does not have, or keeps from us, from what may pass", () => {
  const unavailable = (errno: number) => new SystemCallError("do this", errno).isUnavailable;
  // EPERM, EACCES, EINVAL, ENOTTY, ENOSYS, ENOPROTOOPT, EOPNOTSUPP
  assertEquals([1, 13, 22, 25, 38, 92, 95].map(unavailable), new Array(7).fill(true));
  // ENOENT, EAGAIN, ENOMEM, EBUSY, ENOSPC, EBADFD, EADDRINUSE, ENOBUFS
  assertEquals([2, 11, 12, 16, 28, 77, 98, 105].map(unavailable), new Array(8).fill(false));
});

hostTest("check() reads the thread's own errno when a call of libc fails", () => {
  const libc = openLibc();
  const error = assertThrows(
    () => check(libc, libc.symbols.close(-1), "close -1"),
    SystemCallError,
  );
  assertEquals(error.message, "Cannot close -1: bad file descriptor (EBADF)");
});
