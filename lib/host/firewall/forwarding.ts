/**
 * Forwarding: what the host's kernel may forward to and from the tunnel, as a firewall table of the gateway's own.
 *
 * Without it, `ip_forward`, on for whatever reason, makes an open router of the host: everybody on a link of it reaches
 * the clients without a key, and, where the gateway has switched it on, the networks of all other interfaces.
 *
 * From the tunnel, packets leave by the exits alone; to it come answers. What a rule of the administrator's has sent
 * elsewhere (destination NAT, as Docker publishes ports) passes. Where the host forwarded nothing before, little else
 * is forwarded now either: what comes by interfaces that forwarded by a switch of their own, what guests of the host,
 * containers and virtual machines, send by a bridge that came later, as one who started them relies on that, and finds
 * forwarding switched on already; and the answers.
 *
 * Both families have one each; in that of IPv6, the host goes on listening to the routers that it has its routes from.
 */
import { openLibc } from "../../../ffi/libc.ts";
import {
  isRedirected,
  masquerade,
  redirectTo,
} from "../../../ffi/netlink/nftables/nat_expressions.ts";
import type { IpAddress } from "../../../ffi/netlink/ip_address.ts";
import { Nftables } from "../../../ffi/netlink/nftables/nftables.ts";
import {
  NF_INET_FORWARD,
  NF_INET_POST_ROUTING,
  NF_INET_PRE_ROUTING,
  PRIORITY_DESTINATION_NAT,
  PRIORITY_FILTER,
  PRIORITY_SOURCE_NAT,
} from "../../../ffi/netlink/nftables/hooks.ts";
import type {
  NftablesChain,
  NftablesTable,
} from "../../../ffi/netlink/nftables/nftables_objects.ts";
import {
  accept,
  destinationIs,
  destinationIsLocal,
  destinationPortIs,
  drop,
  type Expression,
  inputDeviceIs,
  isAnswer,
  isOfNoConnection,
  outputDeviceIs,
  transportIs,
} from "../../../ffi/netlink/nftables/nftables_expressions.ts";
import type { Journal } from "../journal/journal.ts";
import {
  FORWARDING_SWITCHES,
  openLinks,
  type OwnForwarding,
  readOwnForwarding,
} from "../network/forwarding_switch.ts";
import { guestBridges, type HostLinks } from "../network/guest_bridges.ts";
import { RouterListening } from "../network/router_advertisements.ts";
import { readSysctl } from "../network/sysctl.ts";

/** How many connections are tracked: of a host that tracks none, 0. */
const TRACKED = "/proc/sys/net/netfilter/nf_conntrack_count";
/** Of the table's name, behind that of the tunnel's interface. */
export const FORWARDING_SUFFIX = "_forward";

export interface ForwardingOptions {
  readonly family: "ip" | "ip6";
  /** Name of the TUN; it need not be there yet. */
  readonly interfaceName: string;
  /** Which packets leave as the exit's address, one of these for each; those of no other leave as they are. */
  readonly masqueraded: readonly Expression[][];
  /** What is let in from the uplink, of IPv6. */
  readonly inlets: readonly Inlet[];
  readonly host: HostLinks;
  readonly journal: Journal;
}

/** A port outside that leads to a host inside. */
export interface Inlet {
  /** Number of the protocol. */
  readonly protocol: number;
  /** Of the gateway's own addresses. */
  readonly externalPort: number;
  readonly address: IpAddress;
  readonly port: number;
  /** Whether the host inside is reached by its own address as well, which is known outside. */
  readonly isDirect: boolean;
}

export class Forwarding implements Disposable {
  readonly #options: ForwardingOptions;
  readonly #table: NftablesTable;
  readonly #routers: RouterListening;
  #nftables: Nftables | null = null;
  #exits: readonly string[] = [];
  /** Interfaces that may forward to all others. */
  #open: readonly string[] = [];
  #uplink: string | null = null;
  #forwards = false;
  /** Whether the host forwards for us alone. */
  #isClosed = false;
  /** What interfaces had of their own before. */
  #before: readonly OwnForwarding[] = [];
  #isTracked = false;
  /** What the table was made from. */
  #made = "";

