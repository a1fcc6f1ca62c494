/** Route: a method and path of the API, who may use it, what it takes, what it answers, and how. */
import type { Scope } from "../accounts/roles.ts";
import type { Schema } from "./schema.ts";
import type { ProblemName } from "../http/problem.ts";

/**
 * Who may: anybody; who has this scope, by a session or a token; or a session alone, whose account may be in any role,
 * or has to be an admin's. What accounts and tokens are made by takes a session, so that a token cannot make another.
 */
export type Access = "public" | Scope | "session" | "admin-session";

/** Who asks. */
export interface Principal {
  /** Name of the account. */
  readonly account: string;
  readonly scope: Scope;
  /** The token by which it asks; null for a session. */
  readonly tokenName: string | null;
  /** The number of its session, and that session's secret; null with a token. */
  readonly sessionId: string | null;
  readonly sessionSecret: string | null;
  /** Whether it may still ask: a session ends, and a token expires. */
  readonly isValid: () => boolean;
}

/** A request, with all of it checked. */
export interface ApiCall<Body, Query> {
  /** Null where nobody is logged in, which only public routes have. */
  readonly principal: Principal | null;
  readonly params: Readonly<Record<string, string>>;
  readonly query: Query;
  readonly body: Body;
  /** What `If-Match` has; null where it has none, or `*`. */
  readonly match: string | null;
  /** Address from which it comes. */
  readonly source: string;
  /** The console's own, as the caller knows it. */
  readonly origin: string;
  /** The secret in its session's cookie, whether or not there is such a session. */
  readonly cookie: string | null;
  /** The secret by which its browser is known, whether or not it is. */
  readonly device: string | null;
  /**
   * To be called between what takes long, the hashing of a password above all, and the change that it is for: who asks
   * may have lost the session, role or account meanwhile, and a stolen session that always has a request under way
   * would outlive its end.
   *
   * @throws {Problem} where who asks may not do it any more
   */
  readonly requireStill: () => void;
  /** Aborted when the caller has gone. */
  readonly signal: AbortSignal;
}

export interface ApiAnswer {
  readonly body?: unknown;
  /** Revision of what is answered. */
  readonly etag?: string;
  /** A secret that the browser keeps from now on; null for none. */
  readonly session?: string | null;
  /** A secret by which the browser is known at its next login. */
  readonly device?: string;
  /** In place of a body. */
  readonly stream?: ReadableStream<Uint8Array>;
}

export interface ApiRoute {
  readonly method: "get" | "post" | "put" | "patch" | "delete";
  /** Under `/api/v1`, with parameters as in `/peers/{id}`. */
  readonly path: string;
  readonly access: Access;
  readonly summary: string;
  /** Of an object; each of its members is a parameter of the query. */
  readonly query?: Schema;
  readonly body?: Schema;
  /** Whether the caller has to say, by `If-Match`, what it takes for the present state. */
  readonly needsMatch?: boolean;
  readonly status: 200 | 201 | 204;
  /** Of the answer; left out where there is none. */
  readonly answer?: Schema;
  /** Whether the answer is a stream of server-sent events, each with data as `answer` has it. */
  readonly isStream?: boolean;
  /** Whether it has an `ETag`. */
  readonly hasRevision?: boolean;
  /** Those that come of more than the rules for all routes. */
  readonly problems?: readonly ProblemName[];
  readonly handle: (call: ApiCall<never, never>) => Promise<ApiAnswer> | ApiAnswer;
}

/** A route whose handler knows the types of body and query. */
export function apiRoute<Body = undefined, Query = Record<never, never>>(
  definition: Omit<ApiRoute, "handle" | "body" | "query"> & {
    readonly body?: Schema<Body>;
    readonly query?: Schema<Query>;
    readonly handle: (call: ApiCall<Body, Query>) => Promise<ApiAnswer> | ApiAnswer;
  },
): ApiRoute {
  // It is called with what its own schemas have accepted.
  return definition as ApiRoute;
}

/** The principal of a call of a route that is not public. */
export function whoAsks({ principal }: Pick<ApiCall<unknown, unknown>, "principal">): Principal {
  if (principal === null) throw new Error("a route that is not public was called by nobody");
  return principal;
}
