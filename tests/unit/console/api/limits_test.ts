/** Tests that guessing is bounded, and that nobody keeps an account's owner out by it. */
import { TOTP } from "otpauth";
import { assert, assertEquals } from "../../../support/assert.ts";
import {
  type Browser,
  ConsoleFixture,
  PASSWORD,
} from "../../../support/console/console_fixture.ts";
import { FakeGateway, keyOf } from "../../../support/console/fake_gateway.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";
import { eventually } from "../../../support/time/patience.ts";

const DAY = 86_400_000;
const RIGHT = { body: { name: "root", password: PASSWORD } };
const WRONG = { body: { name: "root", password: "guessed password" } };

/** As one that has lost its session, and is known all the same. */
function known(fixture: ConsoleFixture, browser: Browser): Browser {
  const again = fixture.browser();
  again.device = `vpn_device_${fixture.console.port}=${browser.device!.split("=")[1]}`;
  return again;
}

/** Somebody guesses until he is told to wait. */
async function guess(fixture: ConsoleFixture, path: string, body: unknown): Promise<void> {
  for (let i = 0; i < 40; i++) {
    if ((await fixture.browser().ask("POST", path, { body })).status === 429) return;
  }
  throw new Error(`${path} can be guessed for long`);
}

hostTest(
  "guesses from the same address, as by a tunnel of SSH or a proxy, keep no browser out that is known",
  async () => {
    await using fixture = await ConsoleFixture.open();
    const admin = await fixture.admin();
    await guess(fixture, "/login", WRONG.body);
    assertEquals((await fixture.browser().ask("POST", "/login", RIGHT)).status, 429);
    assertEquals((await known(fixture, admin).ask("POST", "/login", RIGHT)).status, 200);
    // It has a bound of its own: who has stolen it guesses no longer than others.
    const thief = known(fixture, admin);
    const statuses: number[] = [];
    for (let i = 0; i < 12; i++) statuses.push((await thief.ask("POST", "/login", WRONG)).status);
    assertEquals(statuses, [...Array(10).fill(401), 429, 429]);
  },
);

hostTest("a start of the console forgets no browser, and ninety days do", async () => {
  const folder = temporaryFolder();
  const first = await ConsoleFixture.open({ folder });
  const admin = await first.admin();
  await first.console[Symbol.asyncDispose]();
  await using second = await ConsoleFixture.open({ folder });
  await guess(second, "/login", WRONG.body);
  const isIn = async () => (await known(second, admin).ask("POST", "/login", RIGHT)).status === 200;
  assert(await isIn());
  second.clock.now += 90 * DAY;
  assert(!await isIn());
});

hostTest("a browser is known for its own account, and a made-up one for none", async () => {
  await using fixture = await ConsoleFixture.open({ trustedProxies: ["127.0.0.1"] });
  const admin = await fixture.admin();
  const eve = await fixture.user(admin, "eve", "viewer");
  const headers = { "X-Forwarded-For": "192.0.2.1" };
  const outcomes: number[] = [];
  for (let i = 0; i < 12; i++) {
    const browser = known(fixture, eve);
    outcomes.push((await browser.ask("POST", "/login", { ...WRONG, headers })).status);
  }
  assertEquals(outcomes.slice(-2), [429, 429]);
  const madeUp = fixture.browser();
  madeUp.device = `${admin.device!.split("=")[0]}=${"A".repeat(43)}`;
  assertEquals((await madeUp.ask("POST", "/login", { ...RIGHT, headers })).status, 429);
});

hostTest("who is logged in confirms the password while strangers guess it", async () => {
  await using fixture = await ConsoleFixture.open();
  const admin = await fixture.admin();
  await guess(fixture, "/login", WRONG.body);
  const { status } = await admin.ask("POST", "/account/totp", { body: { password: PASSWORD } });
  assertEquals(status, 200);
});

