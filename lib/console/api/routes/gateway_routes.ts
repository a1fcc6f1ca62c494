/** Gateway routes: how the gateway is, what has happened, what was used, what rules say, and its settings. */
import type { ConsoleServices } from "../../console_services.ts";
import { sourceKey } from "../../../core/wire/source_key.ts";
import { actorName, askGateway } from "../gateway_calls.ts";
import { partQuery, peerNameInput } from "../inputs.ts";
import { type ApiRoute, apiRoute, whoAsks } from "../route.ts";
import { arrayOf, choiceOf, orNull, record, text, whole } from "../schema.ts";
import { SHAPES } from "../shapes.ts";
import { changeParams } from "./peer_routes.ts";

const PROTOCOLS = ["tcp", "udp", "icmp", "gre", "esp"] as const;
/** Characters of `[Interface]`: as many as a line of the control protocol has room for. */
const MAX_SETTINGS = 20_000;

const settingsText = text({ maxLength: MAX_SETTINGS });

export function gatewayRoutes(services: ConsoleServices): readonly ApiRoute[] {
  const { gateway, feed, audit } = services;

  return [
    apiRoute({
      method: "get",
      path: "/status",
      access: "read",
      summary: "How the gateway and its peers are: an entry of `vpn status --json`",
      status: 200,
      answer: SHAPES.Status,
      handle: async () => ({ body: await askGateway(gateway, "status", {}) }),
    }),

    apiRoute({
      method: "get",
      path: "/live",
      access: "read",
      summary: "The same as it changes, once a second, and events as they come",
      status: 200,
      answer: SHAPES.LiveEvent,
      isStream: true,
      handle: (call) => {
        const { account, isValid } = whoAsks(call);
        return { stream: feed.open(account, isValid) };
      },
    }),

    apiRoute({
      method: "get",
      path: "/usage",
      access: "read",
      summary:
        "What peers have sent and received: entries of `vpn usage --json`, without a peer the newest ones",
      query: record({}, { by: choiceOf(["hour", "day", "month"]), peer: peerNameInput }),
      status: 200,
      answer: arrayOf(SHAPES.Usage),
      problems: ["not-found"],
      handle: async ({ query }) => {
        const { usage } = await askGateway(gateway, "usage", query);
        return { body: usage };
      },
    }),

    apiRoute({
      method: "get",
      path: "/events",
      access: "read",
      summary: "What has happened, the newest ones, in their order: entries of `vpn events --json`",
      query: record({}, {
        ...partQuery,
        since: whole({ minimum: 0, description: "Unix ms" }),
        peer: peerNameInput,
      }),
      status: 200,
      answer: arrayOf(SHAPES.Event),
      problems: ["not-found"],
      handle: async ({ query }) => {
        const { limit = 200, ...rest } = query;
        const { events } = await askGateway(gateway, "events", { ...rest, limit, newest: true });
        return { body: events };
      },
    }),

    apiRoute({
      method: "post",
      path: "/access/test",
      access: "read",
      summary: "What access rules say of a packet, as `vpn access test --json`",
      body: record({
        peer: peerNameInput,
        protocol: choiceOf(PROTOCOLS),
        address: text({ minLength: 1, maxLength: 64 }),
        port: orNull(whole({ minimum: 1, maximum: 65535 })),
      }),
      status: 200,
      answer: SHAPES.TrialResult,
      problems: ["not-found"],
      handle: async ({ body }) => ({ body: await askGateway(gateway, "test-access", body) }),
    }),

    apiRoute({
      method: "get",
      path: "/health",
      access: "read",
      summary: "What is wrong with the gateway, if anything",
      status: 200,
      answer: SHAPES.Health,
      handle: async () => ({ body: await askGateway(gateway, "health", {}) }),
    }),

    apiRoute({
      method: "get",
      path: "/doctor",
      access: "read",
      summary:
        "What `vpn doctor --json` found last on the gateway; another begins after ten minutes",
      status: 200,
      answer: SHAPES.Examination,
      handle: async () => ({ body: await askGateway(gateway, "doctor", {}) }),
    }),

    apiRoute({
      method: "post",
      path: "/doctor",
      access: "peers",
      summary: "Have the gateway begin another `vpn doctor`, once a minute at most",
      status: 200,
      answer: SHAPES.Examination,
      handle: async () => ({ body: await askGateway(gateway, "doctor", { again: true }) }),
    }),

    apiRoute({
      method: "get",
      path: "/dns",
      access: "read",
      summary: "What the gateway's resolver has done since its start; null where it has none",
      status: 200,
      answer: SHAPES.DnsFigures,
      handle: async () => ({ body: await askGateway(gateway, "dns", {}) }),
    }),

    apiRoute({
      method: "get",
      path: "/settings",
      access: "admin",
      summary: "[Interface] of the configuration, without its secrets",
      status: 200,
      answer: SHAPES.Settings,
      hasRevision: true,
      handle: async () => {
        const body = await askGateway(gateway, "settings", {});
        return { body, etag: body.revision };
      },
    }),

    apiRoute({
      method: "post",
      path: "/settings/preview",
      access: "admin",
      summary: "What would come of other settings",
      body: record({ text: settingsText }),
      status: 200,
      answer: SHAPES.SettingsPreview,
      handle: async ({ body }) => ({ body: await askGateway(gateway, "preview-settings", body) }),
    }),

    apiRoute({
      method: "put",
      path: "/settings",
      access: "admin",
      summary: "Change the settings",
      body: record({ text: settingsText }),
      needsMatch: true,
      status: 200,
      answer: SHAPES.SettingsResult,
      hasRevision: true,
      handle: async (call) => {
        const body = await askGateway(gateway, "change-settings", {
          text: call.body.text,
          ...changeParams(call),
        });
        audit.add({
          account: actorName(call),
          source: sourceKey(call.source),
          action: "settings-changed",
          detail: body.changes.join(", "),
        });
        return { body, etag: body.revision };
      },
    }),
  ];
}
