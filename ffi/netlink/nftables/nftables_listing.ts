/** Listing of what others have in nftables, iptables' own translations included: chains at hooks, rules, and sets. */
import type { Libc } from "../../libc.ts";
import { Attributes, type NetlinkMessage } from "../message.ts";
import {
  NF_DROP,
  NFT_MSG_GETRULE,
  NFTA_CHAIN_HOOK,
  NFTA_CHAIN_NAME,
  NFTA_CHAIN_POLICY,
  NFTA_CHAIN_TABLE,
  NFTA_CHAIN_TYPE,
  NFTA_DATA_VALUE,
  NFTA_EXPR_DATA,
  NFTA_EXPR_NAME,
  NFTA_HOOK_DEV,
  NFTA_HOOK_DEVS,
  NFTA_HOOK_HOOKNUM,
  NFTA_HOOK_PRIORITY,
  NFTA_RULE_CHAIN,
  NFTA_RULE_EXPRESSIONS,
  NFTA_RULE_HANDLE,
  NFTA_RULE_TABLE,
} from "./attributes.ts";
import { NFGENMSG, nfnetlinkMessage, NFNL_SUBSYS_NFTABLES } from "./nfnetlink.ts";
import { decodeFamily, type NftablesTable } from "./nftables_objects.ts";
import { NETLINK_NETFILTER, NetlinkSocket } from "../socket.ts";

// include/uapi/linux/netfilter/nf_tables.h
const NFT_MSG_GETCHAIN = 4;
const NFT_MSG_GETSET = 10;
const NFT_MSG_GETSETELEM = 13;
const NFTA_SET_TABLE = 1;
const NFTA_SET_NAME = 2;
const NFTA_SET_FLAGS = 3;
const NFTA_SET_DESC = 9;
const NFTA_SET_DESC_CONCAT = 2;
const NFTA_SET_FIELD_LEN = 1;
const NFT_SET_INTERVAL = 4;
const NFTA_SET_ELEM_LIST_TABLE = 1;
const NFTA_SET_ELEM_LIST_SET = 2;
const NFTA_SET_ELEM_LIST_ELEMENTS = 3;
const NFTA_SET_ELEM_KEY = 1;
const NFTA_SET_ELEM_DATA = 2;
const NFTA_SET_ELEM_FLAGS = 3;
const NFTA_SET_ELEM_KEY_END = 10;
const NFT_SET_ELEM_INTERVAL_END = 1;
const NFT_SET_ELEM_CATCHALL = 2;

/** A chain that packets enter by a hook. */
export interface BaseChain {
  readonly table: NftablesTable;
  readonly name: string;
  /** As in `filter`, `nat`. */
  readonly type: string;
  /** `NF_INET_*`, or what the family has. */
  readonly hook: number;
  /** Chains of lower numbers are walked first. */
  readonly priority: number;
  /** The interfaces at which it is; none for a chain of the IP layer. */
  readonly devices: readonly string[];
  /** Whether what no rule decides on is dropped. */
  readonly drops: boolean;
}

/** A part of a rule, as in `cmp`, with what the kernel tells of it. */
export interface ListedExpression {
  readonly name: string;
  readonly data: Attributes;
}

/** A rule; all its expressions must match, one after the other. */
export interface ListedRule {
  readonly table: NftablesTable;
  readonly chain: string;
  /** As `nft -a` shows it. */
  readonly handle: bigint;
  readonly expressions: readonly ListedExpression[];
}

/**
 * What a set or map has. In a set of intervals, a key begins one and the next key with `isEnd` ends it, or `keyEnd`
 * does.
 */
export interface ListedElement {
  readonly key: Uint8Array;
  readonly keyEnd: Uint8Array | null;
  readonly isEnd: boolean;
  /** Whether it stands for all keys that are not there. */
  readonly isCatchall: boolean;
  /** `NFTA_DATA_*`; null but in maps. */
  readonly data: Attributes | null;
}

