/** Owns reading what others have in nftables, those of iptables' own translations included: chains at hooks, and their rules. */
import type { Libc } from "../libc.ts";
import { Attributes, type NetlinkMessage } from "./message.ts";
import { NFGENMSG, nfnetlinkMessage, NFNL_SUBSYS_NFTABLES } from "./nfnetlink.ts";
import { decodeFamily, type NftablesTable } from "./nftables_objects.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "./socket.ts";

// include/uapi/linux/netfilter/nf_tables.h
const NFT_MSG_GETCHAIN = 4;
const NFT_MSG_GETRULE = 7;
const NFTA_CHAIN_TABLE = 1;
const NFTA_CHAIN_NAME = 3;
const NFTA_CHAIN_HOOK = 4;
const NFTA_CHAIN_POLICY = 5;
const NFTA_CHAIN_TYPE = 7;
const NFTA_HOOK_HOOKNUM = 1;
const NFTA_RULE_TABLE = 1;
const NFTA_RULE_CHAIN = 2;
const NFTA_RULE_EXPRESSIONS = 4;
const NF_DROP = 0;

/** A chain that packets enter by a hook. */
export interface BaseChain {
  readonly table: NftablesTable;
  readonly name: string;
  /** As in `filter`, `nat`. */
  readonly type: string;
  /** `NF_INET_*`, or what the family has. */
  readonly hook: number;
  /** Whether what no rule decides on is dropped. */
  readonly drops: boolean;
}

/** A rule, of which only the bytes are known. */
export interface ListedRule {
  readonly table: NftablesTable;
  readonly chain: string;
  /** Its expressions, as the kernel tells them: names of interfaces stand there as they are, ports in network order. */
  readonly expressions: Uint8Array;
}

/** What the firewall of a network namespace has. */
export interface FirewallListing {
  readonly chains: readonly BaseChain[];
  readonly rules: readonly ListedRule[];
}

/**
 * Reads the firewall of the network namespace that the thread is in.
 *
 * @throws {NetlinkError} EPERM without CAP_NET_ADMIN
 * @throws {SystemCallError} EPROTONOSUPPORT where the kernel has no netfilter
 */
export function listFirewall(libc: Libc): FirewallListing {
  using socket = NetlinkSocket.open(libc, { protocol: NETLINK_NETFILTER });
  const dump = (message: number, action: string) =>
    socket.dump(nfnetlinkMessage({ subsystem: NFNL_SUBSYS_NFTABLES, message }), action);
  return {
    chains: dump(NFT_MSG_GETCHAIN, "list nftables chains").flatMap((part) =>
      decodeBaseChain(part) ?? []
    ),
    rules: dump(NFT_MSG_GETRULE, "list nftables rules").flatMap((part) => decodeRule(part) ?? []),
  };
}

/** The chain that a message describes; null for one that only other chains lead to. */
export function decodeBaseChain(message: NetlinkMessage): BaseChain | null {
  const { attributes, table } = decodeHead(message, NFTA_CHAIN_TABLE);
  const hook = attributes.nested(NFTA_CHAIN_HOOK)?.bytes(NFTA_HOOK_HOOKNUM) ?? null;
  const policy = attributes.bytes(NFTA_CHAIN_POLICY);
  if (table === null || hook === null) return null;
  return {
    table,
    name: attributes.string(NFTA_CHAIN_NAME) ?? "",
    type: attributes.string(NFTA_CHAIN_TYPE) ?? "",
    hook: readBe32(hook),
    drops: policy !== null && readBe32(policy) === NF_DROP,
  };
}

function decodeRule(message: NetlinkMessage): ListedRule | null {
  const { attributes, table } = decodeHead(message, NFTA_RULE_TABLE);
  if (table === null) return null;
  return {
    table,
    chain: attributes.string(NFTA_RULE_CHAIN) ?? "",
    expressions: attributes.bytes(NFTA_RULE_EXPRESSIONS)?.slice() ?? new Uint8Array(),
  };
}

function decodeHead(
  { body }: NetlinkMessage,
  tableAttribute: number,
): { attributes: Attributes; table: NftablesTable | null } {
  const family = decodeFamily(NFGENMSG.read(body, 0).family);
  const attributes = new Attributes(body, NFGENMSG.size);
  const name = attributes.string(tableAttribute);
  return { attributes, table: family === null || name === null ? null : { family, name } };
}

/** Netfilter's numbers are in network order. */
function readBe32(bytes: Uint8Array): number {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length).getUint32(0);
}
