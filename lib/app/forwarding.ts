/**
 * Forwarding: what the host's kernel may forward to and from the tunnel, as a firewall table of the gateway's own.
 *
 * Without it, `ip_forward`, on for whatever reason, makes an open router of the host: everybody on a link of it reaches the
 * clients without a key, and, where the gateway has switched it on, the networks of all other interfaces.
 *
 * From the tunnel, packets leave by the exits alone; to it come answers, and what a rule of the administrator's has sent there
 * (destination NAT). Where the host forwarded nothing before, nothing else is forwarded now either.
 */
import { openLibc } from "../../ffi/libc.ts";
import { ipv4FromNumber } from "../../ffi/netlink/ip_address.ts";
import {
  NF_INET_FORWARD,
  NF_INET_POST_ROUTING,
  Nftables,
  type NftablesChain,
  type NftablesTable,
  PRIORITY_FILTER,
  PRIORITY_SOURCE_NAT,
} from "../../ffi/netlink/nftables.ts";
import {
  accept,
  drop,
  type Expression,
  inputDeviceIs,
  isAnswer,
  isRedirected,
  masquerade,
  outputDeviceIs,
  sourceIsIn,
} from "../../ffi/netlink/nftables_expressions.ts";
import type { Ipv4Prefix } from "../wire/ipv4_text.ts";
import type { Journal } from "./journal.ts";

const IP_FORWARD = "/proc/sys/net/ipv4/ip_forward";
const SUFFIX = "_forward";

export interface ForwardingOptions {
  /** Name of the TUN; it need not be there yet. */
  readonly interfaceName: string;
  /** Inner networks, whose packets leave as the exit's address. */
  readonly sources: readonly Ipv4Prefix[];
  readonly journal: Journal;
}

export class Forwarding implements Disposable {
  readonly #options: ForwardingOptions;
  readonly #table: NftablesTable;
  #nftables: Nftables | null = null;
  #exits: readonly string[] = [];
  #forwards = false;
  /** Whether the host forwards for us alone. */
  #isClosed = false;
  /** What the table was made from. */
  #made = "";

  constructor(options: ForwardingOptions) {
    this.#options = options;
    this.#table = { family: "ip", name: `vpn_${options.interfaceName}${SUFFIX}` };
  }

  /**
   * Closes the tunnel to all that the kernel forwards. To be called before the TUN is there.
   *
   * @throws {SystemCallError} where the kernel has no netfilter, or not all of it
   */
  close(): void {
    // Not owned by the process: an administrator must be able to see, and to remove, what we put into the firewall.
    this.#nftables = Nftables.open(openLibc(), { owned: false });
    this.#options.journal.make({ kind: "nftables-table", table: this.#table }, this.#nftables);
    this.install();
  }

  /**
   * Opens these exits (names of interfaces), and no others any more; switches forwarding on where there are any.
   *
   * @throws {Error} where forwarding is off and may not be switched on
   */
  open(exits: readonly string[]): void {
    const { journal } = this.#options;
    this.#exits = [...exits].sort();
    const isFirst = exits.length > 0 && !this.#forwards;
    if (isFirst) {
      this.#forwards = true;
      this.#isClosed = journal.sysctlBefore(IP_FORWARD) === "0";
    }
    // Before forwarding is on, not after: there must be no moment in which the host is an open router.
    this.install();
    if (isFirst) journal.makeSysctl(IP_FORWARD, "1");
  }

  /** Puts the table (back) into the firewall as it should be now, if it differs from the last one that was put there. */
  install(): void {
    const others = this.#isClosed ? this.#otherTunnels() : [];
    const made = JSON.stringify([this.#exits, this.#isClosed, others]);
    if (this.#nftables === null || made === this.#made) return;
    this.#nftables.replaceTable(this.#table, ...this.#chains(others));
    this.#made = made;
  }

  [Symbol.dispose](): void {
    this.#nftables?.[Symbol.dispose]();
  }

  #chains(others: readonly string[]): NftablesChain[] {
    const { interfaceName: tunnel, sources } = this.#options;
    const exits = this.#exits;
    const rules: Expression[][] = [
      ...exits.map((exit) => [...inputDeviceIs(tunnel), ...outputDeviceIs(exit), accept()]),
      // Only with exits, as these switch connection tracking on for the whole host.
      ...exits.length === 0 ? [] : [[...inputDeviceIs(tunnel), ...isAnswer(), accept()]],
      [...inputDeviceIs(tunnel), drop()],
      ...exits.length === 0 ? [] : [
        [...outputDeviceIs(tunnel), ...isAnswer(), accept()],
        [...outputDeviceIs(tunnel), ...isRedirected(), accept()],
      ],
      [...outputDeviceIs(tunnel), drop()],
      // Other gateways of ours on this host have tables of their own, which judge their tunnels' packets.
      ...others.flatMap((other) => [
        [...inputDeviceIs(other), accept()],
        [...outputDeviceIs(other), accept()],
      ]),
      ...this.#isClosed ? [[drop()]] : [],
    ];
    const forward: NftablesChain = {
      name: "forward",
      hook: { type: "filter", hook: NF_INET_FORWARD, priority: PRIORITY_FILTER },
      rules,
    };
    if (exits.length === 0) return [forward];
    return [forward, {
      name: "postrouting",
      hook: { type: "nat", hook: NF_INET_POST_ROUTING, priority: PRIORITY_SOURCE_NAT },
      rules: exits.flatMap((exit) =>
        sources.map(({ address, prefixLength }) => [
          ...sourceIsIn({ address: ipv4FromNumber(address), length: prefixLength }),
          ...outputDeviceIs(exit),
          masquerade(),
        ])
      ),
    }];
  }

  /** The tunnels of other gateways that live in this network namespace. */
  #otherTunnels(): string[] {
    return this.#options.journal.ofOthers("nftables-table")
      .filter(({ owner, change: { table } }) =>
        table.family === this.#table.family && table.name === `vpn_${owner.interfaceName}${SUFFIX}`
      )
      .map(({ owner }) => owner.interfaceName)
      .sort();
  }
}
