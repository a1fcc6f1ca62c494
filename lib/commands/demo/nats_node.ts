/** NATS node: the program of NATS for a demo of a fleet, and what it is configured by. */
import { AppError, ExitCode } from "../../process/errors.ts";

/** Ports for the gateways, and for the other nodes. */
export const NATS_PORT = 4222;
const ROUTE_PORT = 6222;
const NAME = "nats-server";

/**
 * The program, by its path.
 *
 * @param given by the user; undefined for the one in PATH
 * @throws {AppError} where it is not there
 */
export function natsProgram(given: string | undefined): string {
  const candidates = given === undefined
    ? (Deno.env.get("PATH") ?? "").split(":").map((folder) => `${folder}/${NAME}`)
    : [given];
  const found = candidates.find(isFile);
  if (found !== undefined) return found;
  const problem = given === undefined ? `${NAME} is not in PATH` : `there is no program ${given}`;
  throw new AppError(
    `Cannot show a fleet: ${problem}: install the package ${NAME}, or give its path with --nats-server PATH`,
    { exitCode: ExitCode.usage },
  );
}

/**
 * The configuration of one of several nodes.
 *
 * @param own its own address, one of `all`
 * @param folder for what it keeps
 */
export function natsConfiguration(own: string, all: readonly string[], folder: string): string {
  const routes = all.map((address) => `nats://${address}:${ROUTE_PORT}`).join(", ");
  return `server_name: "${own}"
listen: "${own}:${NATS_PORT}"
jetstream { store_dir: "${folder}", max_mem: 64M, max_file: 1G }
cluster { name: vpn, listen: "${own}:${ROUTE_PORT}", routes: [${routes}] }
`;
}

function isFile(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
