/**
 * Groups of test files, each of which one process runs in one isolate: the runtime takes a third of a second of
 * processor time to begin a file, even an empty one, which comes to minutes for hundreds of them.
 */

/** Files of which each runs in a process of its own, with the reason. */
const ALONE: ReadonlyMap<string, string> = new Map([
  ...[
    "tests/behaviour/allocation_test.ts",
    "tests/behaviour/fake_tcp/allocation_test.ts",
    "tests/behaviour/nat/allocation_test.ts",
    "tests/behaviour/wire/allocation_test.ts",
    "tests/unit/core/noise/replay_window_test.ts",
    "tests/unit/core/wireguard/handshake/rate_limiter_test.ts",
    "tests/unit/ffi/crypto/boringssl_test.ts",
    "tests/unit/ffi/crypto/ipsec_mb_test.ts",
    "tests/unit/ffi/crypto/libcrypto_test.ts",
  ].map((file): [string, string] => [
    file,
    "it measures the heap, on which other tests leave theirs, of code that others make the engine compile otherwise",
  ]),
]);

const ROOT = new URL("../../", import.meta.url);
/** Loaded by each group. */
const GROUPED_TESTS = new URL("./grouped_tests.ts", import.meta.url).href;
/** What `deno test` does not look into either. */
const NOT_SEARCHED = ["dist", "node_modules"];

/** The paths of the test files in a folder of the project and those below it, from the root, in order. */
export function testFilesIn(folder: string): string[] {
  const entries = Array.from(Deno.readDirSync(new URL(`${folder}/`, ROOT)));
  return entries.flatMap(({ name, isDirectory }) => {
    if (name.startsWith(".") || NOT_SEARCHED.includes(name)) return [];
    const path = folder === "." ? name : `${folder}/${name}`;
    if (isDirectory) return testFilesIn(path);
    return path.endsWith("_test.ts") ? [path] : [];
  }).sort();
}

/**
 * Divides files among `count` groups, neighbours into different ones, as those of a folder take about as long. Those
 * that run alone come first, in groups of one.
 */
export function groupsOf(files: readonly string[], count: number): string[][] {
  const together = files.filter((file) => !ALONE.has(file));
  return [
    ...files.filter((file) => ALONE.has(file)).map((file) => [file]),
    ...Array.from({ length: count }, (_, group) => together.filter((_, i) => i % count === group)),
  ].filter((group) => group.length > 0);
}

/** The text of a module that has the tests of all these files; a path is from the root, or absolute. */
export function moduleOf(files: readonly string[]): string {
  // Literals, so that the runtime knows what is imported beforehand, and needs no permission to read it.
  const loads = files.map((file) =>
    `await testsOf(${JSON.stringify(file)}, () => import(${
      JSON.stringify(new URL(file, ROOT).href)
    }));`
  );
  return [`import { testsOf } from ${JSON.stringify(GROUPED_TESTS)};`, ...loads, ""].join("\n");
}
