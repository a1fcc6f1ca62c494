/**
 * Control protocol: one JSON object a line, in both directions, over the local socket of a running instance.
 *
 * ```text
 * -> {"id":1,"method":"status","params":{}}
 * <- {"id":1,"result":{...}}
 * <- {"id":2,"event":{...}}            any number of them, where a method tells as it goes
 * <- {"id":2,"error":"Cannot ...","code":"invalid"}
 * ```
 *
 * `id` is the caller's, any number or string, and comes back as it is; requests on a connection are answered in their
 * order. `params` may be left out. A line that is no request is answered with an error whose `id` is null.
 */

import { type RefusalCode, RefusalError } from "../core/config/refusal_error.ts";

/** The longest request, in bytes, without its newline. */
export const MAX_LINE = 64 * 1024;

export type RequestId = number | string;

export interface ControlRequest {
  readonly id: RequestId;
  readonly method: string;
  readonly params: Params;
}

/** Named arguments, as they came: nothing of them is checked yet. */
export type Params = Readonly<Record<string, unknown>>;

export type ControlAnswer =
  | { readonly id: RequestId; readonly event: unknown }
  | { readonly id: RequestId; readonly result: unknown }
  | { readonly id: RequestId | null; readonly error: string; readonly code?: RefusalCode };

/** Who asks. */
export interface Caller {
  /** The user at the other end, as the kernel says. */
  readonly user: number;
  /** Whether it is the console, which says itself for whom it asks. */
  readonly isConsole: boolean;
}

/**
 * Does what a method is for.
 *
 * @param emit tells the caller something before the result; resolves when there is room for more
 * @param signal aborted when the caller has gone, or has said all that it will
 * @returns the result: anything that JSON has, or `JsonChunks`
 * @throws {Error} whose message is meant for the caller as it stands
 */
export type Handler = (
  params: Params,
  emit: (event: unknown) => Promise<void>,
  signal: AbortSignal,
  caller: Caller,
) => Promise<unknown>;

/** A result that is JSON already, in chunks: megabytes of it would hold up everybody while they are made. */
export class JsonChunks {
  readonly chunks: readonly string[];

  constructor(chunks: readonly string[]) {
    this.chunks = chunks;
  }
}

/** A method that was called as it cannot be. */
export class RequestError extends Error {
  override readonly name = "RequestError";
}

/** What an error means to a program; undefined for one that nobody has thought of. */
export function refusalCode(error: unknown): RefusalCode | undefined {
  if (error instanceof RefusalError) return error.code;
  return error instanceof RequestError ? "invalid" : undefined;
}

/**
 * Reads a line as a request.
 *
 * @throws {RequestError}
 */
export function parseRequest(line: string): ControlRequest {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    throw new RequestError("Cannot read the request: it is not JSON");
  }
  if (!isObject(value)) throw new RequestError("Cannot read the request: it is not an object");
  const { id, method, params = {} } = value;
  if (typeof id !== "number" && typeof id !== "string") {
    throw new RequestError("Cannot read the request: id is neither a number nor a string");
  }
  if (typeof method !== "string") {
    throw new RequestError("Cannot read the request: method is not a string");
  }
  if (!isObject(params)) throw new RequestError("Cannot read the request: params is not an object");
  return { id, method, params };
}

/** Whether a value is a JSON object, whose members are still unknown. */
export function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
