/** API: from a request to its answer: who asks, whether that is allowed, what is asked for, and what comes of it. */
import { type Context, Hono } from "hono";
import type { ConsoleServices } from "../console_services.ts";
import { StorageError } from "../accounts/database.ts";
import { BusyError } from "../accounts/passwords.ts";
import type { Origins } from "../http/origin.ts";
import { Problem } from "../http/problem.ts";
import { DEVICE_TIME } from "../accounts/device_table.ts";
import { type CookiePlace, cookieSecret, cookieText } from "../http/session_cookie.ts";
import { principalOf, requireAccess } from "./authentication.ts";
import { API_PATH, openApiDocument } from "./openapi.ts";
import type { ApiAnswer, ApiCall, ApiRoute } from "./route.ts";
import { accountRoutes } from "./routes/account_routes.ts";
import { gatewayRoutes } from "./routes/gateway_routes.ts";
import { loginRoutes } from "./routes/login_routes.ts";
import { ownAccountRoutes } from "./routes/own_account_routes.ts";
import { peerRoutes } from "./routes/peer_routes.ts";
import { rotationRoutes } from "./routes/rotation_routes.ts";
import { closed, mapOf, mistakeIn, type Schema } from "./schema.ts";

/** Requests of one account that are answered at once: a third of those that may wait for the gateway. */
const MAX_AT_ONCE = 24;

/** What is known of a request before it is read. */
interface Arrival extends CookiePlace {
  /** Address that it comes from. */
  readonly source: string;
}

export class Api {
  readonly routes: readonly ApiRoute[];
  readonly #services: ConsoleServices;
  readonly #origins: Origins;
  readonly #app = new Hono<{ Bindings: Arrival }>();
  /** Requests under way, by account. */
  readonly #underWay = new Map<string, number>();

  constructor(services: ConsoleServices, origins: Origins) {
    this.#services = services;
    this.#origins = origins;
    const routes: readonly ApiRoute[] = [
      ...loginRoutes(services),
      ...ownAccountRoutes(services),
      ...accountRoutes(services),
      ...peerRoutes(services),
      ...rotationRoutes(services),
      ...gatewayRoutes(services),
    ];
    this.routes = [...routes, documentRoute(routes)];
    this.#mount();
  }

  #mount(): void {
    const app = this.#app;
    const byPath = Map.groupBy(this.routes, ({ path }) => path);
    // Those without parameters first: `/peers/bulk` is no peer.
    const paths = [...byPath.keys()].sort((a, b) =>
      Number(a.includes("{")) - Number(b.includes("{"))
    );
    for (const path of paths) {
      const pattern = API_PATH + path.replaceAll(/\{(\w+)\}/g, ":$1");
      const routes = byPath.get(path)!;
      for (const route of routes) {
        app.on(route.method.toUpperCase(), pattern, (context) => this.#answer(context, route));
      }
      app.all(pattern, () => {
        throw new Problem(
          "method",
          `Use ${routes.map(({ method }) => method.toUpperCase()).join(", ")}.`,
        );
      });
    }
    app.notFound(() => new Problem("not-found", "There is nothing at this address.").response());
    app.onError((error) => {
      if (error instanceof Problem) return error.response();
      if (error instanceof BusyError) {
        return new Problem("too-many", "Too many log in at once.", { retryAfter: 2 }).response();
      }
      if (error instanceof StorageError) {
        this.#services.onFault(error);
        const detail = "The console cannot store it: is its disk full? Its log says more.";
        return new Problem("not-stored", detail).response();
      }
      throw error;
    });
  }

  /** Answers a request; what the console itself has got wrong is thrown. */
  async fetch(request: Request, arrival: Arrival): Promise<Response> {
    return await this.#app.fetch(request, arrival);
  }

