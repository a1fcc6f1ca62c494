/** Events from two sources as one list: those that were asked for, and those that came since. */
import type { EventEntry } from "../../../../control/application/methods.ts";

/** The newest first, each once. */
export function merged(
  live: readonly EventEntry[],
  known: readonly EventEntry[],
): EventEntry[] {
  const byId = new Map([...known, ...live].map((event) => [event.id, event]));
  return [...byId.values()].sort((a, b) => b.id - a.id);
}

/** Asks for the last ones. */
export function recentPath(
  { limit, peer }: { readonly limit: number; readonly peer?: string },
): string {
  const query = new URLSearchParams({ limit: `${limit}` });
  if (peer !== undefined) query.set("peer", peer);
  return `/events?${query}`;
}

/** Those with all of the words in what they say. */
export function found(events: readonly EventEntry[], search: string): readonly EventEntry[] {
  const words = search.toLowerCase().split(/\s+/).filter((word) => word !== "");
  if (words.length === 0) return events;
  return events.filter(({ event, name, publicKey, detail }) => {
    const text = `${event} ${name ?? ""} ${publicKey ?? ""} ${detail ?? ""}`.toLowerCase();
    return words.every((word) => text.includes(word));
  });
}
