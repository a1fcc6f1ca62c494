/**
 * Wire names: domain names as they stand in a message (RFC 1035 section 3.1), each label behind its length and the
 * root's at the end, in lower case, one character for each byte: as `Parsed.question` begins, so that they can be
 * compared and looked up.
 */

const MAX_LABEL_SIZE = 63;
const MAX_NAME_SIZE = 255;

/**
 * The name of labels, or of a text with dots between them and perhaps at its end.
 *
 * @param name in ASCII
 * @returns null for what is too long, or has an empty label
 */
export function wireName(name: string): string | null {
  const labels = name.replace(/\.$/, "").split(".");
  if (labels.some(({ length }) => length === 0 || length > MAX_LABEL_SIZE)) return null;
  const wire =
    labels.map((label) => String.fromCharCode(label.length) + lowerCase(label)).join("") +
    "\0";
  return wire.length > MAX_NAME_SIZE ? null : wire;
}

/** The name and the domains that it is in, the longest first, the root left out. */
export function* domainsOf(wire: string): Generator<string> {
  for (let at = 0; at < wire.length - 1; at += 1 + wire.charCodeAt(at)) yield wire.slice(at);
}

/** ASCII's letters alone have case here (RFC 4343 section 3). */
function lowerCase(text: string): string {
  return text.replaceAll(/[A-Z]/g, (letter) => letter.toLowerCase());
}
