/** Tests the whole table of who may do what by the API: each route, by each role, and by each role's tokens. */
import { assert, assertEquals } from "../../../support/assert.ts";
import { type Browser, ConsoleFixture, program } from "../../../support/console/console_fixture.ts";
import { hostTest } from "../../../support/permissions.ts";

/** Those who ask, in the order of the columns below. */
const CALLERS = [
  "nobody",
  "viewer",
  "operator",
  "admin",
  "viewer's token",
  "operator's token",
  "admin's token to read",
  "admin's token for peers",
  "admin's token for all",
] as const;

/** As a row says it: `x` may, `.` may not. */
const TABLE: Readonly<Record<string, string>> = {
  "GET /session": "xxxxxxxxx",
  "POST /setup": "xxxxxxxxx",
  "POST /login": "xxxxxxxxx",
  "POST /login/passkey/options": "xxxxxxxxx",
  "POST /login/passkey": "xxxxxxxxx",
  "DELETE /session": ".xxx.....",
  "GET /account": ".xxx.....",
  "POST /account/password": ".xxx.....",
  "POST /account/totp": ".xxx.....",
  "PUT /account/totp": ".xxx.....",
  "DELETE /account/totp": ".xxx.....",
  "POST /account/recovery-codes": ".xxx.....",
  "GET /account/passkeys": ".xxx.....",
  "POST /account/passkeys/options": ".xxx.....",
  "POST /account/passkeys": ".xxx.....",
  "DELETE /account/passkeys/{id}": ".xxx.....",
  "GET /account/sessions": ".xxx.....",
  "DELETE /account/sessions/{id}": ".xxx.....",
  "GET /accounts": "...x.....",
  "POST /accounts": "...x.....",
  "PATCH /accounts/{name}": "...x.....",
  "DELETE /accounts/{name}": "...x.....",
  "GET /tokens": ".xxx.....",
  "POST /tokens": ".xxx.....",
  "DELETE /tokens/{id}": ".xxx.....",
  "GET /audit": "...x....x",
  "GET /peers": ".xxxxxxxx",
  "POST /peers": "..xx.x.xx",
  "GET /peers/{id}": ".xxxxxxxx",
  "PATCH /peers/{id}": "..xx.x.xx",
  "DELETE /peers/{id}": "..xx.x.xx",
  "POST /peers/bulk": "..xx.x.xx",
  "POST /peers/{id}/rotation": "...x....x",
  "DELETE /peers/{id}/rotation": "...x....x",
  "PUT /groups/{name}": "...x....x",
  "DELETE /groups/{name}": "...x....x",
  "GET /links": "..xx.x.xx",
  "POST /links": "..xx.x.xx",
  "DELETE /links/{id}": "..xx.x.xx",
  "POST /links/inspect": "xxxxxxxxx",
  "POST /links/redeem": "xxxxxxxxx",
  "GET /status": ".xxxxxxxx",
  "GET /live": ".xxxxxxxx",
  "GET /usage": ".xxxxxxxx",
  "GET /events": ".xxxxxxxx",
  "POST /access/test": ".xxxxxxxx",
  "GET /health": ".xxxxxxxx",
  "GET /doctor": ".xxxxxxxx",
  "POST /doctor": "..xx.x.xx",
  "GET /dns": ".xxxxxxxx",
  "GET /settings": "...x....x",
  "POST /settings/preview": "...x....x",
  "PUT /settings": "...x....x",
  "GET /openapi.json": "xxxxxxxxx",
};

hostTest("each route is for those whom the table has, and for nobody else", async () => {
  await using fixture = await ConsoleFixture.open();
  const admin = await fixture.admin();
  const [viewer, operator] = [
    await fixture.user(admin, "vera", "viewer"),
    await fixture.user(admin, "olga", "operator"),
  ];
  const tokenOf = async (browser: Browser, scope: string) => {
    const body = { name: scope, scope, days: 1 };
    return program(fixture.origin, (await browser.ask("POST", "/tokens", { body })).body.token);
  };
  const session = (browser: Browser): Browser["ask"] => (...request) => browser.ask(...request);
  const callers = [
    session(fixture.browser()),
    ...[viewer, operator, admin].map(session),
    await tokenOf(viewer, "read"),
    await tokenOf(operator, "peers"),
    await tokenOf(admin, "read"),
    await tokenOf(admin, "peers"),
    await tokenOf(admin, "admin"),
  ];
  const { paths } = (await admin.ask("GET", "/openapi.json")).body;
  const routes = Object.keys(paths).flatMap((path) =>
    Object.keys(paths[path]).map((method) =>
      `${method.toUpperCase()} ${path.replace("/api/v1", "")}`
    )
  );
  assertEquals(routes.toSorted(), Object.keys(TABLE).toSorted());
  for (const [route, row] of Object.entries(TABLE)) {
    const [method = "", path = ""] = route.split(" ");
    let found = "";
    for (const [index, ask] of callers.entries()) {
      // It would end the session of who asks next, and a stream does not end by itself.
      const isEnd = route === "DELETE /session" && row[index] === "x";
      const isStream = path === "/live";
      const place = path.replace(/\{\w+\}/, "none");
      // Nothing is sent: who may is told what is missing.
      const { status } = isEnd ? { status: 204 } : await ask(isStream ? "HEAD" : method, place);
      found += status === 401 || status === 403 ? "." : "x";
      if (row[index] === ".") {
        assertEquals([route, CALLERS[index], status], [
          route,
          CALLERS[index],
          index === 0 ? 401 : 403,
        ]);
      }
    }
    assertEquals([route, found], [route, row]);
  }
  assertEquals(fixture.faults, []);
  assert(!fixture.gateway.asked.some(({ method }) => /^(?:create|change|delete|put)/.test(method)));
});
