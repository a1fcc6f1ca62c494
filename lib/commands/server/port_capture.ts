/**
 * Port capture: with `Egress = raw` the firewall keeps packets for the NAT's ports from the host's stack, which would
 * answer them with RST and ICMP unreachable, and keeps the NAT's own packets from being tracked.
 */
import { ipv4ToNumber } from "../../../ffi/netlink/ip_address.ts";
import { AF_INET } from "../../../ffi/socket_constants.ts";
import { AppError, ExitCode } from "../../process/errors.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import type { NftablesFamily } from "../../../ffi/netlink/nftables/nftables_objects.ts";
import type { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { ExternalLink } from "../../core/nat/external_link.ts";
import { type HostAddress, isIpv6 } from "../../core/wire/host_address.ts";
import { formatIpv4 } from "../../core/wire/ipv4_text.ts";
import {
  capturedPorts,
  EGRESS_MARK,
  type EgressConfigOf,
  virtualAddresses,
} from "../../dataplane/egress/egress.ts";
import {
  installIngressDrop,
  installNotrack,
  installQueue,
} from "../../host/firewall/gateway_tables.ts";
import type { Journal } from "../../host/journal/journal.ts";
import { securePorts } from "../../host/network/port_safety.ts";

/** Netfilter queues have 16 bits; people give their own small numbers. */
const FIRST_QUEUE = 20_000;
const QUEUE_PAIRS = 20_000;

export interface PortCaptureOptions {
  /** Name of our tables in the firewall. */
  readonly table: string;
  readonly netlink: Rtnetlink;
  readonly journal: Journal;
}

/** Of one family. */
export class PortCapture<Address extends HostAddress = number> implements Disposable {
  readonly #options: PortCaptureOptions;
  #nftables: Nftables | null = null;
  /** Whose packets the firewall keeps from the host's stack. */
  #captured: ExternalLink<Address> | null = null;

  constructor(options: PortCaptureOptions) {
    this.#options = options;
  }

  /**
   * From now on none of the NAT's packets comes to the host's stack by this interface. To be called before the NAT
   * sends anything there.
   *
   * @throws {AppError} where a service is in the way of the NAT's ports, or the host has a published service's address
   */
  take(external: ExternalLink<Address>, egress: EgressConfigOf<Address>): void {
    const { table, journal } = this.#options;
    this.#refuseOwnAddresses(virtualAddresses(egress));
    const isFirst = this.#nftables === null;
    // Not owned by the process: an administrator must be able to see, and to remove, what we put into the firewall.
    this.#nftables ??= Nftables.open(openLibc(), { owned: false });
    if (this.#captured?.name !== external.name) {
      securePorts(capturedPorts(egress), {
        device: external.name,
        journal,
        isIpv6: isIpv6(external.address),
      });
    }
    if (isFirst) {
      this.#noteTables(this.#nftables, "netdev", "inet", "ip");
      installNotrack(this.#nftables, { table, mark: EGRESS_MARK });
    }
    this.#install(this.#nftables, external, egress);
    this.#captured = external;
  }

  /** All that is for these addresses is kept from the host. */
  #refuseOwnAddresses(virtual: readonly number[]): void {
    const own = this.#options.netlink.addresses.list({ family: AF_INET })
      .map(({ address }) => ipv4ToNumber(address));
    const taken = virtual.find((each) => own.includes(each));
    if (taken === undefined) return;
    throw new AppError(
      `Cannot publish a service at ${
        formatIpv4(taken)
      }: this host has the address: leave it out of Forward, which ` +
        "then means the address outside, or take it from the interface",
      { exitCode: ExitCode.usage },
    );
  }

  /** The tables outlive the process if it is killed: they go into the journal. */
  #noteTables(nftables: Nftables, ...families: readonly NftablesFamily[]): void {
    for (const family of families) {
      const table = { family, name: this.#options.table };
      this.#options.journal.make({ kind: "nftables-table", table }, nftables);
    }
  }

  /** Drops packets for the NAT behind the packet socket, or queues them for us. */
  #install(
    nftables: Nftables,
    { name, address }: ExternalLink<Address>,
    egress: EgressConfigOf<Address>,
  ): void {
    const traffic = {
      table: this.#options.table,
      device: name,
      ports: capturedPorts(egress),
      virtual: virtualAddresses(egress),
    };
    // By a queue, of IPv4 alone.
    if (egress.capture === "packet" || isIpv6(address)) {
      installIngressDrop(nftables, { ...traffic, address });
    } else installQueue(nftables, { ...traffic, address, ...egress.capture });
  }

  /** The kernel removes the rules at the ingress of an interface that has gone: they are not to be put back there. */
  forgetLostLink(): void {
    const { table, netlink } = this.#options;
    const lost = this.#captured;
    if (lost === null || netlink.links.find(lost.link) !== null) return;
    this.#nftables?.deleteTable({ family: "netdev", name: table });
    this.#captured = null;
  }

  /** The tables are in the journal, and removed with the rest of it. */
  [Symbol.dispose](): void {
    this.#nftables?.[Symbol.dispose]();
  }
}

/** Two queues for each process, so that two gateways in one namespace do not read each other's. */
export function queueNumber(): number {
  return FIRST_QUEUE + (Deno.pid % QUEUE_PAIRS) * 2;
}
