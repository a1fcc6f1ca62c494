/** Login routes: the first account, and the beginning and end of sessions. */
import type { StoredAccount } from "../../accounts/account_table.ts";
import { canHavePasskeys } from "../../accounts/passkeys.ts";
import { sessionEnd } from "../../accounts/session_table.ts";
import type { ConsoleServices } from "../../console_services.ts";
import { sourceKey } from "../../../core/wire/source_key.ts";
import { Problem } from "../../http/problem.ts";
import { accountName, code, entryId, newPassword, password, secret } from "../inputs.ts";
import { type ApiAnswer, type ApiCall, type ApiRoute, apiRoute, whoAsks } from "../route.ts";
import { flag, mapOf, orNull, record, text } from "../schema.ts";
import { SHAPES } from "../shapes.ts";
import { rfc3339 } from "../times.ts";

const loggedIn = record({ account: SHAPES.Account });

export function loginRoutes(services: ConsoleServices): readonly ApiRoute[] {
  const { accounts, devices, sessions, setup, passwords, limits, login, passkeys, audit } =
    services;

  /** What a browser had before is no session any more: none of before the login is taken over. */
  const begun = (
    account: StoredAccount,
    session: string,
    { cookie, device }: Pick<ApiCall<unknown, unknown>, "cookie" | "device">,
  ): ApiAnswer => {
    if (cookie !== null) sessions.endSecret(cookie);
    return {
      body: { account: accountJson(accounts.find(account.name) ?? account) },
      session,
      device: devices.remember(account.name, device),
    };
  };

  return [
    apiRoute({
      method: "get",
      path: "/session",
      access: "public",
      summary: "Whether the console is set up, and who is logged in",
      status: 200,
      answer: record({
        isSetUp: flag(),
        account: orNull(SHAPES.Account),
        expires: orNull(text({ format: "date-time" })),
        passkeys: flag({ description: "Whether passkeys can be used at this address" }),
        gateway: text(),
        version: text(),
      }),
      handle: ({ cookie, origin }) => {
        const session = cookie === null ? null : sessions.find(cookie, false);
        const account = session && accounts.find(session.account);
        return {
          body: {
            isSetUp: !accounts.isEmpty,
            account: account && accountJson(account),
            expires: session && account && rfc3339(sessionEnd(session)),
            passkeys: canHavePasskeys(origin),
            gateway: services.gateway.interfaceName,
            // To nobody else: it tells what is known to be wrong with it.
            version: account === null ? "" : services.version,
          },
        };
      },
    }),

    apiRoute({
      method: "post",
      path: "/setup",
      access: "public",
      summary: "Make the first account, an admin's, with the token of the set-up link",
      body: record({ token: secret, name: accountName, password: newPassword }),
      status: 201,
      answer: loggedIn,
      problems: ["conflict", "wrong-credentials", "too-many"],
      handle: async (call) => {
        const source = sourceKey(call.source);
        if (!accounts.isEmpty) throw new Problem("conflict", "The console is set up already.");
        // Nobody can guess it: only wrong ones are limited, so that nobody keeps its owner out by them.
        if (!setup.accepts(call.body.token)) {
          const wait = limits.addGuess(source);
          if (wait > 0) throw tooMany(wait / 1000);
          audit.add({ account: null, source, action: "setup-failed" });
          throw new Problem(
            "wrong-credentials",
            "This is not the token of the set-up link. Each start of the console shows a new one.",
          );
        }
        const hash = await passwords.hash(call.body.password);
        // Of two at once, the one who comes first.
        if (!accounts.isEmpty || !setup.accepts(call.body.token)) {
          throw new Problem("conflict", "The console is set up already.");
        }
        const { name } = call.body;
        accounts.add({ name, role: "admin", password: hash, created: services.now() });
        setup.end();
        audit.add({
          account: name,
          source,
          action: "account-added",
          target: name,
          detail: "admin",
        });
        return begun(accounts.find(name)!, login.begin(name, source, "set-up"), call);
      },
    }),

    apiRoute({
      method: "post",
      path: "/login",
      access: "public",
      summary: "Log in by password, and by a code where the account has TOTP",
      body: record({ name: text({ minLength: 1, maxLength: 64 }), password }, { code }),
      status: 200,
      answer: loggedIn,
      problems: ["wrong-credentials", "second-factor", "too-many"],
      handle: async (call) => {
        const { name, password, code } = call.body;
        const source = sourceKey(call.source);
        const { device } = call;
        const result = await login.byPassword({ name, password, code, source, device });
        switch (result.kind) {
          case "in":
            return begun(result.account, result.session, call);
          case "wrong":
            throw new Problem("wrong-credentials", "The name, the password or the code is wrong.");
          case "code-missing":
            throw new Problem("second-factor", "This account needs a code as well.");
          case "too-many":
            throw tooMany(result.wait);
        }
      },
    }),

    apiRoute({
      method: "post",
      path: "/login/passkey/options",
      access: "public",
      summary: "What a browser needs to log in with a passkey",
      body: record({}),
      status: 200,
      answer: record({ id: text(), options: mapOf({}) }),
      problems: ["refused"],
      handle: async (call) => {
        const { origin } = call;
        requirePasskeys(origin);
        const attempt = login.attempt(sourceKey(call.source), call);
        // Others at the same address put none of its challenges out.
        return { body: await passkeys.login({ origin, source: attempt.device ?? attempt.source }) };
      },
    }),

    apiRoute({
      method: "post",
      path: "/login/passkey",
      access: "public",
      summary: "Log in with a passkey",
      body: record({ id: entryId, response: mapOf({}) }),
      status: 200,
      answer: loggedIn,
      problems: ["wrong-credentials", "too-many", "refused"],
      handle: async (call) => {
        const { origin } = call;
        const source = sourceKey(call.source);
        requirePasskeys(origin);
        const attempt = login.attempt(source, call);
        const wait = limits.begin(attempt);
        if (wait > 0) throw tooMany(wait / 1000);
        const name = await passkeys.accountOf({ ...call.body, origin });
        const account = name === null ? null : accounts.find(name);
        if (account === null) {
          audit.add({ account: null, source, action: "login-failed", detail: "passkey" });
          throw new Problem("wrong-credentials", "This passkey is not known here.");
        }
        limits.takeBack(attempt);
        return begun(account, login.begin(account.name, source, "passkey"), call);
      },
    }),

    apiRoute({
      method: "delete",
      path: "/session",
      access: "session",
      summary: "Log out",
      status: 204,
      handle: (call) => {
        const { account, sessionSecret } = whoAsks(call);
        sessions.endSecret(sessionSecret!);
        audit.add({ account, source: sourceKey(call.source), action: "logout" });
        return { session: null };
      },
    }),
  ];
}

/** An account, as the API shows it. */
export function accountJson(account: StoredAccount): Record<string, unknown> {
  const { name, role, totp, recoveryCodes, created, lastLogin } = account;
  return {
    name,
    role,
    hasTotp: totp !== null,
    recoveryCodes,
    created: rfc3339(created),
    lastLogin: lastLogin === null ? null : rfc3339(lastLogin),
  };
}

/** @param wait s */
export function tooMany(wait: number): Problem {
  const seconds = Math.max(1, Math.ceil(wait));
  return new Problem("too-many", `Too many attempts: try again in ${seconds} s.`, {
    retryAfter: seconds,
  });
}

/** @throws {Problem} where passkeys cannot be had */
export function requirePasskeys(origin: string): void {
  if (canHavePasskeys(origin)) return;
  throw new Problem(
    "refused",
    "Passkeys need HTTPS and a name: reach the console by its name, or as localhost.",
  );
}
