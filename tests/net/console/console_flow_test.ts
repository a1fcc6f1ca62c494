/**
 * From the set-up link to a connected phone, and what one does with it then: all of it by the page, in headless
 * Chromium, with a running gateway and Debian's wireguard-go as the phone.
 */
import { TOTP } from "otpauth";
import type { Page } from "playwright-core";
import { assert, assertEquals, assertMatch } from "../../support/assert.ts";
import { Chromium, DESK, explained } from "../../support/console/chromium.ts";
import { withFolder } from "../../support/folder.ts";
import { netTest, output, type TestNamespace } from "../../support/net.ts";
import { eventually } from "../../support/time/patience.ts";
import { GATEWAY_PROGRAMS, GatewayNetwork, INSIDE, INTERNET } from "../support/gateway.ts";
import { WIREGUARD_GO_PROGRAMS, WireguardGo } from "../support/programs/wireguard_go.ts";
import { vpnCommand } from "../support/programs/vpn.ts";
import { ping } from "../support/traffic/traffic.ts";

const PROGRAMS = [...GATEWAY_PROGRAMS, ...WIREGUARD_GO_PROGRAMS, "chromium", "zbarimg"];

/** Where the gateway's clients reach it. */
const OUTSIDE = "198.51.100.1";
const PORT = 51821;
const PASSWORD = "correct horse battery";
const PHONE = "anna-phone";

/** What a camera before the screen would read. */
async function scanned(page: Page, label: RegExp, folder: string): Promise<string> {
  const path = `${folder}/code.png`;
  await page.getByRole("img", { name: label }).screenshot({ path });
  return (await output(null, ["zbarimg", "--quiet", "--raw", "--oneshot", path])).trim();
}