export interface ListedSet {
  readonly table: NftablesTable;
  readonly name: string;
  /** Whether its keys are the ends of intervals. */
  readonly isOfIntervals: boolean;
  /** Bytes of each field of its keys, without padding, where they are concatenations; none where they are not. */
  readonly fields: readonly number[];
  readonly elements: readonly ListedElement[];
}

/** What the firewall of a network namespace has. */
export interface FirewallListing {
  readonly chains: readonly BaseChain[];
  readonly rules: readonly ListedRule[];
  readonly sets: readonly ListedSet[];
}

/** The bodies of the kernel's answers, by what was asked for. */
export interface FirewallDump {
  readonly chains: readonly Uint8Array[];
  readonly rules: readonly Uint8Array[];
  readonly sets: readonly Uint8Array[];
  /** Of the elements of all sets. */
  readonly elements: readonly Uint8Array[];
}

/**
 * Reads the firewall of the network namespace that the thread is in.
 *
 * @throws {NetlinkError} EPERM without CAP_NET_ADMIN
 * @throws {SystemCallError} EPROTONOSUPPORT where the kernel has no netfilter
 */
export function dumpFirewall(libc: Libc): FirewallDump {
  using socket = NetlinkSocket.open(libc, { protocol: NETLINK_NETFILTER });
  const bodies = (messages: readonly NetlinkMessage[]) => messages.map(({ body }) => body.slice());
  const dump = (message: number, action: string) =>
    bodies(socket.dump(nfnetlinkMessage({ subsystem: NFNL_SUBSYS_NFTABLES, message }), action));
  const sets = dump(NFT_MSG_GETSET, "list nftables sets");
  const elements = sets.flatMap((body) => {
    const attributes = new Attributes(body, NFGENMSG.size);
    const request = nfnetlinkMessage({
      subsystem: NFNL_SUBSYS_NFTABLES,
      message: NFT_MSG_GETSETELEM,
      family: NFGENMSG.read(body, 0).family,
    })
      .string(NFTA_SET_ELEM_LIST_TABLE, attributes.string(NFTA_SET_TABLE) ?? "")
      .string(NFTA_SET_ELEM_LIST_SET, attributes.string(NFTA_SET_NAME) ?? "");
    return bodies(socket.dump(request, "list the elements of an nftables set"));
  });
  return {
    chains: dump(NFT_MSG_GETCHAIN, "list nftables chains"),
    rules: dump(NFT_MSG_GETRULE, "list nftables rules"),
    sets,
    elements,
  };
}

/** What a dump says. */
export function readFirewall({ chains, rules, sets, elements }: FirewallDump): FirewallListing {
  const found = elements.flatMap((body) => decodeElements(body) ?? []);
  return {
    chains: chains.flatMap((body) => decodeBaseChain(body) ?? []),
    rules: rules.flatMap((body) => decodeRule(body) ?? []),
    sets: sets.flatMap((body) => decodeSet(body, found) ?? []),
  };
}

/** The chain that a message describes; null for one that only other chains lead to. */
function decodeBaseChain(body: Uint8Array): BaseChain | null {
  const { attributes, table } = decodeHead(body, NFTA_CHAIN_TABLE);
  const hooked = attributes.nested(NFTA_CHAIN_HOOK);
  const hook = hooked?.bytes(NFTA_HOOK_HOOKNUM) ?? null;
  const priority = hooked?.bytes(NFTA_HOOK_PRIORITY) ?? null;
  const policy = attributes.bytes(NFTA_CHAIN_POLICY);
  if (table === null || hook === null) return null;
  return {
    table,
    name: attributes.string(NFTA_CHAIN_NAME) ?? "",
    type: attributes.string(NFTA_CHAIN_TYPE) ?? "",
    hook: readBe32(hook),
    priority: priority === null ? 0 : readBe32(priority) | 0,
    devices: devicesOf(hooked!),
    drops: policy !== null && readBe32(policy) === NF_DROP,
  };
}

