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
} from "../../ffi/errno.ts";
import { type Libc, openLibc } from "../../ffi/libc.ts";
import { assertEquals, assertThrows } from "../support/assert.ts";
import { hostTest } from "../support/permissions.ts";

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

hostTest("check() reads the thread's own errno when a call of libc fails", () => {
  const libc = openLibc();
  const error = assertThrows(
    () => check(libc, libc.symbols.close(-1), "close -1"),
    SystemCallError,
  );
  assertEquals(error.message, "Cannot close -1: bad file descriptor (EBADF)");
});