hostTest(
  "who has the password gets some hundred codes tried a day, by however many addresses",
  async () => {
    await using fixture = await ConsoleFixture.open({ trustedProxies: ["127.0.0.1"] });
    const admin = await fixture.admin();
    const second = fixture.browser();
    await second.ask("POST", "/login", RIGHT);
    const made = await admin.ask("POST", "/account/totp", { body: { password: PASSWORD } });
    const totp = new TOTP({ secret: made.body.secret });
    const codeNow = () => totp.generate({ timestamp: fixture.clock.now });
    await admin.ask("PUT", "/account/totp", { body: { code: codeNow() } });
    let tried = 0;
    const minutes = 2 * 60;
    for (let minute = 0; minute < minutes; minute++) {
      fixture.clock.monotonic += 60_000;
      const { status } = await fixture.browser().ask("POST", "/login", {
        body: { ...RIGHT.body, code: "000000" },
        headers: { "X-Forwarded-For": `198.51.100.${minute % 250}` },
      });
      if (status === 401) tried++;
    }
    assert(tried <= 10 + minutes / 10, `${tried} in two hours`);
    // By a browser that is known, and stolen, it is no more.
    const thief = known(fixture, second);
    tried = 0;
    for (let minute = 0; minute < minutes; minute++) {
      fixture.clock.monotonic += 60_000;
      const body = { ...RIGHT.body, code: "000000" };
      if ((await thief.ask("POST", "/login", { body })).status === 401) tried++;
    }
    assert(tried <= 10 + minutes / 10, `${tried} in two hours`);
    // Its owner has another one.
    fixture.clock.now += 60_000;
    const { status } = await known(fixture, admin).ask("POST", "/login", {
      body: { ...RIGHT.body, code: codeNow() },
    });
    assertEquals(status, 200);
  },
);

hostTest("wrong set-up tokens keep nobody from setting up", async () => {
  await using fixture = await ConsoleFixture.open();
  await guess(fixture, "/setup", { token: "guess", name: "eve", password: PASSWORD });
  await fixture.admin();
});

hostTest("wrong links keep nobody from theirs, or from logging in", async () => {
  await using fixture = await ConsoleFixture.open();
  const admin = await fixture.admin();
  const made = await admin.ask("POST", "/links", { body: { name: "tablet" } });
  const token = made.body.url.split("/").at(-1);
  await guess(fixture, "/links/inspect", { token: "guess" });
  await guess(fixture, "/links/redeem", { token: "guess", publicKey: keyOf(9) });
  const body = { token, publicKey: keyOf(9) };
  assertEquals((await fixture.browser().ask("POST", "/links/redeem", { body })).status, 201);
  assertEquals((await fixture.browser().ask("POST", "/login", RIGHT)).status, 200);
});

hostTest("two consoles at one name, by ports of their own, keep their sessions apart", async () => {
  await using one = await ConsoleFixture.open();
  await using other = await ConsoleFixture.open();
  const [first, second] = [await one.admin(), await other.admin()];
  const both = `${first.cookie}; ${second.cookie}`;
  first.cookie = second.cookie = both;
  assertEquals((await first.ask("GET", "/account")).status, 200);
  assertEquals((await second.ask("GET", "/account")).status, 200);
});

hostTest("an account that asks for more than it waits for takes nobody else's turn", async () => {
  const gateway = new FakeGateway();
  const { promise: held, resolve: letGo } = Promise.withResolvers<void>();
  const { ask } = gateway;
  let waiting = 0;
  gateway.ask = async (method, params) => {
    if (method === "status" && waiting++ < 24) await held;
    return await ask.call(gateway, method, params) as never;
  };
  await using fixture = await ConsoleFixture.open({ gateway });
  const admin = await fixture.admin();
  const eve = await fixture.user(admin, "eve", "viewer");
  const statuses: number[] = [];
  const all = Array.from({ length: 60 }, async () => {
    statuses.push((await eve.ask("GET", "/status")).status);
  });
  await eventually(() => statuses.length === 60 - 24);
  assertEquals(statuses, Array(60 - 24).fill(429));
  assertEquals((await admin.ask("GET", "/status")).status, 200);
  letGo();
  await Promise.all(all);
  assertEquals(statuses.slice(60 - 24), Array(24).fill(200));
  assertEquals((await eve.ask("GET", "/status")).status, 200);
});
