/**
 * Owns the changes that a tunnel makes to the host's network: the interface's settings, routes, routing rules.
 *
 * Addresses and routes on the TUN vanish with it. What would outlive it goes through the journal, which undoes it.
 */
import { EEXIST } from "../../ffi/errno.ts";
import { openLibc } from "../../ffi/libc.ts";
import {
  type AddressFamily,
  AF_INET,
  AF_INET6,
  defaultPrefix,
  ipv4FromNumber,
} from "../../ffi/netlink/ip_address.ts";
import { RouteTable, RouteType } from "../../ffi/netlink/routes.ts";
import { Rtnetlink } from "../../ffi/netlink/rtnetlink.ts";
import { NetlinkError } from "../../ffi/netlink/socket.ts";
import { type Ipv4Prefix, prefixMask } from "../wire/ipv4_text.ts";
import { AppError, ExitCode } from "./errors.ts";
import type { Journal } from "./journal.ts";

/** Packets that wait on the TUN for us, while the socket is full; 500 is the kernel's default. */
const TX_QUEUE_LENGTH = 1000;
/** The table and mark that wg-quick starts from, too. */
const FIRST_TABLE = 51820;
/** Lets the reverse-path filter take the mark into account, so that answers to marked packets pass it. */
const SRC_VALID_MARK = "/proc/sys/net/ipv4/conf/all/src_valid_mark";

export interface InterfaceSettings {
  readonly name: string;
  readonly addresses: readonly Ipv4Prefix[];
  /** In bytes. */
  readonly mtu: number;
}

export class HostNetwork implements Disposable {
  readonly #netlink = Rtnetlink.open(openLibc());
  readonly #journal: Journal;

  constructor(journal: Journal) {
    this.#journal = journal;
  }

  /**
   * Makes sure that an interface name is free.
   *
   * @throws {AppError} with exit code 2
   */
  requireFreeName(name: string): void {
    if (this.#netlink.links.find(name) === null) return;
    throw new AppError(
      `Cannot create interface "${name}": the name is taken: stop what uses it, ` +
        "or choose another with --interface",
      { exitCode: ExitCode.usage },
    );
  }

  /** A routing table without routes, for a full tunnel; its number serves as the mark, too. */
  freeTable(): number {
    const taken = new Set(this.#netlink.routes.list().map((route) => route.table));
    let table = FIRST_TABLE;
    while (taken.has(table)) table++;
    return table;
  }

  /** Gives the TUN its addresses and MTU and switches it on. */
  bringUp({ name, addresses, mtu }: InterfaceSettings): void {
    const { links, addresses: linkAddresses } = this.#netlink;
    const { index } = links.get(name);
    links.configure(index, { mtu, txQueueLength: TX_QUEUE_LENGTH });
    disableIpv6(name);
    for (const { address, prefixLength } of addresses) {
      linkAddresses.add(index, { address: ipv4FromNumber(address), prefixLength });
    }
    links.configure(index, { up: true });
  }

  /** Gives the TUN another MTU, as long as it is there. */
  setMtu(name: string, mtu: number): void {
    const link = this.#netlink.links.find(name);
    if (link !== null) this.#netlink.links.configure(link.index, { mtu });
  }

  /** Routes networks through the TUN, except those that its own addresses cover already. */
  addRoutes(settings: InterfaceSettings, networks: readonly Ipv4Prefix[], table: number): void {
    const { index } = this.#netlink.links.get(settings.name);
    for (const network of networks) {
      if (settings.addresses.some((own) => covers(own, network))) continue;
      try {
        this.#netlink.routes.add({
          destination: {
            address: ipv4FromNumber(network.address),
            length: network.prefixLength,
          },
          link: index,
          table: table === 0 ? RouteTable.main : table,
        });
      } catch (error) {
        // Two of the configured networks may be one and the same.
        if (!(error instanceof NetlinkError && error.errno === EEXIST)) throw error;
      }
    }
  }

  /**
   * Sends everything through the TUN by policy routing, as wg-quick does; the host's default route stays as it is.
   * Packets with the mark, which are the tunnel's own, and networks more specific than the default route keep to the
   * main table. Native IPv6 is made unreachable unless `allowIpv6`: it would pass the tunnel by.
   */
  addFullTunnel(
    settings: InterfaceSettings,
    { table, mark, allowIpv6 }: { table: number; mark: number; allowIpv6: boolean },
  ): void {
    const { links, routes } = this.#netlink;
    const { index } = links.get(settings.name);
    this.#journal.makeSysctl(SRC_VALID_MARK, "1");
    routes.add({ destination: defaultPrefix(AF_INET), link: index, table });
    this.#addRules(AF_INET, { table, mark });
    if (allowIpv6) return;
    try {
      this.#journal.make({
        kind: "route",
        destination: "::/0",
        table,
        type: RouteType.unreachable,
      });
      this.#addRules(AF_INET6, { table, mark });
    } catch (error) {
      // A kernel without IPv6 has nothing to block.
      if (!(error instanceof NetlinkError && NO_IPV6_ERRORS.has(error.code))) throw error;
    }
  }

  [Symbol.dispose](): void {
    this.#netlink[Symbol.dispose]();
  }

  #addRules(family: AddressFamily, { table, mark }: { table: number; mark: number }): void {
    this.#journal.make({
      kind: "rule",
      rule: { family, table, mark: { value: mark }, inverted: true },
    });
    this.#journal.make({
      kind: "rule",
      rule: { family, table: RouteTable.main, suppressPrefixLength: 0 },
    });
  }
}

const NO_IPV6_ERRORS: ReadonlySet<string> = new Set(["EAFNOSUPPORT", "EOPNOTSUPP"]);

/** The tunnel carries IPv4 alone: without this, the kernel would send router solicitations into it. */
function disableIpv6(name: string): void {
  try {
    Deno.writeTextFileSync(`/proc/sys/net/ipv6/conf/${name}/disable_ipv6`, "1");
  } catch {
    // A kernel without IPv6, or a container that may not: then those packets come, and are dropped and counted.
  }
}

/** Whether all of `inner` lies in the network of `outer`. */
function covers(outer: Ipv4Prefix, inner: Ipv4Prefix): boolean {
  if (inner.prefixLength < outer.prefixLength) return false;
  const mask = prefixMask(outer.prefixLength);
  return ((outer.address ^ inner.address) & mask) === 0;
}
