/**
 * Inner guard: keeps what is for the tunnel's inner addresses, and so every service there (the DNS proxy, metrics, the
 * host's own), from arriving by any interface but the tunnel's.
 *
 * An address that another interface has as well, as routers have it whose tunnels borrow the address of the LAN, is the
 * host's own there: of it only the tunnel's services are guarded. Who else has an address is followed at run time; on a
 * client, an address that was leased does not count, or anyone who answers DHCP on a link could open the guard there.
 */
import { SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { type AddressFamily, formatIp, ipv4ToNumber } from "../../../ffi/netlink/ip_address.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/socket_constants.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { Config } from "../../core/config/config.ts";
import { formatAddress, type HostAddress } from "../../core/wire/host_address.ts";
import { formatIpv4, type Ipv4Prefix } from "../../core/wire/ipv4_text.ts";
import { addressOf6, type Ipv6PrefixText } from "../../core/wire/ipv6_prefix.ts";
import type { Journal } from "../journal/journal.ts";
import type { Logger } from "../../process/logging.ts";
import {
  type InnerService,
  type InnerTraffic,
  installInnerGuard,
  installInnerSilence,
} from "./inner_tables.ts";

/** Of tables: IPv4's and IPv6's. */
const FAMILIES = ["ip", "ip6"] as const;

export interface InnerGuardOptions {
  readonly role: "server" | "client";
  /** Name of the TUN; it need not be there yet. */
  readonly interfaceName: string;
  readonly addresses: readonly Ipv4Prefix[];
  readonly addresses6: readonly Ipv6PrefixText[];
  /** Those of the tunnel, wherever they are. */
  readonly services: readonly InnerService[];
  readonly journal: Pick<Journal, "make">;
  readonly logger: Logger;
}

export class InnerGuard implements Disposable {
  readonly #options: InnerGuardOptions;
  readonly #netlink: Rtnetlink;
  readonly #nftables: Nftables;
  readonly #opened: DisposableStack;
  /** Inner addresses that another interface has, too. */
  #shared: readonly HostAddress[];
  #isArpSilent = false;
  #isClosed = false;

  /** Puts the tables there, by way of the journal. */
  private constructor(options: InnerGuardOptions, opened: DisposableStack) {
    this.#options = options;
    this.#netlink = opened.use(Rtnetlink.open(openLibc()));
    // Not owned by the process: an administrator must be able to see, and to remove, what we put into the firewall.
    this.#nftables = opened.use(Nftables.open(openLibc(), { owned: false }));
    // Fails where the kernel has netlink for the firewall but no nftables: then there is nothing to note, nor to undo.
    this.#nftables.listTables();
    this.#shared = this.#sharedNow();
    this.#tellOfShared();
    for (const family of options.addresses6.length === 0 ? ["ip"] as const : FAMILIES) {
      options.journal.make({
        kind: "nftables-table",
        table: { family, name: this.#table },
      }, this.#nftables);
    }
    installInnerGuard(this.#nftables, this.#traffic);
    this.#silenceArp();
    this.#opened = opened.move();
  }

  /**
   * Puts the tables there; to be called before the TUN gets its addresses. Where the host has no nftables, a warning
   * says what is not protected: the tunnel works without.
   *
   * @returns by which they are watched; what is in the journal is undone with the rest of it
   */
  static install(options: InnerGuardOptions): InnerGuard | null {
    try {
      using opened = new DisposableStack();
      return new InnerGuard(options, opened);
    } catch (error) {
      if (!(error instanceof SystemCallError) || error.isShortage) throw error;
      options.logger.warn(
        "hosts on every link can reach the services at {addresses}, as packets from other interfaces are not dropped: " +
          "{error}: load the kernel module nf_tables, or drop them with the host's own firewall",
        {
          addresses: options.addresses.map(({ address }) => formatIpv4(address)).join(", "),
          error,
        },
      );
      return null;
    }
  }

  /** Takes note that addresses may have changed. */
  networkChanged(): void {
    if (this.#isClosed) return;
    const shared = this.#sharedNow();
    if (shared.join() === this.#shared.join()) return;
    this.#shared = shared;
    this.#tellOfShared();
    installInnerGuard(this.#nftables, this.#traffic);
    if (this.#isArpSilent) installInnerSilence(this.#nftables, this.#traffic);
  }

  [Symbol.dispose](): void {
    this.#isClosed = true;
    this.#opened[Symbol.dispose]();
  }

  /** Of both families. */
  get #table(): string {
    return `vpn_${this.#options.interfaceName}_inner`;
  }

  get #traffic(): InnerTraffic {
    const { interfaceName, addresses, addresses6, services } = this.#options;
    const isShared = (address: HostAddress) => this.#shared.includes(address);
    return {
      table: this.#table,
      device: interfaceName,
      addresses: addresses.map(({ address }) => address).filter((address) => !isShared(address)),
      addresses6: addresses6.length === 0
        ? null
        : addresses6.map(addressOf6).filter((address) => !isShared(address)),
      services: services.filter(({ address }) => isShared(address)),
    };
  }

  /** Without it neighbours still learn which addresses those are, but reach nothing there. */
  #silenceArp(): void {
    const { journal, logger } = this.#options;
    try {
      const table = { family: "arp", name: this.#table } as const;
      journal.make({ kind: "nftables-table", table }, this.#nftables);
      installInnerSilence(this.#nftables, this.#traffic);
      this.#isArpSilent = true;
    } catch (error) {
      if (!(error instanceof SystemCallError)) throw error;
      logger.info("ARP for the inner addresses is answered on every link: {error}", { error });
    }
  }

  #sharedNow(): HostAddress[] {
    const { role, interfaceName, addresses, addresses6 } = this.#options;
    const tunnel = this.#netlink.links.find(interfaceName)?.index ?? null;
    const listed = (family: AddressFamily) =>
      this.#netlink.addresses.list({ family }).filter(({ link }) => link !== tunnel);
    const elsewhere = new Set<HostAddress>([
      ...listed(AF_INET).filter(({ isPermanent }) => isPermanent || role === "server")
        .map(({ address }) => ipv4ToNumber(address)),
      // On a gateway, too, one that a router's advertisement has made does not count.
      ...addresses6.length === 0 ? [] : listed(AF_INET6).filter(({ isPermanent }) => isPermanent)
        .map(({ address }) => formatIp(address)),
    ]);
    return [...addresses.map(({ address }) => address), ...addresses6.map(addressOf6)]
      .filter((address) => elsewhere.has(address));
  }

  #tellOfShared(): void {
    if (this.#shared.length === 0) return;
    this.#options.logger.info(
      "{addresses}: another interface has this address too, so packets from there go to the host; " +
        "only the services of the tunnel stay closed to them",
      { addresses: this.#shared.map(formatAddress).join(", ") },
    );
  }
}

/** The services that a tunnel has at addresses of its own. */
export function tunnelServices(
  { interface: { addresses, addresses6, dnsProxy, metrics } }: Pick<Config, "interface">,
): InnerService[] {
  const services: InnerService[] = [];
  // As `DnsProxy` has it: on the first of each family.
  const first = [addresses[0]?.address, addresses6.map(addressOf6)[0]];
  for (const address of dnsProxy.length > 0 ? first : []) {
    if (address === undefined) continue;
    services.push({ address, protocol: "udp", port: 53 }, { address, protocol: "tcp", port: 53 });
  }
  if (metrics !== null) services.push({ ...metrics, protocol: "tcp" });
  return services;
}
