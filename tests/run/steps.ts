/** Steps of `deno task test`, in their order: what each runs, how long it may take, what it counts as. */
import { basename } from "node:path";
import { apart } from "../support/apart.ts";
import { missingPrerequisite } from "../support/net.ts";
import { MISSING_PERMISSION } from "../support/permissions.ts";
import { installPeers } from "./peers.ts";
import { runStreamed } from "./streamed_command.ts";
import { openLog } from "./run_log.ts";
import { SEED } from "./seed.ts";
import { addCounts, type Counts, type Failure, NO_TESTS, TestOutput } from "./test_output.ts";
import { runGuests } from "../vm/run_guests.ts";

/** A test that failed, and where all that it wrote is. */
export interface FailedTest extends Failure {
  readonly log: string;
}

/** How a step ended. */
export interface StepResult {
  /** None for a step that is no test of the runtime's. */
  readonly failures?: readonly FailedTest[];
  readonly counts: Counts;
  /** What the summary says of it besides. */
  readonly note: string;
}

export interface Step {
  readonly name: string;
  /** What it does, in a few words. */
  readonly title: string;
  /** Whether it is run only where it is named. */
  readonly isOptional?: boolean;
  /** @param say shows a line to the user */
  run(say: (line: string) => void): Promise<StepResult>;
}

const MINUTE = 60_000;
/** What one program may take, on a machine that is busy with other things: only what hangs takes so long. */
const LIMIT = 20 * MINUTE;
const EXECUTABLE = new URL("../../dist/vpn", import.meta.url).pathname;
/** Whether this run has built the executable, which the network tests start in place of the sources then. */
let isBuilt = false;
/** Files that take the longest, which begin first: else the step waits for one of them in the end. */
const LONG = [
  "undo",
  "lifecycle",
  "standing_block",
  "upkeep",
  "demo",
  "gateway_egress",
  "offload",
  "path_mtu",
]
  .map((name) => `${name}_test.ts`);
/** Tests of the built executable, and tests that need root. */
const NOT_UNIT = ["tests/compile", "tests/net"];

export const STEPS: readonly Step[] = [
  check("format", "deno fmt --check", ["fmt", "--check"]),
  check("lint", "deno lint", ["lint", "--quiet"]),
  check("types", "deno check", ["check", "--quiet", "main.ts", "lib", "ffi", "tests"]),
  { name: "unit", title: "unit tests and vectors", run: runUnitTests },
  {
    name: "peers",
    title: "programs the network tests compare with",
    async run(say) {
      const trouble = missingPrerequisite() === null ? await installPeers(say) : null;
      return { counts: NO_TESTS, note: trouble ?? "" };
    },
  },
  {
    name: "compile",
    title: "./compile.sh --oci, and tests of dist/vpn and its image",
    async run(say) {
      const built = await runCounted(say, {
        program: new URL("../../compile.sh", import.meta.url).pathname,
        args: ["--oci"],
        env: { DENO: Deno.execPath() },
        timeout: LIMIT,
      });
      if (built.counts.failed > 0) return built;
      isBuilt = true;
      const tested = await runTests(say, { args: ["tests/compile"], timeout: LIMIT });
      return { ...tested, counts: addCounts(built.counts, tested.counts) };
    },
  },
  {
    name: "net",
    title: "network tests, in namespaces",
    run: (say) => runFiles(say, { folder: "tests/net", atOnce: 6, timeout: LIMIT }),
  },
  {
    name: "demo",
    title: "dist/vpn demo",
    run(say) {
      const missing = missingPrerequisite();
      if (missing !== null) {
        say(`skipped: ${missing}`);
        return Promise.resolve({ counts: { ...NO_TESTS, skipped: 1 }, note: missing });
      }
      return runCounted(say, { program: EXECUTABLE, args: ["demo"], timeout: LIMIT });
    },
  },
  {
    name: "vm",
    title: "the executable on other kernels and on arm64, emulated; only if named",
    isOptional: true,
    run: runGuests,
  },
];

/** A step that is one test: it passes or it does not. */
function check(name: string, title: string, args: readonly string[]): Step {
  return {
    name,
    title,
    run: (say) => runCounted(say, { program: Deno.execPath(), args, timeout: LIMIT }),
  };
}

interface TestRun {
  readonly args: readonly string[];
  /** Names its log; the last of `args` if left out. */
  readonly label?: string;
  /** As by bare `deno test`: tests that need permissions leave themselves out, and are not counted. */
  readonly isBare?: boolean;
  /** In ms. */
  readonly timeout: number;
  /** Whether it has run-time and temporary files of its own; needs root. */
  readonly isApart?: boolean;
}

interface Program {
  readonly program: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  /** In ms. */
  readonly timeout: number;
}

