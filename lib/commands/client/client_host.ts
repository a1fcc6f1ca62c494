/**
 * Client host: what a client changes on its host, in the order in which it is made, and what of it follows changes of
 * the host, of the path and of the configuration.
 */
import type { ClientConfig } from "../../core/config/config.ts";
import type { HostAddress } from "../../core/wire/host_address.ts";
import { MIN_LINK_MTU } from "../../core/wire/ipv6.ts";
import type { DataPlaneHandle } from "../../dataplane/data_plane_handle.ts";
import {
  hostNameServers,
  resetClientDns,
  resolversOf,
  setClientDns,
} from "../../host/dns/client_dns.ts";
import type { InnerGuard } from "../../host/firewall/inner_guard.ts";
import { KillSwitch } from "../../host/firewall/kill_switch.ts";
import { ReturnPath } from "../../host/firewall/return_path.ts";
import type { InterfaceSettings } from "../../host/network/host_network.ts";
import { NetworkConflict } from "../../host/network/network_conflict.ts";
import type { RoutePlan } from "../../host/network/route_plan.ts";
import { startUpkeep } from "../../host/upkeep/host_upkeep.ts";
import type { Upkeep } from "../../host/upkeep/upkeep.ts";
import { guardInnerAddresses, mtuLimit, type TunnelStart } from "../tunnel_lifecycle.ts";
import type { ClientReloadOptions } from "./client_reload.ts";
import type { ClientTransports } from "./client_transports.ts";
import type { Connection } from "./connection.ts";

export interface ClientHostOptions {
  readonly start: TunnelStart<ClientConfig>;
  readonly plan: RoutePlan;
  readonly transports: Pick<ClientTransports, "ports" | "followedBy">;
  /** Takes what is to be closed with the tunnel. */
  readonly services: AsyncDisposableStack;
}

/** The data plane, and where it sends to. */
export interface Outside {
  readonly dataPlane: DataPlaneHandle;
  /** The UDP port that it listens on. */
  readonly port: number;
  readonly connection: Pick<Connection, "place" | "endpoint">;
}

export class ClientHost implements Disposable {
  readonly #options: ClientHostOptions;
  readonly #conflict: NetworkConflict;
  readonly #mtuCapacity: number;
  #killSwitch: KillSwitch | null = null;
  #innerGuard: InnerGuard | null = null;
  #upkeep: Upkeep | null = null;
  #mtuLimit: number;
  #pathMtu: number;
  #dns: ReturnType<typeof setClientDns> = null;

  constructor(options: ClientHostOptions) {
    const { start: { options: { interfaceName }, config, network, logger }, plan } = options;
    this.#options = options;
    this.#mtuCapacity = this.#mtuLimit = this.#pathMtu = mtuLimit(config.interface.mtu);
    this.#conflict = new NetworkConflict({ config, plan, interfaceName, network, logger });
  }

  /** What others take away again and again, in words. */
  get degraded(): readonly string[] {
    return this.#upkeep?.degraded ?? [];
  }

