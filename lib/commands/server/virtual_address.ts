/**
 * Virtual address: the main thread's part in an address that the gateways of a fleet have by turns. Which of them has
 * it, the data plane says (`dataplane/fleet`), within half a second of another's death; the store's word about that
 * passes through here, and the address is put on the host here.
 */
import { hostname } from "node:os";
import type { ServerConfig } from "../../core/config/config.ts";
import { encodeKey } from "../../core/config/values/key_text.ts";
import { CLOCK_TOLERANCE, type VirtualAddressStatus } from "../../control/fleet/store_status.ts";
import { blake2sHash } from "../../core/noise/blake2s.ts";
import { publicKey } from "../../core/noise/x25519.ts";
import { formatSocketAddress } from "../../core/wire/host_address.ts";
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import type { DataPlaneHandle } from "../../dataplane/data_plane_handle.ts";
import type {
  FleetConfig,
  FleetReport,
  FleetView,
  HeardGateway,
} from "../../dataplane/fleet/fleet_protocol.ts";
import { GatewayList } from "../../host/fleet/gateway_list.ts";
import { nodeKey } from "../../host/fleet/node_key.ts";
import type { SharedPeerStore } from "../../host/fleet/shared_peer_store.ts";
import { storedTerm, storeTerm } from "../../host/fleet/stored_term.ts";
import type { HostNetwork } from "../../host/network/host_network.ts";
import { readSysctl } from "../../host/network/sysctl.ts";
import { AppError, errorMessage, ExitCode } from "../../process/errors.ts";
import { background, guarded } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";
import { fleetPaths } from "../../process/state_directory.ts";
import { newPrivateKey } from "../keys.ts";

/** ms between looks at the store, and without an answer of it after which it counts as not reached. */
const LOOK_INTERVAL = 200;
const STORE_SILENCE = 900;
/** Looks until the address is given to the host again, which has it for five seconds from then: we may be frozen. */
const LOOKS_TO_RENEW = 5;
/** ms that a start waits until the gateway that has the address can hand over to this one. */
const JOIN_TIMEOUT = 4_000;
/** ms that an end waits for another gateway to take the address, and to count on those that are left. */
const HAND_OVER_TIMEOUT = 4_000;

export interface VirtualAddressOptions {
  readonly config: ServerConfig;
  readonly store: SharedPeerStore;
  readonly network: Pick<HostNetwork, "deviceWith" | "placeIn" | "setVirtual">;
  readonly interfaceName: string;
  readonly netns?: string | undefined;
  readonly logger: Logger;
}

export class VirtualAddress implements AsyncDisposable {
  /** What the data plane needs. */
  readonly fleet: FleetConfig;
  readonly #options: VirtualAddressOptions;
  readonly #address: number;
  readonly #list: GatewayList;
  readonly #resources = new DisposableStack();
  #dataPlane: Pick<DataPlaneHandle, "tellFleet"> | null = null;
  #record: (detail: string) => void = () => {};
  #moveEgress: (virtual: { link: number; address: number } | null) => void = () => {};
  #view: FleetView | null = null;
  #holds = false;
  #looksToRenew = LOOKS_TO_RENEW;
  #isReached: boolean | null = null;
  #listTold = "";
  #termTold = -1;
  /** Gateways that were warned of for their clocks. */
  readonly #clocksOff = new Set<number>();
  #isDraining = false;
  #isEntered = false;
  #isEntering = false;
  readonly #joined = Promise.withResolvers<void>();
  /** While this end waits for the others to go on without it. */
  #handedOver: PromiseWithResolvers<void> | null = null;

