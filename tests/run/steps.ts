/** Steps of `deno task test`, in their order: what each runs, how long it may take, what it counts as. */
import { basename } from "node:path";
import { missingPrerequisite } from "../support/net.ts";
import { fetchPeers, installPeers } from "./peers.ts";
import { runStreamed } from "./streamed_command.ts";
import { openLog } from "./run_log.ts";
import { testFilesIn } from "./test_groups.ts";
import { addCounts, type Counts, type Failure, NO_TESTS } from "./test_output.ts";
import { addResults, atOnce, runTests, tooLong } from "./test_run.ts";
import { runUnitTests } from "./unit_step.ts";
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
  /** Begins what may go on beside the steps before it; never rejects. */
  prepare?(): Promise<void>;
  /**
   * @param say shows a line to the user
   * @param isRun whether the step of a name is one of this run
   */
  run(
    say: (line: string) => void,
    isRun: (name: string) => boolean,
  ): Promise<StepResult>;
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
  "executable",
]
  .map((name) => `${name}_test.ts`);

export const STEPS: readonly Step[] = [
  check("format", "deno fmt --check", ["fmt", "--check"]),
  check("lint", "deno lint", ["lint", "--quiet"]),
  check("types", "deno check", ["check", "--quiet", "main.ts", "lib", "ffi", "tests"]),
  { name: "unit", title: "unit tests and vectors", run: runUnitTests },
  {
    name: "peers",
    title: "programs the network tests compare with",
    prepare: () => missingPrerequisite() === null ? fetchPeers() : Promise.resolve(),
    async run(say) {
      const trouble = missingPrerequisite() === null ? await installPeers(say) : null;
      return { counts: NO_TESTS, note: trouble ?? "" };
    },
  },
  {
    name: "compile",
    title: './compile.sh --oci; alone, or without "net", also tests of dist/vpn and its image',
    async run(say, isRun) {
      const built = await runCounted(say, {
        program: new URL("../../compile.sh", import.meta.url).pathname,
        args: ["--oci"],
        env: { DENO: Deno.execPath() },
        timeout: LIMIT,
      });
      if (built.counts.failed > 0) return built;
      isBuilt = true;
      // Network tests wait much, so the step with them has time for these as well.
      if (isRun("net")) {
        // It unpacks itself here, once, rather than in all of those that start it at the same time.
        await runCounted(say, { program: EXECUTABLE, args: ["--version"], timeout: LIMIT });
        return built;
      }
      const tested = await runFiles(say, { folders: ["tests/compile"], width: 1, timeout: LIMIT });
      return { ...tested, counts: addCounts(built.counts, tested.counts) };
    },
  },
  {
    name: "net",
    title: "network tests, in namespaces; those of dist/vpn where it has been built",
    run: (say) =>
      runFiles(say, {
        folders: [...isBuilt ? ["tests/compile"] : [], "tests/net"],
        width: 6,
        timeout: LIMIT,
      }),
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
  readonly folders: readonly string[];
  /** Files that run at the same time. */
  readonly width: number;
  /** Of one file, in ms. */
  readonly timeout: number;
}

/**
 * Runs the tests of folders, each file in a process of its own and some at once, as network tests wait for most of
 * their time. Each of these has what our processes and `ip netns` tell each other by for itself: `vpn cleanup` of one
 * removes what another has killed to see it removed.
 */
async function runFiles(
  say: (line: string) => void,
  { folders, width, timeout }: FilesRun,
): Promise<StepResult> {
  const files = folders.flatMap(testFilesIn).sort((a, b) =>
    Number(LONG.includes(basename(b))) - Number(LONG.includes(basename(a))) || (a < b ? -1 : 1)
  );
  const canBeApart = missingPrerequisite() === null;
  const env = environmentNow();
  return addResults(
    await atOnce(width, files, (file) => {
      const isApart = canBeApart && file.startsWith("tests/net/");
      return runTests(say, { args: [file], timeout, isApart, env });
    }),
  );
}

/** What network tests are told of the executable. */
function environmentNow(): Readonly<Record<string, string>> {
  return isBuilt ? { VPN_EXECUTABLE: EXECUTABLE } : {};
}
