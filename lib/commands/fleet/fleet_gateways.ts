/** Fleet gateways: how `vpn fleet` shows the gateways of a store, drains them, and takes out those that are gone. */
import { hostname } from "node:os";
import type { FleetGatewayRequest } from "../../cli/fleet_request.ts";
import { RefusalError } from "../../core/config/refusal_error.ts";
import { formatSocketAddress } from "../../core/wire/host_address.ts";
import {
  changeGateway,
  type NumberedGateway,
  storedGateways,
} from "../../host/fleet/gateway_list.ts";
import type { SharedPeerStore } from "../../host/fleet/shared_peer_store.ts";
import { storedTerm } from "../../host/fleet/stored_term.ts";
import { AppError, ExitCode } from "../../process/errors.ts";

/** ms that a person waits until another gateway has the virtual address. */
const HAND_OVER_TIMEOUT = 5_000;

/** A row for each gateway; none where they have no address by turns. */
export function gatewayRows(store: SharedPeerStore): string[][] {
  const holder = storedTerm(store)?.entry?.holder ?? null;
  return storedGateways(store).map(({ number, name, endpoint, isDraining }) => [
    `gateway ${number}`,
    [
      name,
      formatSocketAddress(endpoint),
      ...number === holder ? ["has the virtual address"] : [],
      ...isDraining ? ["drained"] : [],
    ].join(", "),
  ]);
}

/** Does what is asked for, and says what has come of it. @throws {AppError | RefusalError} */
export async function changeFleet(
  store: SharedPeerStore,
  { action, gateway }: Pick<FleetGatewayRequest, "action" | "gateway">,
): Promise<string> {
  const chosen = choose(storedGateways(store), gateway);
  const change = action === "remove" ? null : { isDraining: action === "drain" };
  if (!await changeGateway(store, chosen, change)) {
    throw new RefusalError(
      "revision",
      `Cannot change ${chosen.name}: somebody else has changed it just now: try again`,
    );
  }
  switch (action) {
    case "remove":
      return `${chosen.name} is no gateway of the fleet any more.`;
    case "rebalance":
      return `${chosen.name} may have the virtual address again.`;
    case "drain":
      return await handedOver(store, chosen);
  }
}

/**
 * Hands over to another gateway and takes this one out, in words. Gateways without a virtual address are not listed:
 * of one of these, nothing is to be done here.
 *
 * @throws {AppError | RefusalError} where no other one takes the address, with all as it was
 */
export async function leaveFleetList(
  store: SharedPeerStore,
  given: string | null,
): Promise<string[]> {
  const all = storedGateways(store);
  if (given === null && !all.some(({ name }) => name === hostname())) {
    return ["The store lists no gateway of this host."];
  }
  const { number, name } = choose(all, given);
  const gateway = `${number}`;
  const isHolder = () => storedTerm(store)?.entry?.holder === number;
  const said: string[] = [];
  // What is written here is read back before the heir's word, so that the next change has the right revision.
  if (isHolder() && all.length > 1) {
    said.push(await changeFleet(store, { action: "drain", gateway }));
    if (isHolder()) {
      await changeFleet(store, { action: "rebalance", gateway });
      throw new AppError(
        `Cannot take ${name} out of the fleet: no other gateway takes the virtual address: start one of them, or ` +
          "remove those that will not come back",
        { exitCode: ExitCode.unexpected },
      );
    }
  }
  return [...said, await changeFleet(store, { action: "remove", gateway })];
}

/** By number or name; the one on this host, if none is given. */
function choose(all: readonly NumberedGateway[], given: string | null): NumberedGateway {
  const wanted = given ?? hostname();
  const found = all.filter(({ number, name }) => `${number}` === wanted || name === wanted);
  if (found.length === 1) return found[0]!;
  const known = all.map(({ number, name }) => `${number} (${name})`).join(", ") || "none";
  throw new AppError(
    found.length === 0
      ? `The fleet has no gateway ${wanted}: it has ${known}`
      : `Several gateways are called ${wanted}: give one by its number: ${known}`,
    { exitCode: ExitCode.usage },
  );
}

async function handedOver(
  store: SharedPeerStore,
  { number, name }: NumberedGateway,
): Promise<string> {
  const holderNow = () => storedTerm(store)?.entry?.holder ?? null;
  const { promise, resolve } = Promise.withResolvers<void>();
  const look = () => {
    if (holderNow() !== number) resolve();
  };
  using _watch = store.watch(look);
  look();
  const timer = setTimeout(resolve, HAND_OVER_TIMEOUT);
  await promise;
  clearTimeout(timer);
  const holder = holderNow();
  if (holder === number) {
    return `${name} is drained, but keeps the virtual address: no other gateway can have it.`;
  }
  const heir = storedGateways(store).find((each) => each.number === holder);
  return `${name} is drained${heir === undefined ? "" : `; ${heir.name} has the virtual address`}.`;
}
