/** Tests what an attacker cannot do by the API: by another site's page, a stolen or weak token, or guessing. */
import { assert, assertEquals, assertStringIncludes } from "../../../support/assert.ts";
import { ConsoleFixture, PASSWORD } from "../../../support/console/console_fixture.ts";
import { idOf, keyOf } from "../../../support/console/fake_gateway.ts";
import { temporaryFolder } from "../../../support/folder.ts";
import { hostTest } from "../../../support/permissions.ts";

const FOREIGN = ["http://evil.example", "null", "", "http://127.0.0.1:1", "https://127.0.0.1"];

hostTest("another site's page changes nothing by the browser's session (CSRF)", async () => {
  await using fixture = await ConsoleFixture.open();
  const admin = await fixture.admin();
  const { port } = new URL(fixture.origin);
  const body = { name: "phone", publicKey: keyOf(9) };
  for (const Origin of [...FOREIGN, `http://127.0.0.1:${port}.evil.example`]) {
    const { status, body: problem } = await admin.ask("POST", "/peers", {
      body,
      headers: { Origin },
    });
    assertEquals([status, problem.type], [403, "/problems/foreign-origin"], Origin);
  }
  assertEquals(fixture.gateway.asked, []);
  assertEquals((await admin.ask("POST", "/peers", { body })).status, 201);
});

hostTest("another site's page cannot log its reader in as somebody else", async () => {
  await using fixture = await ConsoleFixture.open();
  await fixture.admin();
  const browser = fixture.browser();
  const { status } = await browser.ask("POST", "/login", {
    body: { name: "root", password: PASSWORD },
    headers: { Origin: "http://evil.example" },
  });
  assertEquals([status, browser.cookie], [403, null]);
});

hostTest(
  "a form's content types are not taken for JSON, and no origin is told that it may ask",
  async () => {
    await using fixture = await ConsoleFixture.open();
    const admin = await fixture.admin();
    for (
      const type of ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""]
    ) {
      const raw = JSON.stringify({ name: "phone", publicKey: keyOf(9) });
      const { status } = await admin.ask("POST", "/peers", {
        raw,
        headers: { "Content-Type": type },
      });
      assertEquals([type, status], [type, 415]);
    }
    const { headers } = await admin.ask("GET", "/peers", {
      headers: { Origin: "http://evil.example" },
    });
    const names = [...headers.keys()].filter((name) => name.startsWith("access-control-"));
    assertEquals(names, []);
  },
);

hostTest("a name that somebody else has point here (DNS rebinding) is not answered", async () => {
  await using fixture = await ConsoleFixture.open();
  const { port } = new URL(fixture.origin);
  const ask = async (host: string) => {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
    const text = `GET /api/v1/session HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`;
    await connection.write(new TextEncoder().encode(text));
    return await new Response(connection.readable).text();
  };
  assertStringIncludes(await ask(`evil.example:${port}`), " 421 ");
  assertStringIncludes(await ask(`localhost:${port}`), " 200 ");
  assertStringIncludes(await ask(`127.0.0.1:${port}`), " 200 ");
});

hostTest(
  "with a public origin, that alone is answered, and its cookies are for TLS alone",
  async () => {
    const publicOrigin = "https://vpn.example.com";
    await using fixture = await ConsoleFixture.open({ publicOrigin });
    const ask = async (host: string) => {
      const { port } = fixture.console;
      using connection = await Deno.connect({ hostname: "127.0.0.1", port });
      const { setupToken: token } = fixture;
      const body = JSON.stringify({ token, name: "root", password: PASSWORD });
      const text = `POST /api/v1/setup HTTP/1.1\r\nHost: ${host}\r\nOrigin: ${publicOrigin}\r\n` +
        `Content-Type: application/json\r\nContent-Length: ${body.length}\r\nConnection: close\r\n\r\n${body}`;
      await connection.write(new TextEncoder().encode(text));
      return await new Response(connection.readable).text();
    };
    assertStringIncludes(await ask("127.0.0.1"), " 421 ");
    const answer = await ask("vpn.example.com");
    assert(
      /^Set-Cookie: __Host-vpn_session=[\w-]{43}; Path=\/; HttpOnly; SameSite=Strict; Secure\r$/im
        .test(answer),
    );
    assert(/^Strict-Transport-Security: max-age=/im.test(answer), answer);
  },
);

