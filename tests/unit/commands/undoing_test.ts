/** Tests of what a clean-up does when a part of it fails, and of its exit code. */
import { EPERM, SystemCallError } from "../../../ffi/errno.ts";
import { Undoing } from "../../../lib/commands/undoing.ts";
import { AppError, ExitCode } from "../../../lib/process/errors.ts";
import { assertEquals, assertThrows } from "../../support/assert.ts";

function denied(): never {
  throw new SystemCallError("delete a rule", EPERM);
}

function broken(): never {
  throw new Deno.errors.NotADirectory("no folder");
}

Deno.test("what fails keeps nothing else from being undone, and the exit code tells of it", () => {
  for (
    const [calls, exitCode] of [
      [[], ExitCode.ok],
      [[denied], ExitCode.privilege],
      [[denied, denied], ExitCode.privilege],
      [[broken], ExitCode.unexpected],
      [[denied, broken], ExitCode.unexpected],
      [[broken, denied], ExitCode.unexpected],
    ] as const
  ) {
    const undoing = new Undoing();
    for (const call of calls) {
      undoing.attempt("undo it", "do it by hand", call);
      undoing.attempt("undo the next", "do it by hand", () => undoing.lines.push("undid"));
    }
    assertEquals(undoing.lines.length, calls.length);
    assertEquals(undoing.exitCode, exitCode);
  }
});

Deno.test("who may not even look ends with that", () => {
  const undoing = new Undoing();
  const refused = new AppError("permission denied", { exitCode: ExitCode.privilege });
  const call = () => {
    throw refused;
  };
  assertEquals(assertThrows(() => undoing.attempt("look", "be root", call)), refused);
});
