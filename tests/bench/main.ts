/** Command `deno task bench`: from the command line to the table and the exit code. */
import { errorMessage } from "../../lib/process/errors.ts";
import { writeText } from "../../lib/process/output.ts";
import { Topology } from "../support/net.ts";
import { type BenchResult, runBench } from "./course.ts";
import { isBusy } from "./machine.ts";
import { formatMeasured } from "./measured.ts";
import { type BenchOptions, parseOptions, USAGE } from "./options.ts";
import { formatProfile } from "./profile/format.ts";
import { formatFigures } from "./report.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;
/** 128 and the signal's number, as a shell has it. */
const EXIT_CODES: Readonly<Record<(typeof SIGNALS)[number], number>> = {
  SIGINT: 130,
  SIGTERM: 143,
};
/** ms after which an interrupted run ends as it is. */
const UNWIND_TIMEOUT_MS = 15_000;

function note(text: string): void {
  writeText(Deno.stderr, `${text}\n`);
}

function formatResult(result: BenchResult): string {
  const { machine, foreignLoad, figures, profile, notes, seconds } = result;
  const { processor, processors, memory, kernel, deno, versions } = machine;
  const names = Object.entries(versions).map(([name, version]) => `${name}: ${version}`);
  const lines = [
    `${processors} x ${processor}, ${memory} GB, Linux ${kernel}, Deno ${deno}`,
    ...names,
    `Something else used ${percent(foreignLoad.mean)} % of the processors: the mean of ` +
    `${foreignLoad.values.length} looks between the turns, the highest ${
      percent(foreignLoad.max)
    } %.`,
    ...isBusy(foreignLoad) ? ["THE MACHINE WAS BUSY: these are no results."] : [],
    `All parties share this machine, in network namespaces. Took ${Math.round(seconds)} s.`,
    ...notes,
  ];
  const tables = figures.length === 0 ? "" : `\n${formatFigures(figures)}`;
  return `${lines.join("\n")}\n${tables}${profile === null ? "" : `\n${formatProfile(profile)}`}`;
}

function percent(share: number): number {
  return Math.round(100 * share);
}

function writeJson(path: string, result: BenchResult): void {
  const directory = path.slice(0, path.lastIndexOf("/") + 1);
  if (directory !== "") Deno.mkdirSync(directory, { recursive: true });
  Deno.writeTextFileSync(path, `${JSON.stringify(result, null, 2)}\n`);
}

/** Measures and reports; what a signal interrupts takes itself down on the way out. */
async function measure(options: BenchOptions): Promise<number> {
  await using topology = new Topology();
  const interruption = new AbortController();
  let exitCode = 0;
  for (const signal of SIGNALS) {
    Deno.addSignalListener(signal, () => {
      if (interruption.signal.aborted) return;
      interruption.abort();
      exitCode = EXIT_CODES[signal];
      note(`${signal}: taking everything down`);
      // Without its namespaces the measurement under way fails, and so ends.
      topology[Symbol.asyncDispose]();
      setTimeout(() => Deno.exit(exitCode), UNWIND_TIMEOUT_MS);
    });
  }
  try {
    const result = await runBench(topology, options, {
      note,
      interrupted: interruption.signal,
    });
    writeJson(options.json, result);
    const measured = options.json.replace(/(\.json)?$/, ".md");
    Deno.writeTextFileSync(measured, formatMeasured(result));
    writeText(
      Deno.stdout,
      `${formatResult(result)}\nAs JSON: ${options.json}\nAs it stands in README.md: ${measured}\n`,
    );
    return 0;
  } catch (error) {
    if (exitCode !== 0) return exitCode;
    throw error;
  }
}

async function main(): Promise<number> {
  try {
    const options = parseOptions(Deno.args);
    if (options === null) writeText(Deno.stdout, USAGE);
    else return await measure(options);
    return 0;
  } catch (error) {
    note(`bench: ${errorMessage(error)}`);
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main());