  /** @throws {AppError} where no interface of this host is in the network of the address */
  constructor(options: VirtualAddressOptions) {
    const { config, network, interfaceName, netns } = this.#options = options;
    const { virtualAddress, privateKey } = config.interface;
    const paths = fleetPaths(interfaceName, netns);
    const key = nodeKey(paths.key, newPrivateKey);
    const place = network.placeIn(virtualAddress!);
    this.#address = virtualAddress!.address;
    const device = network.deviceWith(this.#address);
    if (device !== null) throw this.#refused(`${device} of this host has the address: take it off`);
    if (place === null) {
      throw this.#refused("no interface of this host has an address in that network: give it one");
    }
    // The one behind the tunnel's own.
    const port = config.listenPort + 1;
    this.#list = new GatewayList(paths.gateways, {
      publicKey: encodeKey(publicKey(key)),
      endpoint: { address: place.address, port },
      name: hostname(),
    });
    this.fleet = {
      nodeKey: key,
      // Who can write to the store alone is no gateway of the fleet.
      presharedKey: blake2sHash(new TextEncoder().encode("vpn fleet mesh"), privateKey),
      port,
      virtual: this.#address,
    };
  }

  /**
   * Takes part from now on; the TUN is there.
   *
   * @param moveEgress has clients' packets leave with the address by the interface (an index) where it is, or without
   */
  start({ dataPlane, record, moveEgress }: {
    readonly dataPlane: Pick<DataPlaneHandle, "tellFleet">;
    readonly record: (detail: string) => void;
    readonly moveEgress: (virtual: { link: number; address: number } | null) => void;
  }): void {
    const { store } = this.#options;
    this.#dataPlane = dataPlane;
    this.#record = record;
    this.#moveEgress = moveEgress;
    this.#resources.use(store.watch(() => this.#follow()));
    const look = guarded("control", "looking after the fleet", () => this.#look());
    const timer = setInterval(look, LOOK_INTERVAL);
    this.#resources.defer(() => clearInterval(timer));
    this.#look();
    this.#follow();
  }

  /**
   * Resolves when this gateway is one of its fleet, or after a while in which there is none to find it: who restarts
   * one gateway after the other stops the next one when this one is ready, and that has to know whom it hands over to.
   */
  async joined(): Promise<void> {
    const { promise, resolve } = this.#joined;
    const timer = setTimeout(resolve, JOIN_TIMEOUT);
    await promise;
    clearTimeout(timer);
  }

  /** The gateways of the fleet, and which of them has the address. */
  get status(): VirtualAddressStatus {
    const { self, gateways } = this.#list;
    const view = this.#view;
    return {
      address: formatIpv4(this.#address),
      holder: view?.holder ?? null,
      isHere: this.#holds,
      isDraining: view?.isDraining ?? false,
      gateways: gateways.map(({ number, name, endpoint }) => {
        const isSelf = number === self;
        const heard = view?.heard.find((each) => each.number === number);
        return {
          number,
          name,
          endpoint: formatSocketAddress(endpoint),
          isSelf,
          isUp: isSelf || heard !== undefined,
          isDraining: (isSelf ? view?.isDraining : heard?.isDraining) ?? false,
          clockOffset: isSelf
            ? 0
            : heard === undefined || heard.skew === null
            ? null
            : heard.skew / 1000,
        };
      }),
    };
  }

  /** Takes a report of the data plane. */
  take(report: FleetReport): void {
    switch (report.kind) {
      case "fleet-view":
        this.#view = report.view;
        this.#warnOfClocks(report.view.heard);
        if (canEnd(report.view)) this.#handedOver?.resolve();
        if (report.view.isKnown) this.#joined.resolve();
        break;
      case "fleet-write-term":
        background("control", "taking the virtual address", this.#writeTerm(report));
        break;
      case "fleet-address":
        this.#hold(report.holds, report.reason);
        break;
      case "fleet-flows":
        this.#tellOfFlows(report);
        break;
    }
  }

  /** Once for each gateway, until its clock is right again. */
  #warnOfClocks(heard: readonly HeardGateway[]): void {
    for (const { number, skew } of heard) {
      if (skew === null || Math.abs(skew) <= CLOCK_TOLERANCE * 1000) this.#clocksOff.delete(number);
      else if (!this.#clocksOff.has(number)) {
        this.#clocksOff.add(number);
        const name = this.#list.gateways.find((each) => each.number === number)?.name;
        this.#options.logger.warn(
          "the clock of gateway {gateway} differs from this one's by {skew} ms: have both hosts set theirs by NTP",
          { gateway: name ?? number, skew },
        );
      }
    }
  }

  #look(): void {
    const { store, network } = this.#options;
    if (this.#holds && --this.#looksToRenew <= 0) {
      this.#looksToRenew = LOOKS_TO_RENEW;
      network.setVirtual(this.#address, true);
    }
    const { isConnected, silence } = store.state;
    const isReached = isConnected && silence < STORE_SILENCE;
    if (isReached !== this.#isReached) {
      this.#isReached = isReached;
      this.#dataPlane?.tellFleet({ kind: "fleet-store", isReached });
      this.#follow();
    }
    if (isConnected && !this.#isEntered && !this.#isEntering) {
      this.#isEntering = true;
      background("control", "entering the fleet", this.#enter());
    }
  }

  async #enter(): Promise<void> {
    try {
      await this.#list.enter(this.#options.store);
      this.#isEntered = true;
      this.#follow();
    } catch (error) {
      const reason = errorMessage(error);
      this.#options.logger.warn("this gateway cannot enter its fleet: {reason}", { reason });
    } finally {
      this.#isEntering = false;
    }
  }

  /** Tells the data plane what the store says. */
  #follow(): void {
    const { store } = this.#options;
    const dataPlane = this.#dataPlane;
    if (dataPlane === null) return;
    if (this.#isEntered) this.#list.follow(store);
    const { self, gateways } = this.#list;
    if (self === null && this.#listTold !== "") {
      this.#listTold = "";
      this.#options.logger.error(
        "this gateway was removed from the fleet: stop it, or restart it to enter again",
      );
      dataPlane.tellFleet({ kind: "fleet-left" });
    }
    const text = JSON.stringify(gateways);
    if (self !== null && text !== this.#listTold) {
      this.#listTold = text;
      dataPlane.tellFleet({
        kind: "fleet-members",
        self,
        gateways: gateways.map(({ number, publicKey, endpoint }) => ({
          number,
          publicKey,
          endpoint,
        })),
      });
      // It is of use only once it is known who the others are.
      this.#termTold = -1;
      if (this.#isReached !== null) {
        dataPlane.tellFleet({ kind: "fleet-store", isReached: this.#isReached });
      }
    }
    if (this.#listTold !== "" && this.#list.isDraining !== this.#isDraining) {
      this.#isDraining = this.#list.isDraining;
      dataPlane.tellFleet({ kind: "fleet-drain", isDraining: this.#isDraining });
    }
    const term = storedTerm(store);
    if (term === null || this.#listTold === "" || term.revision === this.#termTold) return;
    this.#termTold = term.revision;
    dataPlane.tellFleet({ kind: "fleet-term", ...term });
  }

  async #writeTerm(
    { id, entry, expected }: Extract<FleetReport, { kind: "fleet-write-term" }>,
  ): Promise<void> {
    let revision: number | null = null;
    try {
      revision = await storeTerm(this.#options.store, entry, expected);
    } catch (error) {
      const reason = errorMessage(error);
      this.#options.logger.warn("the virtual address is not taken: {reason}", { reason });
    }
    this.#dataPlane?.tellFleet({ kind: "fleet-term-written", id, revision });
  }

  #hold(holds: boolean, reason: string): void {
    const { config, logger, network } = this.#options;
    const address = formatIpv4(this.#address);
    this.#holds = holds;
    if (!holds) {
      network.setVirtual(this.#address, false);
      this.#moveEgress(null);
      logger.info("the virtual address {address} is given up: {reason}", { address, reason });
      this.#record(`the virtual address is given up: ${reason}`);
      return;
    }
    const place = network.placeIn(config.interface.virtualAddress!);
    // Without an interface there, nobody can reach it here: another gateway is to have it.
    if (place === null) this.#dataPlane?.tellFleet({ kind: "fleet-drain", isDraining: true });
    else {
      // First, so that the kernel never has a segment of a flow through the NAT, which it would answer with RST.
      this.#moveEgress({ link: place.link, address: this.#address });
      network.setVirtual(this.#address, true);
      this.#dataPlane?.tellFleet({ kind: "fleet-address-held", link: place.link });
    }
    logger.info("this gateway has the virtual address {address} now", { address });
    if (place !== null) this.#warnOfSilence(place.device);
    this.#record("this gateway has the virtual address now");
  }

  #tellOfFlows({ kept, lost }: { readonly kept: number; readonly lost: number }): void {
    if (kept + lost === 0) return;
    this.#options.logger.info(
      "flows through the NAT that go on here: {kept}; that cannot: {lost}",
      {
        kept,
        lost,
      },
    );
  }

  /** With most values of `arp_ignore`, the kernel does not answer for an address of another interface. */
  #warnOfSilence(device: string): void {
    const values = ["all", device].map((name) =>
      Number(readSysctl(`/proc/sys/net/ipv4/conf/${name}/arp_ignore`))
    );
    const value = Math.max(...values);
    if (value === 0 || value === 3) return;
    this.#options.logger.warn(
      "neighbours on {device} do not learn who has the virtual address: arp_ignore is {value} there: set it to 0",
      { device, value },
    );
  }

  /** Gives the address to another gateway, where there is one, before the sessions end. */
  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#holds && (this.#view?.heard.length ?? 0) > 0) {
      const { promise, resolve } = this.#handedOver = Promise.withResolvers<void>();
      this.#dataPlane?.tellFleet({ kind: "fleet-drain", isDraining: true });
      const timer = setTimeout(resolve, HAND_OVER_TIMEOUT);
      await promise;
      clearTimeout(timer);
    }
    this.#resources[Symbol.dispose]();
  }

  #refused(reason: string): AppError {
    const { fileName, interface: { lines } } = this.#options.config;
    return new AppError(
      `${fileName}:${lines.get("VirtualAddress")}: VirtualAddress: ${
        formatIpv4(this.#address)
      }: ${reason}`,
      { exitCode: ExitCode.usage },
    );
  }
}

/** Whether the others go on without this gateway: one has the address, and counts on those that are there. */
function canEnd({ holder, self, isNeeded }: FleetView): boolean {
  return holder !== self && !isNeeded;
}
