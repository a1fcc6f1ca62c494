/** Client reload: what of a client's configuration may change while it is connected, and how. */
import type { ClientConfig } from "../../core/config/config.ts";
import {
  changedConfig,
  changedKeys,
  type ConfigChange,
  ofKeys,
  type PutPeer,
} from "../../core/config/config_change.ts";
import { formatEndpoint } from "../../core/config/text/config_writer.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { SERVER_ONLY_KEYS, validateClient } from "../../core/config/roles.ts";
import type { ServerPlace } from "../../core/client/server_places.ts";
import type { HostAddress } from "../../core/wire/host_address.ts";
import { formatCidr, type Ipv4Prefix } from "../../core/wire/ipv4_text.ts";
import type { Connection } from "./connection.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import type { ReloadPlan, ReloadRole, ReloadStep } from "../../control/reload.ts";
import { movedPlaces } from "../../host/dns/peer_places.ts";
import { lookUpServer, placesOutside } from "./server_lookup.ts";
import { mtuLimit } from "../tunnel_lifecycle.ts";
import {
  planRoutes,
  reachableOutside,
  requireReachableOutside,
  type RoutePlan,
  type WayOutside,
} from "../../host/network/route_plan.ts";

export interface ClientReloadOptions {
  readonly connection: Pick<
    Connection,
    "reconfigure" | "moveTo" | "place" | "places" | "servers"
  >;
  /** How the host reaches an address; null where it does not. */
  readonly wayTo: (address: HostAddress) => WayOutside | null;
  /** Adds and removes plain routes by the TUN; a full tunnel leads to what is inside from now on. */
  readonly changeRoutes: (
    routes: {
      readonly added: RoutePlan["plain"];
      readonly removed: RoutePlan["plain"];
      readonly inside: readonly HostAddress[];
    },
  ) => void;
  /** Sets the host's resolvers in the place of those that were set before. */
  readonly setDns: (config: ClientConfig) => void;
  /** Bytes of the longest packet inside that there is room for; it can be less, but not more. */
  readonly mtuCapacity: number;
  readonly setMtuLimit: (limit: number) => void;
}

export class ClientReload implements ReloadRole<ClientConfig> {
  readonly liveKeys: ReadonlySet<string> = new Set([
    "DNS",
    "MTU",
    "ConnectTimeout",
    "OnPeerTimeout",
  ]);
  readonly foreignKeys: readonly string[] = SERVER_ONLY_KEYS;
  readonly validate = validateClient;
  readonly #options: ClientReloadOptions;

  constructor(options: ClientReloadOptions) {
    this.#options = options;
  }

  async plan(
    wanted: ConfigChange,
    { before, after }: { readonly before: ClientConfig; readonly after: ClientConfig },
  ): Promise<ReloadPlan> {
    const { mtuCapacity } = this.#options;
    const { mtu, connectTimeout } = after.interface;
    const restart: string[] = [];
    if (changedKeys(wanted).includes("MTU") && mtuLimit(mtu) > mtuCapacity) {
      restart.push("MTU");
    }
    let change = ofKeys(wanted, (key) => !restart.includes(key));
    const oldPlan = planRoutes(before);
    if (!haveSamePolicy(oldPlan, planRoutes(made(before, change)))) {
      restart.push("AllowedIPs");
      change = withNetworksOf(before, change);
    }
    const config = made(before, change);
    const { server } = config;
    const isMoved = !isSameServer(before, config);
    const { wayTo } = this.#options;
    const plan = planRoutes(config);
    const outside = (addresses: readonly HostAddress[]) =>
      reachableOutside(addresses, (address) => {
        requireReachableOutside(config, { plan, server: address, way: wayTo(address) });
      });
    const { connection } = this.#options;
    const missing: AppError[] = [];
    // Where the server is now, a route of the tunnel must not come to lead there.
    if (!isMoved) outside([connection.place.address]);
    const places = isMoved
      ? await lookUpServer(config.endpoints, {
        timeout: connectTimeout,
        hasRoute: (address) => wayTo(address) !== null,
        onMissing: (error) => missing.push(error),
        outside,
      })
      : placesOutside(connection.places, outside);
    return {
      change,
      restart,
      // The connection looks for the server.
      places: new Map([
        ...await movedPlaces(
          change.put.filter(({ peer }) => peer.publicKey !== server.publicKey),
          connectTimeout,
        ),
        [encodeKey(server.publicKey), null],
      ]),
      steps: this.#steps(config, { change, oldPlan, plan, isMoved, places, missing }),
    };
  }

