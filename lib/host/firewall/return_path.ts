/**
 * Return path of a full tunnel: puts the tunnel's mark on what comes in for its transports, so that a strict
 * reverse-path filter takes it.
 *
 * A full tunnel routes all packets without the mark into itself. A filter that is strict (RFC 3704 section 2.2:
 * `rp_filter = 1`, or a firewall's `fib saddr . mark . iif oif`) asks by which interface an answer to a packet would
 * leave, and the server's datagrams, which come by another interface than that, are dropped. With the mark on them, the
 * question is answered as for what the tunnel sends. wg-quick has connection tracking carry the mark back. Here the
 * port decides: it is the tunnel's alone, so that the answers of a server that moves arrive, nothing expires in
 * silence, and the host's connections need not be tracked.
 *
 * Fake TCP is captured in front of the filter. The ICMP errors about either transport are not.
 *
 * The kernel has no such filter of IPv6, but firewalld has (`IPv6_rpfilter`), and a full tunnel makes native IPv6
 * unreachable. So a table of that family is made once the tunnel's datagrams travel by it.
 */
import { SystemCallError } from "../../../ffi/errno.ts";
import { openLibc } from "../../../ffi/libc.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import {
  NF_INET_PRE_ROUTING,
  PRIORITY_FILTER,
  PRIORITY_RAW,
} from "../../../ffi/netlink/nftables/hooks.ts";
import type {
  NftablesChain,
  NftablesTable,
} from "../../../ffi/netlink/nftables/nftables_objects.ts";
import {
  destinationIsLocal,
  type Expression,
  hasFragmentOffset,
  icmpTypeIs,
  inputDeviceIsNot,
  ipv4PortsAre,
  ipv6PortsAre,
  isErrorAbout,
  setMark,
  transportIs,
} from "../../../ffi/netlink/nftables/nftables_expressions.ts";
import { IPPROTO_ICMPV6, IPPROTO_TCP, IPPROTO_UDP } from "../../../ffi/socket_constants.ts";
import { readSysctl } from "../network/sysctl.ts";
import type { Journal } from "../journal/journal.ts";
import type { OuterPorts } from "./kill_switch.ts";
import type { Logger } from "../../process/logging.ts";

/** ICMP errors (RFC 792) that say why a datagram did not arrive, and what size would have. */
const DESTINATION_UNREACHABLE = 3;
const TIME_EXCEEDED = 11;
/** ICMPv6 errors: destination unreachable, packet too big, time exceeded. */
const ICMPV6_ERRORS = [1, 2, 3] as const;
/** `rp_filter` of a strict filter; 2 is loose, 0 is none. */
const STRICT = 1;
const SETTINGS = "/proc/sys/net/ipv4/conf";

export interface ReturnPathOptions {
  /** Name of the TUN. */
  readonly interfaceName: string;
  /** SO_MARK of the tunnel's own datagrams; not 0. */
  readonly mark: number;
  readonly journal: Pick<Journal, "make">;
}

export class ReturnPath implements Disposable {
  readonly #options: ReturnPathOptions;
  readonly #table: NftablesTable;
  readonly #nftables: Nftables;
  /** Of IPv6; null before it was needed, and where the kernel has no such tables. */
  #table6: NftablesTable | null = null;

