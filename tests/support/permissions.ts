/**
 * Tests that need more of the host than to compute: files, programs, sockets, the environment. `deno test` grants
 * nothing unasked, whatever `deno.json` says, and is how people try a project: there, these are reported as ignored.
 */

const NEEDED = ["read", "write", "net", "env", "sys", "run", "ffi"] as const;

/** Why a test is left out that needs them. */
export const MISSING_PERMISSION =
  "it needs permissions, as `deno test -A` or `deno test -P` gives them";

/** What of the runtime's permissions is missing, in words; null when nothing is. */
export function missingPermission(): string | null {
  const areGranted = NEEDED.every((name) =>
    Deno.permissions.querySync({ name }).state === "granted"
  );
  return areGranted ? null : MISSING_PERMISSION;
}

/** Registers a test as `Deno.test()` does; without the permissions it is ignored, with the reason in its name. */
export function hostTest(
  name: string,
  fn: (context: Deno.TestContext) => void | Promise<void>,
): void;
export function hostTest(definition: Deno.TestDefinition): void;
export function hostTest(
  nameOrDefinition: string | Deno.TestDefinition,
  fn: (context: Deno.TestContext) => void | Promise<void> = () => {},
): void {
  const definition = typeof nameOrDefinition === "string"
    ? { name: nameOrDefinition, fn }
    : nameOrDefinition;
  const missing = missingPermission();
  if (missing === null) Deno.test(definition);
  else {
    Deno.test({ ...definition, name: `${definition.name} (ignored: ${missing})`, ignore: true });
  }
}

/** What `call` gives, where the permissions are there; else nothing, and no test that runs may look at it. */
export function whereAllowed<Value>(call: () => Value): Value {
  return missingPermission() === null ? call() : undefined as Value;
}

/** An environment variable; undefined where it is not set, or may not be read. */
export function environment(name: string): string | undefined {
  const { state } = Deno.permissions.querySync({ name: "env", variable: name });
  return state === "granted" ? Deno.env.get(name) : undefined;
}
