/** Which peers are listed, and in which order. */
import type { PeerTrack } from "../../state/live_model.ts";
import { addressesOf, nameOf, type Standing, standingOf } from "./peer_look.tsx";

export type SortKey = "name" | "status" | "rate" | "transferred" | "handshake";
export interface Order {
  readonly by: SortKey;
  readonly isDescending: boolean;
}

export type Filter = "all" | "online" | "offline" | "blocked";

export interface Listed {
  readonly track: PeerTrack;
  readonly standing: Standing;
}

const FILTERS: Readonly<Record<Filter, readonly Standing[]>> = {
  all: ["online", "silent", "offline", "never", "disabled", "expired", "used-up"],
  online: ["online", "silent"],
  offline: ["offline", "never"],
  blocked: ["disabled", "expired", "used-up"],
};

/** Those that have all words of `search` in name, address, endpoint, group or key. */
export function listed(
  tracks: Iterable<PeerTrack>,
  { search, filter, order }: { search: string; filter: Filter; order: Order },
): Listed[] {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== "");
  const standings = FILTERS[filter];
  const found: Listed[] = [];
  for (const track of tracks) {
    const standing = standingOf(track.state);
    if (!standings.includes(standing)) continue;
    if (words.length > 0 && !words.every((word) => textOf(track).includes(word))) continue;
    found.push({ track, standing });
  }
  const sign = order.isDescending ? -1 : 1;
  const compare = COMPARE[order.by];
  // By name where they are equal, so that none changes its place without need.
  return found.sort((a, b) => sign * compare(a, b) || COMPARE.name(a, b));
}

function textOf({ state }: PeerTrack): string {
  const { name, publicKey, endpoint, groups } = state;
  return `${name ?? ""} ${publicKey} ${addressesOf(state)} ${endpoint ?? ""} ${groups.join(" ")}`
    .toLowerCase();
}

const { compare: byText } = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

const COMPARE: Readonly<Record<SortKey, (a: Listed, b: Listed) => number>> = {
  name: (a, b) => byText(nameOf(a.track.state), nameOf(b.track.state)),
  status: (a, b) => FILTERS.all.indexOf(a.standing) - FILTERS.all.indexOf(b.standing),
  rate: (a, b) => a.track.rate - b.track.rate,
  transferred: (a, b) => total(a.track) - total(b.track),
  handshake: (a, b) => time(a.track) - time(b.track),
};

function total({ state }: PeerTrack): number {
  return state.received + state.sent;
}

function time({ state }: PeerTrack): number {
  return state.latestHandshake === null ? 0 : Date.parse(state.latestHandshake);
}
