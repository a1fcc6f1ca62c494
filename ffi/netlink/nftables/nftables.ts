/**
 * Owns a gateway's part in the host's firewall: nftables tables of its own, each made and replaced as a whole, in one
 * transaction of the kernel. No `nft` or `iptables` program is involved, and nobody else's table is touched.
 */
import { EINVAL, ENOENT, EOPNOTSUPP, EPROTONOSUPPORT, SystemCallError } from "../../errno.ts";
import type { Libc } from "../../libc.ts";
import { isUnsupported } from "../families.ts";
import { ipv4FromNumber } from "../ip_address.ts";
import { nfnetlinkBatch, NFNL_SUBSYS_NFTABLES, NoNftablesError } from "./nfnetlink.ts";
import {
  arpTargetIs,
  counter,
  destinationIs,
  drop,
  type Expression,
  inputDeviceIs,
  inputDeviceIsNot,
  ipv4PortsAre,
  isIpv4,
  isLaterFragment,
  markIs,
  notrack,
  type PortRange,
  queue,
  sourceIsIn,
  transportIs,
  xtablesQueue,
} from "./nftables_expressions.ts";
import { IPPROTO_ICMP, IPPROTO_TCP, IPPROTO_UDP } from "../../socket_constants.ts";
import {
  decodeRuleHandle,
  decodeTable,
  deleteTableRequest,
  getRules,
  getTables,
  isOwned,
  newEmptyTable,
  newTable,
  NFT_TABLE_F_OWNER,
  NFT_TABLE_F_PERSIST,
  type NftablesChain,
  type NftablesFamily,
  type NftablesTable,
} from "./nftables_objects.ts";
import type { NetlinkMessage } from "../message.ts";
import {
  type BatchChannel,
  type BatchedRequest,
  NETLINK_NETFILTER,
  NetlinkError,
  NetlinkSocket,
} from "../socket.ts";

export type { PortRange } from "./nftables_expressions.ts";
export type { NftablesChain, NftablesFamily, NftablesTable } from "./nftables_objects.ts";

const NF_NETDEV_INGRESS = 0;
const NF_ARP_IN = 0;
export const NF_INET_PRE_ROUTING = 0;
export const NF_INET_LOCAL_IN = 1;
export const NF_INET_FORWARD = 2;
const NF_INET_LOCAL_OUT = 3;
export const NF_INET_POST_ROUTING = 4;
const LOOPBACK = "lo";
/** Before connection tracking (-200), behind the assembly of fragments (-400) where tracking does that. */
export const PRIORITY_RAW = -300;
export const PRIORITY_FILTER = 0;
export const PRIORITY_SOURCE_NAT = 100;

/** Which packets of the outside belong to the NAT. */
export interface CapturedTraffic {
  /** Name of the interface. */
  readonly device: string;
  /** The gateway's address outside, host order. */
  readonly address: number;
  readonly ports: {
    readonly tcp: readonly PortRange[];
    readonly udp: readonly PortRange[];
  };
}

/** Which TCP segments belong to a carrier that looks like TCP. */
export interface CarrierTraffic {
  /** Our ports. */
  readonly ports: PortRange;
  /** Whose port, host order, they are talking to; null for anybody's. */
  readonly remote: { readonly address: number; readonly port: number } | null;
}

/** What belongs to a tunnel's inside alone. */
export interface InnerTraffic {
  readonly table: string;
  /** Name of the tunnel's interface; it need not be there yet. */
  readonly device: string;
  /** This host's addresses in the tunnel and nowhere else, host order. */
  readonly addresses: readonly number[];
  /** Services of the tunnel at addresses that another interface has as well. */
  readonly services: readonly InnerService[];
}

export interface InnerService {
  /** Host order. */
  readonly address: number;
  readonly protocol: "tcp" | "udp";
  readonly port: number;
}

/** A table as it was last made. */
interface MadeTable {
  readonly chains: readonly NftablesChain[];
  /** Of its rules; null where nobody has looked yet. */
  handles: Set<bigint> | null;
}

function keyOf({ family, name }: NftablesTable): string {
  return `${family} ${name}`;
}

export class Nftables implements Disposable {
  readonly #channel: BatchChannel & Disposable;
  /** `NFT_TABLE_F_*` of the tables that are made. */
  readonly #flags: number;
  /** By family and name. */
  readonly #made = new Map<string, MadeTable>();

  private constructor(channel: BatchChannel & Disposable, flags: number) {
    this.#channel = channel;
    this.#flags = flags !== 0 && this.#knowsFlags(flags) ? flags : 0;
  }

