/** Table: text in columns as wide as they need to be. */

/** Select Graphic Rendition (ECMA-48, 8.3.117). */
// deno-lint-ignore no-control-regex -- it is a control sequence
const COLOUR = /\x1b\[[0-9;]*m/g;

/** The rows as lines, columns aligned to the left and two blanks apart, the first row being the headings. */
export function tableLines(rows: readonly (readonly string[])[]): string[] {
  const widths: number[] = [];
  for (const row of rows) {
    row.forEach((cell, column) => widths[column] = Math.max(widths[column] ?? 0, width(cell)));
  }
  return rows.map((row) =>
    row.map((cell, column) => cell + " ".repeat(widths[column]! - width(cell))).join("  ").trimEnd()
  );
}

/** Characters as a reader counts them: those that colour others are not seen. */
function width(text: string): number {
  return [...text.replace(COLOUR, "")].length;
}