/** Makes the first account, with a second factor, as the link of the console's first start has it. */
async function setUp(page: Page, link: string, folder: string): Promise<void> {
  await page.goto(link);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("Password again").fill(PASSWORD);
  await page.getByRole("button", { name: "Make the account" }).click();
  await page.getByRole("textbox", { name: "Code" }).waitFor();
  const uri = await scanned(page, /QR code for an app/, folder);
  const secret = new URL(uri).searchParams.get("secret")!;
  await page.getByRole("textbox", { name: "Code" }).fill(new TOTP({ secret }).generate());
  await page.getByRole("button", { name: "Turn on" }).click();
  await page.getByRole("heading", { name: "Recovery codes" }).waitFor();
  assertEquals(await page.locator(".codes code").count(), 10);
  await page.getByRole("button", { name: "I have kept them" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
}

/** Adds a phone. Returns its configuration, and how many clicks that took. */
async function addPhone(page: Page, folder: string): Promise<{ text: string; clicks: number }> {
  let clicks = 0;
  const click = async (name: string) => {
    clicks++;
    await page.getByRole("button", { name }).first().click();
  };
  await click("Add a device");
  await page.keyboard.type(PHONE);
  await click("Show QR code");
  const text = await scanned(page, /QR code of the configuration/, folder);
  return { text, clicks };
}

/** A configuration without wg-quick's keys, which wireguard-go does not take. */
function ownKeys(text: string): string {
  return text.replace(/^(?:Address|DNS|MTU) = .*\n/gm, "");
}

/**
 * Turns the phone's tunnel off and on. Left alone, it takes 15 s to see that nobody answers under a session that the
 * gateway has dropped (WireGuard's paper, section 6.5).
 */
async function toggle(namespace: TestNamespace, phone: WireguardGo, text: string): Promise<void> {
  await namespace.output(["wg", "setconf", phone.name, "/dev/stdin"], { stdin: ownKeys(text) });
}

/** Starts wireguard-go with what the code says. */
async function connect(namespace: TestNamespace, text: string): Promise<WireguardGo> {
  const addresses = /^Address = (.*)$/m.exec(text)![1]!.split(", ")
    .filter((address) => !address.includes(":"));
  const phone = await WireguardGo.start(namespace, ownKeys(text), addresses);
  for (const address of [INSIDE, INTERNET]) await phone.route(`${address}/32`);
  return phone;
}

/** Whether a ping comes back, by now or soon: a change of the file is in effect when the page says so. */
async function untilReached(
  from: TestNamespace,
  address: string,
  isReached: boolean,
): Promise<void> {
  await eventually(async () => {
    const { received } = await ping(from, address, { count: 1, wait: isReached ? 2 : 1 });
    return (received > 0) === isReached || null;
  }, { what: `${address} to be ${isReached ? "reached" : "out of reach"}` });
}

/** Waits until the page shows how the phone stands. */
async function untilStanding(page: Page, text: string): Promise<void> {
  await page.locator(".screen-head .badge", { hasText: text }).waitFor();
}

/** Fills a form of the peer's screen, saves it, and waits until it has been taken. */
async function edit(page: Page, card: string, fields: Readonly<Record<string, string>>) {
  const section = page.getByRole("region", { name: card });
  await section.getByRole("button", { name: "Edit" }).click();
  for (const [label, value] of Object.entries(fields)) {
    await section.getByLabel(label, { exact: true }).fill(value);
  }
  await section.getByRole("button", { name: "Save" }).click();
  const saved = section.getByRole("button", { name: "Edit" });
  await saved.or(section.getByRole("alert")).waitFor();
  assert(await saved.isVisible(), await section.innerText());
}

netTest(
  "from the set-up link to a phone that is connected, cut off, limited and told of, all by the page",
  async (topology) => {
    await withFolder(async (folder) => {
      const { gateway, client: { namespace } } = await GatewayNetwork.lay(topology);
      const config = `${folder}/server.conf`;
      await gateway.output(vpnCommand("init", "--endpoint", OUTSIDE, "--out", config));
      const server = gateway.spawn(vpnCommand("server", "--config", config));
      await server.waitFor(/listening on UDP port/);
      const console = gateway.spawn(
        vpnCommand("console", "--listen", `127.0.0.1:${PORT}`, "--state", `${folder}/console`),
      );
      const [link = ""] = await console.waitFor(/http:\S+#\/setup\/\S+/);

      await using chromium = await Chromium.start(gateway);
      const origin = `http://127.0.0.1:${PORT}`;
      const page = await chromium.page(origin, DESK);
      await explained(page, async () => {
        await setUp(page, link, folder);
        const { text, clicks } = await addPhone(page, folder);
        assert(clicks <= 3, `${clicks} clicks`);
        assertMatch(text, /^PrivateKey = [\w+/]{43}=$/m);
        const [, privateKey] = /^PrivateKey = (.*)$/m.exec(text)!;
        assert(chromium.sent.some((body) => body.includes(PHONE)), "nothing was seen to be sent");
        assert(!chromium.sent.some((body) => body.includes(privateKey!)), "the page sent the key");

        const phone = await connect(namespace, text);
        await untilReached(namespace, INSIDE, true);
        await page.getByText("It is connected.").waitFor();
        await page.getByRole("button", { name: "Done" }).click();
        await page.getByRole("link", { name: /^Peers/ }).click();
        const row = page.getByRole("row", { name: PHONE });
        await row.locator(".badge", { hasText: "Online" }).waitFor();

        await row.getByRole("switch").click();
        await row.locator(".badge", { hasText: "Disabled" }).waitFor();
        await untilReached(namespace, INSIDE, false);
        await row.getByRole("switch").click();
        await row.locator(".badge", { hasText: "Disabled" }).waitFor({ state: "hidden" });
        await toggle(namespace, phone, text);
        await untilReached(namespace, INSIDE, true);

        await row.getByRole("link", { name: PHONE }).click();
        await untilReached(namespace, INTERNET, true);
        await editBesideAnother(page);
        await toggle(namespace, phone, text);
        await untilReached(namespace, INTERNET, true);
        await edit(page, "Access", { Deny: INTERNET });
        await untilReached(namespace, INTERNET, false);
        await untilReached(namespace, INSIDE, true);
        await testRules(page);

        await page.goBack();
        await edit(page, "Limits", { Quota: "1M/day" });
        // There and back, 400 of them are more than the quota.
        const flood = namespace.spawn(["ping", "-q", "-f", "-s", "1300", INSIDE]);
        await untilStanding(page, "Quota used up");
        await flood.stop();
        await untilReached(namespace, INSIDE, false);
        await edit(page, "Limits", { Quota: "" });
        await untilReached(namespace, INSIDE, true);

        await page.getByRole("button", { name: "New key", exact: true }).click();
        await page.getByRole("button", { name: "Show QR code" }).click();
        const renewed = await scanned(page, /QR code of the configuration/, folder);
        const [, renewedKey] = /^PrivateKey = (.*)$/m.exec(renewed)!;
        assert(!chromium.sent.some((body) => body.includes(renewedKey!)), "the page sent the key");
        await untilReached(namespace, INSIDE, true);
        await phone.process.stop();
        await connect(namespace, renewed);
        await untilReached(namespace, INSIDE, true);
        await page.getByText("It is connected.").waitFor();
        await page.getByRole("button", { name: "Done" }).click();

        await page.getByRole("button", { name: "Expire…" }).click();
        await page.getByLabel("Expires").selectOption("at");
        await page.getByLabel("Time").fill(new Date(Date.now() + 2_000).toISOString());
        await page.getByRole("button", { name: "Set", exact: true }).click();
        await untilStanding(page, "Expired");
        await untilReached(namespace, INSIDE, false);

        await page.getByRole("link", { name: /^Peers/ }).click();
        await page.getByRole("checkbox", { name: `Choose ${PHONE}` }).check();
        await page.getByRole("button", { name: "Disable" }).click();
        await row.locator(".badge", { hasText: "Disabled" }).waitFor();

        await addGroup(page);
        await changeSettings(page);
        const written = Deno.readTextFileSync(config);
        assertMatch(written, /^Name = contractors$/m);
        assertMatch(written, /^DnsDomain = office$/m);

        await page.getByRole("link", { name: "Events", exact: true }).click();
        for (
          const event of [
            "connected",
            "disabled",
            "enabled",
            "configuration changed",
            "quota reached",
            "key replaced",
            "expired",
          ]
        ) await page.locator(".badge", { hasText: new RegExp(`^${event}$`) }).first().waitFor();
        await page.getByRole("button", { name: "Console" }).click();
        await page.getByRole("cell", { name: "account added", exact: true }).waitFor();
        // What the browser itself says of the one change that was refused.
        assertEquals(chromium.complaints, [
          "Failed to load resource: the server responded with a status of 412 (Precondition Failed)",
        ]);
      });
    });
  },
  { programs: PROGRAMS },
);

/** Edits while another changes the same peer: what was typed stays, and undoes nothing of what it was not made from. */
async function editBesideAnother(page: Page): Promise<void> {
  const section = page.getByRole("region", { name: "Access" });
  await section.getByRole("button", { name: "Edit" }).click();
  await section.getByLabel("Deny").fill("lan");
  await page.getByRole("switch", { name: "Enabled" }).click();
  await untilStanding(page, "Disabled");
  assertEquals(await section.getByLabel("Deny").inputValue(), "lan");
  await section.getByRole("button", { name: "Save" }).click();
  await section.getByText("it has been changed meanwhile").waitFor();
  await section.getByRole("button", { name: "Cancel" }).click();
  await page.getByRole("switch", { name: "Enabled" }).click();
  await page.locator(".screen-head .badge", { hasText: "Disabled" }).waitFor({ state: "hidden" });
}

/** Asks the tester what stops the phone. */
async function testRules(page: Page): Promise<void> {
  await page.getByRole("link", { name: "Test a rule" }).click();
  await page.getByLabel("Peer", { exact: true }).fill(PHONE);
  await page.getByLabel("Reaches").fill(INTERNET);
  // On a busy machine, the gateway may have to be asked again.
  const answer = page.locator(".verdict").or(page.getByRole("alert")).first();
  await eventually(async () => {
    await page.getByRole("button", { name: "Test", exact: true }).click();
    await answer.waitFor();
    return /It is denied/.test(await answer.innerText()) || null;
  }, { what: "the tester to say that the rule denies it" });
}

async function addGroup(page: Page): Promise<void> {
  await page.getByRole("link", { name: "Access rules" }).click();
  await page.getByRole("button", { name: "Add a group" }).click();
  await page.getByLabel("Name", { exact: true }).fill("contractors");
  await page.getByLabel("Allow", { exact: true }).fill("internet, 10.20.0.0/16 tcp/443");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("cell", { name: "contractors", exact: true }).waitFor();
}

/** Changes a key, with a look at what that changes before. */
async function changeSettings(page: Page): Promise<void> {
  await page.getByRole("link", { name: "Settings" }).click();
  const text = page.getByLabel("The configuration");
  await text.fill(`${(await text.inputValue()).trimEnd()}\nDnsDomain = office\n`);
  await page.getByRole("button", { name: "Review changes" }).click();
  await page.locator(".diff .is-added", { hasText: "DnsDomain = office" }).waitFor();
  assertEquals(await page.locator(".diff .is-removed").count(), 0);
  await page.getByRole("button", { name: "Apply" }).click();
  await page.getByText("The settings are written").waitFor();
}
