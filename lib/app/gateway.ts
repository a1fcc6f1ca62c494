/**
 * Gateway: what it does on the host besides its tunnel: the way outside, the ports it takes, the firewall's part in it.
 *
 * `Egress = raw`: our own NAT; the firewall keeps packets for its ports from the host's stack, which would answer them with
 * RST and ICMP unreachable, and keeps its own packets from being tracked. The NAT has one interface: to networks behind
 * others that `EgressAllow` names, the host forwards, as it does everywhere with `Egress = kernel`.
 */
import { SystemCallError } from "../../ffi/errno.ts";
import { openLibc } from "../../ffi/libc.ts";
import { Nftables, type NftablesFamily } from "../../ffi/netlink/nftables.ts";
import { Rtnetlink } from "../../ffi/netlink/rtnetlink.ts";
import type { ServerConfig } from "../config/config.ts";
import { ConfigError } from "../config/config_error.ts";
import { formatIpv4 } from "../wire/ipv4_text.ts";
import { type EgressRule, egressRules } from "../egress_rules.ts";
import { type DataPlaneHandle, MAX_EGRESS_RULES } from "./data_plane_handle.ts";
import type { DataPlaneConfig } from "./data_plane_protocol.ts";
import { capturedPorts, EGRESS_MARK, type EgressConfig } from "./egress.ts";
import {
  type ExternalLink,
  findExternalLink,
  guestBridges,
  hostSurroundings,
} from "./egress_plan.ts";
import { AppError, ExitCode } from "./errors.ts";
import { Forwarding } from "./forwarding.ts";
import type { Journal } from "./journal.ts";
import type { Logger } from "./logging.ts";
import { requireNatPrivileges } from "./privileges.ts";
import { securePorts } from "./port_safety.ts";

/** Netfilter queues have 16 bits; people give their own small numbers. */
const FIRST_QUEUE = 20_000;
const QUEUE_PAIRS = 20_000;

/** Where clients may go now. */
interface EgressPlan {
  readonly rules: readonly EgressRule[];
  /** Names of the interfaces that the kernel may forward to. */
  readonly exits: readonly string[];
}

const NOWHERE: EgressPlan = { rules: [], exits: [] };

export interface GatewayOptions {
  readonly config: ServerConfig;
  readonly interfaceName: string;
  /** Bytes. */
  readonly innerMtu: number;
  readonly journal: Journal;
  readonly logger: Logger;
}

export class Gateway implements Disposable {
  /** What the data plane needs to know. */
  readonly dataPlaneConfig: Pick<DataPlaneConfig, "egress" | "egressRules">;

  readonly #options: GatewayOptions;
  readonly #netlink = Rtnetlink.open(openLibc());
  readonly #table: string;
  readonly #forwarding: Forwarding;
  #nftables: Nftables | null = null;
  #external: ExternalLink | null;
  #plan: EgressPlan = NOWHERE;

