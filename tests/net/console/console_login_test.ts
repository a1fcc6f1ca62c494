/** Tests of who gets into the console by its page, in headless Chromium: passkeys, one-time links, viewers. */
import type { Page } from "playwright-core";
import { assertEquals, assertMatch } from "../../support/assert.ts";
import { DESK } from "../../support/console/chromium.ts";
import { PASSWORD } from "../../support/console/console_fixture.ts";
import { PageSite } from "../../support/console/page_site.ts";
import { netTest } from "../../support/net.ts";

const PROGRAMS = ["chromium"];

/** Gives the page a key that a person need not touch. */
async function plugKey(page: Page): Promise<void> {
  const session = await page.context().newCDPSession(page);
  await session.send("WebAuthn.enable");
  await session.send("WebAuthn.addVirtualAuthenticator", {
    options: {
      protocol: "ctap2",
      transport: "internal",
      hasResidentKey: true,
      hasUserVerification: true,
      isUserVerified: true,
      automaticPresenceSimulation: true,
    },
  });
}

netTest("a passkey that was added to an account logs it in, without a password", async () => {
  await using site = await PageSite.open({ count: 3 });
  // An address is no name that a passkey could be for.
  const origin = site.fixture.origin.replace("127.0.0.1", "localhost");
  const page = await site.chromium.page(origin, DESK);
  await plugKey(page);
  await page.goto(origin);
  await page.getByLabel("Name").fill("root");
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Log in" }).click();
  await page.getByRole("link", { name: "root" }).click();
  await page.getByRole("region", { name: "Passkeys" }).getByRole("button", { name: "Add" }).click();
  await page.getByLabel("Your password").fill(PASSWORD);
  await page.getByRole("button", { name: "Continue" }).click();
  await page.getByText(/^Added 20/).waitFor();
  await page.getByRole("button", { name: "Log out" }).click();
  await page.getByRole("button", { name: "Use a passkey" }).click();
  await page.getByRole("heading", { name: "Your account" }).waitFor();
  assertEquals(site.chromium.complaints, []);
}, { programs: PROGRAMS });

netTest("a one-time link gives somebody without an account a configuration, once", async () => {
  await using site = await PageSite.open({ count: 3 });
  const page = await site.page("#/");
  await page.getByRole("button", { name: "Add a device" }).click();
  await page.keyboard.type("carlas-tablet");
  await page.getByRole("button", { name: "Link for somebody else" }).click();
  const link = await page.getByLabel("The link", { exact: true }).inputValue();

  const other = await site.chromium.page(site.fixture.origin, DESK);
  await other.goto(link);
  await other.getByRole("heading", { name: "Connect carlas-tablet" }).waitFor();
  await other.getByRole("button", { name: "Show my configuration" }).click();
  await other.getByRole("img", { name: /QR code of the configuration/ }).waitFor();
  await other.getByRole("button", { name: "Show text" }).click();
  const text = await other.locator("pre").innerText();
  assertMatch(text, /^PrivateKey = [\w+/]{43}=$/m);
  // It is in no history from which the next person at this browser takes it.
  assertEquals(other.url(), `${site.fixture.origin}/#/link`);
  assertEquals(site.chromium.complaints, []);

  const late = await site.chromium.page(site.fixture.origin, DESK);
  await late.goto(link);
  await late.getByRole("alert").waitFor();
  assertEquals(await late.getByRole("button").count(), 0);
}, { programs: PROGRAMS });

netTest("a viewer sees all that he may see, and nothing that he could not do", async () => {
  await using site = await PageSite.open({ count: 3 });
  const admin = site.fixture.browser();
  admin.cookie = site.cookie;
  const { cookie } = await site.fixture.user(admin, "auditor", "viewer");
  const page = await site.chromium.page(site.fixture.origin, DESK, cookie);
  await page.goto(`${site.fixture.origin}/#/peers`);
  await page.locator(".rows .peer-row").first().waitFor();
  const places = await page.getByRole("navigation").getByRole("link").allInnerTexts();
  assertEquals(places.map((place) => place.split(/\s*\n/)[0]), [
    "Overview",
    "Peers",
    "Access rules",
    "Gateways",
    "DNS",
    "Events",
    "API tokens",
  ]);
  const changing = page.getByRole("switch").or(page.getByRole("checkbox"))
    .or(page.getByRole("button", { name: "Add a device" }));
  assertEquals(await changing.count(), 0);
  await page.locator(".peer-name a").first().click();
  await page.getByRole("heading", { name: "Limits" }).waitFor();
  assertEquals(await page.getByRole("button", { name: /Edit|Rename|Remove|Expire/ }).count(), 0);
  assertEquals(site.chromium.complaints, []);
}, { programs: PROGRAMS });
