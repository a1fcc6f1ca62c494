/** Command `vpn console`: serves the page and the API by which a gateway is administered, without any privilege. */
import type { ConsoleRequest } from "../cli/command.ts";
import { Console } from "../console/console.ts";
import { SocketGateway } from "../console/gateway/socket_gateway.ts";
import { pageFiles } from "../console/page_files.ts";
import { bracketed } from "../core/wire/host_address.ts";
import { readFileOrPipe } from "../host/files/bounded_read.ts";
import { AppError, errorMessage, ExitCode } from "../process/errors.ts";
import { catchFaults } from "../process/last_resort.ts";
import { configureLogging, getLogger, type Logger } from "../process/logging.ts";
import { writeText } from "../process/output.ts";
import { dropAllPrivileges } from "../process/privileges.ts";
import { ServiceManager } from "../process/service_manager.ts";
import { consoleStatePath } from "../process/state_directory.ts";
import { releaseStartPages } from "./start_pages.ts";
import { listenForStop } from "../process/stop_signal.ts";
import { VERSION } from "../process/version.ts";

/** Bytes; a certificate with those that vouch for it has some thousands. */
const MAX_PEM_SIZE = 1024 * 1024;
/** From which on anybody may listen. */
const FIRST_FREE_PORT = 1024;

/**
 * Serves until SIGINT, SIGTERM or SIGHUP.
 *
 * @returns the exit code
 * @throws {AppError} where it cannot
 */
export async function runConsole(request: ConsoleRequest): Promise<number> {
  requireSecrecy(request);
  // A pipe may keep it waiting, in which only a signal that nobody listens for ends it.
  const tls = tlsFiles(request);
  // Before all else: process 1 of a container gets no signal that it has no listener for.
  using stop = listenForStop();
  configureLogging({ level: request.logLevel, format: request.logFormat });
  const logger = getLogger("console");
  const { listen, interfaceName } = request;
  dropAllPrivileges({ isToListen: listen.port < FIRST_FREE_PORT });
  if (Deno.uid() === 0) {
    logger.warn(
      "the console runs as root, which can read the gateway's private key: run it as a user of its own, in the group " +
        "that ControlGroup names",
    );
  }
  using manager = ServiceManager.of();
  using faults = catchFaults(logger);
  await using console = await Console.open({
    listen,
    tls,
    publicOrigin: request.origin,
    trustedProxies: request.trustedProxies,
    folder: request.statePath ?? consoleStatePath(interfaceName),
    gateway: new SocketGateway(interfaceName, request.socketPath),
    page: await pageFiles(),
    version: VERSION,
    onFault: (error) => tellFault(logger, error),
  });
  dropAllPrivileges({ isToListen: false });
  const { origin, setupLink } = console;
  writeText(Deno.stdout, `Console of ${interfaceName}: ${origin}\n`);
  if (setupLink !== null) {
    writeText(Deno.stdout, `Make the first account, with this link, once: ${setupLink}\n`);
  }
  logger.info("serving the console of {interfaceName} at {origin}", { interfaceName, origin });
  using _pages = releaseStartPages("console");
  manager.ready(`Serving at ${origin}`);
  const signal = await Promise.race([stop.received, faults.failed]);
  manager.stopping();
  logger.info("{signal} received: stopping", { signal });
  return ExitCode.ok;
}

/** @throws {AppError} where passwords would pass a network in the clear */
function requireSecrecy({ listen, tls, insecure, interfaceName }: ConsoleRequest): void {
  const { address, port } = listen;
  if (tls !== null || insecure || isLoopback(address)) return;
  const isInside = Deno.networkInterfaces().some((each) =>
    each.name === interfaceName && each.address === address
  );
  if (isInside) return;
  throw new AppError(
    `Cannot serve plain HTTP on ${
      bracketed(address)
    }:${port}: others could read passwords: give --cert and --key, ` +
      `listen on 127.0.0.1 behind a reverse proxy, or on the address of ${interfaceName}, or give --insecure`,
    { exitCode: ExitCode.usage },
  );
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1";
}

/** @throws {AppError} for files that cannot be read */
function tlsFiles({ tls }: ConsoleRequest): { readonly cert: string; readonly key: string } | null {
  if (tls === null) return null;
  return { cert: readPem(tls.certPath, "--cert"), key: readPem(tls.keyPath, "--key") };
}

function readPem(path: string, option: string): string {
  try {
    return new TextDecoder().decode(readFileOrPipe(path, MAX_PEM_SIZE).bytes);
  } catch (error) {
    const reason = errorMessage(error);
    throw new AppError(`Cannot read ${option} ${path}: ${reason}`, {
      exitCode: ExitCode.usage,
      cause: error,
    });
  }
}

function tellFault(logger: Logger, error: unknown): void {
  logger.error("error while answering a request: {error}", { error });
  if (error instanceof Error) logger.debug("{stack}", { stack: error.stack });
}
