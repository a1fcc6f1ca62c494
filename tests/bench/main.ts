/** Owns `deno task bench`: from the command line to the table and the exit code. */
import { writeText } from "../../lib/app/output.ts";
import { Topology } from "../support/net.ts";
import { type BenchResult, runBench } from "./bench.ts";
import { type BenchOptions, parseOptions, USAGE } from "./options.ts";
import { formatProfile } from "./profile/format.ts";
import { formatFigures } from "./report.ts";

const SIGNALS = ["SIGINT", "SIGTERM"] as const;

function note(text: string): void {
  writeText(Deno.stderr, `${text}\n`);
}

function formatResult({ machine, figures, profile, notes, seconds }: BenchResult): string {
  const { processor, processors, memory, kernel, deno, versions, foreignLoad } = machine;
  const names = Object.entries(versions).map(([name, version]) => `${name}: ${version}`);
  const lines = [
    `${processors} x ${processor}, ${memory} GB, Linux ${kernel}, Deno ${deno}`,
    ...names,
    `Something else used ${Math.round(100 * foreignLoad)} % of the processors before the run.`,
    `All parties share this machine, in network namespaces. Took ${Math.round(seconds)} s.`,
    ...notes,
  ];
  const tables = figures.length === 0 ? "" : `\n${formatFigures(figures)}`;
  return `${lines.join("\n")}\n${tables}${profile === null ? "" : `\n${formatProfile(profile)}`}`;
}

function writeJson(path: string, result: BenchResult): void {
  const directory = path.slice(0, path.lastIndexOf("/") + 1);
  if (directory !== "") Deno.mkdirSync(directory, { recursive: true });
  Deno.writeTextFileSync(path, `${JSON.stringify(result, null, 2)}\n`);
}

async function measure(options: BenchOptions): Promise<void> {
  const topology = new Topology();
  const stop = (signal: Deno.Signal) => {
    note(`${signal}: taking everything down`);
    // What is measured at this moment fails for it; nobody is to hear of that.
    topology[Symbol.asyncDispose]().finally(() => Deno.exit(128 + (signal === "SIGINT" ? 2 : 15)));
  };
  for (const signal of SIGNALS) Deno.addSignalListener(signal, () => stop(signal));
  try {
    const result = await runBench(topology, options, note);
    writeJson(options.json, result);
    writeText(Deno.stdout, `${formatResult(result)}\nAs JSON: ${options.json}\n`);
  } finally {
    await topology[Symbol.asyncDispose]();
  }
}

async function main(): Promise<number> {
  try {
    const options = parseOptions(Deno.args);
    if (options === null) writeText(Deno.stdout, USAGE);
    else await measure(options);
    return 0;
  } catch (error) {
    note(`bench: ${error instanceof Error ? error.message : error}`);
    return 1;
  }
}

if (import.meta.main) Deno.exit(await main());
