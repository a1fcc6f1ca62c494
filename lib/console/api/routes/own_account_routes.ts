/** Own account routes: what who is logged in changes of the own account: password, TOTP, passkeys, sessions. */
import type { StoredAccount } from "../../accounts/account_table.ts";
import type { StoredPasskey } from "../../accounts/passkeys.ts";
import { newRecoveryCodes, newTotpSecret, totpStep, totpUri } from "../../accounts/totp.ts";
import type { ConsoleServices } from "../../console_services.ts";
import { sourceKey } from "../../../core/wire/source_key.ts";
import { Problem } from "../../http/problem.ts";
import { code, entryId, newPassword, password, title } from "../inputs.ts";
import { type ApiCall, type ApiRoute, apiRoute, whoAsks } from "../route.ts";
import { arrayOf, mapOf, record, text } from "../schema.ts";
import { SHAPES } from "../shapes.ts";
import { rfc3339, rfc3339OrNull } from "../times.ts";
import { accountJson, requirePasskeys, tooMany } from "./login_routes.ts";

const recoveryCodes = record({ recoveryCodes: arrayOf(text()) });

export function ownAccountRoutes(services: ConsoleServices): readonly ApiRoute[] {
  const { accounts, sessions, passwords, login, passkeys, audit } = services;

  type Asked = Pick<ApiCall<unknown, unknown>, "principal" | "source" | "requireStill">;

  const ownAccount = (call: Asked): StoredAccount => {
    const account = accounts.find(whoAsks(call).account);
    if (account === null) throw new Problem("unauthenticated", "The account has been removed.");
    return account;
  };

  /** The own account, whose owner has typed the password again: who finds a browser open cannot. */
  const confirmed = async (call: Asked & { readonly body: { readonly password: string } }) => {
    const account = ownAccount(call);
    const source = sourceKey(call.source);
    const isRight = await login.confirms(account.name, call.body.password, source);
    if (isRight === "too-many") throw tooMany(60);
    if (!isRight) throw new Problem("wrong-credentials", "The password is wrong.");
    call.requireStill();
    return account;
  };

  const note = (call: Asked, action: string, detail: string | null = null) => {
    audit.add({ account: whoAsks(call).account, source: sourceKey(call.source), action, detail });
  };

  return [
    apiRoute({
      method: "get",
      path: "/account",
      access: "session",
      summary: "The own account",
      status: 200,
      answer: SHAPES.Account,
      handle: (call) => ({ body: accountJson(ownAccount(call)) }),
    }),

    apiRoute({
      method: "post",
      path: "/account/password",
      access: "session",
      summary: "Change the own password, which ends all other sessions",
      body: record({ password, newPassword }),
      status: 204,
      problems: ["wrong-credentials", "too-many"],
      handle: async (call) => {
        const { name } = await confirmed(call);
        const hash = await passwords.hash(call.body.newPassword);
        call.requireStill();
        accounts.setPassword(name, hash);
        sessions.endAll(name);
        note(call, "password-changed");
        return { session: sessions.begin(name, sourceKey(call.source)) };
      },
    }),

    apiRoute({
      method: "post",
      path: "/account/totp",
      access: "session",
      summary: "Ask for a secret for codes (TOTP), which is in force when a code by it has come",
      body: record({ password }),
      status: 200,
      answer: record({ secret: text(), uri: text() }),
      problems: ["wrong-credentials", "too-many"],
      handle: async (call) => {
        const { name } = await confirmed(call);
        const secret = newTotpSecret();
        accounts.offerTotp(name, secret);
        const issuer = `vpn ${new URL(call.origin).hostname}`;
        return { body: { secret, uri: totpUri(secret, name, issuer) } };
      },
    }),

    apiRoute({
      method: "put",
      path: "/account/totp",
      access: "session",
      summary: "Put the secret for codes in force, by a code; shows new recovery codes, this once",
      body: record({ code }),
      status: 200,
      answer: recoveryCodes,
      problems: ["wrong-credentials", "conflict", "too-many"],
      handle: (call) => {
        const { name, totpPending } = ownAccount(call);
        if (totpPending === null) throw new Problem("conflict", "Ask for a secret first.");
        const step = totpStep(totpPending, call.body.code, services.now());
        if (step === null) {
          const wait = services.limits.addGuess(`account ${name}`);
          if (wait > 0) throw tooMany(wait / 1000);
          throw new Problem("wrong-credentials", "This code is not the one of the new secret.");
        }
        const codes = newRecoveryCodes();
        accounts.confirmTotp(name, step, codes);
        note(call, "totp-enabled");
        return { body: { recoveryCodes: codes } };
      },
    }),

    apiRoute({
      method: "delete",
      path: "/account/totp",
      access: "session",
      summary: "Log in without a code from now on",
      body: record({ password }),
      status: 204,
      problems: ["wrong-credentials", "too-many"],
      handle: async (call) => {
        const { name } = await confirmed(call);
        accounts.removeTotp(name);
        note(call, "totp-disabled");
        return {};
      },
    }),

    apiRoute({
      method: "post",
      path: "/account/recovery-codes",
      access: "session",
      summary: "Make new recovery codes, which replace those there were",
      body: record({ password }),
      status: 200,
      answer: recoveryCodes,
      problems: ["wrong-credentials", "conflict", "too-many"],
      handle: async (call) => {
        const { name, totp } = await confirmed(call);
        if (totp === null) throw new Problem("conflict", "This account has no codes to recover.");
        const codes = newRecoveryCodes();
        accounts.setRecoveryCodes(name, codes);
        note(call, "recovery-codes-made");
        return { body: { recoveryCodes: codes } };
      },
    }),

    apiRoute({
      method: "get",
      path: "/account/passkeys",
      access: "session",
      summary: "The own passkeys",
      status: 200,
      answer: arrayOf(SHAPES.Passkey),
      handle: (call) => ({ body: passkeys.of(whoAsks(call).account).map(passkeyJson) }),
    }),

    apiRoute({
      method: "post",
      path: "/account/passkeys/options",
      access: "session",
      summary: "What a browser needs to make a passkey",
      body: record({ password }),
      status: 200,
      answer: record({ id: text(), options: mapOf({}) }),
      problems: ["wrong-credentials", "too-many", "refused", "conflict"],
      handle: async (call) => {
        requirePasskeys(call.origin);
        const { name: account } = await confirmed(call);
        const { origin } = call;
        const source = `account ${account}`;
        const body = await passkeys.registration({ account, origin, source });
        if (body === null) throw new Problem("conflict", "The account has too many passkeys.");
        return { body };
      },
    }),

    apiRoute({
      method: "post",
      path: "/account/passkeys",
      access: "session",
      summary: "Add the passkey that a browser has made",
      body: record({ id: entryId, name: title, response: mapOf({}) }),
      status: 201,
      answer: SHAPES.Passkey,
      problems: ["refused"],
      handle: async (call) => {
        requirePasskeys(call.origin);
        const { name: account } = ownAccount(call);
        const { origin, requireStill } = call;
        const passkey = await passkeys.register({ ...call.body, account, origin, requireStill });
        if (passkey === null) throw new Problem("refused", "That is no passkey for this console.");
        note(call, "passkey-added", passkey.name);
        return { body: passkeyJson(passkey) };
      },
    }),

    apiRoute({
      method: "delete",
      path: "/account/passkeys/{id}",
      access: "session",
      summary: "Remove a passkey",
      status: 204,
      problems: ["not-found"],
      handle: (call) => {
        const passkey = passkeys.remove(whoAsks(call).account, call.params["id"]!);
        if (passkey === null) throw new Problem("not-found", "There is no such passkey.");
        note(call, "passkey-removed", passkey.name);
        return {};
      },
    }),

    apiRoute({
      method: "get",
      path: "/account/sessions",
      access: "session",
      summary: "The own sessions",
      status: 200,
      answer: arrayOf(SHAPES.Session),
      handle: (call) => {
        const { account, sessionId } = whoAsks(call);
        return {
          body: sessions.of(account).map(({ id, created, lastUsed, source }) => ({
            id,
            created: rfc3339(created),
            lastUsed: rfc3339(lastUsed),
            source,
            isCurrent: id === sessionId,
          })),
        };
      },
    }),

    apiRoute({
      method: "delete",
      path: "/account/sessions/{id}",
      access: "session",
      summary: "End a session",
      status: 204,
      problems: ["not-found"],
      handle: (call) => {
        if (!sessions.end(whoAsks(call).account, call.params["id"]!)) {
          throw new Problem("not-found", "There is no such session.");
        }
        note(call, "session-ended");
        return {};
      },
    }),
  ];
}

function passkeyJson({ id, name, created, lastUsed }: StoredPasskey): Record<string, unknown> {
  return { id, name, created: rfc3339(created), lastUsed: rfc3339OrNull(lastUsed) };
}
