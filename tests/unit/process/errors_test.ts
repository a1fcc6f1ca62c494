/** Shows what exit code and what line each kind of error becomes. */
import { EACCES, EADDRINUSE, EPERM, SystemCallError } from "../../../ffi/errno.ts";
import { AppError, errorLine, ExitCode, exitCodeOf } from "../../../lib/process/errors.ts";
import { UsageError } from "../../../lib/cli/usage_error.ts";
import { ConfigError } from "../../../lib/core/config/config_error.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

Deno.test("exitCodeOf() gives the documented code of each kind of error", () => {
  const cases: [error: unknown, code: number][] = [
    [new UsageError("x"), 2],
    [new ConfigError("x"), 2],
    [new SystemCallError("open", EPERM), 5],
    [new SystemCallError("open", EACCES), 5],
    [new SystemCallError("bind", EADDRINUSE), 1],
    [new Error("x"), 1],
    [new TypeError("x"), 1],
    ["x", 1],
    [undefined, 1],
    ...Object.values(ExitCode).map((exitCode): [unknown, number] => [
      new AppError("x", { exitCode }),
      exitCode,
    ]),
  ];
  for (const [error, code] of cases) assertEquals(exitCodeOf(error), code, String(error));
});

Deno.test("where taking down fails as well, both are named, and the first of them decides", () => {
  const fail = (code: ExitCode) => {
    using stack = new DisposableStack();
    stack.defer(() => {
      throw new Error("Cannot remove the route");
    });
    stack.defer(() => {
      throw new TypeError("Cannot close");
    });
    throw new AppError("Cannot start", { exitCode: code });
  };
  for (const code of [ExitCode.connect, ExitCode.privilege]) {
    const error = assertThrows(() => fail(code));
    assertEquals(
      [exitCodeOf(error), errorLine(error)],
      [code, "vpn: Cannot start; then: Cannot close; then: Cannot remove the route"],
    );
  }
});

Deno.test("errorLine() gives one line when a message has several", () => {
  assertEquals(errorLine(new Error("a:\n  b\n")), "vpn: a:; b");
  assertEquals(errorLine(new ConfigError("s.conf:7: MTU: bad")), "vpn: s.conf:7: MTU: bad");
  assertEquals(errorLine("thrown text"), "vpn: thrown text");
});

Deno.test("AppError keeps its cause when given one", () => {
  const cause = new Error("why");
  assertEquals(new AppError("x", { exitCode: ExitCode.connect, cause }).cause, cause);
  assertEquals("cause" in new AppError("x", { exitCode: ExitCode.connect }), false);
});
