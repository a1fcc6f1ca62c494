/**
 * Kill switch: a firewall table that lets nothing leave the host except by the tunnel (`KillSwitch`).
 *
 * Guests of the host, containers and virtual machines on bridges without a network card, talk with the host and each
 * other, and with others through the tunnel or not at all. By other interfaces there pass only the tunnel's own
 * datagrams, loopback and DHCP, without which the host would lose the address that the tunnel stands on; and, while the
 * server's name is looked up again, the tunnel's own questions to the host's resolvers. Neighbour discovery, of IPv6,
 * passes where the tunnel's datagrams do by IPv6, as they depend on it. However the process ends, but for a person who
 * ends it, it leaves the table, and the host stays closed until the next client has taken it over and is ended by a
 * person, or until `vpn cleanup`.
 */
import { LOOPBACK } from "../../../ffi/netlink/links.ts";
import { type HostAddress, ipv6Bytes, isIpv6 } from "../../core/wire/host_address.ts";
import type { PortRange } from "../../core/wire/port_range.ts";
import {
  AF_INET,
  AF_INET6,
  IPPROTO_ICMPV6,
  IPPROTO_TCP,
  IPPROTO_UDP,
} from "../../../ffi/socket_constants.ts";
import type { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import {
  NF_INET_FORWARD,
  NF_INET_POST_ROUTING,
  PRIORITY_FILTER,
} from "../../../ffi/netlink/nftables/hooks.ts";
import type {
  NftablesChain,
  NftablesTable,
} from "../../../ffi/netlink/nftables/nftables_objects.ts";
import {
  accept,
  destinationIs,
  drop,
  type Expression,
  familyIs,
  icmpTypeIs,
  inputDeviceIs,
  ipv4PortsAre,
  ipv6PortsAre,
  isAnswer,
  markIs,
  outputDeviceIs,
} from "../../../ffi/netlink/nftables/nftables_expressions.ts";
import { openFirewall } from "./firewall.ts";
import type { Journal } from "../journal/journal.ts";
import { forgetBlocks, killSwitchTable } from "./standing_blocks.ts";

/** Client and server ports of DHCP (RFC 2131 section 4.1) and of DHCPv6 (RFC 8415 section 7.2). */
const DHCP = ipv4PortsAre(IPPROTO_UDP, { source: only(68), destination: only(67) });
const DHCPV6 = ipv6PortsAre(IPPROTO_UDP, { source: only(546), destination: only(547) });

/** What a transport's own packets have in common besides the mark. */
export interface OuterPorts {
  readonly protocol: "udp" | "tcp";
  /** At this end. */
  readonly ports: PortRange;
  /** Whether they pass by IPv6 as well as by IPv4; not if left out. */
  readonly overIpv6?: boolean;
}

/**
 * Without which a host of IPv6 finds no neighbour, and no router: router solicitation, neighbour solicitation and
 * advertisement (RFC 4861 section 4), and the report by which switches know who listens for them (RFC 3810 section
 * 5.2).
 */
const NEIGHBOUR_DISCOVERY = [133, 135, 136, 143] as const;

export interface KillSwitchOptions {
  /** Name of the TUN; it need not be there yet, nor still. */
  readonly interfaceName: string;
  /** SO_MARK of the tunnel's own datagrams; not 0. */
  readonly mark: number;
  readonly journal: Journal;
  /** What `Endpoint` names and where that is, for the client after this one; null where it is not known. */
  readonly server: { readonly name: string; readonly address: HostAddress } | null;
  /** Whether nobody else may change the table while this process lives; true if left out. */
  readonly isOwned?: boolean;
}

/**
 * While it is there, nobody else can remove the table, not even by `nft flush ruleset`, as firewalls do it when they
 * reload their rules (from Linux 6.9 on). To be disposed of before the journal is undone, which opens the host
 * again.
 */
export class KillSwitch implements Disposable {
  readonly #options: KillSwitchOptions;
  readonly #table: NftablesTable;
  readonly #nftables: Nftables;
  #staysClosed = false;
  #isDisposed = false;
  #transports: readonly OuterPorts[] = [];
  /** Of each question that is under way. */
  readonly #asked = new Set<readonly HostAddress[]>();
  #guests: readonly string[] = [];

  /** Closes the host, or takes over the block that a client before left on it: without a moment in between. */
  constructor(options: KillSwitchOptions, transports: readonly OuterPorts[]) {
    const { interfaceName, journal, server, isOwned = true } = options;
    this.#options = options;
    using opened = new DisposableStack();
    const ownership = isOwned ? { persistent: true } : { owned: false };
    const otherwise = "set KillSwitch = off";
    this.#nftables = opened.use(
      openFirewall({ purpose: "use KillSwitch = on", otherwise, ...ownership }),
    );
    this.#table = killSwitchTable(interfaceName, this.#nftables);
    journal.exclusively(() => {
      journal.make({ kind: "kill-switch", table: this.#table, server }, this.#nftables);
      this.admit(transports);
      forgetBlocks(this.#table);
    });
    opened.move();
  }

  /** Lets these transports pass, and no others any more: without a moment in which all, or none, pass. */
  admit(transports: readonly OuterPorts[]): void {
    this.#transports = transports;
    this.#install();
  }

  /**
   * Lets guests of the host, containers and virtual machines, talk with it, with each other and through the tunnel,
   * from now on.
   *
   * @param bridges names of bridges that nobody but guests is on
   */
  setGuests(bridges: readonly string[]): void {
    const guests = [...bridges].sort();
    if (guests.join() === this.#guests.join()) return;
    this.#guests = guests;
    this.#install();
  }

  /**
   * Calls while questions to these resolvers pass as well: the tunnel's own, to find a server that has
   * moved. Nobody else's do: to set the mark takes CAP_NET_ADMIN. Several calls may be under way.
   */
  async whileAsking<Result>(
    resolvers: readonly HostAddress[],
    call: () => Promise<Result>,
  ): Promise<Result> {
    const asked = [...resolvers];
    this.#asked.add(asked);
    try {
      this.#install();
      return await call();
    } finally {
      this.#asked.delete(asked);
      this.#install();
    }
  }

  #install(): void {
    if (this.#isDisposed) return;
    const hasIpv6 = this.#table.family === "inet";
    const options = {
      ...this.#options,
      hasIpv6,
      resolvers: [...new Set([...this.#asked].flat())],
      guests: this.#guests,
    };
    this.#nftables.replaceTable(this.#table, ...chains(options, this.#transports));
  }

  /** Has the table stay when the tunnel ends, for nothing but loopback and DHCP. */
  stayClosed(): void {
    this.#staysClosed = true;
  }

  /** Leaves the table to the undoing of the journal; the host stays closed. */
  [Symbol.dispose](): void {
    this.#asked.clear();
    // Nobody looks any more whether a network card joins one of the bridges.
    this.#guests = [];
    if (this.#staysClosed) this.admit([]);
    // A question may still be under way.
    this.#isDisposed = true;
    this.#nftables[Symbol.dispose]();
  }
}

/**
 * What is sent by this host is judged behind routing, where a firewall's mark can change the interface no more; what it
 * forwards, before that already, so that none of it passes for the host's own DHCP.
 */
function chains(
  { interfaceName, mark, hasIpv6, resolvers, guests }: KillSwitchOptions & {
    readonly hasIpv6: boolean;
    readonly resolvers: readonly HostAddress[];
    readonly guests: readonly string[];
  },
  transports: readonly OuterPorts[],
): NftablesChain[] {
  const isIpv4 = hasIpv6 ? familyIs(AF_INET) : [];
  const transportsOverIpv6 = hasIpv6 ? transports.filter(({ overIpv6 = false }) => overIpv6) : [];
  const needsNeighbours = hasIpv6 && (transportsOverIpv6.length > 0 || resolvers.some(isIpv6));
  const rules: Expression[][] = [
    [...outputDeviceIs(interfaceName), accept()],
    [...outputDeviceIs(LOOPBACK), accept()],
    ...guests.map((guest) => [...outputDeviceIs(guest), accept()]),
    ...transports.map(({ protocol, ports }) => [
      ...markIs(mark),
      ...isIpv4,
      ...ipv4PortsAre(protocol === "udp" ? IPPROTO_UDP : IPPROTO_TCP, { source: ports }),
      accept(),
    ]),
    ...transportsOverIpv6.map(({ protocol, ports }) => [
      ...markIs(mark),
      ...ipv6PortsAre(protocol === "udp" ? IPPROTO_UDP : IPPROTO_TCP, { source: ports }),
      accept(),
    ]),
    ...resolvers.flatMap((address) => {
      const to = questionsTo(address, hasIpv6);
      return to.length === 0 ? [] : [[...markIs(mark), ...to, accept()]];
    }),
    ...needsNeighbours ? NEIGHBOUR_DISCOVERY.map((type) => neighbourRule(type)) : [],
    [...isIpv4, ...DHCP, accept()],
    ...hasIpv6 ? [[...DHCPV6, accept()]] : [],
    [drop()],
  ];
  return [
    {
      name: "postrouting",
      hook: { type: "filter", hook: NF_INET_POST_ROUTING, priority: PRIORITY_FILTER },
      rules,
    },
    {
      name: "forward",
      hook: { type: "filter", hook: NF_INET_FORWARD, priority: PRIORITY_FILTER },
      rules: [
        [...outputDeviceIs(interfaceName), accept()],
        ...guests.flatMap((guest) => [
          // Answers alone: nobody behind the tunnel begins to talk with a guest.
          [...inputDeviceIs(interfaceName), ...outputDeviceIs(guest), ...isAnswer(), accept()],
          // What stays on a bridge comes here as well where netfilter looks at bridges, as Docker has it.
          ...guests.map((other) => [
            ...inputDeviceIs(guest),
            ...outputDeviceIs(other),
            accept(),
          ]),
        ]),
        [drop()],
      ],
    },
  ];
}

function neighbourRule(type: number): Expression[] {
  return [...familyIs(AF_INET6), ...icmpTypeIs(IPPROTO_ICMPV6, type), accept()];
}

/** None for a resolver that this kernel cannot reach. */
function questionsTo(address: HostAddress, hasIpv6: boolean): Expression[] {
  const ports = { destination: only(53) };
  if (!isIpv6(address)) {
    return [
      ...hasIpv6 ? familyIs(AF_INET) : [],
      ...destinationIs(address),
      ...ipv4PortsAre(IPPROTO_UDP, ports),
    ];
  }
  return hasIpv6 ? [...ipv6PortsAre(IPPROTO_UDP, ports), ...destinationIs(ipv6Bytes(address))] : [];
}

function only(port: number): PortRange {
  return { first: port, last: port };
}
