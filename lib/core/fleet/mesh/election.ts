/**
 * Election: whom a gateway wants to have the virtual address, and how many want this one. A vote is what a gateway's
 * last heartbeat says, so that each has one at a time, and one that is dead has none.
 */
import { weightOf } from "../rendezvous.ts";
import type { GatewayHeartbeat } from "./heartbeat.ts";
import type { KnownTerm } from "./known_term.ts";
import type { Liveness } from "./liveness.ts";

/** What one gateway says of itself. */
export interface OwnState {
  readonly self: number;
  readonly addressKey: number;
  readonly isDraining: boolean;
  readonly holds: boolean;
  readonly reachesStore: boolean;
}

interface Candidate {
  readonly gateway: number;
  readonly isDraining: boolean;
  /** Gateways that it hears and that are there. */
  readonly hears: number;
  readonly reachesStore: boolean;
}

/**
 * The gateway that this one wants to have the address: who has it, as long as it can be heard; else the one that hears
 * the most others, of these one that reaches the store, and of these the one with the greatest weight. One that drains
 * is wanted where there is no other.
 */
export function voteOf(own: OwnState, known: KnownTerm, liveness: Liveness): number {
  const holder = holderHeard(own, known, liveness);
  if (holder !== null && !holder.isDraining) return holder.gateway;
  const candidates = candidatesOf(own, liveness);
  const hasOther = candidates.some(({ isDraining }) => !isDraining);
  if (holder !== null && !hasOther) return holder.gateway;
  const eligible = candidates.filter(({ isDraining }) => !isDraining || !hasOther);
  return eligible.reduce((best, each) => isBetter(each, best, own.addressKey) ? each : best)
    .gateway;
}

function holderHeard(
  { self, holds, isDraining }: OwnState,
  { holder }: KnownTerm,
  liveness: Liveness,
): Pick<Candidate, "gateway" | "isDraining"> | null {
  if (holds) return { gateway: self, isDraining };
  const remote = holder === null ? null : liveness.remote(holder);
  if (remote === null || !remote.isUp) return null;
  // Its own word of a term that is the next one of the same holder may come after the store's.
  const { heartbeat } = remote;
  if (heartbeat === null || !heartbeat.holds) return null;
  return { gateway: remote.gateway, isDraining: heartbeat.isDraining };
}

/** Those that this one hears, and that hear this one; itself among them. */
function candidatesOf(
  { self, isDraining, reachesStore }: OwnState,
  liveness: Liveness,
): readonly Candidate[] {
  const { heard } = liveness;
  const candidates: Candidate[] = [{ gateway: self, isDraining, reachesStore, hears: heard.size }];
  for (const { gateway, isUp, heartbeat } of liveness.remotes) {
    if (!isUp || heartbeat === null || !heartbeat.hears.has(self)) continue;
    let hears = 1;
    for (const each of heartbeat.hears) if (heard.has(each)) hears++;
    const { isDraining, reachesStore } = heartbeat;
    candidates.push({ gateway, isDraining, reachesStore, hears });
  }
  return candidates;
}

function isBetter(one: Candidate, other: Candidate, addressKey: number): boolean {
  if (one.hears !== other.hears) return one.hears > other.hears;
  if (one.reachesStore !== other.reachesStore) return one.reachesStore;
  return weightOf(addressKey, one.gateway) > weightOf(addressKey, other.gateway);
}

/** Other gateways that are up and of which this holds. */
export function supporters(
  liveness: Liveness,
  holds: (heartbeat: GatewayHeartbeat) => boolean,
): readonly number[] {
  const supporting: number[] = [];
  for (const { gateway, isUp, heartbeat } of liveness.remotes) {
    if (isUp && heartbeat !== null && holds(heartbeat)) supporting.push(gateway);
  }
  return supporting;
}