hostTest(
  "what a client calls a session becomes none (session fixation), and a login begins another",
  async () => {
    await using fixture = await ConsoleFixture.open();
    const admin = await fixture.admin();
    const login = { body: { name: "root", password: PASSWORD } };
    const victim = fixture.browser();
    const chosen = `${admin.cookie!.split("=")[0]}=chosen-by-the-attacker`;
    victim.cookie = chosen;
    await victim.ask("POST", "/login", login);
    assert(victim.cookie !== chosen);
    const attacker = fixture.browser();
    attacker.cookie = chosen;
    assertEquals((await attacker.ask("GET", "/account")).status, 401);
    // Whose browser was logged in already, has another session now, and the one before is none.
    const before = admin.cookie;
    await admin.ask("POST", "/login", login);
    attacker.cookie = before;
    assertEquals((await attacker.ask("GET", "/account")).status, 401);
    // One that was put beside it, as another host of the domain can, counts as little as both.
    attacker.cookie = `${admin.cookie}; ${admin.cookie!.split("=")[0]}=x`;
    assertEquals((await attacker.ask("GET", "/account")).status, 401);
  },
);

hostTest(
  "a session's cookie is seen by no script and sent by no other site, and with TLS is its host's",
  async () => {
    await using fixture = await ConsoleFixture.open();
    await fixture.admin();
    const login = { body: { name: "root", password: PASSWORD } };
    const { headers } = await fixture.browser().ask("POST", "/login", login);
    const { port } = fixture.console;
    assertEquals(
      headers.getSetCookie().map((cookie) => cookie.replace(/=[\w-]{43};/, "=SECRET;")),
      [
        `vpn_session_${port}=SECRET; Path=/; HttpOnly; SameSite=Strict`,
        `vpn_device_${port}=SECRET; Path=/; HttpOnly; SameSite=Strict; Max-Age=7776000`,
      ],
    );
  },
);

hostTest("a session ends when it is idle, when it is old, and by logging out", async () => {
  await using fixture = await ConsoleFixture.open();
  const admin = await fixture.admin();
  const isIn = async () => (await admin.ask("GET", "/account")).status === 200;
  const login = () => admin.ask("POST", "/login", { body: { name: "root", password: PASSWORD } });
  const hour = 3_600_000;
  fixture.clock.now += hour - 1;
  assert(await isIn(), "within an hour");
  fixture.clock.now += hour;
  assert(!await isIn(), "an hour later");
  await login();
  for (let minutes = 0; minutes < 12 * 60 - 30; minutes += 30) {
    fixture.clock.now += hour / 2;
    assert(await isIn(), `in use after ${minutes} minutes`);
  }
  fixture.clock.now += hour / 2;
  assert(!await isIn(), "after 12 hours");
  await login();
  const { cookie } = admin;
  await admin.ask("DELETE", "/session");
  assertEquals(admin.cookie, null);
  admin.cookie = cookie;
  assert(!await isIn(), "after logging out");
});

hostTest(
  "a page that is left open keeps no session from ending by what it asks by itself",
  async () => {
    await using fixture = await ConsoleFixture.open();
    const admin = await fixture.admin();
    const headers = { "X-Vpn-Unattended": "yes" };
    for (let minutes = 0; minutes < 60; minutes += 10) {
      assertEquals((await admin.ask("GET", "/health", { headers })).status, 200);
      fixture.clock.now += 600_000;
    }
    assertEquals((await admin.ask("GET", "/health", { headers })).status, 401);
  },
);

