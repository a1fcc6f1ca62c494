/** QR codes: drawn in a terminal, where they fit, and as an image. */
import { encode } from "uqr";
import { pngImage } from "./png.ts";

/** Light modules around a code that its reader needs (ISO/IEC 18004 section 9.1). */
const QUIET_ZONE = 4;

/** Black on white in the colour cube of 256, which no theme of a terminal changes. */
const BLACK_ON_WHITE = "\x1b[38;5;16;48;5;231m";
const RESET = "\x1b[0m";

/** Pixels of an image to a module: enough for a phone that looks at a screen or at paper. */
const SCALE = 8;
/** Columns that are counted on where nobody says how many there are. */
const ASSUMED_COLUMNS = 80;

/** Bytes of the longest text that has a code: version 40, least correction. */
export const MAX_QR_SIZE = 2953;

/** The kinds of image, by the ends of their files' names. */
export const QR_IMAGES = ["png", "svg"] as const;
export type QrImage = (typeof QR_IMAGES)[number];

/** How much a terminal shows; 0 where it does not say. */
export interface TerminalSize {
  readonly columns: number;
  readonly rows: number;
}

/**
 * The code of `text` in lines of half blocks: two modules above each other in a character, which is about as high as
 * two of its widths.
 *
 * @param colour whether escape sequences may say what is dark and what is light. Without them, light modules are drawn:
 *   right where the text is light on dark, as in most terminals; elsewhere most readers take the inverted code too
 * @throws {RangeError} where the text is too long for any code: `MAX_QR_SIZE` bytes
 */
export function qrCode(text: string, { colour }: { colour: boolean }): string[] {
  const modules = modulesOf(text);
  const lines: string[] = [];
  for (let row = 0; row < modules.length; row += 2) {
    const upper = modules[row]!;
    const lower = modules[row + 1] ?? [];
    const blocks = upper.map((dark, column) =>
      halfBlocks(dark === colour, (lower[column] ?? false) === colour)
    ).join("");
    lines.push(colour ? `${BLACK_ON_WHITE}${blocks}${RESET}` : blocks);
  }
  return lines;
}

/**
 * Why a code would be broken or cut off where it is to be shown; null where it fits.
 *
 * @param lines of `qrCode()` without colour
 * @param terminal null for what is no terminal: its text may still come to one
 */
export function whyNotShown(
  lines: readonly string[],
  terminal: TerminalSize | null,
): string | null {
  const width = lines[0]!.length;
  const height = lines.length;
  const { columns, rows } = terminal ?? { columns: 0, rows: 0 };
  if (columns === 0) {
    if (width <= ASSUMED_COLUMNS) return null;
    const who = terminal === null ? "what is no terminal" : "this terminal";
    return `it takes ${width} columns, and ${who} does not say how many it has`;
  }
  // The prompt comes below.
  const isCut = rows !== 0 && height + 1 > rows;
  if (width <= columns && !isCut) return null;
  return `it takes ${width} columns and ${
    height + 1
  } rows, this terminal has ${columns} and ${rows}`;
}

/**
 * The code of `text` as the content of an image's file.
 *
 * @throws {RangeError} where the text is too long for any code
 */
export function qrImage(text: string, image: QrImage): Uint8Array<ArrayBuffer> {
  const modules = modulesOf(text);
  return image === "svg" ? new TextEncoder().encode(svgImage(modules)) : pngImage(modules, SCALE);
}

/** By row, then column: whether each module is dark. */
function modulesOf(text: string): boolean[][] {
  // The least correction gives the coarsest code: a screen is not scratched, but read from afar.
  return encode(text, { ecc: "L", border: QUIET_ZONE }).data;
}

/**
 * One path of all dark modules, those side by side in one stroke: between shapes of their own, readers may show gaps.
 * In pixels, as simple programs do not scale by `viewBox`.
 */
function svgImage(modules: readonly (readonly boolean[])[]): string {
  const strokes = modules.flatMap((row, y) =>
    Array.from(row.map((dark) => dark ? "x" : " ").join("").matchAll(/x+/g), (run) => {
      const width = run[0].length * SCALE;
      return `M${run.index * SCALE} ${y * SCALE}h${width}v${SCALE}h-${width}z`;
    })
  );
  const size = modules.length * SCALE;
  return `<svg xmlns="http://www.w3.org/2000/svg" width="${size}" height="${size}" ` +
    `viewBox="0 0 ${size} ${size}">\n` +
    `<rect width="${size}" height="${size}" fill="#fff"/>\n` +
    `<path fill="#000" d="${strokes.join("")}"/>\n</svg>\n`;
}

/** A character with its halves in the text's colour or not. */
function halfBlocks(upper: boolean, lower: boolean): string {
  if (upper) return lower ? "█" : "▀";
  return lower ? "▄" : " ";
}
