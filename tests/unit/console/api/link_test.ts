/** Tests one-time links: by which somebody else adds one peer, once, in time. */
import { assert, assertEquals } from "../../../support/assert.ts";
import { type Browser, ConsoleFixture } from "../../../support/console/console_fixture.ts";
import { keyOf } from "../../../support/console/fake_gateway.ts";
import { hostTest } from "../../../support/permissions.ts";

async function link(browser: Browser, body: Record<string, unknown>): Promise<string> {
  const { status, body: made, text } = await browser.ask("POST", "/links", { body });
  assertEquals(status, 201, text);
  const [, token = ""] = /^http:\/\/127\.0\.0\.1:\d+\/#\/link\/([\w-]{22})$/.exec(made.url) ?? [];
  return token;
}

hostTest("a link adds one peer, of the name and groups that it was made for, once", async () => {
  await using fixture = await ConsoleFixture.open();
  const admin = await fixture.admin();
  const operator = await fixture.user(admin, "olga", "operator");
  const token = await link(operator, { name: "tablet", groups: ["staff", "lab"] });
  const visitor = fixture.browser();
  const seen = await visitor.ask("POST", "/links/inspect", { body: { token } });
  assertEquals([seen.status, seen.body.name], [200, "tablet"]);
  const outcomes = await Promise.all(
    [8, 9].map((number) =>
      visitor.ask("POST", "/links/redeem", { body: { token, publicKey: keyOf(number) } })
    ),
  );
  assertEquals(outcomes.map(({ status }) => status).sort(), [201, 410]);
  const done = outcomes.find(({ status }) => status === 201)!;
  assert(done.body.client.text.includes("PrivateKey = {PRIVATE_KEY}"));
  const added = fixture.gateway.asked.filter(({ method }) => method === "create-peer");
  assertEquals(added.map(({ params }): unknown => ({ ...params as object, publicKey: "" })), [
    { name: "tablet", publicKey: "", set: { Groups: "staff, lab" }, by: "olga" },
  ]);
  assertEquals((await visitor.ask("POST", "/links/inspect", { body: { token } })).status, 410);
  assertEquals((await operator.ask("GET", "/links")).body, []);
});

hostTest(
  "a link is used by POST alone, and ends with its time, its removal, and its maker's right",
  async () => {
    await using fixture = await ConsoleFixture.open();
    const admin = await fixture.admin();
    const operator = await fixture.user(admin, "olga", "operator");
    const redeem = async (token: string) =>
      (await fixture.browser().ask("POST", "/links/redeem", {
        body: { token, publicKey: keyOf(9) },
      }))
        .status;
    const short = await link(operator, { name: "short", minutes: 1 });
    const get = await fixture.browser().ask("GET", `/links/redeem?token=${short}`);
    assertEquals(get.status, 405);
    fixture.clock.now += 60_000;
    assertEquals(await redeem(short), 410);
    const removed = await link(operator, { name: "removed" });
    const [{ id }] = (await operator.ask("GET", "/links")).body;
    assertEquals((await operator.ask("DELETE", `/links/${id}`)).status, 204);
    assertEquals(await redeem(removed), 410);
    const demoted = await link(operator, { name: "demoted" });
    await admin.ask("PATCH", "/accounts/olga", { body: { role: "viewer" } });
    assertEquals(await redeem(demoted), 410);
    await admin.ask("PATCH", "/accounts/olga", { body: { role: "operator" } });
    const again = fixture.browser();
    await again.ask("POST", "/login", {
      body: { name: "olga", password: "correct horse battery" },
    });
    const orphan = await link(again, { name: "orphan" });
    await admin.ask("DELETE", "/accounts/olga");
    assertEquals(await redeem(orphan), 410);
    assertEquals(fixture.gateway.asked.filter(({ method }) => method === "create-peer"), []);
  },
);

hostTest("a link that the gateway did not honour can be used again", async () => {
  await using fixture = await ConsoleFixture.open();
  const admin = await fixture.admin();
  const token = await link(admin, { name: "tablet" });
  const redeem = () =>
    fixture.browser().ask("POST", "/links/redeem", { body: { token, publicKey: keyOf(9) } });
  fixture.gateway.isReachable = false;
  assertEquals((await redeem()).status, 503);
  fixture.gateway.isReachable = true;
  assertEquals((await redeem()).status, 201);
});

hostTest("links cannot be guessed for long", async () => {
  await using fixture = await ConsoleFixture.open();
  await fixture.admin();
  const statuses: number[] = [];
  for (let i = 0; i < 12; i++) {
    const body = { token: `guess${i}` };
    statuses.push((await fixture.browser().ask("POST", "/links/inspect", { body })).status);
  }
  assertEquals(statuses, [...Array(10).fill(410), 429, 429]);
});