hostTest("passwords cannot be tried for long, by one source or for one account", async () => {
  await using fixture = await ConsoleFixture.open({ trustedProxies: ["127.0.0.1"] });
  await fixture.admin();
  const guess = (source: string, name = "root") =>
    fixture.browser().ask("POST", "/login", {
      body: { name, password: "guessed password" },
      headers: { "X-Forwarded-For": source },
    });
  const outcomes = await Promise.all(Array.from({ length: 30 }, () => guess("198.51.100.1")));
  const wrong = outcomes.filter(({ status }) => status === 401);
  const late = outcomes.find(({ status }) => status === 429)!;
  assertEquals(wrong.length, 10);
  assertEquals(late.headers.get("retry-after"), "60");
  // Of an IPv6 network all addresses are one customer's.
  for (let i = 0; i < 10; i++) await guess(`2001:db8:1:2::${i}`, "nobody");
  assertEquals((await guess("2001:db8:1:2:ffff::1", "nobody")).status, 429);
  // By many sources: another ten, and the account is closed to whom it does not know.
  for (let i = 0; i < 10; i++) await guess(`203.0.113.${i}`);
  assertEquals((await guess("203.0.113.99")).status, 429);
  const right = (source: string) =>
    fixture.browser().ask("POST", "/login", {
      body: { name: "root", password: PASSWORD },
      headers: { "X-Forwarded-For": source },
    });
  assertEquals((await right("203.0.113.99")).status, 429);
  fixture.clock.monotonic += 60_000;
  assertEquals((await right("203.0.113.99")).status, 200);
  // From where it has been logged in, others' guesses do not keep it out.
  for (let i = 0; i < 30; i++) await guess(`192.0.2.${i}`);
  assertEquals((await right("203.0.113.99")).status, 200);
});

hostTest("who is no trusted proxy does not choose the source that he is known by", async () => {
  await using fixture = await ConsoleFixture.open();
  await fixture.admin();
  const statuses: number[] = [];
  for (let i = 0; i < 12; i++) {
    const { status } = await fixture.browser().ask("POST", "/login", {
      body: { name: "nobody", password: "guessed password" },
      headers: { "X-Forwarded-For": `198.51.100.${i}` },
    });
    statuses.push(status);
  }
  assertEquals(statuses.slice(-2), [429, 429]);
});

hostTest("a stranger is not told which version it is", async () => {
  await using fixture = await ConsoleFixture.open();
  const admin = await fixture.admin();
  assertEquals((await admin.ask("GET", "/session")).body.version, "1.2.3");
  for (const path of ["/session", "/openapi.json", "/status", "/none"]) {
    const { text, headers } = await fixture.browser().ask("GET", path);
    assert(!`${text} ${JSON.stringify([...headers])}`.includes("1.2.3"), path);
  }
});

hostTest("an account that there is not is answered as one whose password is wrong", async () => {
  await using fixture = await ConsoleFixture.open();
  await fixture.admin();
  const login = (name: string) =>
    fixture.browser().ask("POST", "/login", { body: { name, password: "guessed password" } });
  assertEquals((await login("root")).text, (await login("nobody")).text);
});

hostTest(
  "texts of others are JSON and nothing else, in no header and under no other type (XSS, header injection)",
  async () => {
    await using fixture = await ConsoleFixture.open();
    const admin = await fixture.admin();
    const script = "<script>alert(1)</script>";
    fixture.gateway.peers.push({ ...fixture.gateway.peers[0]!, name: script, publicKey: keyOf(7) });
    for (
      const path of ["/peers", `/peers/${idOf(7)}`, "/status", `/${script}`, `/peers/${script}`]
    ) {
      const { headers, text } = await admin.ask("GET", path);
      assert(/^application\/(?:problem\+)?json$/.test(headers.get("content-type")!), path);
      assertEquals(headers.get("x-content-type-options"), "nosniff");
      assertStringIncludes(headers.get("content-security-policy")!, "default-src 'none'");
      assert(text.startsWith("{"));
    }
    const injected = "a\r\nSet-Cookie: vpn_session=x";
    for (
      const [path, body] of [
        ["/login", { name: injected, password: injected }],
        ["/tokens", { name: injected, scope: "read", days: 1 }],
        ["/links", { name: injected }],
        ["/accounts", { name: injected, role: "viewer", password: PASSWORD }],
        ["/peers", { name: injected, publicKey: keyOf(9) }],
      ] as const
    ) {
      const { headers, status } = await admin.ask("POST", path, { body });
      assert(status >= 400, path);
      assertEquals(headers.getSetCookie(), [], path);
    }
  },
);

