/** Names of peers that other programs write as comments, since WireGuard's format has no key for one. */
import { isPeerName } from "../values/values.ts";

/**
 * A name that says so: `# Name = x` (widespread), `# friendly_name = x` (prometheus_wireguard_exporter), `#Name# = x`
 * (WGDashboard), `# Name: x` (wireguard-ui).
 */
const NAMED = /^(?:friendly[_ ]name|name#?)\s*[=:]\s*(\S.*)$/i;
/**
 * Above a section: `# Client: x (id)` (wg-easy), `### Client x`, `# BEGIN_PEER x` and `### begin x ###` (set-up
 * scripts).
 */
const MARKED = /^(?:client:?|begin(?:_peer)?)\s+(\S.*?)(?:\s+\([0-9a-f-]{8,}\))?(?:\s*#+)?$/i;

const MAX_LENGTH = 200;

/**
 * The name of the peer whose section has these comments, `#` included, or `null`. One line right above the section, or
 * the first in it, is a name by itself where it can be one.
 */
export function nameInComments(above: readonly string[], within: readonly string[]): string | null {
  const [marks, inside] = [above.flatMap(textOf), within.flatMap(textOf)];
  for (const text of [...inside, ...marks]) {
    const name = nameOf(NAMED.exec(text)?.[1]);
    if (name !== null) return name;
  }
  for (const text of marks) {
    const name = nameOf(MARKED.exec(text)?.[1]);
    if (name !== null) return name;
  }
  return nameOf(above.length === 1 ? marks[0] : inside[0]);
}

/** None of what is too long to be about a name: to look through a line of a megabyte would take minutes. */
function textOf(comment: string): string[] {
  return comment.length > MAX_LENGTH ? [] : [comment.replace(/^[#\s]+/, "").trim()];
}

function nameOf(text: string | undefined): string | null {
  const name = text?.replace(/\s+/g, " ") ?? "";
  return isPeerName(name) ? name : null;
}
