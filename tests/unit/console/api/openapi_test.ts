/**
 * Tests the OpenAPI document: it names every route and every shape, and each route answers what it says, whatever it is
 * asked: never with 500.
 */
import fc from "fast-check";
import { mistakeIn, type Schema } from "../../../../lib/console/api/schema.ts";
import { SHAPES } from "../../../../lib/console/api/shapes.ts";
import { assert, assertEquals } from "../../../support/assert.ts";
import {
  type Ask,
  type Browser,
  ConsoleFixture,
  PASSWORD,
  type Reply,
} from "../../../support/console/console_fixture.ts";
import { idOf, keyOf } from "../../../support/console/fake_gateway.ts";
import { hostTest } from "../../../support/permissions.ts";
import { SEED } from "../../../run/seed.ts";

const RUNS = 100;
const LOGIN = { body: { name: "root", password: PASSWORD } };

interface Operation {
  readonly parameters: readonly {
    readonly name: string;
    readonly in: "path" | "query" | "header";
    readonly schema: Schema;
  }[];
  readonly requestBody?: {
    readonly content: Readonly<Record<string, { readonly schema: Schema }>>;
  };
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema: Schema }>> }>
  >;
}

interface OpenApi {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> };
}

/** A schema with what its references stand for. */
function resolved(schema: Schema, document: OpenApi): Schema {
  return JSON.parse(JSON.stringify(schema), (_, value) => {
    const name = /^#\/components\/schemas\/(\w+)$/.exec(value?.$ref ?? "")?.[1];
    return name === undefined ? value : resolved(document.components.schemas[name]!, document);
  });
}

async function documentOf(browser: Browser): Promise<OpenApi> {
  return (await browser.ask("GET", "/openapi.json")).body;
}

/** The operation that a path is one of. */
function operationOf(document: OpenApi, method: string, path: string): Operation {
  const bare = `/api/v1${path.split("?")[0]}`;
  const exact = document.paths[bare];
  const found = exact ??
    Object.entries(document.paths).find(([template]) =>
      new RegExp(`^${template.replaceAll(/\{\w+\}/g, "[^/]+")}$`).test(bare)
    )?.[1];
  const operation = found?.[method.toLowerCase()];
  assert(operation !== undefined, `the document has no ${method} ${path}`);
  return operation;
}

/** Fails unless an answer is one that the document has for it. */
function checkReply(document: OpenApi, request: string, operation: Operation, reply: Reply): void {
  const { status, headers, body, text } = reply;
  const described = operation.responses[status];
  assert(described !== undefined, `${request}: ${status} is not in the document: ${text}`);
  const type = headers.get("content-type");
  assertEquals(headers.get("x-content-type-options"), "nosniff", request);
  if (described.content === undefined) {
    assertEquals([type, text], [null, ""], request);
    return;
  }
  const { schema } = described.content[type ?? ""] ?? {};
  assert(schema !== undefined, `${request}: ${status} with ${type} is not in the document`);
  const mistake = mistakeIn(body, resolved(schema, document));
  assertEquals(mistake, null, `${request}: ${text}`);
}

/** One request for each operation, in an order in which each finds what it needs. */
function requests(): [method: string, path: string, ask?: Ask][] {
  const any = { headers: { "If-Match": "*" } };
  return [
    ["GET", "/openapi.json"],
    ["GET", "/session"],
    ["GET", "/account"],
    ["POST", "/account/password", { body: { password: PASSWORD, newPassword: PASSWORD } }],
    ["POST", "/account/totp", { body: { password: PASSWORD } }],
    ["PUT", "/account/totp", { body: { code: "000000" } }],
    ["DELETE", "/account/totp", { body: { password: PASSWORD } }],
    ["POST", "/account/recovery-codes", { body: { password: PASSWORD } }],
    ["GET", "/account/passkeys"],
    ["POST", "/account/passkeys/options", { body: { password: PASSWORD } }],
    ["POST", "/account/passkeys", { body: { id: "x", name: "key", response: {} } }],
    ["DELETE", "/account/passkeys/x"],
    ["GET", "/account/sessions"],
    ["DELETE", "/account/sessions/x"],
    ["GET", "/accounts"],
    ["POST", "/accounts", { body: { name: "eve", role: "viewer", password: PASSWORD } }],
    ["PATCH", "/accounts/eve", { body: { role: "operator" } }],
    ["DELETE", "/accounts/eve"],
    ["POST", "/tokens", { body: { name: "backup", scope: "read", days: 30 } }],
    ["GET", "/tokens"],
    ["DELETE", "/tokens/x"],
    ["GET", "/peers"],
    ["POST", "/peers", { body: { name: "phone", publicKey: keyOf(9) } }],
    ["GET", `/peers/${idOf(9)}`],
    ["PATCH", `/peers/${idOf(9)}`, { ...any, body: { set: { Enabled: "no" } } }],
    ["POST", "/peers/bulk", { ...any, body: { peers: ["peer1"], set: { Expires: "30d" } } }],
    ["POST", `/peers/${idOf(9)}/rotation`, { ...any, body: { publicKey: keyOf(10) } }],
    ["DELETE", `/peers/${idOf(9)}/rotation`, any],
    ["DELETE", `/peers/${idOf(9)}`, any],
    ["PUT", "/groups/staff", { ...any, body: { allow: "10.0.0.0/8", deny: "" } }],
    ["DELETE", "/groups/staff", any],
    ["POST", "/links", { body: { name: "tablet" } }],
    ["GET", "/links"],
    ["DELETE", "/links/x"],
    ["POST", "/links/inspect", { body: { token: "x" } }],
    ["POST", "/links/redeem", { body: { token: "x", publicKey: keyOf(8) } }],
    ["GET", "/status"],
    ["GET", "/usage?by=day"],
    ["GET", "/events?after=3"],
    [
      "POST",
      "/access/test",
      { body: { peer: "peer1", protocol: "tcp", address: "10.0.0.1", port: 80 } },
    ],
    ["GET", "/health"],
    ["GET", "/doctor"],
    ["POST", "/doctor"],
    ["GET", "/dns"],
    ["GET", "/settings"],
    ["POST", "/settings/preview", { body: { text: "DNS = 9.9.9.9" } }],
    ["PUT", "/settings", { ...any, body: { text: "DNS = 9.9.9.9" } }],
    ["GET", "/audit"],
    ["POST", "/login/passkey/options", { body: {} }],
    ["POST", "/login/passkey", { body: { id: "x", response: {} } }],
    ["POST", "/setup", { body: { token: "x", name: "mallory", password: PASSWORD } }],
    ["POST", "/login", LOGIN],
    ["DELETE", "/session"],
  ];
}

