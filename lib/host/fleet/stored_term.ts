/** Stored term: who has the virtual address, as the store says. */
import { readTerm, TERM_KEY, termBytes, type TermEntry } from "../../core/fleet/mesh/term_entry.ts";
import type { GatewayStore } from "./gateway_list.ts";

/** What there is; null before the store was reached. */
export function storedTerm(
  { gateways }: Pick<GatewayStore, "gateways">,
): { readonly entry: TermEntry | null; readonly revision: number } | null {
  if (gateways === null) return null;
  const { value = null, revision = 0 } = gateways.get(TERM_KEY) ?? {};
  return { entry: value === null ? null : readTerm(value), revision };
}

/** Writes it where it has this revision. @returns its revision now; null where it had another */
export function storeTerm(
  store: Pick<GatewayStore, "putGateway">,
  entry: TermEntry,
  expected: number,
): Promise<number | null> {
  return store.putGateway(TERM_KEY, termBytes(entry), expected);
}