  #steps(
    config: ClientConfig,
    { change, oldPlan, plan, isMoved, places, missing }: {
      readonly change: ConfigChange;
      readonly oldPlan: RoutePlan;
      readonly plan: RoutePlan;
      readonly isMoved: boolean;
      readonly places: readonly ServerPlace[];
      /** Of endpoints that were not found. */
      readonly missing: readonly AppError[];
    },
  ): readonly ReloadStep[] {
    const { connection, changeRoutes, setDns, setMtuLimit } = this.#options;
    const keys = changedKeys(change);
    const steps: ReloadStep[] = [
      { key: null, run: () => connection.reconfigure(config) },
      {
        key: null,
        run: () =>
          changeRoutes({
            added: without(plan, oldPlan),
            removed: without(oldPlan, plan),
            inside: [...plan.inside, ...plan.inside6],
          }),
      },
    ];
    if (keys.includes("MTU")) {
      steps.push({ key: "MTU", run: () => setMtuLimit(mtuLimit(config.interface.mtu)) });
    }
    if (keys.includes("DNS")) steps.push({ key: "DNS", run: () => setDns(config) });
    if (isMoved) {
      const run = async () => {
        if (await connection.moveTo(config, places)) return;
        throw new AppError(
          `no valid answer from ${connection.servers} yet: retrying: check Endpoint and PublicKey`,
          { exitCode: ExitCode.connect },
        );
      };
      steps.push({ key: null, run });
    }
    for (const error of missing) steps.push({ key: null, run: () => Promise.reject(error) });
    return steps;
  }
}

function made(before: ClientConfig, change: ConfigChange): ClientConfig {
  return validateClient(changedConfig<ClientConfig>(before, change));
}

/** Rules, tables and the mark on the tunnel's own datagrams were made at the start. */
function haveSamePolicy(one: RoutePlan, other: RoutePlan): boolean {
  const policy = ({ mark, isFullTunnel, isFullTunnel6, blocked6, plain }: RoutePlan) =>
    JSON.stringify([mark, isFullTunnel, isFullTunnel6, blocked6, plain.table]);
  return policy(one) === policy(other);
}

/** The change, but for the networks: they stay as they were, also those of a server that another one replaces. */
function withNetworksOf(before: ClientConfig, change: ConfigChange): ConfigChange {
  const old = new Map(before.peers.map((peer) => [encodeKey(peer.publicKey), peer]));
  const { server } = made(before, change);
  const put = change.put.map((each): PutPeer => {
    const isServer = each.peer.publicKey === server.publicKey;
    const earlier = old.get(encodeKey(each.peer.publicKey)) ?? (isServer ? before.server : null);
    const { allowedIps = [], allowedIps6 = [] } = earlier ?? {};
    return { ...each, peer: { ...each.peer, allowedIps, allowedIps6 } };
  });
  return { ...change, put };
}

/** Whether the server is the same, at the same endpoints in the same order. */
function isSameServer(one: ClientConfig, other: ClientConfig): boolean {
  return encodeKey(one.server.publicKey) === encodeKey(other.server.publicKey) &&
    one.endpoints.map(formatEndpoint).join() === other.endpoints.map(formatEndpoint).join();
}

/** The plain routes that only the first plan has. */
function without({ plain }: RoutePlan, other: RoutePlan): RoutePlan["plain"] {
  const others = new Set(other.plain.networks.map(formatCidr));
  const networks = plain.networks.filter((network: Ipv4Prefix) => !others.has(formatCidr(network)));
  const networks6 = plain.networks6.filter((network) => !other.plain.networks6.includes(network));
  return { networks, networks6, table: plain.table };
}
