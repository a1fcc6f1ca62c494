/** Question text: what a query asks for, as people write it; with nothing in it that a terminal would act on. */

/** Types that clients ask for (IANA, "Resource Record (RR) TYPEs"). */
const TYPES: ReadonlyMap<number, string> = new Map([
  [1, "A"],
  [2, "NS"],
  [5, "CNAME"],
  [6, "SOA"],
  [12, "PTR"],
  [15, "MX"],
  [16, "TXT"],
  [28, "AAAA"],
  [33, "SRV"],
  [35, "NAPTR"],
  [43, "DS"],
  [46, "RRSIG"],
  [48, "DNSKEY"],
  [52, "TLSA"],
  [64, "SVCB"],
  [65, "HTTPS"],
  [255, "ANY"],
  [257, "CAA"],
]);

/** By their numbers (RFC 1035 section 4.1.1). */
const CODES = ["NOERROR", "FORMERR", "SERVFAIL", "NXDOMAIN", "NOTIMP", "REFUSED"];

/**
 * A wire name without the dot at its end; the root is a dot. Dots and backslashes inside of labels, and bytes that are
 * no visible ASCII, are escaped (RFC 1035 section 5.1): a client chooses them.
 */
export function nameText(wire: string): string {
  const labels: string[] = [];
  for (let at = 0; at < wire.length - 1;) {
    const end = at + 1 + wire.charCodeAt(at);
    labels.push(wire.slice(at + 1, end).replaceAll(/[^!-~]|[.\\]/g, escaped));
    at = end;
  }
  return labels.length === 0 ? "." : labels.join(".");
}

/** As in `AAAA`, or `TYPE65534` (RFC 3597 section 5). */
export function typeText(type: number): string {
  return TYPES.get(type) ?? `TYPE${type}`;
}

/** As in `NXDOMAIN`, or `RCODE11`. */
export function codeText(code: number): string {
  return CODES[code] ?? `RCODE${code}`;
}

function escaped(character: string): string {
  if (character === "." || character === "\\") return `\\${character}`;
  return `\\${`${character.charCodeAt(0)}`.padStart(3, "0")}`;
}
