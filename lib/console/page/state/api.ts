/** Calls of the API: JSON there and back, and errors (RFC 9457) as one kind of exception. */

const BASE = "/api/v1";

/** What the API refuses, or that it did not answer. */
export class ApiError extends Error {
  override readonly name = "ApiError";
  /** Of the problem, as in `second-factor`; `unanswered` where there was no answer. */
  readonly problem: string;
  readonly status: number;

  constructor(problem: string, status: number, message: string) {
    super(message);
    this.problem = problem;
    this.status = status;
  }
}

export interface CallOptions {
  readonly body?: unknown;
  /** Of what is changed, as it was when it was looked at. */
  readonly revision?: string | null;
  readonly isByItself?: boolean;
}

type Method = "GET" | "POST" | "PUT" | "PATCH" | "DELETE";

/** Called where the session has ended; the page asks for a login then. */
let onEnd: () => void = () => {};

export function onSessionEnd(handler: () => void): void {
  onEnd = handler;
}

/**
 * @param path below the API's base, its parts encoded
 * @throws {ApiError}
 */
export async function call<Result>(
  method: Method,
  path: string,
  { body, revision, isByItself = false }: CallOptions = {},
): Promise<Result> {
  const response = await answered(method, path, {
    ...body === undefined ? {} : { "content-type": "application/json" },
    ...isByItself ? { "x-vpn-unattended": "yes" } : {},
    ...revision === undefined ? {} : { "if-match": revision === null ? "*" : `"${revision}"` },
  }, body === undefined ? null : JSON.stringify(body));
  if (response.status === 204) return undefined as Result;
  if (response.ok) return await response.json() as Result;
  throw await problemOf(response);
}

/** @param isByItself whether no person has asked for it: that keeps no session from ending */
export function get<Result>(path: string, isByItself = false): Promise<Result> {
  return call("GET", path, isByItself ? { isByItself } : {});
}

/** A peer's path, by its public key in base64url. */
export function peerPath(publicKey: string): string {
  return `/peers/${peerId(publicKey)}`;
}

function peerId(publicKey: string): string {
  return publicKey.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

async function answered(
  method: Method,
  path: string,
  headers: Readonly<Record<string, string>>,
  body: string | null,
): Promise<Response> {
  try {
    return await fetch(BASE + path, { method, headers, body, credentials: "same-origin" });
  } catch {
    throw new ApiError("unanswered", 0, "The console did not answer. Is it still running?");
  }
}

async function problemOf(response: Response): Promise<ApiError> {
  const { status } = response;
  let problem = "";
  let detail = `The console answered with status ${status}`;
  try {
    const answer = await response.json();
    if (typeof answer.type === "string") problem = answer.type.replace(/^.*\//, "");
    if (typeof answer.detail === "string") detail = answer.detail;
  } catch {
    // A proxy in between has its own pages for errors.
  }
  if (problem === "unauthenticated") onEnd();
  return new ApiError(problem, status, detail);
}

/** What to tell a person of something that was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
