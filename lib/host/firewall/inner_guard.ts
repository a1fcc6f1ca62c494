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
import { formatIp, ipv4ToNumber } from "../../../ffi/netlink/ip_address.ts";
import { AF_INET, AF_INET6 } from "../../../ffi/socket_constants.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import { Rtnetlink } from "../../../ffi/netlink/rtnetlink.ts";
import type { Config } from "../../core/config/config.ts";
import type { Ipv6Text } from "../../core/wire/host_address.ts";
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
  #shared: readonly number[];
  #own6: readonly Ipv6Text[] | null;
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
    this.#own6 = this.#own6Now();
    this.#tellOfShared();
    for (const family of this.#own6 === null ? ["ip"] as const : FAMILIES) {
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
    const own6 = this.#own6Now();
    const isSame = shared.join() === this.#shared.join();
    if (isSame && own6?.join() === this.#own6?.join()) return;
    this.#shared = shared;
    this.#own6 = own6;
    if (!isSame) this.#tellOfShared();
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
    const { interfaceName, addresses, services } = this.#options;
    return {
      table: this.#table,
      device: interfaceName,
      addresses: addresses.map(({ address }) => address)
        .filter((address) => !this.#shared.includes(address)),
      addresses6: this.#own6,
      services: services.filter(({ address }) => this.#shared.includes(address)),
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

  /** The inner addresses that another interface has, too, host order. */
  #sharedNow(): number[] {
    const { role, interfaceName, addresses } = this.#options;
    const tunnel = this.#netlink.links.find(interfaceName)?.index ?? null;
    const elsewhere = new Set(
      this.#netlink.addresses.list({ family: AF_INET })
        .filter(({ link, isPermanent }) => link !== tunnel && (isPermanent || role === "server"))
        .map(({ address }) => ipv4ToNumber(address)),
    );
    return addresses.map(({ address }) => address).filter((address) => elsewhere.has(address));
  }

  /**
   * The inner IPv6 addresses but for those that another interface has, too; no service of ours is there. Null where
   * the tunnel has none.
   */
  #own6Now(): Ipv6Text[] | null {
    const { addresses6 } = this.#options;
    if (addresses6.length === 0) return null;
    const tunnel = this.#netlink.links.find(this.#options.interfaceName)?.index ?? null;
    const elsewhere = new Set(
      this.#netlink.addresses.list({ family: AF_INET6 })
        .filter(({ link, isPermanent }) => link !== tunnel && isPermanent)
        .map(({ address }) => formatIp(address)),
    );
    return addresses6.map(addressOf6).filter((address) => !elsewhere.has(address));
  }

  #tellOfShared(): void {
    if (this.#shared.length === 0) return;
    this.#options.logger.info(
      "{addresses}: another interface has this address too, so packets from there go to the host; " +
        "only the services of the tunnel stay closed to them",
      { addresses: this.#shared.map(formatIpv4).join(", ") },
    );
  }
}

/** The services that a tunnel has at addresses of its own. */
export function tunnelServices(
  { interface: { addresses, dnsProxy, metrics } }: Pick<Config, "interface">,
): InnerService[] {
  const services: InnerService[] = [];
  const address = addresses[0]?.address;
  if (dnsProxy.length > 0 && address !== undefined) {
    services.push({ address, protocol: "udp", port: 53 }, { address, protocol: "tcp", port: 53 });
  }
  if (metrics !== null) services.push({ ...metrics, protocol: "tcp" });
  return services;
}
