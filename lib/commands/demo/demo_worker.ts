/** Demo worker: the entry of a demo's thread in a namespace, which takes calls, runs them, answers. */
import { errorMessage } from "../../process/errors.ts";
import type { AgentAnswer, Argument, Call, Result, ServiceName } from "./agent_protocol.ts";
import { services } from "./services.ts";

/** The Worker's global object; the type library for workers cannot be loaded beside that of the main thread. */
const scope = globalThis as unknown as {
  onmessage: ((event: MessageEvent<Call>) => void) | null;
  postMessage(answer: AgentAnswer): void;
};

scope.onmessage = async ({ data: { id, service, argument } }) => {
  try {
    // Sender and services share one table of types, which a union of calls cannot express.
    const call = services[service] as (argument: Argument<ServiceName>) => Result<ServiceName>;
    scope.postMessage({ id, ok: true, result: await call(argument) });
  } catch (error) {
    const message = errorMessage(error);
    scope.postMessage({ id, ok: false, message });
  }
};
