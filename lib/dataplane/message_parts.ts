/** Message parts: what may be too long for one message to the data plane, in parts, of which one is the last. */
import type { EgressRule } from "../core/access/egress_rules.ts";
import type { NatService } from "../core/nat/nat_options.ts";

/** Each is less than 70 bytes of JSON, of IPv6 than 105; the channel holds four messages of the greatest size. */
const RULES_PER_MESSAGE = 600;
export const MAX_EGRESS_RULES: number = 2700;
/** Each has up to 64 back ends of some 200 bytes. */
const SERVICES_PER_MESSAGE = 4;

export interface Part<Item> {
  readonly items: readonly Item[];
  readonly isLast: boolean;
}

export function egressRuleParts(rules: readonly EgressRule[]): Part<EgressRule>[] {
  return partsOf(rules, RULES_PER_MESSAGE);
}

export function serviceParts(
  all: readonly NatService[],
): { readonly services: readonly NatService[]; readonly isLast: boolean }[] {
  return partsOf(all, SERVICES_PER_MESSAGE)
    .map(({ items, isLast }) => ({ services: items, isLast }));
}

/** One at least, which may be empty. */
function partsOf<Item>(all: readonly Item[], size: number): Part<Item>[] {
  const count = Math.max(1, Math.ceil(all.length / size));
  return Array.from({ length: count }, (_, part) => ({
    items: all.slice(part * size, (part + 1) * size),
    isLast: part === count - 1,
  }));
}
