/**
 * Nftables: tables of the host's firewall, each made, replaced and deleted as a whole, in one transaction of the
 * kernel. No `nft` or `iptables` program is involved, and nobody else's table is touched.
 */
import { EINVAL, ENOENT, EOPNOTSUPP, EPROTONOSUPPORT, SystemCallError } from "../../errno.ts";
import type { Libc } from "../../libc.ts";
import { isUnsupported } from "../families.ts";
import { NF_NETDEV_INGRESS, PRIORITY_FILTER } from "./hooks.ts";
import { nfnetlinkBatch, NFNL_SUBSYS_NFTABLES, NoNftablesError } from "./nfnetlink.ts";
import {
  decodeRuleHandle,
  decodeTable,
  deleteTableRequest,
  getRules,
  getTables,
  isOfOurMaking,
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

/** A table as it was last made. */
interface MadeTable {
  readonly chains: readonly NftablesChain[];
  /** Of its rules; null where they were not listed yet. */
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

  /**
   * Whether nobody else may change the tables, as long as this object is there (Linux 5.12, and 6.9 for those that
   * outlive it).
   */
  get ownsTables(): boolean {
    return this.#flags !== 0;
  }

  /**
   * Opens the firewall of the network namespace that the thread is in now; the thread may leave it afterwards.
   *
   * @param options `owned` (the default): as far as the kernel can do it, the tables are nobody else's to change and go
   * with this object, also when the process is killed; `persistent`: they are anybody's then, but stay. Tables that are
   * not owned are anybody's, and stay.
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
   * Tries whether the kernel takes a chain at an interface's ingress: makes one and deletes it in one transaction,
   * which nobody sees.
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
   * Whether all rules of a table are still there that was made here; what others have added does not matter. True for a
   * table that was not made here, or that was deleted.
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
   * @param options `unowned`: only those that are nobody's own; `ours`: only those that say that they were made here,
   * by this process or another of ours
   * @throws {NoNftablesError} where the kernel has netfilter, but no nftables
   */
  listTables({ unowned = false, ours = false } = {}): NftablesTable[] {
    return this.#dumpTables()
      .filter((message) => !(unowned && isOwned(message)) && (!ours || isOfOurMaking(message)))
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
