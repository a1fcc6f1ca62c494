/**
 * Owns what a gateway does on the host besides its tunnel: the way outside, the ports it takes, the firewall's part in it.
 *
 * `Egress = raw`: our own NAT; the firewall keeps packets for its ports from the host's stack, which would answer them with
 * RST and ICMP unreachable, and keeps its own packets from being tracked. `Egress = kernel`: the host forwards, and an
 * nftables rule masquerades.
 */
import { openLibc } from "../../ffi/libc.ts";
import { Nftables, type NftablesFamily } from "../../ffi/netlink/nftables.ts";
import { Rtnetlink } from "../../ffi/netlink/rtnetlink.ts";
import type { ServerConfig } from "../config/config.ts";
import { formatIpv4 } from "../wire/ipv4_text.ts";
import type { DataPlaneHandle } from "./data_plane_handle.ts";
import type { DataPlaneConfig } from "./data_plane_protocol.ts";
import { capturedPorts, EGRESS_MARK, type EgressConfig } from "./egress.ts";
import { type ExternalLink, findExternalLink, privateNetworks } from "./egress_plan.ts";
import type { Journal } from "./journal.ts";
import type { Logger } from "./logging.ts";
import { requireNatPrivileges } from "./privileges.ts";
import { securePorts } from "./port_safety.ts";

/** Netfilter queues have 16 bits; people give their own small numbers. */
const FIRST_QUEUE = 20_000;
const QUEUE_PAIRS = 20_000;
const IP_FORWARD = "/proc/sys/net/ipv4/ip_forward";

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
  readonly dataPlaneConfig: Pick<DataPlaneConfig, "egress" | "privateNetworks">;

  readonly #options: GatewayOptions;
  readonly #netlink = Rtnetlink.open(openLibc());
  readonly #table: string;
  #nftables: Nftables | null = null;
  #external: ExternalLink | null;

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
    this.dataPlaneConfig = {
      egress: external === null
        ? "off"
        : egress === "raw"
        ? this.#egressConfig(external)
        : "kernel",
      privateNetworks: external === null ? [] : privateNetworks(this.#netlink, external),
    };
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
    // Not owned by the process: an administrator must be able to see, and to remove, what we put into the firewall.
    this.#nftables = Nftables.open(openLibc(), { owned: false });
    if (typeof egress === "object") {
      const { journal } = this.#options;
      securePorts(capturedPorts(egress), { device: external.name, journal });
      this.#noteTables("netdev", "inet", "ip");
      this.#nftables.installNotrack({ table: this.#table, mark: EGRESS_MARK });
      this.#installCapture(this.#nftables, external, egress);
    } else {
      this.#options.journal.makeSysctl(IP_FORWARD, "1");
      this.#noteTables("ip");
      this.#nftables.installMasquerade({
        table: this.#table,
        sources: this.#options.config.interface.addresses,
        device: external.name,
      });
    }
    this.#options.logger.info("packets for the internet leave by {device} as {address} ({how})", {
      device: external.name,
      address: formatIpv4(external.address),
      how: typeof egress === "object" ? "user-space NAT" : "the kernel's NAT",
    });
  }

  /** Follows the host's network: a new address outside, as DHCP brings it, is the NAT's from now on. */
  networkChanged(dataPlane: DataPlaneHandle): void {
    const before = this.#external;
    const { egress } = this.dataPlaneConfig;
    if (before === null || typeof egress !== "object" || this.#nftables === null) return;
    const now = findExternalLink(this.#options.config, this.#netlink);
    // Between two addresses there may be none: the next notification brings the new one.
    if (now === null || now.link !== before.link || now.address === before.address) return;
    this.#external = now;
    this.#installCapture(this.#nftables, now, egress);
    dataPlane.setExternalAddress(now.address);
    this.#options.logger.info("the address outside is {address} now", {
      address: formatIpv4(now.address),
    });
  }

  /** Closes the way outside. What is in the journal is undone with the rest of it. */
  [Symbol.dispose](): void {
    this.#nftables?.[Symbol.dispose]();
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
  #noteTables(...families: readonly NftablesFamily[]): void {
    for (const family of families) {
      this.#options.journal.make({ kind: "nftables-table", table: { family, name: this.#table } });
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

/** Two queues for each process, so that two gateways in one namespace do not read each other's. */
function queueNumber(): number {
  return FIRST_QUEUE + (Deno.pid % QUEUE_PAIRS) * 2;
}