hostTest("a path leads to nothing but what is served (path traversal)", async () => {
  const page = new Map([["/", {
    type: "text/html; charset=utf-8",
    bytes: new TextEncoder().encode("page"),
    gzip: new Uint8Array(),
    etag: '"1"',
  }]]);
  await using fixture = await ConsoleFixture.open({ page });
  Deno.writeTextFileSync(`${fixture.folder}/secret`, "secret");
  const { port } = new URL(fixture.origin);
  const steps = ["..", "%2e%2e", "%252e%252e", "..%2f..", "..\\..", "%c0%ae%c0%ae", ".%00."];
  const paths = [
    ...steps.flatMap((step) => [
      `/${step}/${step}/${step}/etc/passwd`,
      `/page.js/${step}/etc/passwd`,
      `/api/v1/peers/${step}/${step}/etc/passwd`,
      `/${`${step}/`.repeat(8)}${fixture.folder.slice(1)}/secret`,
    ]),
    `/${fixture.folder}/secret`,
    `//etc/passwd`,
    "/console.sqlite",
    "/.git/config",
  ];
  for (const path of paths) {
    using connection = await Deno.connect({ hostname: "127.0.0.1", port: Number(port) });
    const text = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nConnection: close\r\n\r\n`;
    await connection.write(new TextEncoder().encode(text));
    const answer = await new Response(connection.readable).text();
    assert(/^HTTP\/1.1 (?:40[0145]) /.test(answer), `${path}: ${answer}`);
    assert(!/root:|secret/.test(answer), `${path}: ${answer}`);
  }
});

hostTest("what the console itself gets wrong is told to its log, and to nobody else", async () => {
  await using fixture = await ConsoleFixture.open();
  const admin = await fixture.admin();
  fixture.gateway.ask = () => Promise.reject(new Error("secret reason"));
  const { status, text } = await admin.ask("GET", "/peers");
  assertEquals([status, text.includes("secret")], [500, false]);
  assertEquals(fixture.faults.map(String), ["Error: secret reason"]);
});

hostTest(
  "nothing that authorizes stands in the files of the state, which nobody else reads",
  async () => {
    await using fixture = await ConsoleFixture.open();
    const setup = fixture.setupToken;
    const admin = await fixture.admin();
    const token = (await admin.ask("POST", "/tokens", {
      body: { name: "script", scope: "read", days: 1 },
    })).body.token;
    const link = (await admin.ask("POST", "/links", { body: { name: "tablet" } })).body.url;
    const secrets = [setup, token, link.split("/").at(-1), admin.cookie!.split("=")[1]!, PASSWORD];
    for (const { name } of Deno.readDirSync(fixture.folder)) {
      const path = `${fixture.folder}/${name}`;
      assertEquals(Deno.statSync(path).mode! & 0o777, 0o600, name);
      const text = new TextDecoder("latin1").decode(Deno.readFileSync(path));
      assertEquals(secrets.filter((secret) => text.includes(secret)), [], name);
    }
  },
);

hostTest("two who set up at once do not both become admins", async () => {
  await using fixture = await ConsoleFixture.open();
  const token = fixture.setupToken;
  const outcomes = await Promise.all(
    ["anna", "eve"].map((name) =>
      fixture.browser().ask("POST", "/setup", { body: { token, name, password: PASSWORD } })
    ),
  );
  assertEquals(outcomes.map(({ status }) => status).sort(), [201, 409]);
});

hostTest(
  "a start shows a set-up link while there is no account, and the one before is none",
  async () => {
    const folder = temporaryFolder();
    const first = await ConsoleFixture.open({ folder });
    const { setupToken } = first;
    await first.console[Symbol.asyncDispose]();
    const second = await ConsoleFixture.open({ folder });
    const { status } = await second.browser().ask("POST", "/setup", {
      body: { token: setupToken, name: "eve", password: PASSWORD },
    });
    assertEquals(status, 401);
    await second.admin();
    await second.console[Symbol.asyncDispose]();
    await using third = await ConsoleFixture.open({ folder });
    assertEquals(third.console.setupLink, null);
  },
);

hostTest(
  "what is no answer of an authenticator logs nobody in, and is no fault of the console's",
  async () => {
    await using fixture = await ConsoleFixture.open();
    await fixture.admin();
    const stranger = fixture.browser(`http://localhost:${fixture.console.port}`);
    for (const id of [{ toString: 1 }, { toString: null, valueOf: null }, null, [[]], 1, ""]) {
      const { body } = await stranger.ask("POST", "/login/passkey/options", { body: {} });
      const answer = { body: { id: body.id, response: { id } } };
      assertEquals((await stranger.ask("POST", "/login/passkey", answer)).status, 401);
    }
    assertEquals(fixture.faults, []);
  },
);
