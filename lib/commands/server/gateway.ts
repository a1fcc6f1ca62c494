/**
 * Gateway: opens the path to the internet for clients, and follows the host's network wherever that path leads by now.
 *
 * Which interface leads outside, the kernel's own route look-up says, now and whenever interfaces, addresses, routes or
 * routing rules change: it need not be there at the start, and may be another one later (`egress_choice.ts`).
 *
 * `Egress = raw`: our own NAT, whose ports are kept from the host's stack (`port_capture.ts`). It has one interface: to
 * networks behind others that `EgressAllow` names, the host forwards, as it does everywhere with `Egress = kernel`
 * (`kernel_forwarding.ts`). IPv6 has a path of its own, in the same way (`egress6.ts`).
 */
import { SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { AccessSurroundings } from "../../core/access/access_items.ts";
import type { ServerConfig } from "../../core/config/config.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import { blake2sHash } from "../../core/noise/blake2s.ts";
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import type { DataPlaneHandle } from "../../dataplane/data_plane_handle.ts";
import type { DataPlaneConfig } from "../../dataplane/data_plane_protocol.ts";
import type { EgressConfig } from "../../dataplane/egress/egress.ts";
import { MAX_EGRESS_RULES } from "../../dataplane/message_parts.ts";
import type { Journal } from "../../host/journal/journal.ts";
import { accessSurroundings } from "../../host/network/access_surroundings.ts";
import { AppError } from "../../process/errors.ts";
import { guarded } from "../../process/guard.ts";
import type { Logger } from "../../process/logging.ts";
import { requireNatPrivileges } from "../../process/privileges.ts";
import type { PublishedServices } from "../../services/published/published_services.ts";
import {
  EgressChoice,
  type EgressNetworks,
  type EgressPlan,
  followable,
  NOWHERE,
  requireFewRules,
  SHUT,
} from "./egress_choice.ts";
import { Egress6, type PeerOfPrefix } from "./egress6.ts";
import { KernelForwarding } from "./kernel_forwarding.ts";
import { PortCapture, queueNumber } from "./port_capture.ts";

/** ms until a path outside that failed is tried again: what was in its way may end without a change of the network. */
const RETRY_PAUSE = 2_000;

export interface GatewayOptions {
  readonly config: ServerConfig;
  readonly interfaceName: string;
  /** Bytes. */
  readonly innerMtu: number;
  readonly journal: Journal;
  readonly logger: Logger;
  readonly published: Pick<PublishedServices, "plain" | "current">;
}

export class Gateway implements Disposable {
  /** What the data plane needs to know. */
  readonly dataPlaneConfig: Pick<DataPlaneConfig, "egress" | "egress6" | "egressRules">;

  readonly #options: GatewayOptions;
  readonly #netlink = Rtnetlink.open(openLibc());
  readonly #choice: EgressChoice;
  readonly #forwarding: KernelForwarding;
  readonly #ipv6: Egress6;
  readonly #capture: PortCapture;
  /** The interface outside that is open, or to be opened; null while there is none. */
  #external: ExternalLink | null;
  /** The last one that was open. */
  #last: ExternalLink | null = null;
  #plan: EgressPlan = NOWHERE;
  /** The last failure to follow, in words, so that it is told once. */
  #failure = "";
  #networks: EgressNetworks;
  #retry: ReturnType<typeof setTimeout> | undefined;
  #isEnding = false;

  /**
   * Chooses the interface outside. Nothing is changed yet.
   *
   * @throws {AppError} with exit code 5 where raw sockets may not be opened
   */
  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#networks = options.config.interface;
    this.#choice = new EgressChoice({ ...options, netlink: this.#netlink });
    this.#capture = new PortCapture({
      table: `vpn_${options.interfaceName}`,
      netlink: this.#netlink,
      journal: options.journal,
    });
    const { egress } = options.config.interface;
    this.#external = this.#choice.findExternal();
    if (egress === "raw") requireNatPrivileges();
    this.#forwarding = new KernelForwarding({ ...options, netlink: this.#netlink });
    this.#ipv6 = new Egress6({
      ...options,
      netlink: this.#netlink,
      choice: this.#choice,
      forwarding: this.#forwarding,
    });
    this.#plan = this.#planned();
    requireFewRules(options.config, this.#plan.rules);
    this.dataPlaneConfig = {
      egress: egress === "raw" ? this.#egressConfig() : egress,
      egress6: this.#ipv6.natConfig,
      egressRules: this.#plan.rules,
    };
  }

  /** What it is without, in words; empty where all is well. */
  get degraded(): readonly string[] {
    if (this.dataPlaneConfig.egress === "off") return [];
    return [
      ...this.#plan === SHUT ? ["the internet, as this host has too many networks"] : [],
      ...this.#external === null ? ["a route to the internet"] : [],
      ...this.#ipv6.isMissed ? ["an IPv6 route to the internet"] : [],
    ];
  }

  /** What access rules mean by the gateway, its networks and the internet, as things are now. */
  surroundings(): AccessSurroundings {
    const { config, interfaceName: tunnel } = this.#options;
    return accessSurroundings(this.#netlink, config, {
      external: this.#external,
      external6: this.#ipv6.external,
      tunnel,
    });
  }

  /** Keeps the kernel from forwarding to and from the tunnel; to be called before that is there. */
  close(): void {
    this.#forwarding.close(this.#external !== null);
  }

  /**
   * Opens the path to the internet, once the tunnel is there.
   *
   * @throws {AppError} where a service is in the way of the NAT's ports
   */
  open(dataPlane: DataPlaneHandle): void {
    if (this.dataPlaneConfig.egress === "off") return;
    if (this.#external === null) this.#tellNowhere();
    else this.#openTo(dataPlane, this.#external);
    this.#ipv6.open(dataPlane);
    this.#openExits(dataPlane);
    // Now that packets are forwarded, the kernel says where those of clients go.
    this.networkChanged(dataPlane);
  }

  /** Follows the host's network: its interfaces, addresses, routes and routing rules, wherever they lead by now. */
  networkChanged(dataPlane: DataPlaneHandle): void {
    if (this.#isEnding) return;
    if (this.dataPlaneConfig.egress === "off") {
      this.#forwarding.install();
      return;
    }
    this.#tryExternal(dataPlane);
    if (!this.#ipv6.follow(dataPlane)) this.#retryLater(dataPlane);
    this.#followNetworks(dataPlane);
  }

  /** Has what leaves by this interface (an index) the fleet's address from now on; null for the host's own again. */
  setVirtual(
    virtual: { readonly link: number; readonly address: number } | null,
    dataPlane: DataPlaneHandle,
  ): void {
    this.#choice.virtual = virtual;
    if (!this.#isEnding && typeof this.dataPlaneConfig.egress === "object") {
      this.#tryExternal(dataPlane);
    }
  }

  /** Follows nothing any more: a table of the firewall that was made again after the undoing would stay on the host. */
  end(): void {
    this.#isEnding = true;
    clearTimeout(this.#retry);
    this.#ipv6.end();
    this.#forwarding.end();
  }

  #tryExternal(dataPlane: DataPlaneHandle): void {
    try {
      this.#followExternal(dataPlane);
    } catch (error) {
      if (!(error instanceof AppError || error instanceof SystemCallError)) throw error;
      this.#fail(dataPlane, error);
    }
  }

  #followExternal(dataPlane: DataPlaneHandle): void {
    const before = this.#external;
    const now = this.#choice.findExternal();
    if (now !== null && (before === null || !isSame(before, now))) this.#openTo(dataPlane, now);
    else this.#external = now;
    this.#failure = "";
    // Whether or not it is another: it may have gone, and come back, unseen.
    this.#tell(dataPlane);
    if (now !== null) return;
    if (before !== null) this.#tellNowhere();
    this.#capture.forgetLostLink();
  }

  /** Makes an interface the one outside. */
  #openTo(dataPlane: DataPlaneHandle, external: ExternalLink): void {
    const { egress } = this.dataPlaneConfig;
    if (typeof egress === "object") this.#capture.take(external, egress);
    const last = this.#last;
    this.#external = this.#last = external;
    this.#tell(dataPlane);
    if (last?.link === external.link && last.address !== external.address) {
      this.#options.logger.info("the public address is now {address}", {
        address: formatIpv4(external.address),
      });
      return;
    }
    this.#options.logger.info(
      "packets to the internet leave through {device} with source {address} ({how})",
      {
        device: external.name,
        address: formatIpv4(external.address),
        how: typeof egress === "object" ? "user-space NAT" : "the kernel's NAT",
      },
    );
  }

  /**
   * Makes sure that networks of another configuration can be followed.
   *
   * @throws {ConfigError}
   */
  requireFollowable(config: ServerConfig): void {
    requireFewRules(config, this.#planned(config.interface).rules);
  }

  /**
   * Judges by these networks from now on where clients may go.
   *
   * @throws {AppError} where forwarding is off and may not be switched on: what is denied is denied by then
   */
  setNetworks(
    networks: EgressNetworks,
    dataPlane: Pick<DataPlaneHandle, "setEgressRules">,
  ): void {
    this.#networks = networks;
    if (this.dataPlaneConfig.egress === "off") return;
    this.#plan = followable(this.#planned());
    dataPlane.setEgressRules(this.#plan.rules);
    this.#openExits(dataPlane);
  }

  /** Takes note of who the peers are by now. */
  setPeers(peers: Iterable<PeerOfPrefix>): void {
    if (!this.#isEnding) this.#ipv6.setPeers(peers);
  }

  /** What clients may reach as things are. */
  #planned(networks: EgressNetworks = this.#networks): EgressPlan {
    return this.#choice.plan(networks, {
      external: this.#external,
      external6: this.#ipv6.external,
    });
  }

  /**
   * Opens the exits of the plan, in the kernel.
   *
   * @throws {AppError} where forwarding is off and may not be switched on
   */
  #openExits(dataPlane: Pick<DataPlaneHandle, "setEgressRules">): void {
    const hadExternal6 = this.#ipv6.external !== null;
    this.#forwarding.open(this.#plan);
    if (hadExternal6 && this.#ipv6.external === null) {
      this.#plan = followable(this.#planned());
      dataPlane.setEgressRules(this.#plan.rules);
    }
    this.#ipv6.tell();
  }

  #tell(dataPlane: DataPlaneHandle): void {
    if (typeof this.dataPlaneConfig.egress === "object") dataPlane.setExternal(this.#external);
  }

  #tellNowhere(): void {
    this.#options.logger.warn(
      "{reason}: packets to the internet are dropped until this changes",
      { reason: this.#choice.unusable() ?? "no route to the internet" },
    );
  }

  /** It cannot be the one outside: there is none until something changes. */
  #fail(dataPlane: DataPlaneHandle, { message }: Error): void {
    this.#external = null;
    this.#tell(dataPlane);
    this.#retryLater(dataPlane);
    if (message === this.#failure) return;
    this.#failure = message;
    this.#options.logger.error(
      "{reason}: packets to the internet are dropped until this changes",
      { reason: message },
    );
  }

  #retryLater(dataPlane: DataPlaneHandle): void {
    clearTimeout(this.#retry);
    const again = guarded("server", "opening the path to the internet again", () => {
      this.networkChanged(dataPlane);
    });
    this.#retry = setTimeout(again, RETRY_PAUSE);
  }

  /** What clients may reach is another set of addresses, by other exits. */
  #followNetworks(dataPlane: DataPlaneHandle): void {
    const { logger } = this.#options;
    const planned = this.#planned();
    const plan = followable(planned);
    if (plan === SHUT && this.#plan !== SHUT) {
      logger.error(
        "this host's networks and routes give {count} rules, more than the maximum of {most}: packets to the internet " +
          "are refused until there are fewer",
        { count: planned.rules.length, most: MAX_EGRESS_RULES },
      );
    }
    const isNew = JSON.stringify(plan.rules) !== JSON.stringify(this.#plan.rules);
    this.#plan = plan;
    if (isNew) dataPlane.setEgressRules(plan.rules);
    try {
      this.#openExits(dataPlane);
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      logger.error("{reason}", { reason: error.message });
    }
  }

  /** Closes the path outside. What is in the journal is undone with the rest of it. */
  [Symbol.dispose](): void {
    this.end();
    this.#capture[Symbol.dispose]();
    this.#ipv6[Symbol.dispose]();
    this.#forwarding[Symbol.dispose]();
    this.#netlink[Symbol.dispose]();
  }

  #egressConfig(): EgressConfig {
    const { config, published } = this.#options;
    const { natPorts, natFiltering, capture, addresses, privateKey } = config.interface;
    return {
      external: this.#external,
      innerMtu: this.#options.innerMtu,
      innerAddress: addresses[0].address,
      ports: natPorts,
      filtering: natFiltering,
      forwards: published.plain.map((
        { protocol, externalPort, backEnds: [{ address, port }] },
      ) => ({
        protocol,
        externalPort,
        address: address!,
        port,
      })),
      services: published.current,
      serviceSeed: seedOf(privateKey),
      capture: capture === "packet" ? "packet" : { queue: queueNumber() },
    };
  }
}

/** By a secret that outlives the process, a flow finds its back end again after a restart. */
function seedOf(privateKey: Uint8Array): number {
  const hash = blake2sHash(new TextEncoder().encode("vpn published services"), privateKey);
  return new DataView(hash.buffer, hash.byteOffset).getInt32(0);
}

/** Whether nothing about the sockets and the firewall's rules changes. */
function isSame(a: ExternalLink, b: ExternalLink): boolean {
  return a.link === b.link && a.name === b.name && a.address === b.address;
}
