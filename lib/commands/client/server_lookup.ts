/** Server look-up: where a client's server may be, by all its endpoints at once. */
import type { Endpoint } from "../../core/config/config.ts";
import { placesOf, type ServerPlace } from "../../core/client/server_places.ts";
import { withoutUnrouted } from "../../core/wire/families.ts";
import type { HostAddress } from "../../core/wire/host_address.ts";
import { AppError } from "../../process/errors.ts";
import { type AgainOptions, resolveAgain, resolveAll } from "../../host/dns/resolve.ts";

export interface FirstLookUpOptions {
  /** ms */
  readonly timeout: number;
  /** Whether the host has a route to an address. */
  readonly hasRoute: (address: HostAddress) => boolean;
  /** Whether names may be looked up; yes, if left out. Where not, an endpoint that is a name is left out. */
  readonly isToAsk?: boolean;
  /** Is told of an endpoint that is not found, while another one is. */
  readonly onMissing: (error: AppError) => void;
  /** The addresses that the tunnel would not take away from itself; throws where it would all. */
  readonly outside: (addresses: readonly HostAddress[]) => readonly HostAddress[];
}

/**
 * The places of a server before its client is connected, at least one.
 *
 * @throws {AppError} with exit code 3 where none of its endpoints has an address
 * @throws {Error} what `outside` throws
 */
export async function lookUpServer(
  endpoints: readonly Endpoint[],
  { timeout, hasRoute, isToAsk = true, onMissing, outside }: FirstLookUpOptions,
): Promise<readonly ServerPlace[]> {
  const outcomes = await Promise.allSettled(
    endpoints.map((endpoint) =>
      endpoint.address !== null || isToAsk ? resolveAll(endpoint, timeout, hasRoute) : []
    ),
  );
  const errors = outcomes.flatMap((outcome) =>
    outcome.status === "rejected" ? [outcome.reason as unknown] : []
  );
  if (errors.length === endpoints.length) throw errors[0];
  for (const error of errors) {
    if (!(error instanceof AppError)) throw error;
    onMissing(error);
  }
  const found = outcomes.map((outcome) => outcome.status === "fulfilled" ? outcome.value : []);
  return placesOutside(routedPlaces(placesOf(endpoints, found), hasRoute), outside);
}

/** Those that the tunnel would not take away from itself. @throws {Error} where it would all of one endpoint */
export function placesOutside(
  places: readonly ServerPlace[],
  outside: FirstLookUpOptions["outside"],
): readonly ServerPlace[] {
  const ranks = new Set(places.map(({ rank }) => rank));
  const reachable = [...ranks].flatMap((each) =>
    outside(places.filter(({ rank }) => rank === each).map(({ address }) => address))
  );
  return places.filter(({ address }) => reachable.includes(address));
}

/** The same while the tunnel is down. An endpoint that is not found is where it was, if it was somewhere. */
export async function lookUpServerAgain(
  endpoints: readonly Endpoint[],
  { last, ...options }: Omit<AgainOptions, "last"> & { readonly last: readonly ServerPlace[] },
): Promise<readonly ServerPlace[]> {
  const found = await Promise.all(
    endpoints.map((endpoint, rank) => {
      const before = last.filter((place) => place.rank === rank).map(({ address }) => address);
      return resolveAgain(endpoint, { last: before, ...options });
    }),
  );
  const places = routedPlaces(placesOf(endpoints, found), options.hasRoute);
  return places.length > 0 ? places : last;
}

/** Those that there is a route to, as far as IPv6 is concerned; all of them where there would be none left. */
function routedPlaces(
  places: readonly ServerPlace[],
  hasRoute: (address: HostAddress) => boolean,
): readonly ServerPlace[] {
  const routed = withoutUnrouted(places.map(({ address }) => address), hasRoute);
  return places.filter(({ address }) => routed.includes(address));
}