  private constructor(options: ReturnPathOptions, transports: readonly OuterPorts[]) {
    this.#options = options;
    this.#table = returnTable(options.interfaceName);
    using opened = new DisposableStack();
    // Not owned by the process: an administrator must be able to see, and to remove, what we put into the firewall.
    this.#nftables = opened.use(Nftables.open(openLibc(), { owned: false }));
    // Fails where the kernel has netlink for the firewall but no nftables: then there is nothing to note, nor to undo.
    this.#nftables.listTables();
    options.journal.make({ kind: "nftables-table", table: this.#table }, this.#nftables);
    this.admit(transports);
    opened.move();
  }

  /**
   * Puts the table there; to be called before the host's routes change. Without nftables, a tunnel works on hosts whose
   * filter is not strict; where it is, a warning says what to do.
   *
   * @param device by which the server is reached; null where that is not known
   */
  static install(
    options: ReturnPathOptions & { readonly device: string | null; readonly logger: Logger },
    transports: readonly OuterPorts[],
  ): ReturnPath | null {
    try {
      return new ReturnPath(options, transports);
    } catch (error) {
      if (!(error instanceof SystemCallError) || error.isShortage) throw error;
      const { device, logger } = options;
      if (isStrict(device)) {
        logger.warn(
          "the reverse-path filter drops the server's answers: rp_filter is 1, and they cannot be marked: {error}: " +
            "load the kernel modules nf_tables and nft_fib, or set {setting} to 2",
          { error, setting: `net.ipv4.conf.${device ?? "all"}.rp_filter` },
        );
      }
      return null;
    }
  }

  /** Marks what comes for these transports, and for no others any more: without a moment in which none is. */
  admit(transports: readonly OuterPorts[]): void {
    this.#nftables.replaceTable(this.#table, ...chains(this.#options, matches(transports)));
    const overIpv6 = transports.filter((transport) => transport.overIpv6 === true);
    if (overIpv6.length > 0) this.#table6 ??= this.#makeTable6();
    if (this.#table6 === null) return;
    this.#nftables.replaceTable(this.#table6, ...chains(this.#options, matches6(overIpv6)));
  }

  #makeTable6(): NftablesTable | null {
    if (!this.#nftables.supports("ip6")) return null;
    const { interfaceName, journal } = this.#options;
    const table: NftablesTable = { ...returnTable(interfaceName), family: "ip6" };
    journal.make({ kind: "nftables-table", table }, this.#nftables);
    return table;
  }

  /** Leaves the table to the one that undoes the journal. */
  [Symbol.dispose](): void {
    this.#nftables[Symbol.dispose]();
  }
}

/** The table of a tunnel's interface. */
export function returnTable(interfaceName: string): NftablesTable {
  return { family: "ip", name: `vpn_${interfaceName}_return` };
}

/**
 * Whether packets that come by an interface pass a strict filter of the kernel's: the greater one of two settings
 * counts.
 */
function isStrict(device: string | null): boolean {
  const values = ["all", ...device === null ? [] : [device]].map((name) => {
    try {
      return Number(readSysctl(`${SETTINGS}/${name}/rp_filter`));
    } catch {
      // The interface may have gone, and a container may lack the file.
      return 0;
    }
  });
  return Math.max(...values) === STRICT;
}

/**
 * Twice: before the rules of others that filter by the reverse path themselves, and behind those that set marks of
 * their own on all that comes in.
 */
function chains(
  { interfaceName, mark }: ReturnPathOptions,
  matching: readonly (readonly Expression[])[],
): NftablesChain[] {
  const rules = matching.map((match) => [
    ...inputDeviceIsNot(interfaceName),
    ...match,
    // Never what is only forwarded: with the mark, it would leave past the tunnel.
    ...destinationIsLocal(),
    ...setMark(mark),
  ]);
  const chain = (name: string, priority: number): NftablesChain => ({
    name,
    hook: { type: "filter", hook: NF_INET_PRE_ROUTING, priority },
    rules,
  });
  return [chain("first", PRIORITY_RAW), chain("last", PRIORITY_FILTER)];
}

/**
 * Of IPv6. ICMPv6 errors (RFC 4443 section 3) are marked whatever they are about: the mark opens nothing for what is
 * not forwarded.
 */
function matches6(transports: readonly OuterPorts[]): Expression[][] {
  if (transports.length === 0) return [];
  return [
    ...transports.filter(({ protocol }) => protocol === "udp").map(({ ports }) =>
      ipv6PortsAre(IPPROTO_UDP, { destination: ports })
    ),
    ...ICMPV6_ERRORS.map((type) => icmpTypeIs(IPPROTO_ICMPV6, type)),
  ];
}

function matches(transports: readonly OuterPorts[]): Expression[][] {
  return transports.flatMap(({ protocol, ports }) => {
    const number = protocol === "udp" ? IPPROTO_UDP : IPPROTO_TCP;
    return [
      ...protocol === "udp"
        ? [
          ipv4PortsAre(number, { destination: ports }),
          // The filter sees each fragment by itself. Later ones have no port, and come to nothing without the first.
          [...transportIs(number), ...hasFragmentOffset()],
        ]
        : [],
      isErrorAbout(DESTINATION_UNREACHABLE, number, ports),
      isErrorAbout(TIME_EXCEEDED, number, ports),
    ];
  });
}
