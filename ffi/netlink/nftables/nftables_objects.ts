/** Nftables requests: messages that make, list and delete tables, chains and rules (`linux/netfilter/nf_tables.h`). */
import { Attributes, type NetlinkMessage, NLM_F_CREATE, NLM_F_EXCL } from "../message.ts";
import {
  NF_ACCEPT,
  NFT_MSG_GETRULE,
  NFTA_CHAIN_HOOK,
  NFTA_CHAIN_NAME,
  NFTA_CHAIN_POLICY,
  NFTA_CHAIN_TABLE,
  NFTA_CHAIN_TYPE,
  NFTA_HOOK_DEV,
  NFTA_HOOK_HOOKNUM,
  NFTA_HOOK_PRIORITY,
  NFTA_RULE_CHAIN,
  NFTA_RULE_EXPRESSIONS,
  NFTA_RULE_HANDLE,
  NFTA_RULE_TABLE,
} from "./attributes.ts";
import { NFGENMSG, nfnetlinkMessage, NFNL_SUBSYS_NFTABLES } from "./nfnetlink.ts";
import type { MessageBuilder } from "../message.ts";
import type { BatchedRequest } from "../socket.ts";
import type { Expression } from "./nftables_expressions.ts";

const NFT_MSG_NEWTABLE = 0;
const NFT_MSG_GETTABLE = 1;
const NFT_MSG_DELTABLE = 2;
const NFT_MSG_NEWCHAIN = 3;
const NFT_MSG_NEWRULE = 6;
/** Rules go behind those that are there. */
const NLM_F_APPEND = 0x800;

const NFTA_TABLE_NAME = 1;
const NFTA_TABLE_FLAGS = 2;
const NFTA_TABLE_USERDATA = 6;
/** A comment in a table's user data (`libnftnl/udata.h`): type, length, and the text with its zero. */
const NFTNL_UDATA_TABLE_COMMENT = 0;
/** What all our tables say of themselves, and `nft list` shows (Linux 5.10; others take no notice of it). */
const COMMENT = userComment("made by vpn");
/** Only the socket that made the table may change it, and the table goes when that is closed (Linux 5.12). */
export const NFT_TABLE_F_OWNER = 0x2;
/** With it: the table stays then, and is anybody's (Linux 6.9). */
export const NFT_TABLE_F_PERSIST = 0x4;

/** `NFPROTO_*`, by the word that `nft` has for it. */
const FAMILIES = { inet: 1, ip: 2, arp: 3, netdev: 5, bridge: 7, ip6: 10 } as const;

/** The family of a table, in `nft`'s words. */
export type NftablesFamily = keyof typeof FAMILIES;

/** What names a table: there may be one of the same name in each family. */
export interface NftablesTable {
  readonly family: NftablesFamily;
  readonly name: string;
}

/** Where packets enter a chain. */
export interface NftablesHook {
  readonly type: "filter" | "nat";
  /** `NF_INET_*` or `NF_NETDEV_*`. */
  readonly hook: number;
  readonly priority: number;
  /** Name of the interface, in family netdev. */
  readonly device?: string;
}

/** A chain that packets enter by a hook and leave by the policy `accept`. */
export interface NftablesChain {
  readonly name: string;
  readonly hook: NftablesHook;
  /** Each rule is a list of expressions. */
  readonly rules: readonly (readonly Expression[])[];
}

/**
 * The requests that make a table with these chains.
 *
 * @param flags `NFT_TABLE_F_*`
 */
export function newTable(
  table: NftablesTable,
  chains: readonly NftablesChain[],
  flags: number,
): BatchedRequest[] {
  return [
    newEmptyTable(table, flags),
    ...chains.flatMap((chain) => newChainWithRules(table, chain)),
  ];
}

/** The request that makes a table without anything in it; EEXIST where there is one. */
export function newEmptyTable(table: NftablesTable, flags: number): BatchedRequest {
  const message = request(NFT_MSG_NEWTABLE, table, NLM_F_CREATE | NLM_F_EXCL)
    .string(NFTA_TABLE_NAME, table.name)
    .be32(NFTA_TABLE_FLAGS, flags)
    .bytes(NFTA_TABLE_USERDATA, COMMENT);
  return { message, action: `add ${describe(table)}` };
}

/** The request that deletes a table with all that is in it; ENOENT where there is none. */
export function deleteTableRequest(table: NftablesTable): BatchedRequest {
  const message = request(NFT_MSG_DELTABLE, table, 0).string(NFTA_TABLE_NAME, table.name);
  return { message, action: `delete ${describe(table)}` };
}

