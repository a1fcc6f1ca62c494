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

/** Peers in the order of their names, which is worked out again only when there are others: it costs the most. */
export class NameOrder {
  #sorted: PeerTrack[] = [];
  #names: string[] = [];
  #members: ReadonlySet<PeerTrack> = new Set();

  of(tracks: Iterable<PeerTrack>): readonly PeerTrack[] {
    const members = new Set(tracks);
    const isSame = members.size === this.#members.size &&
      this.#sorted.every((track, index) =>
        members.has(track) && nameOf(track.state) === this.#names[index]
      );
    if (!isSame) {
      this.#members = members;
      this.#sorted = [...members].sort((a, b) => byText(nameOf(a.state), nameOf(b.state)));
      this.#names = this.#sorted.map(({ state }) => nameOf(state));
    }
    return this.#sorted;
  }
}

/**
 * Those that have all words of `search` in name, address, endpoint, group or key.
 *
 * @param tracks in the order of their names, which equals keep
 */
export function listed(
  tracks: readonly PeerTrack[],
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
  const { by, isDescending } = order;
  if (by === "name") return isDescending ? found.reverse() : found;
  const value = VALUES[by];
  const sign = isDescending ? -1 : 1;
  return found.sort((a, b) => sign * (value(a) - value(b)));
}

function textOf({ state }: PeerTrack): string {
  const { name, publicKey, endpoint, groups } = state;
  return `${name ?? ""} ${publicKey} ${addressesOf(state)} ${endpoint ?? ""} ${groups.join(" ")}`
    .toLowerCase();
}

const { compare: byText } = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

const VALUES: Readonly<Record<Exclude<SortKey, "name">, (peer: Listed) => number>> = {
  status: ({ standing }) => FILTERS.all.indexOf(standing),
  rate: ({ track }) => track.rate,
  transferred: ({ track }) => total(track),
  handshake: ({ track }) => time(track),
};

function total({ state }: PeerTrack): number {
  return state.received + state.sent;
}

function time({ state }: PeerTrack): number {
  return state.latestHandshake === null ? 0 : Date.parse(state.latestHandshake);
}