hostTest("every route answers with a status and a shape that the document has", async () => {
  await using fixture = await ConsoleFixture.open();
  const admin = await fixture.admin();
  const document = await documentOf(admin);
  const seen = new Set<Operation>();
  for (const [method, path, ask] of requests()) {
    const operation = operationOf(document, method, path);
    seen.add(operation);
    checkReply(document, `${method} ${path}`, operation, await admin.ask(method, path, ask));
  }
  const unseen = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).filter(([, operation]) => !seen.has(operation))
      .map(([method]) => `${method} ${path}`)
  );
  // It does not end; live_feed_test.ts reads it.
  assertEquals(unseen, ["get /api/v1/live"]);
  assertEquals(fixture.faults, []);
});

/** Those that change nothing, though they are no GET. */
const HARMLESS = [
  "POST /account/totp",
  "POST /account/passkeys/options",
  "POST /access/test",
  "POST /doctor",
  "POST /settings/preview",
  "POST /login/passkey/options",
  "POST /links/inspect",
];

hostTest(
  "what changes something is in the audit, with who has done it and from where",
  async () => {
    await using fixture = await ConsoleFixture.open();
    const admin = await fixture.admin();
    let seen = 0;
    let last = 0;
    for (const [method, path, ask] of requests()) {
      const { status } = await admin.ask(method, path, ask);
      if (method === "DELETE" && path === "/session") await admin.ask("POST", "/login", LOGIN);
      const { body: entries } = await admin.ask("GET", `/audit?after=${last}`);
      last = entries.at(-1)?.id ?? last;
      if (method === "GET" || status >= 300 || HARMLESS.includes(`${method} ${path}`)) continue;
      seen++;
      const [{ account, source }] = entries;
      assertEquals([path, account, source], [path, "root", "127.0.0.1"]);
    }
    assert(seen > 15, `${seen} changes`);
  },
);

hostTest("nobody who is not logged in is answered by a route that is not public", async () => {
  await using fixture = await ConsoleFixture.open();
  const admin = await fixture.admin();
  const document = await documentOf(admin);
  const stranger = fixture.browser();
  for (const [method, path, ask] of requests()) {
    const isPublic = !("401" in operationOf(document, method, path).responses) ||
      /^\/(?:login|setup|session$)/.test(path) && !(method === "DELETE");
    if (isPublic) continue;
    const { status, body } = await stranger.ask(method, path, ask);
    assertEquals([path, status, body.type], [path, 401, "/problems/unauthenticated"]);
  }
  assertEquals(fixture.gateway.asked, []);
});

