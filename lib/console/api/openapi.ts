/** OpenAPI document (3.1) of the API: made of the routes, so that it says what they do. */
import { PROBLEM_TYPE, type ProblemName, PROBLEMS } from "../http/problem.ts";
import type { Access, ApiRoute } from "./route.ts";
import type { Schema } from "./schema.ts";
import { SHAPES } from "./shapes.ts";

export const API_PATH = "/api/v1";

type Json = Readonly<Record<string, unknown>>;

const NAMES: ReadonlyMap<Schema, string> = new Map(
  Object.entries(SHAPES).map(([name, shape]) => [shape, name]),
);

const SCOPE_NOTES: Readonly<Record<Access, string>> = {
  "public": "Anybody.",
  "read": "Scope `read`; any role.",
  "peers": "Scope `peers`; roles operator and admin.",
  "admin": "Scope `admin`; role admin.",
  "session": "A session, no token; any role.",
  "admin-session": "A session, no token; role admin.",
};

export function openApiDocument(routes: readonly ApiRoute[]): Json {
  const paths: Record<string, Record<string, Json>> = {};
  for (const route of routes) {
    const path = paths[`${API_PATH}${route.path}`] ??= {};
    path[route.method] = operation(route);
  }
  return {
    openapi: "3.1.0",
    // Of the API: strangers may read this, and the program's version tells what is known to be wrong with it.
    info: { title: "vpn console", version: "1" },
    paths,
    components: {
      schemas: Object.fromEntries(
        Object.entries(SHAPES).map(([name, shape]) => [name, members(shape)]),
      ),
      securitySchemes: {
        session: {
          type: "apiKey",
          in: "cookie",
          name: "vpn_session",
          description:
            "With TLS its name begins with `__Host-`; a port of its own is behind it, as in `vpn_session_51821`. " +
            "Changes need the own Origin.",
        },
        token: { type: "http", scheme: "bearer" },
      },
    },
  };
}

function operation(route: ApiRoute): Json {
  const { access, summary, body } = route;
  return {
    summary,
    description: SCOPE_NOTES[access],
    security: securityOf(access),
    parameters: parametersOf(route),
    ...(body === undefined ? {} : {
      requestBody: {
        required: true,
        content: { "application/json": { schema: { ...members(body), ...CLOSED } } },
      },
    }),
    responses: { ...successOf(route), ...problemsOf(route) },
  };
}

const CLOSED = { additionalProperties: false };

function securityOf(access: Access): readonly Json[] {
  if (access === "public") return [];
  const isSession = access === "session" || access === "admin-session";
  return isSession ? [{ session: [] }] : [{ session: [] }, { token: [] }];
}

function parametersOf({ path, query, needsMatch }: ApiRoute): readonly Json[] {
  const inPath = Array.from(path.matchAll(/\{(\w+)\}/g), ([, name]) => ({
    name,
    in: "path",
    required: true,
    schema: { type: "string" },
  }));
  const inQuery = Object.entries(query?.properties ?? {}).map(([name, schema]) => ({
    name,
    in: "query",
    required: query?.required?.includes(name) ?? false,
    schema: reference(schema),
  }));
  const match = {
    name: "If-Match",
    in: "header",
    required: true,
    description: "The ETag of what is changed, or *",
    schema: { type: "string" },
  };
  return [...inPath, ...inQuery, ...(needsMatch ? [match] : [])];
}

function successOf({ status, answer, isStream, hasRevision }: ApiRoute): Json {
  const type = isStream ? "text/event-stream" : "application/json";
  return {
    [status]: {
      description: answer === undefined ? "Done" : "Answer",
      ...(answer === undefined ? {} : { content: { [type]: { schema: reference(answer) } } }),
      ...(hasRevision
        ? { headers: { ETag: { description: "Revision", schema: { type: "string" } } } }
        : {}),
    },
  };
}

/** By their status, with their names where there are several of it. */
function problemsOf(route: ApiRoute): Json {
  const { access, body, query, needsMatch, method, path, problems = [] } = route;
  const isPublic = access === "public";
  const asksGateway = !isPublic && !access.endsWith("session");
  const all = new Set<ProblemName>([
    "bad-request",
    "misdirected",
    "internal",
    "not-stored",
    ...(isPublic ? [] : ["unauthenticated", "forbidden", "too-many"] as const),
    ...(method === "get" ? [] : ["foreign-origin", "too-large"] as const),
    ...(body === undefined ? [] : ["media-type"] as const),
    ...(body === undefined && query === undefined ? [] : ["refused"] as const),
    ...(needsMatch ? ["precondition-required", "changed"] as const : []),
    ...(asksGateway || path === "/links/redeem" ? ["unreachable", "refused"] as const : []),
    ...(body?.properties?.["password"] || body?.properties?.["newPassword"]
      ? ["too-many"] as const
      : []),
    ...problems,
  ]);
  const byStatus = new Map<number, string[]>();
  for (const name of all) {
    const { status } = PROBLEMS[name];
    byStatus.set(status, [...byStatus.get(status) ?? [], name]);
  }
  return Object.fromEntries(Array.from(byStatus, ([status, names]) => [status, {
    description: names.map((name) => `${PROBLEMS[name as ProblemName].title} (${name})`).join("; "),
    content: { [PROBLEM_TYPE]: { schema: { $ref: "#/components/schemas/Problem" } } },
  }]));
}

/** A schema by its name where it has one. */
function reference(schema: Schema): Json {
  const name = NAMES.get(schema);
  return name === undefined ? members(schema) : { $ref: `#/components/schemas/${name}` };
}

function members(schema: Schema): Json {
  const { items, properties, additionalProperties, anyOf } = schema;
  return {
    ...schema,
    ...(items === undefined ? {} : { items: reference(items) }),
    ...(anyOf === undefined ? {} : { anyOf: anyOf.map(reference) }),
    ...(properties === undefined ? {} : {
      properties: Object.fromEntries(
        Object.entries(properties).map(([name, each]) => [name, reference(each)]),
      ),
    }),
    ...(typeof additionalProperties === "object"
      ? { additionalProperties: reference(additionalProperties) }
      : {}),
  };
}
