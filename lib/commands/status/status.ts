/** Command `vpn status`: asks the instances that run, and shows what they say, once or every second. */
import type { StatusOptions } from "../../cli/command.ts";
import { ControlClient } from "../../control/client.ts";
import { findInstance, type Instance, runningInstances } from "../../control/instances.ts";
import { blockedStatus, type Status } from "../../control/status.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { takesColour, writeText } from "../../process/output.ts";
import { standingBlocks } from "../../host/firewall/standing_blocks.ts";
import { RateMeter } from "./rates.ts";
import { screenful } from "./screen.ts";
import { statusLines } from "./view.ts";
import { everySecond } from "./watched.ts";

/** ms that a rate is measured over when it is shown once. */
const MEASURED = 500;
/** ms; an instance that takes longer is stopped, or as good as. */
const ANSWER_TIMEOUT = 2_000;

/** What the instances say, and those that say nothing. */
interface Look {
  readonly statuses: Status[];
  readonly silent: readonly string[];
}

/**
 * Shows how the instances of this user are.
 *
 * @returns 0, or 3 where none answers
 * @throws {AppError} with exit code 3 where none runs or the interface asked for is none of theirs, or they may not be
 * asked
 */
export async function runStatus(options: StatusOptions): Promise<number> {
  if (options.watch) return await watch(options);
  const blocked = blockedBy(options);
  const found = blocked.length > 0 ? instancesNow(options) : instancesOf(options);
  const first = await look(found);
  first.statuses.push(...blocked);
  if (options.json) {
    writeText(Deno.stdout, `${JSON.stringify(first.statuses, null, 2)}\n`);
  } else if (first.statuses.length > 0) {
    const meter = new RateMeter();
    meter.rates(first.statuses);
    await new Promise((resolve) => setTimeout(resolve, MEASURED));
    const { statuses } = await look(found);
    statuses.push(...blocked);
    const lines = viewLines(statuses, meter, { colour: takesColour(Deno.stdout) });
    writeText(Deno.stdout, `${lines.join("\n")}\n`);
  }
  for (const problem of first.silent) writeText(Deno.stderr, `vpn: warning: ${problem}\n`);
  if (found.length + blocked.length > 0) {
    return first.statuses.length > 0 ? ExitCode.ok : ExitCode.connect;
  }
  throw new AppError(
    "No server or client is running: start one with `vpn server` or `vpn client`" +
      (Deno.uid() === 0 ? "" : ", or run this as root to see those of root"),
    { exitCode: ExitCode.connect },
  );
}

/** Shows it every second until a signal comes. Of JSON, one line each time. */
async function watch(options: StatusOptions): Promise<number> {
  // A name that is none is said at once.
  if (blockedBy(options).length === 0) instancesOf(options);
  const meter = new RateMeter();
  using screen = options.json ? null : screenful(Deno.stdout);
  await everySecond(async () => {
    const { statuses, silent } = await look(instancesNow(options));
    statuses.push(...blockedBy(options));
    if (screen === null) return writeText(Deno.stdout, `${JSON.stringify(statuses)}\n`);
    const lines = viewLines(statuses, meter, {
      colour: takesColour(Deno.stdout),
      sparklines: true,
    });
    const nothing = statuses.length + silent.length === 0;
    return screen.show(nothing ? ["no tunnel is running"] : [...lines, ...silent]);
  });
  return ExitCode.ok;
}

function viewLines(
  statuses: readonly Status[],
  meter: RateMeter,
  { colour, sparklines = false }: { readonly colour: boolean; readonly sparklines?: boolean },
): string[] {
  const rates = meter.rates(statuses);
  return statuses.flatMap((status, index) => [
    ...(index === 0 ? [] : [""]),
    ...statusLines(status, { colour, sparklines, rates: rates[index]! }),
  ]);
}

function instancesOf({ interfaceName }: StatusOptions): Instance[] {
  return interfaceName === null ? runningInstances() : [findInstance(interfaceName)];
}

/** Hosts that a client has left closed. */
function blockedBy({ interfaceName }: StatusOptions): Status[] {
  return standingBlocks()
    .filter(({ owner }) => interfaceName === null || owner.interfaceName === interfaceName)
    .map(blockedStatus);
}

/** The same, but one that has ended meanwhile may come again. */
function instancesNow(options: StatusOptions): Instance[] {
  try {
    return instancesOf(options);
  } catch (error) {
    if (error instanceof AppError && error.exitCode !== ExitCode.privilege) return [];
    throw error;
  }
}

async function look(instances: readonly Instance[]): Promise<Look> {
  const statuses: Status[] = [];
  const silent: string[] = [];
  await Promise.all(instances.map(async (instance, index) => {
    try {
      using client = await ControlClient.connect(instance);
      statuses[index] = await client.request("status", {}, { timeout: ANSWER_TIMEOUT }) as Status;
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      silent.push(error.message);
    }
  }));
  return { statuses: statuses.filter((status) => status !== undefined), silent };
}
