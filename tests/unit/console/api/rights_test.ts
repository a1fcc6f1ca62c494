/** Tests what tokens and roles allow, and that they do so no longer once they are taken away. */
import { assert, assertEquals } from "../../../support/assert.ts";
import { ConsoleFixture, PASSWORD, program } from "../../../support/console/console_fixture.ts";
import { idOf, keyOf } from "../../../support/console/fake_gateway.ts";
import { hostTest } from "../../../support/permissions.ts";

hostTest(
  "a token does what its scope has and no more, and nothing that makes tokens or accounts",
  async () => {
    await using fixture = await ConsoleFixture.open();
    const admin = await fixture.admin();
    const make = async (scope: string) => {
      const body = { name: scope, scope, days: null };
      const { body: token } = await admin.ask("POST", "/tokens", { body });
      return program(fixture.origin, token.token);
    };
    const any = { "If-Match": "*" };
    const peer = { body: { name: "phone", publicKey: keyOf(9) } };
    const disable = { body: { set: { Enabled: "no" } }, headers: any };
    const allow = { body: { set: { Allow: "0.0.0.0/0" } }, headers: any };
    const tries = [
      ["GET", "/status", undefined],
      ["GET", "/peers", undefined],
      ["PATCH", `/peers/${idOf(1)}`, disable],
      ["GET", "/links", undefined],
      ["PATCH", `/peers/${idOf(1)}`, allow],
      ["POST", "/peers", { body: { ...peer.body, set: { AllowedIPs: "10.0.0.0/8" } } }],
      ["POST", "/peers/bulk", { ...allow, body: { ...allow.body, peers: ["peer1"] } }],
      ["GET", "/settings", undefined],
      ["PUT", "/groups/staff", { body: { allow: "", deny: "" }, headers: any }],
      ["GET", "/audit", undefined],
      ["GET", "/tokens", undefined],
      ["POST", "/tokens", { body: { name: "more", scope: "admin", days: null } }],
      ["GET", "/accounts", undefined],
      ["POST", "/accounts", { body: { name: "eve", role: "admin", password: PASSWORD } }],
      ["GET", "/account", undefined],
      ["GET", "/account/sessions", undefined],
      ["POST", "/account/password", { body: { password: PASSWORD, newPassword: PASSWORD } }],
      ["DELETE", "/session", undefined],
    ] as const;
    const allowed = { read: 2, peers: 4, admin: 10 } as const;
    for (const [scope, count] of Object.entries(allowed)) {
      const ask = await make(scope);
      for (const [index, [method, path, request]] of tries.entries()) {
        const { status } = await ask(method, path, request);
        const isDone = status === 200 || status === 201;
        const isExpected = isDone === index < count && (isDone || status === 403);
        assert(isExpected, `${scope}: ${method} ${path}: ${status}`);
      }
    }
  },
);

hostTest(
  "a token is none when it has expired, is removed, or is another's, and shrinks with its account's role",
  async () => {
    await using fixture = await ConsoleFixture.open();
    const admin = await fixture.admin();
    const operator = await fixture.user(admin, "olga", "operator");
    const more = await operator.ask("POST", "/tokens", {
      body: { name: "more", scope: "admin", days: 1 },
    });
    assertEquals(more.status, 403);
    const made = await operator.ask("POST", "/tokens", {
      body: { name: "script", scope: "peers", days: 1 },
    });
    const ask = program(fixture.origin, made.body.token);
    assertEquals((await ask("GET", "/links")).status, 200);
    const [listed] = (await operator.ask("GET", "/tokens")).body;
    assertEquals(listed.lastUsed, new Date(fixture.clock.now).toISOString());
    assertEquals("token" in listed, false);
    await admin.ask("PATCH", "/accounts/olga", { body: { role: "viewer" } });
    assertEquals((await ask("GET", "/links")).status, 403);
    assertEquals((await ask("GET", "/peers")).status, 200);
    const viewer = await fixture.user(admin, "vera", "viewer");
    assertEquals((await viewer.ask("DELETE", `/tokens/${listed.id}`)).status, 404);
    fixture.clock.now += 86_400_000;
    assertEquals((await ask("GET", "/peers")).status, 401);
    fixture.clock.now -= 86_400_000;
    assertEquals((await ask("GET", "/peers")).status, 200);
    assertEquals((await admin.ask("DELETE", `/tokens/${listed.id}`)).status, 204);
    assertEquals((await ask("GET", "/peers")).status, 401);
    assertEquals((await program(fixture.origin, "vpn_guess")("GET", "/peers")).status, 401);
  },
);

