/** Verdicts of nftables: what they do, and all that a rule may do with what it matches. */
import type { Attributes } from "../../../../ffi/netlink/message.ts";
import {
  NF_ACCEPT,
  NF_DROP,
  NFTA_DATA_VERDICT,
  NFTA_VERDICT_CODE,
} from "../../../../ffi/netlink/nftables/attributes.ts";
import {
  type ListedRule,
  type ListedSet,
  readBe32,
} from "../../../../ffi/netlink/nftables/nftables_listing.ts";
import { setOf } from "./nft_sets.ts";
import type { Action } from "./walk.ts";
import { targetOfXtables } from "./xtables.ts";

// include/uapi/linux/netfilter/nf_tables.h
const NFTA_VERDICT_CHAIN = 2;
const NFT_JUMP = -3;
const NFT_GOTO = -4;
const NFT_RETURN = -5;

/** What a verdict does; null for one that goes on. */
export function verdictOf(data: Attributes | null): Action {
  const verdict = data?.nested(NFTA_DATA_VERDICT) ?? null;
  if (verdict === null) return null;
  const code = numberOf(verdict, NFTA_VERDICT_CODE) | 0;
  const chain = verdict.string(NFTA_VERDICT_CHAIN) ?? "";
  if (code === NF_ACCEPT) return { kind: "decide", fate: "accepted" };
  if (code === NF_DROP) return { kind: "decide", fate: "dropped" };
  if (code === NFT_JUMP) return { kind: "jump", chain };
  if (code === NFT_GOTO) return { kind: "goto", chain };
  if (code === NFT_RETURN) return { kind: "return" };
  return null;
}

/** All that a rule may do with what it matches, maps of verdicts included. */
export function actionsOf(
  { table, expressions }: ListedRule,
  sets: readonly ListedSet[],
): Action[] {
  return expressions.flatMap(({ name, data }) => {
    if (name === "reject") return [{ kind: "decide", fate: "rejected" }];
    if (name === "target") return [targetOfXtables(data)];
    if (name === "immediate") return [verdictOf(data.nested(2))];
    if (name !== "lookup" || data.bytes(3) === null) return [];
    const set = setOf(sets, table, data.string(1) ?? "");
    return set?.elements.map((element) => verdictOf(element.data)) ?? [];
  });
}

/** Whether an action keeps a packet from going on. */
export function refuses(action: Action): boolean {
  return action?.kind === "decide" && (action.fate === "dropped" || action.fate === "rejected");
}

/** 0 where there is no such attribute. */
export function numberOf(data: Attributes, type: number): number {
  const bytes = data.bytes(type);
  if (bytes === null) return 0;
  return bytes.length === 4 ? readBe32(bytes) : bytes[0] ?? 0;
}

/** Whether the first bit of an attribute is set, by which most kinds of expressions are inverted. */
export function isInverted(data: Attributes, type: number): boolean {
  return (numberOf(data, type) & 1) !== 0;
}
