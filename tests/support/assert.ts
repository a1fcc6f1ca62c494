/**
 * Typed face of the assertions: the npm copy of `@std/assert` has no declarations, so all its functions are `any`. Each
 * wrapper gives one of them its type and adds nothing.
 */
import * as std from "@std/assert/mod.js";

// deno-lint-ignore no-explicit-any
type ErrorClass<E extends Error> = new (...args: any[]) => E;

/** Fails unless `condition` is truthy; narrows its type for what follows. */
export function assert(condition: unknown, message?: string): asserts condition {
  std.assert(condition, message);
}

/** Fails unless both are deeply equal (as `@std/assert`: typed arrays, maps and sets included). */
export function assertEquals<T>(actual: T, expected: T, message?: string): void {
  std.assertEquals(actual, expected, message);
}

/** Fails if both are deeply equal. */
export function assertNotEquals<T>(actual: T, expected: T, message?: string): void {
  std.assertNotEquals(actual, expected, message);
}

/** Fails unless both are the same value by `Object.is`. */
export function assertStrictEquals<T>(
  actual: unknown,
  expected: T,
  message?: string,
): asserts actual is T {
  std.assertStrictEquals(actual, expected, message);
}

/** Fails unless `call` throws an `errorClass` whose message includes `messageIncludes`; returns what was thrown. */
export function assertThrows<E extends Error = Error>(
  call: () => unknown,
  errorClass?: ErrorClass<E>,
  messageIncludes?: string,
): E {
  return std.assertThrows(call, errorClass ?? Error, messageIncludes);
}

/** Fails unless the promise of `call` rejects likewise; resolves to the reason. */
export function assertRejects<E extends Error = Error>(
  call: () => PromiseLike<unknown>,
  errorClass?: ErrorClass<E>,
  messageIncludes?: string,
): Promise<E> {
  return std.assertRejects(call, errorClass ?? Error, messageIncludes);
}

/** Fails unless `text` matches `pattern`. */
export function assertMatch(text: string, pattern: RegExp, message?: string): void {
  std.assertMatch(text, pattern, message);
}

/** Fails unless `text` contains `part`. */
export function assertStringIncludes(text: string, part: string, message?: string): void {
  std.assertStringIncludes(text, part, message);
}

/** Fails always. */
export function fail(message?: string): never {
  return std.fail(message) as never;
}
