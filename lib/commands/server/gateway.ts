/**
 * Gateway: what it does on the host besides its tunnel: the path to the internet, the ports it takes, the firewall's part in it.
 *
 * Which interface leads outside, the kernel's own route look-up says, now and whenever interfaces, addresses, routes or routing
 * rules change: it need not be there at the start, and may be another one later.
 *
 * `Egress = raw`: our own NAT; the firewall keeps packets for its ports from the host's stack, which would answer them with
 * RST and ICMP unreachable, and keeps its own packets from being tracked. The NAT has one interface: to networks behind
 * others that `EgressAllow` names, the host forwards, as it does everywhere with `Egress = kernel`.
 */
import { SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { NoNftablesError } from "../../../ffi/netlink/nftables/nfnetlink.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import type { NftablesFamily } from "../../../ffi/netlink/nftables/nftables_objects.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { ServerConfig } from "../../core/config/config.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import { ConfigError } from "../../core/config/config_error.ts";
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import { type EgressRule, egressRules } from "../../core/access/egress_rules.ts";
import { type DataPlaneHandle, MAX_EGRESS_RULES } from "../../dataplane/data_plane_handle.ts";
import type { DataPlaneConfig } from "../../dataplane/data_plane_protocol.ts";
import { capturedPorts, EGRESS_MARK, type EgressConfig } from "../../dataplane/egress/egress.ts";
import { egressTraffic } from "../egress_traffic.ts";
import { findExternalLink, hostSurroundings } from "../../host/network/egress_plan.ts";
import { guestBridges } from "../../host/network/guest_bridges.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { guarded } from "../../process/guard.ts";
import { Forwarding } from "../../host/firewall/forwarding.ts";
import type { Journal } from "../../host/journal/journal.ts";
import type { Logger } from "../../process/logging.ts";
import { requireNatPrivileges } from "../../process/privileges.ts";
import { securePorts } from "../../host/network/port_safety.ts";
import { SysctlError } from "../../host/network/sysctl.ts";
import {
  installIngressDrop,
  installNotrack,
  installQueue,
} from "../../host/firewall/gateway_tables.ts";

/** Netfilter queues have 16 bits; people give their own small numbers. */
const FIRST_QUEUE = 20_000;
const QUEUE_PAIRS = 20_000;

/** ms until the way outside is tried again that something else was in the way of: its end is no change of the network. */
const RETRY_PAUSE = 2_000;

/** Where clients may go now. */
interface EgressPlan {
  readonly rules: readonly EgressRule[];
  /** Names of the interfaces that the kernel may forward to. */
  readonly exits: readonly string[];
}

/** By which the configuration says it. */
type EgressNetworks = Pick<ServerConfig["interface"], "egressAllow" | "egressDeny">;

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
  /** The interface outside that is open, or to be opened; null while there is none. */
  #external: ExternalLink | null;
  /** The last one that was open. */
  #last: ExternalLink | null = null;
  /** Whose packets the firewall keeps from the host's stack. */
  #captured: ExternalLink | null = null;
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
    this.#table = `vpn_${options.interfaceName}`;
    const { egress } = options.config.interface;
    this.#external = this.#findExternal();
    if (egress === "raw") requireNatPrivileges();
    this.#forwarding = new Forwarding({
      interfaceName: options.interfaceName,
      sources: options.config.interface.addresses,
      journal: options.journal,
    });
    this.#plan = this.#newPlan(this.#networks);
    requireFewRules(options.config, this.#plan.rules);
    this.dataPlaneConfig = {
      egress: egress === "raw" ? this.#egressConfig() : egress,
      egressRules: this.#plan.rules,
    };
  }

  /** What it is without, in words; empty where all is well. */
  get degraded(): readonly string[] {
    return this.dataPlaneConfig.egress !== "off" && this.#external === null
      ? ["a route to the internet"]
      : [];
  }

  /** Keeps the kernel from forwarding to and from the tunnel; to be called before that is there. */
  close(): void {
    try {
      this.#forwarding.close();
    } catch (error) {
      // A gateway that leads nowhere needs no netfilter for anything else.
      if (!(error instanceof SystemCallError)) throw error;
      if (this.#external !== null) throw withoutFirewall(error);
      this.#options.logger.warn(
        "cannot keep the kernel from forwarding to clients, as it has no nftables: {reason}: " +
          "set net.ipv4.ip_forward = 0 unless this host is to be a router",
        { reason: error.message },
      );
    }
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
    this.#openExits();
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
    try {
      this.#followExternal(dataPlane);
    } catch (error) {
      if (!(error instanceof AppError || error instanceof SystemCallError)) throw error;
      this.#fail(dataPlane, error);
    }
    this.#followNetworks(dataPlane);
  }

  /** Follows nothing any more: a table of the firewall that was made again after the undoing would stay on the host. */
  end(): void {
    this.#isEnding = true;
    clearTimeout(this.#retry);
  }

  #followExternal(dataPlane: DataPlaneHandle): void {
    const before = this.#external;
    const now = this.#findExternal();
    if (now !== null && (before === null || !isSame(before, now))) this.#openTo(dataPlane, now);
    else this.#external = now;
    this.#failure = "";
    // Whether or not it is another: it may have gone, and come back, unseen.
    this.#tell(dataPlane);
    if (now !== null) return;
    if (before !== null) this.#tellNowhere();
    this.#forgetLostLink();
  }

  /** Makes an interface the one outside. */
  #openTo(dataPlane: DataPlaneHandle, external: ExternalLink): void {
    const { egress } = this.dataPlaneConfig;
    if (typeof egress === "object") this.#takePorts(external, egress);
    const last = this.#last;
    this.#external = this.#last = external;
    this.#tell(dataPlane);
    if (last?.link === external.link && last.address !== external.address) {
      this.#options.logger.info("the address outside is {address} now", {
        address: formatIpv4(external.address),
      });
      return;
    }
    this.#options.logger.info("packets for the internet leave by {device} as {address} ({how})", {
      device: external.name,
      address: formatIpv4(external.address),
      how: typeof egress === "object" ? "user-space NAT" : "the kernel's NAT",
    });
  }

  /** Nothing of the NAT's comes to the host's stack by this interface, before it sends anything there. */
  #takePorts(external: ExternalLink, egress: EgressConfig): void {
    const { journal } = this.#options;
    const isFirst = this.#nftables === null;
    // Not owned by the process: an administrator must be able to see, and to remove, what we put into the firewall.
    this.#nftables ??= Nftables.open(openLibc(), { owned: false });
    if (this.#captured?.name !== external.name) {
      securePorts(capturedPorts(egress), { device: external.name, journal });
    }
    if (isFirst) {
      this.#noteTables(this.#nftables, "netdev", "inet", "ip");
      installNotrack(this.#nftables, { table: this.#table, mark: EGRESS_MARK });
    }
    this.#installCapture(this.#nftables, external, egress);
    this.#captured = external;
  }

  /**
   * Makes sure that networks of another configuration can be followed.
   *
   * @throws {ConfigError}
   */
  requireFollowable(config: ServerConfig): void {
    requireFewRules(config, this.#newPlan(config.interface).rules);
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
    this.#plan = this.#newPlan(networks);
    dataPlane.setEgressRules(this.#plan.rules);
    this.#openExits();
  }

  /** The kernel takes away the rules at the ingress of an interface that has gone: they are not to be put back there. */
  #forgetLostLink(): void {
    const lost = this.#captured;
    if (lost === null || this.#netlink.links.find(lost.link) !== null) return;
    this.#nftables?.deleteTable({ family: "netdev", name: this.#table });
    this.#captured = null;
  }

  #tell(dataPlane: DataPlaneHandle): void {
    if (typeof this.dataPlaneConfig.egress === "object") dataPlane.setExternal(this.#external);
  }

  #tellNowhere(): void {
    this.#options.logger.warn(
      "{reason}: packets for the internet are dropped until that changes",
      { reason: this.#unusable() ?? "no route to the internet" },
    );
  }

  /** It cannot be the one outside: there is none until something changes. */
  #fail(dataPlane: DataPlaneHandle, { message }: Error): void {
    this.#external = null;
    this.#tell(dataPlane);
    clearTimeout(this.#retry);
    const again = guarded("server", "opening the way to the internet again", () => {
      this.networkChanged(dataPlane);
    });
    this.#retry = setTimeout(again, RETRY_PAUSE);
    if (message === this.#failure) return;
    this.#failure = message;
    this.#options.logger.error(
      "{reason}: packets for the internet are dropped until that changes",
      {
        reason: message,
      },
    );
  }

  /** Null where there is none, or the configured one is not there now, or has no address. */
  #findExternal(): ExternalLink | null {
    const { config, interfaceName } = this.#options;
    if (config.interface.egress === "off") return null;
    try {
      return findExternalLink(config, this.#netlink, egressTraffic(config, interfaceName));
    } catch (error) {
      if (error instanceof ConfigError) return null;
      throw error;
    }
  }

  /** Why the configured interface cannot be used; null where it can, or none is configured. */
  #unusable(): string | null {
    try {
      findExternalLink(this.#options.config, this.#netlink);
      return null;
    } catch (error) {
      if (error instanceof ConfigError) return error.message;
      throw error;
    }
  }

  /** What clients may reach is another set of addresses, by other exits. */
  #followNetworks(dataPlane: DataPlaneHandle): void {
    const { logger } = this.#options;
    const plan = this.#newPlan(this.#networks);
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
      this.#forwarding.open(exits, guestBridges(this.#netlink));
    } catch (error) {
      if (!(error instanceof SysctlError)) throw error;
      const reason = this.dataPlaneConfig.egress === "kernel" ? "Egress = kernel" : "EgressAllow";
      throw new AppError(
        `Cannot forward to ${exits.join(", ")}, as ${reason} asks: ${error.reason}`,
        { exitCode: ExitCode.privilege, cause: error },
      );
    }
  }

  #newPlan({ egressAllow: allow, egressDeny: deny }: EgressNetworks): EgressPlan {
    const external = this.#external;
    const { egress } = this.#options.config.interface;
    if (egress === "off") return NOWHERE;
    const tunnel = this.#options.interfaceName;
    const plan = egressRules(
      { allow, deny },
      hostSurroundings(this.#netlink, { external, tunnel }),
    );
    const others = plan.exits.flatMap((link) => this.#netlink.links.find(link)?.name ?? []);
    return {
      rules: plan.rules,
      exits: egress === "kernel" && external !== null ? [external.name, ...others] : others,
    };
  }

  /** Closes the way outside. What is in the journal is undone with the rest of it. */
  [Symbol.dispose](): void {
    this.end();
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
    if (egress.capture === "packet") installIngressDrop(nftables, traffic);
    else installQueue(nftables, { ...traffic, ...egress.capture });
  }

  /** The tables outlive the process if it is killed: they go into the journal. */
  #noteTables(nftables: Nftables, ...families: readonly NftablesFamily[]): void {
    for (const family of families) {
      const table = { family, name: this.#table };
      this.#options.journal.make({ kind: "nftables-table", table }, nftables);
    }
  }

  #egressConfig(): EgressConfig {
    const { natPorts, natFiltering, forwards, capture, addresses } = this.#options.config.interface;
    return {
      external: this.#external,
      innerMtu: this.#options.innerMtu,
      innerAddress: addresses[0].address,
      ports: natPorts,
      filtering: natFiltering,
      forwards,
      capture: capture === "packet" ? "packet" : { queue: queueNumber() },
    };
  }
}

/** Whether nothing about the sockets and the firewall's rules changes. */
function isSame(a: ExternalLink, b: ExternalLink): boolean {
  return a.link === b.link && a.name === b.name && a.address === b.address;
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

/** What to say of a kernel that has no nftables; any other error as it is. */
function withoutFirewall(error: SystemCallError): Error {
  if (!(error instanceof NoNftablesError)) return error;
  return new AppError(
    `${error.message.replace("use the firewall", "forward to the internet")}, or set Egress = off`,
    { exitCode: ExitCode.privilege, cause: error },
  );
}

/** Two queues for each process, so that two gateways in one namespace do not read each other's. */
function queueNumber(): number {
  return FIRST_QUEUE + (Deno.pid % QUEUE_PAIRS) * 2;
}