  async #answer(context: Context<{ Bindings: Arrival }>, route: ApiRoute): Promise<Response> {
    const request = context.req.raw;
    const { source, ...place } = context.env;
    const { origin } = place;
    const cookie = cookieSecret(request, "session", place);
    const principal = principalOf(request, cookie, this.#services);
    // Before anything is done, for all who ask: a login that another page begins would be somebody else's session.
    if (isChange(request) && !request.headers.has("authorization")) {
      this.#requireOwn(request, origin);
    }
    requireAccess(principal, route.access);
    const call: ApiCall<unknown, unknown> = {
      principal,
      params: context.req.param() as Readonly<Record<string, string>>,
      query: queryOf(request, route.query),
      match: route.needsMatch ? matchOf(request) : null,
      body: await bodyOf(request, route.body),
      source,
      origin,
      cookie,
      device: cookieSecret(request, "device", place),
      requireStill: () => requireAccess(principalOf(request, cookie, this.#services), route.access),
      signal: request.signal,
    };
    // Nobody would read it, or leave it.
    if (route.isStream && request.method === "HEAD") return responseOf({}, route, place);
    using _place = this.#begin(principal?.account ?? null);
    const answer = await route.handle(call as ApiCall<never, never>);
    return responseOf(answer, route, place);
  }

  /** Who asks for more than he waits for takes nobody else's turn. @throws {Problem} */
  #begin(account: string | null): Disposable | null {
    if (account === null) return null;
    const count = (this.#underWay.get(account) ?? 0) + 1;
    if (count > MAX_AT_ONCE) {
      const detail = "Too many requests of this account are being answered: wait for some of them.";
      throw new Problem("too-many", detail, { retryAfter: 1 });
    }
    this.#underWay.set(account, count);
    return {
      [Symbol.dispose]: () => {
        const left = this.#underWay.get(account)! - 1;
        if (left > 0) this.#underWay.set(account, left);
        else this.#underWay.delete(account);
      },
    };
  }

  #requireOwn(request: Request, origin: string): void {
    if (this.#origins.isOwn(request, origin)) return;
    throw new Problem("foreign-origin", `Changes are taken from ${origin} alone, or with a token.`);
  }
}

function documentRoute(routes: readonly ApiRoute[]): ApiRoute {
  const own: ApiRoute = {
    method: "get",
    path: "/openapi.json",
    access: "public",
    summary: "This document",
    status: 200,
    answer: mapOf({}),
    handle: () => ({ body: document }),
  };
  const document = openApiDocument([...routes, own]);
  return own;
}

function isChange({ method }: Request): boolean {
  return method !== "GET" && method !== "HEAD";
}

/** @throws {Problem} */
function queryOf(request: Request, schema: Schema | undefined): unknown {
  const query: Record<string, unknown> = Object.create(null);
  for (const [name, value] of new URL(request.url).searchParams) {
    if (Object.hasOwn(query, name)) {
      throw new Problem("bad-request", `The parameter ${name} is given twice.`);
    }
    const isNumber = schema?.properties?.[name]?.type === "integer" && /^\d{1,16}$/.test(value);
    query[name] = isNumber ? Number(value) : value;
  }
  requireNoMistake(query, schema ?? { type: "object", properties: {} }, "parameter");
  return query;
}

/** @throws {Problem} */
async function bodyOf(request: Request, schema: Schema | undefined): Promise<unknown> {
  if (schema === undefined) return undefined;
  const type = request.headers.get("content-type") ?? "";
  // A form of another page's can send text, but not JSON, without asking first.
  if (!/^application\/json\s*(?:;\s*charset=utf-8\s*)?$/i.test(type)) {
    throw new Problem("media-type", "Send JSON, with Content-Type: application/json.");
  }
  let body: unknown;
  try {
    body = JSON.parse(
      new TextDecoder("utf-8", { fatal: true }).decode(await request.arrayBuffer()),
    );
  } catch {
    throw new Problem("bad-request", "The body is no JSON in UTF-8.");
  }
  requireNoMistake(body, schema, "body");
  return body;
}

function requireNoMistake(value: unknown, schema: Schema, what: string): void {
  const mistake = mistakeIn(value, closed(schema));
  if (mistake === null) return;
  const { pointer, problem } = mistake;
  throw new Problem("bad-request", `The ${what} ${pointer || "/"}: ${problem}.`, { pointer });
}

/** What is taken for the present state; null for whatever it is. @throws {Problem} */
function matchOf(request: Request): string | null {
  const match = request.headers.get("if-match");
  if (match === null) {
    throw new Problem("precondition-required", "Send If-Match, with the ETag of what is changed.");
  }
  if (match.trim() === "*") return null;
  const [, revision] = /^\s*(?:W\/)?"([^"]{1,256})"\s*$/.exec(match) ?? [];
  if (revision === undefined) throw new Problem("bad-request", "If-Match has no ETag of ours.");
  return revision;
}

function responseOf(answer: ApiAnswer, route: ApiRoute, place: CookiePlace): Response {
  const headers = new Headers();
  if (answer.etag !== undefined) headers.set("ETag", `"${answer.etag}"`);
  if (answer.session !== undefined) {
    headers.append("Set-Cookie", cookieText("session", answer.session, place));
  }
  if (answer.device !== undefined) {
    const lasting = { ...place, lifetime: DEVICE_TIME };
    headers.append("Set-Cookie", cookieText("device", answer.device, lasting));
  }
  if (route.isStream) {
    headers.set("Content-Type", "text/event-stream");
    // nginx would keep events until it has a buffer full of them.
    headers.set("X-Accel-Buffering", "no");
    return new Response(answer.stream ?? null, { headers });
  }
  if (route.status === 204) return new Response(null, { status: 204, headers });
  headers.set("Content-Type", "application/json");
  return new Response(JSON.stringify(answer.body ?? null), { status: route.status, headers });
}
