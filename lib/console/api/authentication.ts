/** Authentication: who makes a request, by the session of its cookie or by its token, and whether it may do that. */
import { includesScope, lesserScope, scopeOf } from "../accounts/roles.ts";
import type { ConsoleServices } from "../console_services.ts";
import { Problem } from "../http/problem.ts";
import type { Access, Principal } from "./route.ts";

type Tables = Pick<ConsoleServices, "accounts" | "sessions" | "tokens">;

/**
 * Who makes a request; null for nobody.
 *
 * @param cookie the session's secret; null for none
 * @throws {Problem} for a token that is none, and for both at once: which of them counts would be a guess
 */
export function principalOf(
  request: Request,
  cookie: string | null,
  { accounts, sessions, tokens }: Tables,
): Principal | null {
  const authorization = request.headers.get("authorization");
  if (authorization === null) {
    const session = cookie === null ? null : sessions.find(cookie, isUse(request));
    const account = session && accounts.find(session.account);
    return account && {
      account: account.name,
      scope: scopeOf(account.role),
      tokenName: null,
      sessionId: session.id,
      sessionSecret: cookie,
      isValid: () => sessions.find(cookie!, false) !== null,
    };
  }
  if (cookie !== null) {
    throw new Problem("bad-request", "Send a session's cookie or a token, not both.");
  }
  const secret = /^Bearer +([\w-]+)$/i.exec(authorization)?.[1];
  const token = secret === undefined ? null : tokens.find(secret);
  const account = token && accounts.find(token.account);
  if (account === null) {
    throw new Problem("unauthenticated", "The token is not known, or has expired.");
  }
  return {
    account: account.name,
    // Who has lost a role has lost it by his tokens, too.
    scope: lesserScope(token!.scope, scopeOf(account.role)),
    tokenName: token!.name,
    sessionId: null,
    sessionSecret: null,
    isValid: () => tokens.find(secret!) !== null,
  };
}

/** A page that is left open asks on its own, and says so: that is no use by a person. */
function isUse(request: Request): boolean {
  return !request.headers.has("x-vpn-unattended") &&
    !new URL(request.url).pathname.endsWith("/live");
}

/** @throws {Problem} where somebody may not */
export function requireAccess(principal: Principal | null, access: Access): void {
  if (access === "public") return;
  if (principal === null) throw new Problem("unauthenticated", "Log in, or send a token.");
  const isSession = principal.sessionId !== null;
  if ((access === "session" || access === "admin-session") && !isSession) {
    throw new Problem("forbidden", "A token cannot do this: log in.");
  }
  const needed = access === "session" ? "read" : access === "admin-session" ? "admin" : access;
  if (!includesScope(principal.scope, needed)) {
    throw new Problem(
      "forbidden",
      isSession
        ? `Your role does not allow this: it takes scope ${needed}.`
        : `This token does not allow this: it takes scope ${needed}.`,
    );
  }
}
