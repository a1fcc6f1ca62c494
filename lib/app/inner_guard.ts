/**
 * Inner guard: keeps what is for the tunnel's inner addresses, and so every service there (the DNS proxy, metrics, the
 * host's own), from arriving by any interface but the tunnel's. See `Nftables.installInnerGuard()`.
 */
import { SystemCallError } from "../../ffi/errno.ts";
import { openLibc } from "../../ffi/libc.ts";
import { type InnerTraffic, Nftables } from "../../ffi/netlink/nftables.ts";
import { formatIpv4, type Ipv4Prefix } from "../wire/ipv4_text.ts";
import type { Journal } from "./journal.ts";
import type { Logger } from "./logging.ts";

export interface InnerGuardOptions {
  /** Name of the TUN; it need not be there yet. */
  readonly interfaceName: string;
  readonly addresses: readonly Ipv4Prefix[];
  readonly journal: Pick<Journal, "make">;
  readonly logger: Logger;
}

/**
 * Puts the tables there, by way of the journal; to be called before the TUN gets its addresses. Where the host has no
 * nftables, a warning says what is not protected: the tunnel works without.
 *
 * @returns by which they are watched; what is in the journal is undone with the rest of it
 */
export function guardInnerAddresses(options: InnerGuardOptions): Disposable | null {
  const traffic = innerTraffic(options);
  try {
    using opened = new DisposableStack();
    // Not owned by the process: an administrator must be able to see, and to remove, what we put into the firewall.
    const nftables = opened.use(Nftables.open(openLibc(), { owned: false }));
    // Fails where the kernel has netlink for the firewall but no nftables: then there is nothing to note, nor to undo.
    nftables.listTables();
    options.journal.make({
      kind: "nftables-table",
      table: { family: "ip", name: traffic.table },
    }, nftables);
    nftables.installInnerGuard(traffic);
    silenceArp(nftables, traffic, options);
    return opened.move();
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    options.logger.warn(
      "neighbours on every link reach the services at {addresses}, as packets from other interfaces are not dropped: " +
        "{error}: load the kernel module nf_tables, or drop them by the host's own firewall",
      { addresses: traffic.addresses.map(formatIpv4).join(", "), error },
    );
    return null;
  }
}

/** Without it neighbours still learn which addresses those are, but reach nothing there. */
function silenceArp(
  nftables: Nftables,
  traffic: InnerTraffic,
  { journal, logger }: InnerGuardOptions,
): void {
  try {
    const table = { family: "arp", name: traffic.table } as const;
    journal.make({ kind: "nftables-table", table }, nftables);
    nftables.installInnerSilence(traffic);
  } catch (error) {
    if (!(error instanceof SystemCallError)) throw error;
    logger.info("ARP for the inner addresses is answered on every link: {error}", { error });
  }
}

/** The table's name is that of both families. */
function innerTraffic(
  { interfaceName, addresses }: Pick<InnerGuardOptions, "interfaceName" | "addresses">,
): InnerTraffic {
  return {
    table: `vpn_${interfaceName}_inner`,
    device: interfaceName,
    addresses: addresses.map(({ address }) => address),
  };
}