async function runCounted(say: (line: string) => void, program: Program): Promise<StepResult> {
  const name = [program.program.replace(/.*\//, ""), ...program.args].join(" ");
  using log = openLog(name.replace(/[^\w.-]+/g, "-").slice(0, 60));
  const { code, timedOut } = await runStreamed({
    ...program,
    onLine(line) {
      log.write(line);
      say(line);
    },
  });
  if (code === 0) return { counts: { ...NO_TESTS, passed: 1 }, note: "" };
  const note = timedOut ? tooLong(program.timeout) : `exit code ${code}`;
  const failures = [{ name: null, file: name, log: log.path }];
  return { counts: { ...NO_TESTS, failed: 1 }, note, failures };
}

interface FilesRun {
  /** Whose files ending in `_test.ts` are run. */
  readonly folder: string;
  /** Files that run at the same time. */
  readonly atOnce: number;
  /** Of one file, in ms. */
  readonly timeout: number;
}

/**
 * Runs the tests of a folder, each file in a process of its own and some at once, as network tests wait for most of
 * their time. Each has what our processes and `ip netns` tell each other by for itself: `vpn cleanup` of one removes
 * what another has killed to see it removed.
 */
async function runFiles(
  say: (line: string) => void,
  { folder, atOnce, timeout }: FilesRun,
): Promise<StepResult> {
  const files = testFilesIn(folder).sort((a, b) =>
    Number(LONG.includes(basename(b))) - Number(LONG.includes(basename(a))) || (a < b ? -1 : 1)
  );
  const isApart = missingPrerequisite() === null;
  const results: StepResult[] = [];
  const work = async () => {
    for (let name = files.shift(); name !== undefined; name = files.shift()) {
      results.push(await runTests(say, { args: [name], timeout, isApart }));
    }
  };
  await Promise.all(Array.from({ length: atOnce }, work));
  return {
    counts: results.map(({ counts }) => counts).reduce(addCounts),
    note: results.map(({ note }) => note).filter((note) => note !== "").join("; "),
    failures: results.flatMap(({ failures = [] }) => failures),
  };
}

/** The paths of the test files in a folder and those below it, from the root. */
function testFilesIn(folder: string): string[] {
  return Array.from(Deno.readDirSync(new URL(`../../${folder}`, import.meta.url))).flatMap(
    (entry) => {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory) return testFilesIn(path);
      return path.endsWith("_test.ts") ? [path] : [];
    },
  );
}

/**
 * First all tests as bare `deno test` runs them, which is how people try a project; then, with permissions, the files
 * that have tests which need these.
 */
async function runUnitTests(say: (line: string) => void): Promise<StepResult> {
  const bare = await runTests(say, { args: [], label: "bare", timeout: LIMIT, isBare: true });
  const files = bare.filesLeftOut.filter((file) =>
    !NOT_UNIT.some((folder) => file.startsWith(`${folder}/`))
  );
  if (files.length === 0) return bare;
  const others = await runTests(say, { args: files, label: "unit", timeout: LIMIT });
  return {
    counts: addCounts(bare.counts, others.counts),
    note: [bare.note, others.note].filter((note) => note !== "").join("; "),
    failures: [...bare.failures ?? [], ...others.failures ?? []],
  };
}

/**
 * Runs tests, those with permissions one file after the other: some measure the memory of the whole process, or time
 * what they see. The types are checked by a step of their own.
 */
async function runTests(
  say: (line: string) => void,
  { args, label = args.at(-1)!, timeout, isApart = false, isBare = false }: TestRun,
): Promise<StepResult & { readonly filesLeftOut: readonly string[] }> {
  const output = new TestOutput();
  using log = openLog(label);
  // What only computes disturbs nobody: as many files at once as there are processors.
  const permissions = isBare ? ["--parallel"] : ["--allow-all"];
  const test = [Deno.execPath(), "test", "--quiet", "--no-check", ...permissions, ...args];
  const [program, ...rest] = isApart ? apart(test) : test;
  const { code, timedOut } = await runStreamed({
    program: program!,
    args: rest,
    timeout,
    env: { VPN_SEED: `${SEED}`, ...isBuilt && { VPN_EXECUTABLE: EXECUTABLE } },
    onLine(line) {
      log.write(line);
      output.take(line).forEach(say);
    },
  });
  if (timedOut && output.begun !== null) say(`${output.begun} did not end`);
  const forPermissions = isBare ? output.reasons.get(MISSING_PERMISSION) ?? 0 : 0;
  for (const [reason, count] of output.reasons) {
    if (!isBare || reason !== MISSING_PERMISSION) say(`skipped ${count}: ${reason}`);
  }
  const all = output.counts({ success: code === 0 });
  const counts = { ...all, skipped: all.skipped - forPermissions };
  const listed = output.failures.length > 0 || code === 0
    ? output.failures
    : [{ name: output.begun?.replace(/ \.\.\.$/, "") ?? null, file: label }];
  const failures = listed.map((failure) => ({ ...failure, log: log.path }));
  const filesLeftOut = output.filesLeftOut(MISSING_PERMISSION);
  return { counts, note: timedOut ? tooLong(timeout) : "", failures, filesLeftOut };
}

function tooLong(timeout: number): string {
  return `ended after ${timeout / MINUTE} min`;
}
