/** `vpn up` and `vpn down`: a tunnel by the name of its file, as wg-quick has it, by systemd where that runs. */
import type { UpRequest } from "../../cli/command.ts";
import { cleanUp } from "../cleanup.ts";
import { logPathOf, startInBackground } from "./background_start.ts";
import {
  findInstance,
  type Instance,
  instancesMeant,
  isHere,
  runningInstances,
} from "../../control/instances.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { writeText } from "../../process/output.ts";
import { isAlive, isOfThisPidNamespace } from "../../process/process_identity.ts";
import { staleJournals } from "../../host/journal/journal_files.ts";
import type { JournalOwner } from "../../host/journal/journal_text.ts";
import { blocksHere, describeBlock } from "../../host/firewall/standing_blocks.ts";
import { hasUnit, startUnit, stopUnits, type Systemctl, systemctl } from "./systemd.ts";
import { isOfUnits, roleOfTarget, targetOf, type TunnelTarget } from "./tunnel_target.ts";

/** ms that a tunnel may take to end: hooks have two seconds each. */
const END_TIMEOUT = 60_000;
/** ms between two looks whether it has. */
const END_PAUSE = 50;

/**
 * Brings a tunnel up, and returns when it is connected or serves; or runs it here, for a service manager.
 *
 * @throws {ConfigError | AppError} with what the tunnel says of its end, and its exit code
 */
export async function runUp(
  { name, foreground, logLevel, logFormat }: UpRequest,
  call: Systemctl | null = systemctl(),
): Promise<number> {
  const target = targetOf(name);
  const { path, interfaceName } = target;
  // A mistake is told here, and not in a log.
  const role = roleOfTarget(target);
  if (foreground) {
    const options = { configPath: path, interfaceName, offload: true, logLevel, logFormat };
    if (role === "server") return await (await import("../server/server.ts")).runServer(options);
    return await (await import("../client/client.ts")).runClient(options);
  }
  refuseRunning(interfaceName);
  if (call !== null && isOfUnits(target) && await hasUnit(call, interfaceName)) {
    const { unit, status } = await startUnit(call, interfaceName);
    tell(`${interfaceName}: ${status || "up"}; by ${unit}`);
    return ExitCode.ok;
  }
  const log = logPathOf(interfaceName);
  const logging = ["--log-level", logLevel, "--log-format", logFormat];
  const { pid, status } = await startInBackground(["up", "--foreground", ...logging, path], {
    log,
    refuse: () => refuseRunning(interfaceName),
  });
  tell(`${interfaceName}: ${status || "up"}; process ${pid}, log in ${log}`);
  return ExitCode.ok;
}

/**
 * Ends a tunnel in good order, however it was started, and returns when it has ended.
 *
 * @throws {AppError} with exit code 3 where none runs, 5 where it is another user's
 */
export async function runDown(
  name: string,
  call: Systemctl | null = systemctl(),
): Promise<number> {
  const target = targetOf(name);
  const units = call === null || !isOfUnits(target)
    ? []
    : await stopUnits(call, target.interfaceName);
  const { interfaceName } = target;
  const isElsewhere = units.length === 0 && !cleanUpAfter(target) &&
    !isHere(await endProcess(target));
  tell(`${interfaceName}: down${isElsewhere ? ", in another network namespace" : ""}`);
  return ExitCode.ok;
}

/**
 * Undoes what a tunnel that was killed has left, as a person who says `down` wants it; but its kill switch, which is
 * told of.
 *
 * @returns whether that is all that there was of it
 */
function cleanUpAfter({ interfaceName }: TunnelTarget): boolean {
  const isOf = ({ owner }: { readonly owner: JournalOwner }) =>
    owner.interfaceName === interfaceName;
  if (instancesMeant(interfaceName).length > 0 || !staleJournals().some(isOf)) return false;
  const undone = cleanUp();
  for (const line of undone) tell(line);
  return undone.length > 0 && !blocksHere().some(isOf);
}

/** Ends the process that serves a tunnel, and returns which one it was. */
async function endProcess({ interfaceName }: TunnelTarget): Promise<Instance> {
  const instance = findRunning(interfaceName);
  const { owner } = instance;
  if (!isOfThisPidNamespace(owner)) {
    throw new AppError(
      `Cannot stop "${interfaceName}": it runs in another container, as process ${owner.pid} there: stop that container, ` +
        "or run this command in it",
      { exitCode: ExitCode.usage },
    );
  }
  try {
    Deno.kill(owner.pid, "SIGTERM");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return instance;
    if (!(error instanceof Deno.errors.PermissionDenied)) throw error;
    throw new AppError(
      `Cannot stop "${interfaceName}": process ${owner.pid} belongs to another user: run as root`,
      { exitCode: ExitCode.privilege, cause: error },
    );
  }
  const deadline = performance.now() + END_TIMEOUT;
  while (isAlive(owner)) {
    if (performance.now() > deadline) {
      throw new AppError(
        `Cannot stop "${interfaceName}": process ${owner.pid} is still running after ${
          END_TIMEOUT / 1000
        } s: ` +
          `see its log, or kill it with \`kill -9 ${owner.pid}\` and then \`vpn cleanup\``,
        { exitCode: ExitCode.unexpected },
      );
    }
    await new Promise((resolve) => setTimeout(resolve, END_PAUSE));
  }
  return instance;
}

/** @throws {AppError} with exit code 3 where none runs; it says so if what is left of one keeps the host closed */
function findRunning(interfaceName: string): Instance {
  try {
    return findInstance(interfaceName);
  } catch (error) {
    const block = blocksHere().find(({ owner }) => owner.interfaceName === interfaceName);
    if (block === undefined || !(error instanceof AppError)) throw error;
    throw new AppError(`"${interfaceName}" is not running: ${describeBlock(block)}`, {
      exitCode: error.exitCode,
      cause: error,
    });
  }
}

/** @throws {AppError} with exit code 2 */
function refuseRunning(interfaceName: string): void {
  const running = runningInstances()
    .find((instance) => instance.interfaceName === interfaceName && isHere(instance));
  if (running === undefined) return;
  throw new AppError(
    `"${interfaceName}" is up already, as process ${running.owner.pid}: ` +
      `\`vpn reload ${interfaceName}\` applies its file, \`vpn down ${interfaceName}\` stops it`,
    { exitCode: ExitCode.usage },
  );
}

function tell(line: string): void {
  writeText(Deno.stdout, `${line}\n`);
}
