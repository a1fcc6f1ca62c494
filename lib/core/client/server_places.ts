/** Server places: where a server may be, by all its `Endpoint` lines, in the order in which they are tried. */
import type { HostAddress } from "../wire/host_address.ts";
import type { SocketAddress } from "../wire/socket_address.ts";

/** One address of one `Endpoint`. */
export interface ServerPlace extends SocketAddress {
  /** Of its `Endpoint` among the server's, 0 for the one that is preferred. */
  readonly rank: number;
}

/**
 * The places of endpoints, each once: with that of the first that leads there.
 *
 * @param found of each endpoint, in the order of preference, the addresses
 */
export function placesOf(
  endpoints: readonly { readonly port: number }[],
  found: readonly (readonly HostAddress[])[],
): readonly ServerPlace[] {
  const places: ServerPlace[] = [];
  for (const [rank, { port }] of endpoints.entries()) {
    for (const address of found[rank] ?? []) {
      const place = { address, port, rank };
      if (!places.some((other) => isSameEnd(other, place))) places.push(place);
    }
  }
  return places;
}

/** Whether two places are one, whichever `Endpoint` leads there. */
export function isSameEnd(one: SocketAddress, other: SocketAddress): boolean {
  return one.address === other.address && one.port === other.port;
}

export class ServerPlaces {
  #current: ServerPlace;
  #all: readonly ServerPlace[];
  /** The one that answered last. */
  #worked: ServerPlace;
  /** Of the `Endpoint` that was lost last; -1 for none. */
  #lostRank = -1;

  /** @param places at least one, in the order of preference */
  constructor(places: readonly ServerPlace[]) {
    this.#all = places;
    this.#current = this.#worked = places[0]!;
  }

  /** The one in use. */
  get current(): ServerPlace {
    return this.#current;
  }

  /** In the order of preference; of one `Endpoint`, the one that answered last is first as long as the name has it. */
  get all(): readonly ServerPlace[] {
    return this.#all;
  }

  /**
   * The same by their `Endpoint`. The one that was lost is the last: its silence, or its goodbye, has said already that
   * it is not there.
   */
  get byEndpoint(): readonly (readonly ServerPlace[])[] {
    const byRank = new Map<number, ServerPlace[]>();
    for (const place of this.#all) {
      const same = byRank.get(place.rank);
      if (same === undefined) byRank.set(place.rank, [place]);
      else same.push(place);
    }
    const lost = byRank.get(this.#lostRank);
    if (lost !== undefined) {
      byRank.delete(this.#lostRank);
      byRank.set(this.#lostRank, lost);
    }
    return [...byRank.values()];
  }

  /** Uses one of them from now on. */
  use(end: SocketAddress): void {
    this.#current = this.#find(end) ?? this.#current;
  }

  /** An answer came from there. It may be late, from a place that was tried before the current one. */
  answered(end: SocketAddress): void {
    const place = this.#find(end);
    if (place === undefined) return;
    this.#current = this.#worked = place;
    this.lookedUp(this.#all);
  }

  /** The server that was there is lost. */
  lost(): void {
    this.#lostRank = this.#current.rank;
  }

  /** The endpoints have these now. The place that answered last is its endpoint's last resort if it is not there. */
  lookedUp(places: readonly ServerPlace[]): void {
    const worked = this.#worked;
    const others = places.filter((place) => !isSameEnd(place, worked));
    const isStillThere = others.length < places.length;
    const at = others.findIndex(({ rank }) =>
      isStillThere ? rank >= worked.rank : rank > worked.rank
    );
    this.#all = at < 0 ? [...others, worked] : others.toSpliced(at, 0, worked);
  }

  #find(end: SocketAddress): ServerPlace | undefined {
    return this.#all.find((place) => isSameEnd(place, end));
  }
}
