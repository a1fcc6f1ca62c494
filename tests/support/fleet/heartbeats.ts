/** Heartbeats between gateways for tests. */
import type { GatewayHeartbeat } from "../../../lib/core/fleet/mesh/heartbeat.ts";

/** One of a gateway that knows of nothing yet. */
export const FIRST_HEARTBEAT: GatewayHeartbeat = {
  generation: 1,
  sequence: 1,
  asks: false,
  reachesStore: false,
  isDraining: false,
  holds: false,
  vote: null,
  term: 0,
  holder: null,
  needsStore: true,
  clock: 0,
  fleetTime: 0,
  hears: new Set(),
  voters: new Set(),
};