/** The request for the dump of all tables. */
export function getTables(): MessageBuilder {
  return nfnetlinkMessage({ subsystem: NFNL_SUBSYS_NFTABLES, message: NFT_MSG_GETTABLE });
}

/** The request for the dump of a table's rules. */
export function getRules(table: NftablesTable): MessageBuilder {
  return request(NFT_MSG_GETRULE, table, 0).string(NFTA_RULE_TABLE, table.name);
}

/** The handle of the rule that a message of the dump describes; null for another table's: old kernels list all. */
export function decodeRuleHandle(message: NetlinkMessage, table: NftablesTable): bigint | null {
  if (NFGENMSG.read(message.body, 0).family !== FAMILIES[table.family]) return null;
  const attributes = new Attributes(message.body, NFGENMSG.size);
  const handle = attributes.bytes(NFTA_RULE_HANDLE);
  if (handle === null || attributes.string(NFTA_RULE_TABLE) !== table.name) return null;
  return new DataView(handle.buffer, handle.byteOffset).getBigUint64(0);
}

/** The table that a message of the dump describes; null for a family not known here. */
export function decodeTable(message: NetlinkMessage): NftablesTable | null {
  const family = decodeFamily(NFGENMSG.read(message.body, 0).family);
  const name = new Attributes(message.body, NFGENMSG.size).string(NFTA_TABLE_NAME);
  return family === null || name === null ? null : { family, name };
}

/** Whether a table of a listing belongs to a socket that is open, so that nobody else may change it. */
export function isOwned(message: NetlinkMessage): boolean {
  const flags = new Attributes(message.body, NFGENMSG.size).bytes(NFTA_TABLE_FLAGS);
  return flags !== null && (flags[3]! & NFT_TABLE_F_OWNER) !== 0;
}

/** Whether a table of a listing says that it was made here, by this process or another of ours. */
export function isOfOurMaking(message: NetlinkMessage): boolean {
  const data = new Attributes(message.body, NFGENMSG.size).bytes(NFTA_TABLE_USERDATA);
  return data !== null && data.length === COMMENT.length &&
    data.every((byte, index) => byte === COMMENT[index]);
}

/** The family with this `NFPROTO_*`; null for one not known here. */
export function decodeFamily(number: number): NftablesFamily | null {
  const families = Object.keys(FAMILIES) as NftablesFamily[];
  return families.find((candidate) => FAMILIES[candidate] === number) ?? null;
}

function userComment(text: string): Uint8Array {
  const bytes = new TextEncoder().encode(`${text}\0`);
  return Uint8Array.of(NFTNL_UDATA_TABLE_COMMENT, bytes.length, ...bytes);
}

function newChainWithRules(table: NftablesTable, chain: NftablesChain): BatchedRequest[] {
  const device = chain.hook.device === undefined ? "" : ` for interface "${chain.hook.device}"`;
  return [
    {
      message: newChain(table, chain),
      action: `add ${describe(table)}, chain ${chain.name}${device}`,
    },
    ...chain.rules.map((rule) => ({
      message: newRule(table, chain.name, rule),
      action: `add ${describe(table)}, rule of chain ${chain.name}${device}`,
    })),
  ];
}

function newChain(table: NftablesTable, { name, hook }: NftablesChain): MessageBuilder {
  return request(NFT_MSG_NEWCHAIN, table, NLM_F_CREATE | NLM_F_EXCL)
    .string(NFTA_CHAIN_TABLE, table.name)
    .string(NFTA_CHAIN_NAME, name)
    .nested(NFTA_CHAIN_HOOK, (content) => {
      content.be32(NFTA_HOOK_HOOKNUM, hook.hook).be32(NFTA_HOOK_PRIORITY, hook.priority);
      if (hook.device !== undefined) content.string(NFTA_HOOK_DEV, hook.device);
    })
    .be32(NFTA_CHAIN_POLICY, NF_ACCEPT)
    .string(NFTA_CHAIN_TYPE, hook.type);
}

function newRule(
  table: NftablesTable,
  chain: string,
  rule: readonly Expression[],
): MessageBuilder {
  return request(NFT_MSG_NEWRULE, table, NLM_F_CREATE | NLM_F_APPEND)
    .string(NFTA_RULE_TABLE, table.name)
    .string(NFTA_RULE_CHAIN, chain)
    .nested(NFTA_RULE_EXPRESSIONS, (list) => rule.forEach((append) => append(list)));
}

function request(message: number, { family }: NftablesTable, flags: number): MessageBuilder {
  return nfnetlinkMessage({
    subsystem: NFNL_SUBSYS_NFTABLES,
    message,
    flags,
    family: FAMILIES[family],
  });
}

function describe({ family, name }: NftablesTable): string {
  return `nftables table ${family} "${name}"`;
}
