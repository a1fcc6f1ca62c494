/** Instance: talks to a server or client of a network test over its control socket. */
import { ControlClient } from "../../../../lib/control/client.ts";
import { runningInstances } from "../../../../lib/control/instances.ts";
import type { Params } from "../../../../lib/control/protocol.ts";
import type { Status } from "../../../../lib/control/status.ts";
import type { BackgroundProcess } from "../../../support/net.ts";

/** Asks a running process of ours for something. */
export async function ask(
  { pid }: BackgroundProcess,
  method: string,
  params: Params = {},
): Promise<unknown> {
  const instance = runningInstances().find(({ owner }) => owner.pid === pid);
  if (instance === undefined) {
    throw new Error(`Cannot ask process ${pid}: it has no control socket`);
  }
  using client = await ControlClient.connect(instance);
  return await client.request(method, params);
}

/** What the process says of itself. */
export async function statusOf(process: BackgroundProcess): Promise<Status> {
  return await ask(process, "status") as Status;
}
