/** Where the page is: the fragment of its address, which the browser keeps to itself, so no link is in a log. */
import { type ReadonlySignal, signal } from "@preact/signals";

/** The parts of a path, decoded: `#/peers/KEY` is `["peers", "KEY"]`. */
export type PagePath = readonly string[];

const current = signal<PagePath>([]);
export const route: ReadonlySignal<PagePath> = current;

export function parseRoute(fragment: string): PagePath {
  return fragment.replace(/^#?\/?/, "").split("/").filter((part) => part !== "").map(decoded);
}

/** A part as it is, where it is no encoding: a person may have typed it. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** The address of a place, for a link. */
export function linkTo(...parts: readonly string[]): string {
  return `#/${parts.map(encodeURIComponent).join("/")}`;
}

/** Follows the address from now on. */
export function followAddress(): void {
  const follow = () => {
    current.value = parseRoute(location.hash);
  };
  addEventListener("hashchange", follow);
  follow();
}

export function goTo(...parts: readonly string[]): void {
  location.hash = linkTo(...parts);
}