/** A chain of one interface names it in both attributes; kernels before 5.5 know the first alone. */
function devicesOf(hook: Attributes): string[] {
  const several = hook.strings(NFTA_HOOK_DEVS);
  const single = hook.string(NFTA_HOOK_DEV);
  return several.length > 0 || single === null ? several : [single];
}

function decodeRule(body: Uint8Array): ListedRule | null {
  const { attributes, table } = decodeHead(body, NFTA_RULE_TABLE);
  if (table === null) return null;
  const handle = attributes.bytes(NFTA_RULE_HANDLE);
  return {
    table,
    chain: attributes.string(NFTA_RULE_CHAIN) ?? "",
    handle: handle === null ? 0n : viewOf(handle).getBigUint64(0),
    expressions: attributes.list(NFTA_RULE_EXPRESSIONS).map((expression) => ({
      name: expression.string(NFTA_EXPR_NAME) ?? "",
      data: expression.nested(NFTA_EXPR_DATA) ?? new Attributes(new Uint8Array(), 0),
    })),
  };
}

/** The elements of a set, some: a long one comes in several messages. */
interface SomeElements {
  readonly table: NftablesTable;
  readonly name: string;
  readonly elements: readonly ListedElement[];
}

function decodeSet(body: Uint8Array, found: readonly SomeElements[]): ListedSet | null {
  const { attributes, table } = decodeHead(body, NFTA_SET_TABLE);
  if (table === null) return null;
  const name = attributes.string(NFTA_SET_NAME) ?? "";
  const flags = attributes.bytes(NFTA_SET_FLAGS);
  return {
    table,
    name,
    isOfIntervals: flags !== null && (readBe32(flags) & NFT_SET_INTERVAL) !== 0,
    fields: (attributes.nested(NFTA_SET_DESC)?.list(NFTA_SET_DESC_CONCAT) ?? [])
      .map((field) => readBe32(field.bytes(NFTA_SET_FIELD_LEN)!)),
    elements: found
      .filter((part) =>
        part.name === name && part.table.name === table.name && part.table.family === table.family
      )
      .flatMap((part) => part.elements),
  };
}

function decodeElements(body: Uint8Array): SomeElements | null {
  const { attributes, table } = decodeHead(body, NFTA_SET_ELEM_LIST_TABLE);
  if (table === null) return null;
  return {
    table,
    name: attributes.string(NFTA_SET_ELEM_LIST_SET) ?? "",
    elements: attributes.list(NFTA_SET_ELEM_LIST_ELEMENTS).map((element) => {
      const flags = element.bytes(NFTA_SET_ELEM_FLAGS);
      const bits = flags === null ? 0 : readBe32(flags);
      return {
        key: element.nested(NFTA_SET_ELEM_KEY)?.bytes(NFTA_DATA_VALUE) ?? new Uint8Array(),
        keyEnd: element.nested(NFTA_SET_ELEM_KEY_END)?.bytes(NFTA_DATA_VALUE) ?? null,
        isEnd: (bits & NFT_SET_ELEM_INTERVAL_END) !== 0,
        isCatchall: (bits & NFT_SET_ELEM_CATCHALL) !== 0,
        data: element.nested(NFTA_SET_ELEM_DATA),
      };
    }),
  };
}

function decodeHead(
  body: Uint8Array,
  tableAttribute: number,
): { attributes: Attributes; table: NftablesTable | null } {
  const family = decodeFamily(NFGENMSG.read(body, 0).family);
  const attributes = new Attributes(body, NFGENMSG.size);
  const name = attributes.string(tableAttribute);
  return { attributes, table: family === null || name === null ? null : { family, name } };
}

/** Netfilter's numbers are in network order. */
export function readBe32(bytes: Uint8Array): number {
  return viewOf(bytes).getUint32(0);
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
