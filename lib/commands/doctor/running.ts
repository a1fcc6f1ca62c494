/** What runs: the state of the server or client that has the interface, as it says itself over its control socket. */
import { AppError } from "../../process/errors.ts";
import { ControlClient } from "../../control/client.ts";
import { isHere, runningInstances } from "../../control/instances.ts";
import type { Status } from "../../control/status.ts";

/** ms; an instance that takes longer is stopped, or as good as. */
const ANSWER_TIMEOUT = 2_000;

export type Running =
  | { readonly kind: "none" }
  /** It runs, and does not say how it is. */
  | { readonly kind: "mute"; readonly problem: string }
  | { readonly kind: "known"; readonly status: Status };

/** Asks the instance of this network namespace that has the interface. */
export async function askRunning(interfaceName: string): Promise<Running> {
  try {
    const found = runningInstances().find((instance) =>
      instance.interfaceName === interfaceName && isHere(instance)
    );
    if (found === undefined) return { kind: "none" };
    using client = await ControlClient.connect(found);
    const status = await client.request("status", {}, { timeout: ANSWER_TIMEOUT });
    return { kind: "known", status: status as Status };
  } catch (error) {
    if (!(error instanceof AppError)) throw error;
    return { kind: "mute", problem: error.message };
  }
}