  constructor(options: ForwardingOptions) {
    this.#options = options;
    this.#routers = new RouterListening(options.journal);
    this.#table = {
      family: options.family,
      name: `vpn_${options.interfaceName}${FORWARDING_SUFFIX}`,
    };
  }

  /**
   * Closes the tunnel to all that the kernel forwards. To be called before the TUN is there.
   *
   * @throws {SystemCallError} where the kernel has no nftables, or not all of it
   */
  close(): void {
    // Not owned by the process: an administrator must be able to see, and to remove, what we put into the firewall.
    this.#nftables = Nftables.open(openLibc(), { owned: false });
    try {
      // Fails where there is no nftables: then there is nothing to note, nor to undo.
      this.#nftables.listTables();
      this.#options.journal.make({ kind: "nftables-table", table: this.#table }, this.#nftables);
      this.install();
    } catch (error) {
      // Not to be tried again.
      this.#nftables[Symbol.dispose]();
      this.#nftables = null;
      throw error;
    }
  }

  /**
   * Opens these exits (names of interfaces), and no others any more; switches forwarding on where there are any.
   *
   * @param uplink name of the interface that inlets are on; null for none
   * @throws {Error} where forwarding is off and may not be switched on
   */
  open(exits: readonly string[], uplink: string | null = null): void {
    // Without a firewall, it would be an open router.
    if (this.#nftables === null) return;
    const { journal, family, host } = this.#options;
    const path = FORWARDING_SWITCHES[family];
    this.#exits = [...exits].sort();
    this.#uplink = uplink;
    const isFirst = exits.length > 0 && !this.#forwards;
    if (isFirst) {
      this.#forwards = true;
      const noted = journal.sysctlChange(path);
      this.#isClosed = (noted?.before ?? readSysctl(path)) === "0";
      this.#before = noted === null ? readOwnForwarding(family, host) : noted.links ?? [];
    }
    this.#open = this.#isClosed
      ? openLinks({
        before: this.#before,
        links: host.links.list(),
        guests: guestBridges(host),
      }).sort()
      : [];
    // Before forwarding is on, not after: there must be no moment in which the host is an open router.
    this.install();
    if (family === "ip6" && this.#isClosed) {
      const routers = this.#before.filter(({ value }) => value !== "0");
      this.#routers.keep(new Set(routers.map(({ name }) => name)));
    }
    if (isFirst) journal.makeSysctl(path, "1", { links: this.#before });
  }

  /**
   * Puts the table (back) into the firewall as it should be now, if it differs from the last one that was put there.
   */
  install(): void {
    const others = this.#isClosed ? this.#otherTunnels() : [];
    // What asks for a connection's state switches tracking on for the whole host: only where it has to be, or is
    // already.
    const isTracked = this.#exits.length > 0 || isTracking();
    this.#isTracked = isTracked;
    const made = JSON.stringify([
      ...[this.#exits, this.#uplink],
      ...[this.#isClosed, others, this.#open, isTracked],
    ]);
    if (this.#nftables === null || made === this.#made) return;
    this.#nftables.replaceTable(this.#table, ...this.#chains({ others, isTracked }));
    this.#made = made;
  }

  /**
   * Looks whether the host tracks connections by now, of which no notification tells: its administrator publishes the
   * first port of a container, say. To be called at intervals.
   */
  followTracking(): void {
    if (!this.#isTracked && isTracking()) this.install();
  }

  [Symbol.dispose](): void {
    this.#nftables?.[Symbol.dispose]();
  }

  #chains({ others, isTracked }: {
    readonly others: readonly string[];
    readonly isTracked: boolean;
  }): NftablesChain[] {
    const { interfaceName: tunnel, masqueraded, inlets } = this.#options;
    const exits = this.#exits;
    const uplink = this.#uplink;
    /** Answers, and what somebody's rule has sent there. */
    const tracked = (match: Expression[]): Expression[][] =>
      isTracked ? [isAnswer(), isRedirected()].map((state) => [...match, ...state, accept()]) : [];
    const rules: Expression[][] = [
      // The NAT passes them by: they would leave with the client's address, an ICMP error about no connection, say.
      ...exits.flatMap((exit) =>
        masqueraded.map((match) => [
          ...inputDeviceIs(tunnel),
          ...match,
          ...outputDeviceIs(exit),
          ...isOfNoConnection(),
          drop(),
        ])
      ),
      ...exits.map((exit) => [...inputDeviceIs(tunnel), ...outputDeviceIs(exit), accept()]),
      // The router has let them go to the host's own addresses alone: a port that the host publishes is one of its
      // services.
      ...tracked(inputDeviceIs(tunnel)),
      [...inputDeviceIs(tunnel), drop()],
      ...tracked(outputDeviceIs(tunnel)),
      ...uplink === null ? [] : inlets.filter(({ isDirect }) => isDirect)
        .map(({ protocol, address, port }) => [
          ...inputDeviceIs(uplink),
          ...outputDeviceIs(tunnel),
          ...destinationIs(address),
          ...transportIs(protocol),
          ...destinationPortIs(port),
          accept(),
        ]),
      [...outputDeviceIs(tunnel), drop()],
      // Other gateways of ours on this host have tables of their own, which judge their tunnels' packets.
      ...others.flatMap((other) => [
        [...inputDeviceIs(other), accept()],
        [...outputDeviceIs(other), accept()],
      ]),
      ...this.#isClosed
        ? [
          ...tracked([]),
          ...this.#open.map((name) => [...inputDeviceIs(name), accept()]),
          [drop()],
        ]
        : [],
    ];
    const forward: NftablesChain = {
      name: "forward",
      hook: { type: "filter", hook: NF_INET_FORWARD, priority: PRIORITY_FILTER },
      rules,
    };
    const chains = [forward];
    if (uplink !== null && inlets.length > 0) {
      chains.push({
        name: "prerouting",
        hook: { type: "nat", hook: NF_INET_PRE_ROUTING, priority: PRIORITY_DESTINATION_NAT },
        rules: inlets.map(({ protocol, externalPort, address, port }) => [
          ...inputDeviceIs(uplink),
          ...destinationIsLocal(),
          ...transportIs(protocol),
          ...destinationPortIs(externalPort),
          ...redirectTo(address, port),
        ]),
      });
    }
    if (exits.length === 0 || masqueraded.length === 0) return chains;
    return [...chains, {
      name: "postrouting",
      hook: { type: "nat", hook: NF_INET_POST_ROUTING, priority: PRIORITY_SOURCE_NAT },
      rules: exits.flatMap((exit) =>
        masqueraded.map((match) => [...match, ...outputDeviceIs(exit), masquerade()])
      ),
    }];
  }

  /** The tunnels of other gateways that live in this network namespace. */
  #otherTunnels(): string[] {
    return this.#options.journal.ofOthers("nftables-table")
      .filter(({ owner, change: { table } }) =>
        table.family === this.#table.family &&
        table.name === `vpn_${owner.interfaceName}${FORWARDING_SUFFIX}`
      )
      .map(({ owner }) => owner.interfaceName)
      .sort();
  }
}

/** Whether the host tracks connections, on whose behalf ever. */
function isTracking(): boolean {
  try {
    return Number(Deno.readTextFileSync(TRACKED)) > 0;
  } catch {
    // Without the kernel's module there is no such file.
    return false;
  }
}
