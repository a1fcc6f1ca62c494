/** Account routes: an admin's work on accounts, and what was done by whom; and everybody's tokens. */
import type { Token } from "../../accounts/token_table.ts";
import { ACCOUNT_ROLES, includesScope, SCOPES } from "../../accounts/roles.ts";
import type { ConsoleServices } from "../../console_services.ts";
import { sourceKey } from "../../../core/wire/source_key.ts";
import { Problem } from "../../http/problem.ts";
import { accountName, newPassword, partQuery, title } from "../inputs.ts";
import { type ApiCall, type ApiRoute, apiRoute, whoAsks } from "../route.ts";
import { arrayOf, choiceOf, flag, orNull, record, text, whole } from "../schema.ts";
import { SHAPES } from "../shapes.ts";
import { rfc3339, rfc3339OrNull } from "../times.ts";
import { accountJson } from "./login_routes.ts";

/** ms */
const DAY = 86_400_000;

export function accountRoutes(services: ConsoleServices): readonly ApiRoute[] {
  const { accounts, sessions, tokens, links, passwords, passkeys, audit } = services;

  const note = (
    call: Pick<ApiCall<unknown, unknown>, "principal" | "source">,
    entry: { readonly action: string; readonly target: string; readonly detail?: string },
  ) => {
    const { account } = whoAsks(call);
    audit.add({ account, source: sourceKey(call.source), ...entry });
  };

  const named = (params: Readonly<Record<string, string>>) => {
    const account = accounts.find(params["name"]!);
    if (account === null) throw new Problem("not-found", "There is no such account.");
    return account;
  };

  /** @throws {Problem} where nobody would be left who can do it again */
  const requireAnotherAdmin = (name: string) => {
    if (accounts.all().some((each) => each.role === "admin" && each.name !== name)) return;
    throw new Problem("conflict", "This is the only admin: make another first.");
  };

  return [
    apiRoute({
      method: "get",
      path: "/accounts",
      access: "admin-session",
      summary: "All accounts",
      status: 200,
      answer: arrayOf(SHAPES.Account),
      handle: () => ({ body: accounts.all().map(accountJson) }),
    }),

    apiRoute({
      method: "post",
      path: "/accounts",
      access: "admin-session",
      summary: "Add an account",
      body: record({ name: accountName, role: choiceOf(ACCOUNT_ROLES), password: newPassword }),
      status: 201,
      answer: SHAPES.Account,
      problems: ["conflict"],
      handle: async (call) => {
        const { name, role } = call.body;
        const password = await passwords.hash(call.body.password);
        call.requireStill();
        if (!accounts.add({ name, role, password, created: services.now() })) {
          throw new Problem("conflict", "There is an account of this name.", { pointer: "/name" });
        }
        note(call, { action: "account-added", target: name, detail: role });
        return { body: accountJson(accounts.find(name)!) };
      },
    }),

    apiRoute({
      method: "patch",
      path: "/accounts/{name}",
      access: "admin-session",
      summary: "Change an account, which ends its sessions",
      body: record({}, {
        role: choiceOf(ACCOUNT_ROLES),
        password: text({
          ...newPassword,
          description:
            "Somebody else's account loses its passkeys, tokens and links with the password",
        }),
        removeTotp: flag({ description: "For who has lost the device and the recovery codes" }),
      }),
      status: 200,
      answer: SHAPES.Account,
      problems: ["not-found", "conflict"],
      handle: async (call) => {
        const { name } = named(call.params);
        const { role, password, removeTotp } = call.body;
        const hash = password === undefined ? null : await passwords.hash(password);
        call.requireStill();
        const { role: before } = named(call.params);
        if (before === "admin" && role !== undefined && role !== "admin") requireAnotherAdmin(name);
        const changes: string[] = [];
        if (role !== undefined && role !== before) {
          accounts.setRole(name, role);
          changes.push(`role ${role}`);
        }
        if (hash !== null) {
          accounts.setPassword(name, hash);
          changes.push("password");
          // Who has taken an account over has made some for himself; its owner may make others.
          if (name !== whoAsks(call).account) {
            for (const table of [passkeys, tokens, links]) table.removeAll(name);
          }
        }
        if (removeTotp === true) {
          accounts.removeTotp(name);
          changes.push("TOTP removed");
        }
        if (changes.length > 0) {
          sessions.endAll(name);
          note(call, { action: "account-changed", target: name, detail: changes.join(", ") });
        }
        return { body: accountJson(accounts.find(name)!) };
      },
    }),

    apiRoute({
      method: "delete",
      path: "/accounts/{name}",
      access: "admin-session",
      summary: "Remove an account, with its sessions, tokens and links",
      status: 204,
      problems: ["not-found", "conflict"],
      handle: (call) => {
        const { name, role } = named(call.params);
        if (role === "admin") requireAnotherAdmin(name);
        accounts.remove(name);
        note(call, { action: "account-removed", target: name });
        return {};
      },
    }),

    apiRoute({
      method: "get",
      path: "/tokens",
      access: "session",
      summary: "The own tokens, and for an admin those of all accounts",
      status: 200,
      answer: arrayOf(SHAPES.Token),
      handle: (call) => ({ body: tokens.of(tokenOwner(call)).map(tokenJson) }),
    }),

    apiRoute({
      method: "post",
      path: "/tokens",
      access: "session",
      summary: "Make a token, which is shown this once",
      body: record({
        name: title,
        scope: choiceOf(SCOPES),
        days: orNull(whole({ minimum: 1, maximum: 3650, description: "Null: for ever" })),
      }),
      status: 201,
      answer: record({ ...SHAPES.Token.properties, token: text() }),
      problems: ["conflict"],
      handle: (call) => {
        const { account, scope: own } = whoAsks(call);
        const { name, scope, days } = call.body;
        if (!includesScope(own, scope)) {
          throw new Problem("forbidden", "A token cannot do more than its account.", {
            pointer: "/scope",
          });
        }
        const expires = days === null ? null : services.now() + days * DAY;
        const made = tokens.add({ account, name, scope, expires });
        if (made === null) throw new Problem("conflict", "The account has too many tokens.");
        note(call, { action: "token-made", target: name, detail: scope });
        return { body: { ...tokenJson(made.token), token: made.secret } };
      },
    }),

    apiRoute({
      method: "delete",
      path: "/tokens/{id}",
      access: "session",
      summary: "Remove a token",
      status: 204,
      problems: ["not-found"],
      handle: (call) => {
        const token = tokens.remove(call.params["id"]!, tokenOwner(call));
        if (token === null) throw new Problem("not-found", "There is no such token.");
        note(call, { action: "token-removed", target: token.name, detail: token.account });
        return {};
      },
    }),

    apiRoute({
      method: "get",
      path: "/audit",
      access: "admin",
      summary: "What was done by the console, the newest ones, in their order",
      query: record({}, partQuery),
      status: 200,
      answer: arrayOf(SHAPES.AuditEntry),
      handle: ({ query: { after = 0, limit = 200 } }) => ({
        body: audit.after(after, limit).map((entry) => ({ ...entry, time: rfc3339(entry.time) })),
      }),
    }),
  ];
}

/** Whose tokens somebody sees; null for all. */
function tokenOwner(call: Pick<ApiCall<unknown, unknown>, "principal">): string | null {
  const { account, scope } = whoAsks(call);
  return scope === "admin" ? null : account;
}

function tokenJson({ id, name, scope, account, created, expires, lastUsed }: Token) {
  return {
    id,
    name,
    scope,
    account,
    created: rfc3339(created),
    expires: rfc3339OrNull(expires),
    lastUsed: rfc3339OrNull(lastUsed),
  };
}
