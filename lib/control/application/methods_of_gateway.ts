/** The application's methods about the gateway itself: its health, its DNS proxy, what its access rules say. */
import type { ServerConfig } from "../../core/config/config.ts";
import { deadRules } from "../../core/peers/dead_rules.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { paced } from "../../process/pace.ts";
import type { LivePeers } from "../live_peers.ts";
import type { Handler } from "../protocol.ts";
import type { Reloader } from "../reload.ts";
import { testAccess } from "../test_access.ts";
import type { Examinations } from "./examinations.ts";
import type { ApplicationMethods, DnsFigures } from "./methods.ts";
import { switchParam } from "./params.ts";

export interface GatewayQuestions {
  readonly peers: Pick<LivePeers, "access" | "testAccess" | "groups" | "peers">;
  readonly reloader: Pick<Reloader<ServerConfig>, "config" | "pending">;
  /** What it is without, in words. */
  readonly missing: () => readonly string[];
  /** Null where there is no proxy. */
  readonly dns: () => DnsFigures;
  readonly examinations: Pick<Examinations, "ask">;
}

export function methodsOfGateway(
  gateway: GatewayQuestions,
): Readonly<Record<"test-access" | "dns" | "doctor" | "health", Handler>> {
  const { peers, dns, examinations } = gateway;
  return {
    "test-access": (params) => Promise.try(() => testAccess(params, peers)),
    "dns": () => Promise.resolve(dns()),
    "doctor": (params) => Promise.try(() => examinations.ask(switchParam(params, "again", false))),
    "health": () => health(gateway),
  };
}

async function health(
  { peers, reloader, missing }: GatewayQuestions,
): Promise<ApplicationMethods["health"]["result"]> {
  const { config } = reloader;
  const lacking = missing();
  const live = Array.from(
    peers.peers.values(),
    (peer) => ({ ...peer, otherEndpoints: [], zonedEndpoint: null, line: 0 }),
  );
  const groups = peers.groups ?? config.groups;
  const dead = await paced(deadRules({ ...config, peers: live, groups }));
  return {
    state: lacking.length === 0 ? "up" : "degraded",
    missing: lacking,
    warnings: config.warnings,
    ...await pendingIn(reloader),
    deadRules: dead.map(({ rule, why }) => `${rule}: ${why}`),
  };
}

/** What of the file is not in effect yet. */
export async function pendingIn(
  reloader: GatewayQuestions["reloader"],
): Promise<Pick<ApplicationMethods["health"]["result"], "pending" | "restart" | "problem">> {
  try {
    const { changes, restart } = await reloader.pending();
    return { pending: changes, restart, problem: null };
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return { pending: [], restart: [], problem: error.message };
  }
}
