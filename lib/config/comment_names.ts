/** Names of peers that other programs write as comments, since WireGuard's format has no key for one. */
import { isPeerName } from "./values.ts";

/**
 * A name that says so: `# Name = x` (widespread), `# friendly_name = x` (prometheus_wireguard_exporter), `#Name# = x`
 * (WGDashboard), `# Name: x` (wireguard-ui).
 */
const NAMED = /^(?:friendly[_ ]name|name#?)\s*[=:]\s*(\S.*)$/i;
/** Above a section: `# Client: x (id)` (wg-easy), `### Client x`, `# BEGIN_PEER x` and `### begin x ###` (set-up scripts). */
const MARKED = /^(?:client:?|begin(?:_peer)?)\s+(\S.*?)(?:\s+\([0-9a-f-]{8,}\))?(?:\s*#+)?$/i;

/**
 * The name of the peer whose section has these comments, `#` included, or `null`. One line right above the section, or the
 * first in it, is a name by itself where it can be one.
 */
export function nameInComments(above: readonly string[], within: readonly string[]): string | null {
  const texts = [...within, ...above].map(textOf);
  for (const text of texts) {
    const name = nameOf(NAMED.exec(text)?.[1]);
    if (name !== null) return name;
  }
  for (const text of above.map(textOf)) {
    const name = nameOf(MARKED.exec(text)?.[1]);
    if (name !== null) return name;
  }
  return nameOf(above.length === 1 ? textOf(above[0]!) : within.map(textOf)[0]);
}

function textOf(comment: string): string {
  return comment.replace(/^[#\s]+/, "").trim();
}

function nameOf(text: string | undefined): string | null {
  const name = text?.replace(/\s+/g, " ") ?? "";
  return isPeerName(name) ? name : null;
}
