/** Tables of text: columns as wide as their widest cell. */

/** How a column stands. */
export type Alignment = "left" | "right";

/** The rows as aligned lines; the first is the heading, a line of dashes below it. Rows of one cell go across. */
export function formatTable(
  rows: readonly (readonly string[])[],
  alignments: readonly Alignment[],
): string {
  const widths = alignments.map((_, column) =>
    Math.max(...rows.filter((row) => row.length > 1).map((row) => row[column].length))
  );
  const lines = rows.map((row) => {
    if (row.length === 1) return row[0];
    return row.map((cell, column) =>
      alignments[column] === "left" ? cell.padEnd(widths[column]) : cell.padStart(widths[column])
    ).join("  ").trimEnd();
  });
  lines.splice(1, 0, widths.map((width) => "-".repeat(width)).join("  "));
  return lines.join("\n") + "\n";
}

/** A number with so many digits behind the point, and commas between thousands. */
export function formatNumber(value: number, digits: number): string {
  return value.toLocaleString("en-US", {
    minimumFractionDigits: digits,
    maximumFractionDigits: digits,
  });
}
