/** QR codes of configurations: black on white in either theme, as not every phone reads them the other way round. */
import type { JSX } from "preact";
import { encode } from "uqr";

/** Light modules around a code that its reader needs (ISO/IEC 18004 section 9.1). */
const QUIET_ZONE = 4;

/** A path of squares, one for each dark module. */
export function qrPath(text: string): { readonly path: string; readonly size: number } {
  const { data, size } = encode(text, { ecc: "L", border: QUIET_ZONE });
  let path = "";
  for (const [y, row] of data.entries()) {
    for (let x = 0; x < row.length; x++) {
      if (!row[x]) continue;
      const from = x;
      while (row[x + 1]) x++;
      path += `M${from} ${y}h${x - from + 1}v1H${from}z`;
    }
  }
  return { path, size };
}

export function QrCode({ text, label }: { text: string; label: string }): JSX.Element {
  const { path, size } = qrPath(text);
  return (
    <svg
      class="qr"
      viewBox={`0 0 ${size} ${size}`}
      width="296"
      height="296"
      shape-rendering="crispEdges"
      role="img"
      aria-label={label}
    >
      <path d={path} fill="#000000" />
    </svg>
  );
}
