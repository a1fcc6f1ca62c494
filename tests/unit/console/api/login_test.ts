/** Tests second factors: codes of a device, recovery codes, passkeys. */
import { TOTP } from "otpauth";
import { assert, assertEquals } from "../../../support/assert.ts";
import { Authenticator } from "../../../support/console/authenticator.ts";
import {
  type Browser,
  ConsoleFixture,
  PASSWORD,
} from "../../../support/console/console_fixture.ts";
import { hostTest } from "../../../support/permissions.ts";

const PERIOD = 30_000;

/** Puts TOTP in force. Returns what a device shows, and the recovery codes. */
async function withTotp(fixture: ConsoleFixture, browser: Browser) {
  const { body: { secret, uri } } = await browser.ask("POST", "/account/totp", {
    body: { password: PASSWORD },
  });
  assert(uri.startsWith("otpauth://totp/") && uri.includes(secret), uri);
  const totp = new TOTP({ secret });
  const codeNow = () => totp.generate({ timestamp: fixture.clock.now });
  const { status, body } = await browser.ask("PUT", "/account/totp", { body: { code: codeNow() } });
  assertEquals(status, 200);
  return { codeNow, recoveryCodes: body.recoveryCodes as string[] };
}

function login(fixture: ConsoleFixture, code?: string) {
  fixture.clock.monotonic += 600_000;
  return fixture.browser().ask("POST", "/login", {
    body: { name: "root", password: PASSWORD, ...(code === undefined ? {} : { code }) },
  });
}

hostTest("with TOTP, a password alone is not enough, and each code is taken once", async () => {
  await using fixture = await ConsoleFixture.open();
  const admin = await fixture.admin();
  const { codeNow } = await withTotp(fixture, admin);
  const asked = await login(fixture);
  assertEquals([asked.status, asked.body.type], [401, "/problems/second-factor"]);
  assertEquals((await login(fixture, codeNow())).status, 401, "used to put it in force");
  fixture.clock.now += PERIOD;
  const code = codeNow();
  assertEquals((await login(fixture, code)).status, 200);
  assertEquals((await login(fixture, code)).status, 401, "used a second time");
  fixture.clock.now += 10 * PERIOD;
  assertEquals((await login(fixture, code)).status, 401, "of minutes ago");
  assertEquals((await login(fixture, "123456")).status, 401);
});

hostTest("that a code is missing is said to who has the password alone", async () => {
  await using fixture = await ConsoleFixture.open();
  await withTotp(fixture, await fixture.admin());
  const { body } = await fixture.browser().ask("POST", "/login", {
    body: { name: "root", password: "guessed password" },
  });
  assertEquals(body.type, "/problems/wrong-credentials");
});

hostTest(
  "a recovery code stands for a code, once, however it is typed; new ones replace the old",
  async () => {
    await using fixture = await ConsoleFixture.open();
    const admin = await fixture.admin();
    const { recoveryCodes: [first = "", second = ""] } = await withTotp(fixture, admin);
    assertEquals((await login(fixture, first.toUpperCase().replaceAll("-", " "))).status, 200);
    assertEquals((await login(fixture, first)).status, 401);
    assertEquals((await admin.ask("GET", "/account")).body.recoveryCodes, 9);
    const made = await admin.ask("POST", "/account/recovery-codes", {
      body: { password: PASSWORD },
    });
    assertEquals((await login(fixture, second)).status, 401);
    assertEquals((await login(fixture, made.body.recoveryCodes[0])).status, 200);
  },
);

hostTest(
  "a secret is in force when a code by it has come, and is removed by who has the password",
  async () => {
    await using fixture = await ConsoleFixture.open();
    const admin = await fixture.admin();
    await admin.ask("POST", "/account/totp", { body: { password: PASSWORD } });
    assertEquals((await login(fixture)).status, 200);
    const { status } = await admin.ask("PUT", "/account/totp", { body: { code: "000000" } });
    assertEquals(status, 401);
    await withTotp(fixture, admin);
    assertEquals((await login(fixture)).status, 401);
    const wrong = await admin.ask("DELETE", "/account/totp", { body: { password: "guessed" } });
    assertEquals(wrong.status, 401);
    await admin.ask("DELETE", "/account/totp", { body: { password: PASSWORD } });
    assertEquals((await login(fixture)).status, 200);
  },
);

/** A console that is reached by a name, as passkeys need it. */
async function named(): Promise<{ fixture: ConsoleFixture; admin: Browser }> {
  const fixture = await ConsoleFixture.open();
  const admin = await fixture.admin();
  const local = fixture.browser(`http://localhost:${fixture.console.port}`);
  await local.ask("POST", "/login", { body: { name: "root", password: PASSWORD } });
  assertEquals((await admin.ask("GET", "/session")).body.passkeys, false);
  assertEquals((await local.ask("GET", "/session")).body.passkeys, true);
  return { fixture, admin: local };
}

async function register(admin: Browser, authenticator: Authenticator, isVerified = true) {
  const { body: { id, options } } = await admin.ask("POST", "/account/passkeys/options", {
    body: { password: PASSWORD },
  });
  const response = authenticator.register(options, { origin: admin.origin, isVerified });
  return await admin.ask("POST", "/account/passkeys", { body: { id, name: "key", response } });
}