  /**
   * Chooses the way outside. Nothing is changed yet.
   *
   * @throws {ConfigError} for an `EgressInterface` that cannot be used
   * @throws {AppError} with exit code 5 where raw sockets may not be opened
   */
  constructor(options: GatewayOptions) {
    this.#options = options;
    this.#table = `vpn_${options.interfaceName}`;
    const { egress } = options.config.interface;
    this.#external = egress === "off" ? null : findExternalLink(options.config, this.#netlink);
    const external = this.#external;
    if (external !== null && egress === "raw") requireNatPrivileges();
    this.#forwarding = new Forwarding({
      interfaceName: options.interfaceName,
      sources: options.config.interface.addresses,
      journal: options.journal,
    });
    this.#plan = this.#newPlan();
    requireFewRules(options.config, this.#plan.rules);
    this.dataPlaneConfig = {
      egress: external === null
        ? "off"
        : egress === "raw"
        ? this.#egressConfig(external)
        : "kernel",
      egressRules: this.#plan.rules,
    };
  }

  /** Keeps the kernel from forwarding to and from the tunnel; to be called before that is there. */
  close(): void {
    try {
      this.#forwarding.close();
    } catch (error) {
      // A gateway that leads nowhere needs no netfilter for anything else.
      if (this.dataPlaneConfig.egress !== "off" || !(error instanceof SystemCallError)) throw error;
      this.#options.logger.warn(
        "cannot keep the kernel from forwarding to clients, as it has no nftables: {reason}: " +
          "set net.ipv4.ip_forward = 0 unless this host is to be a router",
        { reason: error.message },
      );
    }
  }

  /**
   * Opens the way outside, once the tunnel is there.
   *
   * @throws {AppError} where a service is in the way of the NAT's ports
   */
  open(): void {
    const external = this.#external;
    if (external === null) {
      if (this.#options.config.interface.egress !== "off") {
        this.#options.logger.warn("no default route: packets for the internet are dropped");
      }
      return;
    }
    const { egress } = this.dataPlaneConfig;
    if (typeof egress === "object") {
      // Not owned by the process: an administrator must be able to see, and to remove, what we put into the firewall.
      this.#nftables = Nftables.open(openLibc(), { owned: false });
      const { journal } = this.#options;
      securePorts(capturedPorts(egress), { device: external.name, journal });
      this.#noteTables(this.#nftables, "netdev", "inet", "ip");
      this.#nftables.installNotrack({ table: this.#table, mark: EGRESS_MARK });
      this.#installCapture(this.#nftables, external, egress);
    }
    this.#openExits();
    this.#options.logger.info("packets for the internet leave by {device} as {address} ({how})", {
      device: external.name,
      address: formatIpv4(external.address),
      how: typeof egress === "object" ? "user-space NAT" : "the kernel's NAT",
    });
  }

  /** Follows the host's network: its interfaces and routes, and a new address outside, as DHCP brings it. */
  networkChanged(dataPlane: DataPlaneHandle): void {
    const before = this.#external;
    if (before === null) {
      this.#forwarding.install();
      return;
    }
    this.#followAddress(dataPlane, before);
    this.#followNetworks(dataPlane);
  }

  /** The new address is the NAT's from now on. */
  #followAddress(dataPlane: DataPlaneHandle, before: ExternalLink): void {
    const { egress } = this.dataPlaneConfig;
    const now = this.#externalNow();
    // Between two addresses there may be none: the next notification brings the new one.
    if (now === null) return;
    // The kernel finds another interface by itself; the NAT keeps to its own.
    if (egress === "kernel") this.#external = now;
    if (now.link !== before.link || now.address === before.address) return;
    this.#external = now;
    if (typeof egress !== "object" || this.#nftables === null) return;
    this.#installCapture(this.#nftables, now, egress);
    dataPlane.setExternalAddress(now.address);
    this.#options.logger.info("the address outside is {address} now", {
      address: formatIpv4(now.address),
    });
  }

  /** Null where the configured interface is not there now, or has no address. */
  #externalNow(): ExternalLink | null {
    try {
      return findExternalLink(this.#options.config, this.#netlink);
    } catch (error) {
      if (error instanceof ConfigError) return null;
      throw error;
    }
  }

  /** What clients may reach is another set of addresses, by other exits. */
  #followNetworks(dataPlane: DataPlaneHandle): void {
    const { logger } = this.#options;
    const plan = this.#newPlan();
    if (plan.rules.length > MAX_EGRESS_RULES) {
      logger.error("{count} networks and routes are more than the {most} that can be followed", {
        count: plan.rules.length,
        most: MAX_EGRESS_RULES,
      });
      return;
    }
    const isNew = JSON.stringify(plan.rules) !== JSON.stringify(this.#plan.rules);
    this.#plan = plan;
    if (isNew) dataPlane.setEgressRules(plan.rules);
    try {
      this.#openExits();
    } catch (error) {
      if (!(error instanceof AppError)) throw error;
      logger.error("{reason}", { reason: error.message });
    }
  }

  /** Has the host forward to the networks behind other interfaces, or, with `Egress = kernel`, to all. */
  #openExits(): void {
    const { exits } = this.#plan;
    try {
      this.#forwarding.open(exits, guestBridges(this.#netlink.links.list()));
    } catch (error) {
      if (!isForbidden(error)) throw error;
      const reason = this.dataPlaneConfig.egress === "kernel" ? "Egress = kernel" : "EgressAllow";
      throw new AppError(
        `Cannot forward to ${
          exits.join(", ")
        }, as ${reason} asks: net.ipv4.ip_forward is 0 and cannot be written: ` +
          "set it to 1 on the host (a container: start it with `--sysctl net.ipv4.ip_forward=1`)",
        { exitCode: ExitCode.privilege },
      );
    }
  }

  #newPlan(): EgressPlan {
    const external = this.#external;
    if (external === null) return NOWHERE;
    const { egress, egressAllow: allow, egressDeny: deny } = this.#options.config.interface;
    const tunnel = this.#options.interfaceName;
    const plan = egressRules(
      { allow, deny },
      hostSurroundings(this.#netlink, { external, tunnel }),
    );
    const others = plan.exits.flatMap((link) => this.#netlink.links.find(link)?.name ?? []);
    return { rules: plan.rules, exits: egress === "kernel" ? [external.name, ...others] : others };
  }

  /** Closes the way outside. What is in the journal is undone with the rest of it. */
  [Symbol.dispose](): void {
    this.#nftables?.[Symbol.dispose]();
    this.#forwarding[Symbol.dispose]();
    this.#netlink[Symbol.dispose]();
  }

  /** Keeps packets for the NAT from the host's stack: drops them behind the packet socket, or queues them for us. */
  #installCapture(nftables: Nftables, external: ExternalLink, egress: EgressConfig): void {
    const traffic = {
      table: this.#table,
      device: external.name,
      address: external.address,
      ports: capturedPorts(egress),
    };
    if (egress.capture === "packet") nftables.installIngressDrop(traffic);
    else nftables.installQueue({ ...traffic, ...egress.capture });
  }

  /** The tables outlive the process if it is killed: they go into the journal. */
  #noteTables(nftables: Nftables, ...families: readonly NftablesFamily[]): void {
    for (const family of families) {
      const table = { family, name: this.#table };
      this.#options.journal.make({ kind: "nftables-table", table }, nftables);
    }
  }

  #egressConfig(external: ExternalLink): EgressConfig {
    const { natPorts, natFiltering, forwards, capture, addresses } = this.#options.config.interface;
    return {
      device: external.name,
      link: external.link,
      linkHeaderSize: external.linkHeaderSize,
      externalMtu: external.mtu,
      innerMtu: this.#options.innerMtu,
      externalAddress: external.address,
      innerAddress: addresses[0].address,
      ports: natPorts,
      filtering: natFiltering,
      forwards,
      capture: capture === "packet" ? "packet" : { queue: queueNumber() },
    };
  }
}

/** @throws {ConfigError} */
function requireFewRules(config: ServerConfig, rules: readonly EgressRule[]): void {
  if (rules.length <= MAX_EGRESS_RULES) return;
  const { lines } = config.interface;
  const key = ["EgressAllow", "EgressDeny"].find((each) => lines.has(each)) ?? "EgressAllow";
  throw new ConfigError(
    `${config.fileName}:${
      lines.get(key) ?? 1
    }: ${key}: together with this host's networks and routes it makes ` +
      `${rules.length} rules, and at most ${MAX_EGRESS_RULES} are possible: name fewer and larger networks`,
  );
}

/** Whether a file under `/proc/sys` may not be written, by this process or by anybody in this container. */
function isForbidden(error: unknown): boolean {
  return error instanceof Deno.errors.PermissionDenied ||
    error instanceof Deno.errors.NotCapable ||
    (error instanceof Error && "code" in error && error.code === "EROFS");
}

/** Two queues for each process, so that two gateways in one namespace do not read each other's. */
function queueNumber(): number {
  return FIRST_QUEUE + (Deno.pid % QUEUE_PAIRS) * 2;
}
