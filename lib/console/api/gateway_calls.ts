/** ConsoleGateway calls: asks the gateway for a caller of the API, and says what it refuses as a problem. */
import type { ConsoleGateway, GatewayMethod, ParamsOf, ResultOf } from "../gateway/gateway.ts";
import { GatewayRefusal, GatewayUnreachable } from "../gateway/gateway.ts";
import { Problem, type ProblemName } from "../http/problem.ts";
import { type ApiCall, whoAsks } from "./route.ts";

/** Characters of who has changed something, in the gateway's events. */
const MAX_ACTOR = 64;

const PROBLEMS: Readonly<Record<string, ProblemName>> = {
  "not-found": "not-found",
  "conflict": "conflict",
  "invalid": "refused",
  "revision": "changed",
  "refused": "refused",
  "unavailable": "unreachable",
};

/** @throws {Problem} */
export async function askGateway<Name extends GatewayMethod>(
  gateway: ConsoleGateway,
  method: Name,
  params: ParamsOf<Name>,
): Promise<ResultOf<Name>> {
  try {
    return await gateway.ask(method, params);
  } catch (error) {
    if (error instanceof GatewayUnreachable) throw new Problem("unreachable", error.message);
    if (!(error instanceof GatewayRefusal)) throw error;
    throw new Problem(PROBLEMS[error.code ?? ""] ?? "refused", error.message);
  }
}

/** Who asks, for the gateway's events and the audit: an account, and the token that acts for it. */
export function actorName(call: Pick<ApiCall<unknown, unknown>, "principal">): string {
  const { account, tokenName } = whoAsks(call);
  if (tokenName === null) return account;
  // Characters of other planes are not cut in half.
  return Array.from(`${account} by token ${tokenName}`).slice(0, MAX_ACTOR).join("");
}
