/** Control method "drain-service": takes a back end of published services out of service, or back into it. */
import type { ServiceStatus } from "../core/peers/service_status.ts";
import type { Statistics } from "../dataplane/data_plane_protocol.ts";
import { type Params, RequestError } from "./protocol.ts";

/** The published services of a running gateway. */
export interface PublishedControl {
  status(statistics: Pick<Statistics, "services">): ServiceStatus[];
  /** @throws {RangeError} with what is wrong, for a person */
  drain(backEnd: string, service: string | null, isDrained: boolean): string[];
}

/** The answer to `drain-service`: the names of the services that it was in. */
export interface DrainResult {
  readonly services: readonly string[];
}

/**
 * Does it.
 *
 * @param params `backEnd`, as it is configured, with its port or without; `service`, null for all; `drained`
 * @throws {RequestError}
 */
export function drainService(params: Params, published: PublishedControl | null): DrainResult {
  const { backEnd, service = null, drained } = params;
  if (published === null) {
    throw new RequestError("Cannot drain a back end: a client publishes no services");
  }
  if (
    typeof backEnd !== "string" || (service !== null && typeof service !== "string") ||
    typeof drained !== "boolean"
  ) {
    throw new RequestError(
      "Cannot drain a back end: give its name, and whether it is to be drained",
    );
  }
  try {
    return { services: published.drain(backEnd, service, drained) };
  } catch (error) {
    if (error instanceof RangeError) throw new RequestError(error.message);
    throw error;
  }
}