  /** `KillSwitch = on`: closes the host for all but the tunnel, if it is not closed yet. */
  close({ port, connection: { place, endpoint } }: Omit<Outside, "dataPlane">): void {
    const { start: { options, config, journal, network }, plan, transports, services } =
      this.#options;
    if (!config.interface.killSwitch || this.#killSwitch !== null) return;
    const server = { name: endpoint.host, address: place.address };
    const { interfaceName } = options;
    this.#killSwitch = services.use(
      new KillSwitch(
        { interfaceName, mark: plan.mark, journal, server },
        transports.ports(port),
      ),
    );
    this.#killSwitch.setGuests(network.guestBridges());
    transports.followedBy(this.#killSwitch, port);
  }

  /** Calls while questions to these resolvers may leave the host. */
  whileAsking<Result>(
    resolvers: readonly HostAddress[],
    call: () => Promise<Result>,
  ): Promise<Result> {
    return this.#killSwitch === null ? call() : this.#killSwitch.whileAsking(resolvers, call);
  }

  /**
   * Brings the tunnel up: the device, its addresses, routes and resolvers.
   *
   * @returns the device's settings
   */
  async bringUp(outside: Outside): Promise<InterfaceSettings> {
    const { start, plan, services } = this.#options;
    const { options: { interfaceName }, config, network, hooks, logger, journal } = start;
    this.#innerGuard = services.use(guardInnerAddresses(start));
    journal.deviceComes();
    await outside.dataPlane.openTun(interfaceName);
    await hooks.preUp();
    this.close(outside);
    const { addresses, addresses6 } = config.interface;
    const settings = { name: interfaceName, addresses, addresses6, mtu: this.#deviceMtu };
    network.bringUp(settings);
    network.addRoutes(settings, plan.plain);
    if (plan.isFullTunnel) this.#keepReturnPath(outside);
    network.addPolicy(settings, plan);
    this.#conflict.look();
    if (plan.blocked6.length > 0) {
      logger.info("IPv6 to {networks} is blocked", { networks: plan.blocked6.join(", ") });
    }
    this.#dns = setClientDns({ config, interfaceName, journal });
    if (this.#dns !== null) {
      logger.info("names are resolved through the tunnel, with {by}", { by: this.#dns.by });
    }
    await network.takesPackets();
    return settings;
  }

  /** Answers to packets that came in by another interface leave by that one, though the tunnel is a full one. */
  #keepReturnPath({ connection: { place }, port }: Outside): void {
    const { start: { options, network, journal, logger }, plan, transports, services } =
      this.#options;
    const { interfaceName } = options;
    const device = network.wayTo(place.address, plan.mark)?.device ?? null;
    const path = { interfaceName, mark: plan.mark, journal, device, logger };
    const returnPath = ReturnPath.install(path, transports.ports(port));
    if (returnPath !== null) transports.followedBy(services.use(returnPath), port);
  }

  /** All of it is there: from now on it is put back where others take it away. */
  watch(): Upkeep {
    const { start: { network, journal }, services } = this.#options;
    return this.#upkeep = services.use(startUpkeep({ network, journal }));
  }

  /** What is still to be done at the end, for which privileges are kept. */
  get toUndo(): { readonly commands: string | null; readonly foreignFile: string | null } {
    const { hooks } = this.#options.start;
    const dns = this.#dns;
    return {
      commands: hooks.hasDown ? "PreDown and PostDown" : dns?.needsProgram ? dns.by : null,
      foreignFile: dns?.foreignFile ?? null,
    };
  }

  /** Addresses, links or routes of the host have changed. */
  networkChanged(): void {
    this.#killSwitch?.setGuests(this.#options.start.network.guestBridges());
    this.#innerGuard?.networkChanged();
    this.#upkeep?.notice();
    if (this.#upkeep !== null) this.#conflict.notice();
  }

  /** The path to the server takes packets of this length inside. */
  setPathMtu(mtu: number): void {
    this.#pathMtu = mtu;
    this.#setMtu();
  }

  #setMtu(): void {
    const { options, network } = this.#options.start;
    network.setMtu(options.interfaceName, this.#deviceMtu);
  }

  /** With less than every link of IPv6 has to take, the kernel would take its addresses away. */
  get #deviceMtu(): number {
    const mtu = Math.min(this.#pathMtu, this.#mtuLimit);
    const { addresses6 } = this.#options.start.config.interface;
    return addresses6.length === 0 ? mtu : Math.max(mtu, MIN_LINK_MTU);
  }

  /** What a reload changes on the host. */
  changes(settings: InterfaceSettings): Omit<ClientReloadOptions, "connection"> {
    const { start: { options, network, journal }, plan } = this.#options;
    const { interfaceName } = options;
    return {
      wayTo: (to) => network.wayTo(to, plan.mark),
      changeRoutes: ({ added, removed, inside }) => {
        network.addRoutes(settings, added);
        network.removeRoutes(settings, removed);
        network.setInside(interfaceName, inside);
      },
      setDns: (changed) => resetClientDns({ config: changed, interfaceName, journal }),
      mtuCapacity: this.#mtuCapacity,
      setMtuLimit: (limit) => {
        this.#mtuLimit = limit;
        this.#setMtu();
      },
    };
  }

  /** The kill switch outlives the tunnel, if there is one. */
  stayClosed(): void {
    if (this.#killSwitch === null) return;
    this.#killSwitch.stayClosed();
    this.#options.start.logger.warn(
      "the kill switch stays active: only loopback and DHCP can leave this host until `vpn client` starts again, or " +
        "`vpn cleanup` removes the block",
    );
  }

  [Symbol.dispose](): void {
    this.#conflict[Symbol.dispose]();
  }
}

/** Tells the host's resolvers as they are now, as far as they are not the tunnel's: a host that moves gets others. */
export function nameServersNow(): (config: ClientConfig) => readonly string[] {
  const before = hostNameServers();
  return (config) => {
    const ours = resolversOf(config);
    const now = hostNameServers().filter((address) => !ours.includes(address));
    return now.length > 0 ? now : before;
  };
}