  /** Whether nobody else may change the tables, as long as this object is there (Linux 5.12, and 6.9 for those that outlive it). */
  get ownsTables(): boolean {
    return this.#flags !== 0;
  }

  /**
   * Opens the firewall of the network namespace that the thread is in now; the thread may leave it afterwards.
   *
   * @param options `owned` (the default): as far as the kernel can do it, the tables are nobody else's to change and go with
   * this object, also when the process is killed; `persistent`: they are anybody's then, but stay. Tables that are not
   * owned are anybody's, and stay.
   * @throws {NetlinkError} EPERM without CAP_NET_ADMIN
   * @throws {NoNftablesError} where the kernel has no netfilter
   */
  static open(
    libc: Libc,
    options: { readonly owned?: boolean; readonly persistent?: boolean } = {},
  ): Nftables {
    const persistence = options.persistent === true ? NFT_TABLE_F_PERSIST : 0;
    const flags = options.owned === false ? 0 : NFT_TABLE_F_OWNER | persistence;
    const socket = openSocket(libc);
    try {
      return new Nftables(socket, flags);
    } catch (error) {
      socket[Symbol.dispose]();
      throw error;
    }
  }

  /**
   * Keeps packets for the NAT's ports from the host's stack, which would answer them with RST and ICMP unreachable. Packet
   * sockets of ETH_P_ALL stand before this hook and still see them. Later fragments have no port and pass, be they the host's
   * own or the NAT's: of those, the stack never sees the first, so it assembles nothing, and is silent about it. Replaces
   * the table of the last call.
   */
  installIngressDrop(spec: { readonly table: string } & CapturedTraffic): void {
    const { table, device, address, ports } = spec;
    this.replaceTable({ family: "netdev", name: table }, {
      name: "ingress",
      hook: { type: "filter", hook: NF_NETDEV_INGRESS, priority: PRIORITY_FILTER, device },
      rules: portRules([...isIpv4(), ...destinationIs(address)], ports, drop()),
    });
  }

  /**
   * Keeps packets with this mark from being tracked: of a connection whose answers the stack never sees, tracking makes
   * packets out of order (INVALID), which a firewall may drop.
   */
  installNotrack({ table, mark }: { readonly table: string; readonly mark: number }): void {
    // A kernel that was built without IPv6 has no tables of both families.
    const family = this.supports("inet") ? "inet" : "ip";
    this.replaceTable({ family, name: table }, {
      name: "output",
      hook: { type: "filter", hook: NF_INET_LOCAL_OUT, priority: PRIORITY_RAW },
      rules: [[...markIs(mark), notrack()]],
    });
  }

  /**
   * Keeps a carrier's segments from the host's TCP, which would answer them with RST, and those that it sends from being
   * tracked: what leaves by a packet socket, tracking does not see, and would take the rest for INVALID. By the hook for
   * packets to this host, on all interfaces and addresses, so that nothing that is only forwarded is touched. Replaces the
   * table of the last call.
   */
  installCarrier({ table, ports, remote }: { readonly table: string } & CarrierTraffic): void {
    const remotePort = remote === null ? undefined : { first: remote.port, last: remote.port };
    const remoteAddress = remote === null
      ? null
      : { address: ipv4FromNumber(remote.address), length: 32 };
    const input = ipv4PortsAre(IPPROTO_TCP, { source: remotePort, destination: ports });
    const output = ipv4PortsAre(IPPROTO_TCP, { source: ports, destination: remotePort });
    this.replaceTable({ family: "ip", name: table }, {
      name: "input",
      hook: { type: "filter", hook: NF_INET_LOCAL_IN, priority: PRIORITY_RAW },
      rules: [[...remoteAddress === null ? [] : sourceIsIn(remoteAddress), ...input, drop()]],
    }, {
      name: "output",
      hook: { type: "filter", hook: NF_INET_LOCAL_OUT, priority: PRIORITY_RAW },
      rules: [[...remote === null ? [] : destinationIs(remote.address), ...output, notrack()]],
    });
  }

