/** Tests what a console does whose disk takes no more, or whose file is damaged. */
import { Database } from "../../../../lib/console/accounts/database.ts";
import { Api } from "../../../../lib/console/api/api.ts";
import { API_PATH } from "../../../../lib/console/api/openapi.ts";
import { consoleServices } from "../../../../lib/console/console_services.ts";
import { Origins } from "../../../../lib/console/http/origin.ts";
import { AppError } from "../../../../lib/process/errors.ts";
import { assert, assertEquals, assertThrows } from "../../../support/assert.ts";
import { PASSWORD } from "../../../support/console/console_fixture.ts";
import { FakeGateway, keyOf } from "../../../support/console/fake_gateway.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

const ORIGIN = "http://127.0.0.1:51821";
const PLACE = { source: "198.51.100.1", origin: ORIGIN, isSecure: false };

/** A console without its listener, with an admin's token. */
class Site implements Disposable {
  readonly folder = temporaryFolder();
  readonly faults: string[] = [];
  readonly gateway = new FakeGateway();
  readonly database = new Database(this.folder);
  readonly clock = { now: Date.UTC(2026, 10, 29) };
  readonly services = consoleServices({
    database: this.database,
    folder: this.folder,
    gateway: this.gateway,
    version: "1",
    now: () => this.clock.now,
    monotonic: () => this.clock.now,
    onFault: (error) => this.faults.push(String(error)),
    passwordCost: { N: 2, r: 1, p: 1 },
  });
  readonly #api = new Api(
    this.services,
    new Origins({ publicOrigin: null, hasTls: false, trustedProxies: [] }),
  );
  token = "";
  cookie = "";

  static async open(): Promise<Site> {
    const site = new Site();
    const { accounts, passwords, tokens, sessions } = site.services;
    const password = await passwords.hash(PASSWORD);
    accounts.add({ name: "root", role: "admin", password, created: site.clock.now });
    const made = tokens.add({ account: "root", name: "script", scope: "admin", expires: null });
    site.token = made!.secret;
    site.cookie = `vpn_session_51821=${sessions.begin("root", "198.51.100.1")}`;
    return site;
  }

  async ask(
    method: string,
    path: string,
    { body, headers }: { readonly body?: unknown; readonly headers: Record<string, string> },
  ): Promise<{ readonly status: number; readonly type: string }> {
    const request = new Request(`${ORIGIN}${API_PATH}${path}`, {
      method,
      headers: { Origin: ORIGIN, "Content-Type": "application/json", ...headers },
      body: body === undefined ? null : JSON.stringify(body),
    });
    const response = await this.#api.fetch(request, PLACE);
    const text = await response.text();
    return { status: response.status, type: text === "" ? "" : JSON.parse(text).type ?? "" };
  }

  /** From now on nothing can be written, as on a disk that is full. */
  fill(): void {
    this.database.row("PRAGMA query_only = ON");
  }

  [Symbol.dispose](): void {
    this.services.feed[Symbol.dispose]();
    this.database[Symbol.dispose]();
  }
}

hostTest("on a full disk, who is logged in or has a token goes on reading", async () => {
  using site = await Site.open();
  site.fill();
  // So long that the last use would be written down.
  site.clock.now += 600_000;
  for (const headers of [{ Cookie: site.cookie }, { Authorization: `Bearer ${site.token}` }]) {
    for (const path of ["/peers", "/status", "/audit", "/links"]) {
      assertEquals([path, (await site.ask("GET", path, { headers })).status], [path, 200]);
    }
  }
  site.clock.now += 12 * 3_600_000;
  const late = await site.ask("GET", "/peers", { headers: { Cookie: site.cookie } });
  assertEquals(late.status, 401, "what has ended has, whether or not it can be removed");
});

hostTest(
  "a change that the gateway has made is not answered as a failure; its entry is told to the log",
  async () => {
    using site = await Site.open();
    site.fill();
    const { status } = await site.ask("POST", "/peers", {
      headers: { Cookie: site.cookie },
      body: { name: "phone", publicKey: keyOf(9) },
    });
    assertEquals(status, 201);
    assert(
      /audit cannot be stored: .*"account":"root".*"peer-added".*"phone"/.test(site.faults.join()),
    );
  },
);

