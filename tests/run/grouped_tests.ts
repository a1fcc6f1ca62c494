/** Tests of a group: what the module of a group calls, so that its tests still say which file they are in. */

/** What stands for a file whose module throws while it is loaded: the file fails, and the others of its group run. */
export const MODULE_LOADS = "its module loads";

const register = Deno.test;

/**
 * Loads a test file and registers its tests with the file before their names, as `deno test --parallel` writes them.
 *
 * @param file from the root of the project
 */
export async function testsOf(file: string, load: () => Promise<unknown>): Promise<void> {
  const named = (
    nameOrDefinition: string | Deno.TestDefinition,
    fn: Deno.TestDefinition["fn"] = () => {},
  ) => {
    const definition = typeof nameOrDefinition === "string"
      ? { name: nameOrDefinition, fn }
      : nameOrDefinition;
    register({ ...definition, name: `${file} => ${definition.name}` });
  };
  registerBy(Object.assign(named, register));
  try {
    await load();
  } catch (error) {
    named(MODULE_LOADS, () => {
      throw error;
    });
  } finally {
    registerBy(register);
  }
}

/** The property is declared as read-only, and is not. */
function registerBy(test: typeof Deno.test): void {
  Object.assign(Deno, { test });
}