  /**
   * Keeps packets for this host's addresses inside a tunnel from arriving by any other interface: Linux takes a packet for
   * whichever of the host's addresses by whichever interface (the weak host model, RFC 1122 section 3.3.4.2), so neighbours
   * on every link would reach the services there, and could probe and forge connections inside the tunnel (CVE-2019-14899).
   * The host's own packets to its own addresses come by loopback. Replaces the table of the last call.
   */
  installInnerGuard({ table, device, addresses, services }: InnerTraffic): void {
    const matches = [
      ...addresses.map(destinationIs),
      ...services.map(({ address, protocol, port }) => [
        ...destinationIs(address),
        ...ipv4PortsAre(protocol === "tcp" ? IPPROTO_TCP : IPPROTO_UDP, {
          destination: { first: port, last: port },
        }),
      ]),
    ];
    this.replaceTable({ family: "ip", name: table }, {
      name: "prerouting",
      hook: { type: "filter", hook: NF_INET_PRE_ROUTING, priority: PRIORITY_RAW },
      rules: matches.map((match) => [
        ...inputDeviceIsNot(device),
        ...inputDeviceIsNot(LOOPBACK),
        ...match,
        counter(),
        drop(),
      ]),
    });
  }

  /** Answers nobody on a link who asks by ARP who has one of these addresses: that would tell him which they are. */
  installInnerSilence({ table, device, addresses }: InnerTraffic): void {
    this.replaceTable({ family: "arp", name: table }, {
      name: "input",
      hook: { type: "filter", hook: NF_ARP_IN, priority: PRIORITY_FILTER },
      rules: addresses.map((address) => [
        ...inputDeviceIsNot(device),
        ...arpTargetIs(address),
        counter(),
        drop(),
      ]),
    });
  }

  /**
   * Sends packets for the NAT's ports to netfilter queue `queue`, for an `NfQueue` that drops them; ICMP and later fragments,
   * which may be the host's own, to the queue after it, for an `NfQueue` that takes a copy and lets them pass. Never
   * bypassed: without a reader the kernel drops what is queued.
   *
   * @throws {Error} where the kernel has neither nftables' queue statement nor the NFQUEUE target of iptables
   */
  installQueue(
    spec: { readonly table: string; readonly queue: number } & CapturedTraffic,
  ): void {
    const { table, device, address, ports } = spec;
    const match = [...inputDeviceIs(device), ...destinationIs(address)];
    const chain = (statement: (number: number) => Expression): NftablesChain => ({
      name: "prerouting",
      hook: { type: "filter", hook: NF_INET_PRE_ROUTING, priority: PRIORITY_RAW },
      rules: [
        [...match, ...isLaterFragment(), statement(spec.queue + 1)],
        [...match, ...transportIs(IPPROTO_ICMP), statement(spec.queue + 1)],
        ...portRules(match, ports, statement(spec.queue)),
      ],
    });
    const refusals: string[] = [];
    for (const statement of [queue, xtablesQueue]) {
      try {
        this.replaceTable({ family: "ip", name: table }, chain(statement));
        return;
      } catch (error) {
        // An expression that the kernel does not know, also as a module, is ENOENT.
        if (!(error instanceof NetlinkError) || error.errno !== ENOENT) throw error;
        refusals.push(error.message);
      }
    }
    throw new Error(
      "Cannot queue packets: the kernel has neither nftables' queue statement (NFT_QUEUE) nor the NFQUEUE target " +
        `with nft_compat: ${refusals.join("; ")}`,
    );
  }

  /**
   * Tries whether the kernel takes a chain at an interface's ingress: makes one and deletes it in one transaction, which
   * nobody sees.
   *
   * @throws {NetlinkError} where it does not
   */
  tryIngress(device: string): void {
    const table: NftablesTable = { family: "netdev", name: "vpn_ingress_probe" };
    const hook = {
      type: "filter",
      hook: NF_NETDEV_INGRESS,
      priority: PRIORITY_FILTER,
      device,
    } as const;
    const chain: NftablesChain = { name: "ingress", hook, rules: [] };
    this.#transact([...newTable(table, [chain], 0), deleteTableRequest(table)]);
  }

  /** Whether the kernel knows tables of a family: makes one and deletes it in one transaction, which nobody sees. */
  supports(family: NftablesFamily): boolean {
    const table: NftablesTable = { family, name: "vpn_family_probe" };
    try {
      this.#transact([newEmptyTable(table, 0), deleteTableRequest(table)]);
      return true;
    } catch (error) {
      if (isUnsupported(error)) return false;
      throw error;
    }
  }