hostTest("what the console itself cannot store is said to be so, with 507", async () => {
  using site = await Site.open();
  site.fill();
  const headers = { Cookie: site.cookie };
  for (
    const [method, path, body] of [
      ["POST", "/login", { name: "root", password: PASSWORD }],
      ["POST", "/tokens", { name: "more", scope: "read", days: 1 }],
      ["POST", "/links", { name: "tablet" }],
      ["POST", "/account/totp", { password: PASSWORD }],
      ["DELETE", "/session", undefined],
    ] as const
  ) {
    const { status, type } = await site.ask(method, path, { headers, body });
    assertEquals([path, status, type], [path, 507, "/problems/not-stored"]);
  }
  // Strangers' guesses are what they were.
  const wrong = { name: "root", password: "guessed password" };
  assertEquals((await site.ask("POST", "/login", { headers: {}, body: wrong })).status, 401);
});

hostTest("a file that is damaged is said to be so, with the remedy", () => {
  const folder = temporaryFolder();
  new Database(folder)[Symbol.dispose]();
  const path = `${folder}/console.sqlite`;
  const bytes = Deno.readFileSync(path);
  for (const damaged of [bytes.map((byte, at) => at < 100 ? byte : 0xa5), bytes.fill(0xa5)]) {
    Deno.writeFileSync(path, damaged);
    const error = assertThrows(() => new Database(folder), AppError);
    assert(/damaged: restore it from a backup/.test(error.message), error.message);
  }
});

hostTest(
  "strangers, however often they fail, put no entry of the audit out but their own",
  async () => {
    using site = await Site.open();
    const { audit } = site.services;
    const source = "198.51.100.1";
    audit.add({ account: "root", source, action: "settings-changed" });
    site.database.change(
      `INSERT INTO audit (time, source, action)
         WITH RECURSIVE many(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM many WHERE n < 60000)
         SELECT n, '198.51.100.1', 'login-failed' FROM many`,
    );
    for (let i = 0; i < 64; i++) audit.add({ account: null, source, action: "login-failed" });
    const kept = audit.after(0, 100_000);
    assertEquals(kept[0]?.action, "settings-changed");
    assert(kept.length <= 10_001 + 64, `${kept.length}`);
  },
);

hostTest("the entries of a change of a thousand peers are one write", async () => {
  using site = await Site.open();
  const entry = { account: "root", source: "198.51.100.1", action: "peer-changed" };
  site.services.audit.addAll(
    Array.from({ length: 1_000 }, (_, i) => ({ ...entry, target: `${i}` })),
  );
  assertEquals(site.services.audit.after(0, 2_000).length, 1_000);
  const { size } = Deno.statSync(`${site.folder}/console.sqlite-wal`);
  // One by one, each of them writes its pages again.
  assert(size < 500_000, `${size} bytes`);
});

hostTest("what was begun by a clock that was far ahead ends when that is put right", async () => {
  using site = await Site.open();
  const { sessions, tokens, links } = site.services;
  const right = site.clock.now;
  site.clock.now += 10 * 365 * 86_400_000;
  const session = sessions.begin("root", "198.51.100.1");
  const expires = site.clock.now + 3_600_000;
  const token = tokens.add({ account: "root", name: "a", scope: "admin", expires })!.secret;
  const link = links.add({ account: "root", name: "tablet", groups: [], expires })!.secret;
  const found = () => [sessions.find(session, false), tokens.find(token), links.find(link)];
  assertEquals(found().includes(null), false);
  site.clock.now = right;
  assertEquals(found(), [null, null, null]);
  assertEquals([sessions.of("root").length, links.all().length], [0, 0]);
  // A clock that is put back a little, as each is now and then, ends nothing.
  const other = sessions.begin("root", "198.51.100.1");
  site.clock.now -= 60_000;
  assert(sessions.find(other, false) !== null);
});
