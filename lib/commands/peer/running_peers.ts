/** Running peers: a gateway that runs, by its interface, is asked where its configuration is, and what peers it has. */
import type { PeerList } from "../../control/application/methods.ts";
import type { ConfigurationPlace } from "../../control/control.ts";
import { ControlClient } from "../../control/client.ts";
import { findInstance } from "../../control/instances.ts";
import type { Status } from "../../control/status.ts";
import { AppError, ExitCode } from "../../process/errors.ts";

/** ms; one that takes longer is stopped, or as good as. */
const ANSWER_TIMEOUT = 5_000;

/** The peers of a gateway that runs, and where it has them from. */
export interface RunningPeers {
  readonly list: PeerList;
  /** Null where the file is not there any more. */
  readonly file: string | null;
  readonly hasStore: boolean;
}

/** The configuration file that the gateway on this interface runs from. @throws {AppError} where there is none */
export async function runningFile(interfaceName: string): Promise<string> {
  using client = await gatewayOn(interfaceName);
  const file = await fileOf(client);
  if (file !== null) return file;
  throw new AppError(
    `Cannot find the configuration file of the gateway on ${interfaceName}: it is not there any more: give --config FILE`,
    { exitCode: ExitCode.usage },
  );
}

/** What peers it has. @throws {AppError} where no gateway runs on it */
export async function runningPeers(interfaceName: string): Promise<RunningPeers> {
  using client = await gatewayOn(interfaceName);
  const { store } = await ask(client, "status") as Status;
  return {
    list: await ask(client, "peers") as PeerList,
    file: await fileOf(client),
    hasStore: store !== null,
  };
}

async function gatewayOn(interfaceName: string): Promise<ControlClient> {
  const client = await ControlClient.connect(findInstance(interfaceName));
  try {
    const { role } = await ask(client, "status") as Status;
    if (role === "server") return client;
  } catch (error) {
    client[Symbol.dispose]();
    throw error;
  }
  client[Symbol.dispose]();
  throw new AppError(`Cannot list the peers of ${interfaceName}: a client runs there, no gateway`, {
    exitCode: ExitCode.usage,
  });
}

async function fileOf(client: ControlClient): Promise<string | null> {
  const { file } = await ask(client, "configuration") as ConfigurationPlace;
  return file;
}

function ask(client: ControlClient, method: string): Promise<unknown> {
  return client.request(method, {}, { timeout: ANSWER_TIMEOUT });
}