hostTest("a role does what it has and no more", async () => {
  await using fixture = await ConsoleFixture.open();
  const admin = await fixture.admin();
  const viewer = await fixture.user(admin, "vera", "viewer");
  const operator = await fixture.user(admin, "olga", "operator");
  const headers = { "If-Match": "*" };
  const tries = [
    ["GET", "/status", undefined, [200, 200]],
    ["PATCH", `/peers/${idOf(1)}`, { body: { set: { Enabled: "no" } }, headers }, [403, 200]],
    ["POST", "/links", { body: { name: "tablet" } }, [403, 201]],
    ["PUT", "/settings", { body: { text: "" }, headers }, [403, 403]],
    ["GET", "/accounts", undefined, [403, 403]],
    ["PATCH", "/accounts/root", { body: { password: PASSWORD } }, [403, 403]],
    ["DELETE", "/accounts/root", undefined, [403, 403]],
    ["GET", "/account", undefined, [200, 200]],
  ] as const;
  for (const [method, path, ask, expected] of tries) {
    const found = [await viewer.ask(method, path, ask), await operator.ask(method, path, ask)];
    assertEquals([path, ...found.map(({ status }) => status)], [path, ...expected]);
  }
});

hostTest(
  "what has lost its right has lost it at once: sessions end with role, password and account",
  async () => {
    await using fixture = await ConsoleFixture.open();
    const admin = await fixture.admin();
    for (
      const body of [{ role: "viewer" }, { password: `${PASSWORD}!` }, { removeTotp: true }, null]
    ) {
      const user = await fixture.user(admin, "olga", "operator");
      const before = (await user.ask("GET", "/account")).status;
      const { status } = body === null
        ? await admin.ask("DELETE", "/accounts/olga")
        : await admin.ask("PATCH", "/accounts/olga", { body });
      assertEquals([before, status < 300], [200, true]);
      assertEquals((await user.ask("GET", "/account")).status, 401);
      if (body !== null) await admin.ask("DELETE", "/accounts/olga");
    }
    const again = fixture.browser();
    await again.ask("POST", "/login", { body: { name: "root", password: PASSWORD } });
    await admin.ask("POST", "/account/password", {
      body: { password: PASSWORD, newPassword: `${PASSWORD}!` },
    });
    assertEquals((await admin.ask("GET", "/account")).status, 200);
    assertEquals((await again.ask("GET", "/account")).status, 401);
  },
);

hostTest(
  "an account whose password an admin sets loses its tokens and links: who has taken it over has made some",
  async () => {
    await using fixture = await ConsoleFixture.open();
    const admin = await fixture.admin();
    const thief = await fixture.user(admin, "olga", "operator");
    const body = { name: "mine", scope: "peers", days: null };
    const { body: { token } } = await thief.ask("POST", "/tokens", { body });
    const { body: { url } } = await thief.ask("POST", "/links", { body: { name: "phone" } });
    const ask = program(fixture.origin, token);
    assertEquals((await ask("GET", "/peers")).status, 200);
    await admin.ask("PATCH", "/accounts/olga", { body: { password: `${PASSWORD}!` } });
    assertEquals((await ask("GET", "/peers")).status, 401);
    const link = url.split("/").at(-1);
    const { status } = await thief.ask("POST", "/links/inspect", { body: { token: link } });
    assertEquals(status, 410);
  },
);

hostTest(
  "what was begun before a right was lost is not done after that: passwords take long to hash",
  async () => {
    // A tenth of a second or two, in which an admin ends the sessions.
    await using fixture = await ConsoleFixture.open({ passwordCost: { N: 1 << 15, r: 8, p: 2 } });
    const admin = await fixture.admin();
    const password = `${PASSWORD}!`;
    const attempts = [
      ["POST", "/account/password", { password: PASSWORD, newPassword: password }],
      ["POST", "/accounts", { name: "back-door", role: "admin", password }],
    ] as const;
    for (const [method, path, body] of attempts) {
      const thief = await fixture.user(admin, "olga", "admin");
      const late = thief.ask(method, path, { body });
      // Answered when the one before has begun.
      assertEquals((await thief.ask("GET", "/account")).status, 200);
      await admin.ask("PATCH", "/accounts/olga", { body: { role: "viewer" } });
      assertEquals([path, (await late).status], [path, 401]);
      const { body: kept } = await admin.ask("GET", "/accounts");
      assertEquals(kept.map(({ name }: { name: string }) => name), ["olga", "root"]);
      const login = { name: "olga", password: PASSWORD };
      assertEquals((await fixture.browser().ask("POST", "/login", { body: login })).status, 200);
      await admin.ask("DELETE", "/accounts/olga");
    }
  },
);

hostTest("the last admin stays one", async () => {
  await using fixture = await ConsoleFixture.open();
  const admin = await fixture.admin();
  assertEquals((await admin.ask("DELETE", "/accounts/ROOT")).status, 409);
  assertEquals(
    (await admin.ask("PATCH", "/accounts/root", { body: { role: "viewer" } })).status,
    409,
  );
  await fixture.user(admin, "anna", "admin");
  assertEquals(
    (await admin.ask("PATCH", "/accounts/root", { body: { role: "viewer" } })).status,
    200,
  );
});
