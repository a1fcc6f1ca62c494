/**
 * Owns a client's carriers: which there are by `Transport`, which one is in use, and what the host has to do for each.
 *
 * What fake TCP needs of the host, ports and a firewall table, is made when it is first used: a client for which UDP works
 * changes nothing for it.
 */
import { EPERM } from "../../../ffi/errno.ts";
import type { ClientConfig } from "../../core/config/config.ts";
import { Carrier } from "../../core/transport/endpoint.ts";
import { CarrierGuard } from "../../host/firewall/carrier_guard.ts";
import { DataPlaneError, type DataPlaneHandle } from "../../dataplane/data_plane_handle.ts";
import type { Journal } from "../../host/journal/journal.ts";
import type { CarrierPorts } from "../../host/firewall/kill_switch.ts";
import { withoutFakeTcp } from "../../process/privileges.ts";

/** How the carriers are called in what the user reads. */
export const CARRIER_NAMES: Readonly<Record<Carrier, string>> = {
  [Carrier.udp]: "UDP",
  [Carrier.fakeTcp]: "fake TCP",
};

export interface ClientCarriersOptions {
  readonly transport: ClientConfig["interface"]["transport"];
  readonly interfaceName: string;
  readonly journal: Journal;
  /** Whether there are peers besides the server, which are reached by UDP whatever the server is reached by. */
  readonly hasOthers: boolean;
}

/** Where the server is: host order. */
export interface ServerPlace {
  readonly address: number;
  readonly port: number;
}

export class ClientCarriers implements Disposable {
  /** The one in use: the last that a connection came about by, or was tried. */
  current: Carrier;
  readonly #options: ClientCarriersOptions;
  #guard: CarrierGuard | null = null;
  #hasOthers: boolean;
  readonly #followers: (() => void)[] = [];

  constructor(options: ClientCarriersOptions) {
    this.#options = options;
    this.#hasOthers = options.hasOthers;
    this.current = options.transport === "faketcp" ? Carrier.fakeTcp : Carrier.udp;
  }

  /** Those to be tried, the one in use first. */
  get order(): readonly Carrier[] {
    if (this.#options.transport !== "auto") return [this.current];
    const other = this.current === Carrier.udp ? Carrier.fakeTcp : Carrier.udp;
    return [this.current, other];
  }

  /** Whether UDP is to be used again as soon as it gets through. */
  get wantsUdp(): boolean {
    return this.#options.transport === "auto" && this.current === Carrier.fakeTcp;
  }

  /** What leaves the host for the tunnel, and comes back to it. */
  ports(udpPort: number): readonly CarrierPorts[] {
    const ports: CarrierPorts[] = [];
    if (this.#options.transport !== "faketcp" || this.#hasOthers) {
      ports.push({ protocol: "udp", ports: { first: udpPort, last: udpPort } });
    }
    if (this.#guard !== null) ports.push({ protocol: "tcp", ports: this.#guard.endpoints.ports });
    return ports;
  }

  /** Has the firewall's part in it follow from now on: the kill switch, say. */
  followedBy(table: { admit(carriers: readonly CarrierPorts[]): void }, udpPort: number): void {
    this.#followers.push(() => table.admit(this.ports(udpPort)));
  }

  /** Takes note whether there are peers besides the server, which may come and go. */
  setOthers(hasOthers: boolean): void {
    if (hasOthers === this.#hasOthers) return;
    this.#hasOthers = hasOthers;
    for (const follow of this.#followers) follow();
  }

  /** The server has moved: what the host does for fake TCP has to, before the first SYN goes there. */
  follow(server: ServerPlace): void {
    this.#guard?.setRemote(server);
  }

  /**
   * Reaches the server by this carrier from now on; a handshake is to follow.
   *
   * @throws {AppError} where there are no ports for it, or CAP_NET_RAW is missing
   * @throws {DataPlaneError} where its sockets cannot be opened
   */
  async use(carrier: Carrier, dataPlane: DataPlaneHandle, server: ServerPlace): Promise<void> {
    if (carrier === Carrier.fakeTcp) await this.#prepareFakeTcp(dataPlane, server);
    this.current = carrier;
    dataPlane.setCarrier(carrier);
  }

  async #prepareFakeTcp(dataPlane: DataPlaneHandle, server: ServerPlace): Promise<void> {
    if (this.#guard !== null) return;
    const { interfaceName, journal } = this.#options;
    this.#guard = CarrierGuard.forClient(server, {
      table: `vpn_${interfaceName}_faketcp`,
      journal,
    });
    for (const follow of this.#followers) follow();
    try {
      await dataPlane.openFakeTcp(this.#guard.endpoints);
    } catch (error) {
      if (error instanceof DataPlaneError && error.errno === EPERM) throw withoutFakeTcp();
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#guard?.[Symbol.dispose]();
  }
}
