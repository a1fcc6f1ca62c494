/** Tests the console's life: set-up, its headers, and the page's files. */
import { assertEquals } from "../../support/assert.ts";
import { ConsoleFixture, PASSWORD } from "../../support/console/console_fixture.ts";
import { hostTest } from "../../support/permissions.ts";

hostTest("the first account is made with the token of the set-up link, once", async () => {
  await using fixture = await ConsoleFixture.open();
  const browser = fixture.browser();
  assertEquals((await browser.ask("GET", "/session")).body, {
    isSetUp: false,
    account: null,
    expires: null,
    passkeys: false,
    gateway: "vpn0",
    version: "",
  });
  const account = { name: "root", password: PASSWORD };
  const wrong = await browser.ask("POST", "/setup", { body: { token: "guess", ...account } });
  assertEquals([wrong.status, wrong.body.type], [401, "/problems/wrong-credentials"]);
  const body = { token: fixture.setupToken, ...account };
  const made = await browser.ask("POST", "/setup", { body });
  assertEquals([made.status, made.body.account.role], [201, "admin"]);
  assertEquals((await browser.ask("GET", "/session")).body.account.name, "root");
  assertEquals((await fixture.browser().ask("POST", "/setup", { body })).status, 409);
  assertEquals(fixture.faults, []);
});