hostTest("a passkey logs in without name, password and code, once for each challenge", async () => {
  const { fixture, admin } = await named();
  await using _ = fixture;
  const authenticator = new Authenticator();
  assertEquals((await register(admin, authenticator)).status, 201);
  const visitor = fixture.browser(admin.origin);
  const { body: { id, options } } = await visitor.ask("POST", "/login/passkey/options", {
    body: {},
  });
  const response = authenticator.login(options, { origin: admin.origin });
  const done = await visitor.ask("POST", "/login/passkey", { body: { id, response } });
  assertEquals([done.status, done.body.account.name], [200, "root"]);
  assertEquals((await visitor.ask("GET", "/account")).status, 200);
  const again = await fixture.browser(admin.origin).ask("POST", "/login/passkey", {
    body: { id, response },
  });
  assertEquals(again.status, 401);
  const [listed] = (await admin.ask("GET", "/account/passkeys")).body;
  assertEquals(listed.lastUsed, new Date(fixture.clock.now).toISOString());
});

hostTest(
  "strangers at the same address put out no challenge of a browser that is known",
  async () => {
    const { fixture, admin } = await named();
    await using _ = fixture;
    const authenticator = new Authenticator();
    await register(admin, authenticator);
    const options = (browser: Browser) =>
      browser.ask("POST", "/login/passkey/options", { body: {} });
    const { body: asked } = await options(admin);
    const stranger = fixture.browser(admin.origin);
    for (let i = 0; i < 1_010; i += 10) {
      await Promise.all(Array.from({ length: 10 }, () => options(stranger)));
    }
    const response = authenticator.login(asked.options, { origin: admin.origin });
    const body = { id: asked.id, response };
    assertEquals((await admin.ask("POST", "/login/passkey", { body })).status, 200);
  },
);

hostTest(
  "an account whose password an admin sets loses its passkeys: who has taken it over has made one",
  async () => {
    const { fixture, admin } = await named();
    await using _ = fixture;
    await admin.ask("POST", "/accounts", {
      body: { name: "olga", role: "operator", password: PASSWORD },
    });
    const thief = fixture.browser(admin.origin);
    await thief.ask("POST", "/login", { body: { name: "olga", password: PASSWORD } });
    const authenticator = new Authenticator();
    assertEquals((await register(thief, authenticator)).status, 201);
    const ownKey = await register(admin, new Authenticator());
    await admin.ask("PATCH", "/accounts/olga", { body: { password: `${PASSWORD}!` } });
    const { body: { id, options } } = await thief.ask("POST", "/login/passkey/options", {
      body: {},
    });
    const response = authenticator.login(options, { origin: admin.origin });
    assertEquals(
      (await thief.ask("POST", "/login/passkey", { body: { id, response } })).status,
      401,
    );
    await admin.ask("PATCH", "/accounts/root", { body: { password: `${PASSWORD}!` } });
    const again = fixture.browser(admin.origin);
    await again.ask("POST", "/login", { body: { name: "root", password: `${PASSWORD}!` } });
    const [kept] = (await again.ask("GET", "/account/passkeys")).body;
    assertEquals(kept.id, ownKey.body.id, "of the own account they stay");
  },
);

hostTest(
  "an answer of another site's, of another key, of a copy, or without its user is none",
  async () => {
    const { fixture, admin } = await named();
    await using _ = fixture;
    const authenticator = new Authenticator();
    assertEquals((await register(admin, new Authenticator(), false)).status, 422);
    await register(admin, authenticator);
    const tryWith = async (answer: (options: { challenge: string; rpId: string }) => unknown) => {
      fixture.clock.monotonic += 60_000;
      const visitor = fixture.browser(admin.origin);
      const { body: { id, options } } = await visitor.ask("POST", "/login/passkey/options", {
        body: {},
      });
      return (await visitor.ask("POST", "/login/passkey", {
        body: { id, response: answer(options) },
      }))
        .status;
    };
    const { origin } = admin;
    assertEquals(await tryWith((options) => authenticator.login(options, { origin })), 200);
    const elsewhere = { origin: "https://evil.example" };
    assertEquals(await tryWith((options) => authenticator.login(options, elsewhere)), 401);
    const unverified = { origin, isVerified: false };
    assertEquals(await tryWith((options) => authenticator.login(options, unverified)), 401);
    assertEquals(await tryWith((options) => new Authenticator().login(options, { origin })), 401);
    const stale = { challenge: "c3RhbGU", rpId: "localhost" };
    assertEquals(await tryWith(() => authenticator.login(stale, { origin })), 401);
    // A copy has counted less than the one it was made of.
    authenticator.counter = 0;
    assertEquals(await tryWith((options) => authenticator.login(options, { origin })), 401);
    authenticator.counter = 10;
    assertEquals(await tryWith((options) => authenticator.login(options, { origin })), 200);
    const [{ id }] = (await admin.ask("GET", "/account/passkeys")).body;
    assertEquals((await admin.ask("DELETE", `/account/passkeys/${id}`)).status, 204);
    assertEquals(await tryWith((options) => authenticator.login(options, { origin })), 401);
  },
);

hostTest("a challenge is for who has asked for it, and for five minutes", async () => {
  const { fixture, admin } = await named();
  await using _ = fixture;
  const authenticator = new Authenticator();
  const options = await admin.ask("POST", "/account/passkeys/options", {
    body: { password: PASSWORD },
  });
  fixture.clock.now += 300_001;
  const late = await admin.ask("POST", "/account/passkeys", {
    body: {
      id: options.body.id,
      name: "key",
      response: authenticator.register(options.body.options, { origin: admin.origin }),
    },
  });
  assertEquals(late.status, 422);
  const { body } = await admin.ask("POST", "/login/passkey/options", { body: {} });
  const crossed = await admin.ask("POST", "/account/passkeys", {
    body: {
      id: body.id,
      name: "key",
      response: authenticator.register(
        { challenge: body.options.challenge, rp: { id: "localhost" } },
        { origin: admin.origin },
      ),
    },
  });
  assertEquals(crossed.status, 422);
});
