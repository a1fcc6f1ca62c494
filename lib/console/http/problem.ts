/** Problems: errors of the API, as RFC 9457 has them. */

/** Status and title of each kind, by the last part of its type. */
export const PROBLEMS = {
  "bad-request": { status: 400, title: "The request cannot be read" },
  "unauthenticated": { status: 401, title: "Log in first" },
  "wrong-credentials": { status: 401, title: "Wrong name, password or code" },
  "second-factor": { status: 401, title: "A code is needed" },
  "forbidden": { status: 403, title: "Not allowed" },
  "foreign-origin": { status: 403, title: "The request comes from another site" },
  "not-found": { status: 404, title: "There is no such thing" },
  "method": { status: 405, title: "That cannot be done with this" },
  "conflict": { status: 409, title: "Another one has it" },
  "gone": { status: 410, title: "It was used, or has expired" },
  "changed": { status: 412, title: "It has been changed meanwhile" },
  "too-large": { status: 413, title: "The request is too long" },
  "media-type": { status: 415, title: "The body is not JSON" },
  "misdirected": { status: 421, title: "The console does not have that name" },
  "refused": { status: 422, title: "The gateway refuses it" },
  "precondition-required": { status: 428, title: "If-Match is missing" },
  "too-many": { status: 429, title: "Too many attempts" },
  "internal": { status: 500, title: "The console has failed" },
  "not-stored": { status: 507, title: "The console's disk is full, or cannot be written to" },
  "unreachable": { status: 503, title: "The gateway does not answer" },
} as const;
export type ProblemName = keyof typeof PROBLEMS;

export const PROBLEM_TYPE = "application/problem+json";

/** What a handler throws to have a problem answered. */
export class Problem extends Error {
  override readonly name = "Problem";
  readonly problem: ProblemName;
  /** JSON pointer of the member of the request that is at fault. */
  readonly pointer: string | undefined;
  /** s until it may be tried again. */
  readonly retryAfter: number | undefined;

  /** @param detail a sentence for a person */
  constructor(
    problem: ProblemName,
    detail: string,
    { pointer, retryAfter }: { readonly pointer?: string; readonly retryAfter?: number } = {},
  ) {
    super(detail);
    this.problem = problem;
    this.pointer = pointer;
    this.retryAfter = retryAfter;
  }

  response(): Response {
    const { status, title } = PROBLEMS[this.problem];
    const { message: detail, pointer, retryAfter } = this;
    const body = { type: `/problems/${this.problem}`, title, status, detail };
    return new Response(JSON.stringify(pointer === undefined ? body : { ...body, pointer }), {
      status,
      headers: {
        "Content-Type": PROBLEM_TYPE,
        ...(retryAfter === undefined ? {} : { "Retry-After": `${retryAfter}` }),
      },
    });
  }
}