  /** Makes a table, in place of the one with its name, without a moment in between. */
  replaceTable(table: NftablesTable, ...chains: readonly NftablesChain[]): void {
    const exists = this.listTables()
      .some(({ family, name }) => family === table.family && name === table.name);
    this.#transact([
      ...(exists ? [deleteTableRequest(table)] : []),
      ...newTable(table, chains, this.#flags),
    ]);
    this.#made.set(keyOf(table), { chains, handles: null });
  }

  /**
   * Whether all rules of a table are still there that was made here; what others have added does not matter. True for a table
   * that was not made here, or that was deleted.
   */
  isIntact(table: NftablesTable): boolean {
    const made = this.#made.get(keyOf(table));
    if (made === undefined) return true;
    const handles = this.#ruleHandles(table);
    if (made.handles !== null) return made.handles.isSubsetOf(handles);
    const rules = made.chains.reduce((sum, chain) => sum + chain.rules.length, 0);
    if (handles.size < rules) return false;
    made.handles = handles;
    return true;
  }

  /** Makes a table again as it was last made here. */
  putBack(table: NftablesTable): void {
    const made = this.#made.get(keyOf(table));
    if (made !== undefined) this.replaceTable(table, ...made.chains);
  }

  /** By which the kernel tells the rules of a table from all that there ever were in it. */
  #ruleHandles(table: NftablesTable): Set<bigint> {
    return new Set(
      this.#channel.dump(getRules(table), "list nftables rules")
        .flatMap((message) => decodeRuleHandle(message, table) ?? []),
    );
  }

  /**
   * The tables of all families that there are, anybody's.
   *
   * @param options `unowned`: only those that are nobody's own
   * @throws {NoNftablesError} where the kernel has netfilter, but no nftables
   */
  listTables({ unowned = false } = {}): NftablesTable[] {
    return this.#dumpTables()
      .filter((message) => !(unowned && isOwned(message)))
      .flatMap((message) => decodeTable(message) ?? []);
  }

  #dumpTables(): NetlinkMessage[] {
    try {
      return this.#channel.dump(getTables(), "list nftables tables");
    } catch (error) {
      // Of a subsystem that is not there, netfilter says this (nfnetlink_rcv_msg()).
      if (error instanceof NetlinkError && error.errno === EINVAL) {
        throw new NoNftablesError(EINVAL);
      }
      throw error;
    }
  }

  /**
   * Deletes a table with all that is in it; that there is none is no error.
   *
   * @throws {NetlinkError} EPERM where the table is owned by another process
   */
  deleteTable(table: NftablesTable): void {
    this.#made.delete(keyOf(table));
    try {
      this.#transact([deleteTableRequest(table)]);
    } catch (error) {
      // EOPNOTSUPP: there is no nftables (nfnetlink_rcv_batch()), and so no table.
      const isGone = error instanceof NetlinkError &&
        (error.errno === ENOENT || error.errno === EOPNOTSUPP);
      if (!isGone) throw error;
    }
  }

  /** Ends the connection: owned tables go with it unless they are persistent, others stay. */
  [Symbol.dispose](): void {
    this.#channel[Symbol.dispose]();
  }

  /** Makes and deletes a table with these flags in one transaction: nobody sees it. */
  #knowsFlags(flags: number): boolean {
    const probe: NftablesTable = { family: "ip", name: "vpn_ownership_probe" };
    try {
      this.#transact([newEmptyTable(probe, flags), deleteTableRequest(probe)]);
      return true;
    } catch (error) {
      // Flags that are not known are EINVAL, or EOPNOTSUPP where fixes were taken back to older kernels.
      const unknown = error instanceof NetlinkError &&
        (error.errno === EINVAL || error.errno === EOPNOTSUPP);
      if (!unknown) throw error;
      return false;
    }
  }

  #transact(requests: readonly BatchedRequest[]): void {
    this.#channel.batch(nfnetlinkBatch(NFNL_SUBSYS_NFTABLES, requests));
  }
}

function openSocket(libc: Libc): NetlinkSocket {
  try {
    return NetlinkSocket.open(libc, { protocol: NETLINK_NETFILTER });
  } catch (error) {
    if (error instanceof SystemCallError && error.errno === EPROTONOSUPPORT) {
      throw new NoNftablesError(error.errno);
    }
    throw error;
  }
}

/** One rule for each range of ports. */
function portRules(
  match: readonly Expression[],
  ports: CapturedTraffic["ports"],
  statement: Expression,
): Expression[][] {
  const rules = (protocol: number, ranges: readonly PortRange[]) =>
    ranges.map((range) => [
      ...match,
      ...ipv4PortsAre(protocol, { destination: range }),
      statement,
    ]);
  return [...rules(IPPROTO_TCP, ports.tcp), ...rules(IPPROTO_UDP, ports.udp)];
}