hostTest("every shape has a name in the document, and all that it refers to is there", async () => {
  await using fixture = await ConsoleFixture.open();
  const document = await documentOf(fixture.browser());
  assertEquals(Object.keys(document.components.schemas), Object.keys(SHAPES));
  const references = JSON.stringify(document).matchAll(/#\/components\/schemas\/(\w+)/g);
  const used = new Set(Array.from(references, ([, name]) => name!));
  assertEquals([...used].filter((name) => !(name in SHAPES)), []);
  assertEquals(Object.keys(SHAPES).filter((name) => !used.has(name)), []);
});

/** What a caller may send for a schema: what it allows, and what comes close to that. */
function arbitraryOf(schema: Schema): fc.Arbitrary<unknown> {
  const wrong = fc.oneof(fc.jsonValue({ maxDepth: 2 }), fc.constant(undefined));
  return fc.oneof({ weight: 6, arbitrary: rightOf(schema) }, { weight: 1, arbitrary: wrong });
}

function rightOf(schema: Schema): fc.Arbitrary<unknown> {
  const { type, properties = {}, required = [], minimum = 0, maximum = 1 << 30 } = schema;
  if (schema.anyOf !== undefined) return fc.oneof(...schema.anyOf.map(arbitraryOf));
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum);
  switch (type) {
    case "string":
      return textOf(schema);
    case "integer":
      return fc.integer({ min: minimum, max: maximum });
    case "boolean":
      return fc.boolean();
    case "null":
      return fc.constant(null);
    case "array":
      return fc.array(arbitraryOf(schema.items ?? {}), { maxLength: 4 });
    case "object":
      return fc.record(
        Object.fromEntries(
          Object.entries(properties).map(([name, each]) => [name, arbitraryOf(each)]),
        ),
        { requiredKeys: [...required] },
      );
    default:
      return fc.jsonValue({ maxDepth: 2 });
  }
}

/** Of names that there are, keys, and whatever else. */
function textOf({ maxLength = 200, minLength = 0 }: Schema): fc.Arbitrary<string> {
  return fc.oneof(
    fc.constantFrom("root", "peer1", "x", keyOf(1), keyOf(40), PASSWORD, "10.0.0.1", "000000"),
    fc.string({ minLength, maxLength: Math.min(maxLength, 200), unit: "binary" }),
    fc.constantFrom(
      "\0",
      "../../etc/passwd",
      "a\r\nSet-Cookie: x=y",
      "<script>",
      "'; DROP TABLE",
      "\ud800",
    ),
  );
}

function pathOf(template: string): fc.Arbitrary<string> {
  const part = fc.oneof(
    fc.constantFrom("root", "x", idOf(1), "..", "%2e%2e%2f", "%00", "%ff", "%", "a/b", "__proto__"),
    fc.string({ maxLength: 40 }).map(encodeURIComponent),
  );
  const names = Array.from(template.matchAll(/\{\w+\}/g), ([name]) => name);
  return fc.tuple(...names.map(() => part)).map((values) =>
    names.reduce((path, name, index) => path.replace(name, values[index]!), template)
  );
}

/** A query's value: text as it is, all else as JSON, as an object from outside need have no `toString` that works. */
function writtenValue(value: unknown): string {
  const text = typeof value === "string" ? value : `${JSON.stringify(value)}`;
  return text.toWellFormed();
}

hostTest("no request that the document allows, or nearly, is answered with 500", async () => {
  let fixture = await ConsoleFixture.open();
  let admin = await fixture.admin();
  const document = await documentOf(admin);
  const operations = Object.entries(document.paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, operation]) => ({ path, method, operation }))
  ).filter(({ path }) => path !== "/api/v1/live");
  const request = fc.constantFrom(...operations).chain(({ path, method, operation }) => {
    const body = operation.requestBody?.content["application/json"]?.schema;
    const query = operation.parameters.filter((each) => each.in === "query");
    return fc.record({
      method: fc.constant(method.toUpperCase()),
      path: pathOf(path.slice("/api/v1".length)),
      query: fc.record(
        Object.fromEntries(query.map(({ name, schema }) => [name, arbitraryOf(schema)])),
        { requiredKeys: [] },
      ),
      body: body === undefined ? fc.constant(undefined) : arbitraryOf(resolved(body, document)),
      match: fc.constantFrom("*", '"r1"', '"p2"', "W/", ""),
    });
  });
  const statuses = new Map<number, number>();
  await fc.assert(
    fc.asyncProperty(request, async ({ method, path, query, body, match }) => {
      if ((await admin.ask("GET", "/session")).body.account === null) {
        // It has logged out, or changed its password.
        await fixture[Symbol.asyncDispose]();
        fixture = await ConsoleFixture.open();
        admin = await fixture.admin();
      }
      fixture.clock.monotonic += 60_000;
      const parameters = new URLSearchParams(
        Object.entries(query).map(([name, value]) => [name, writtenValue(value)]),
      );
      const ask: Ask = { body, headers: { "If-Match": match } };
      const reply = await admin.ask(method, `${path}?${parameters}`, ask);
      assertEquals(fixture.faults, []);
      const { status, headers, text } = reply;
      assert(status < 500, `${status}: ${text}`);
      statuses.set(status, (statuses.get(status) ?? 0) + 1);
      if (status < 400) return;
      assertEquals(mistakeIn(reply.body, SHAPES.Problem), null, text);
      assertEquals(headers.get("content-type"), "application/problem+json");
    }),
    { seed: SEED, numRuns: RUNS },
  );
  await fixture[Symbol.asyncDispose]();
  // Else it was all refused before it was looked at.
  const done = [...statuses].reduce((sum, [status, count]) => sum + (status < 300 ? count : 0), 0);
  assert(done > RUNS / 10, `done: ${done}: ${JSON.stringify([...statuses])}`);
});
