/** Owns tables of text: columns as wide as they need to be. */

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

/** Characters as a reader counts them. */
function width(text: string): number {
  return [...text].length;
}
